package synod

import (
	"time"

	"github.com/synod-go/synod/storage"
)

// StorageStats are figures of a node's log, which all its groups share. Counts
// begin when the node starts.
type StorageStats struct {
	AppendedBytes uint64 // on disk, with what fills the last block of a batch
	Records       uint64
	Flushes       uint64
	FlushTotal    time.Duration // of all flushes together
	FlushMax      time.Duration
	FlushBuckets  []FlushBucket // by UpTo
	PendingBytes  int64         // that wait for the disk or are being written
	Segments      int           // log files in use
	FreeBytes     int64         // on the log's device, as last measured; 0 before that
	// Full: proposals are refused, because the disk is below its reserve or too
	// much log waits for a snapshot.
	Full bool
}

// FlushBucket counts the flushes that took at most UpTo.
type FlushBucket struct {
	UpTo  time.Duration
	Count uint64
}

// Storage returns the figures of the log. It does not wait for the disk.
func (n *Node) Storage() StorageStats {
	s := n.store.Stats()
	out := StorageStats{AppendedBytes: s.Bytes, Records: s.Records, Flushes: s.Batches, FlushTotal: s.FlushTotal,
		FlushMax: s.FlushMax, PendingBytes: s.Pending, Segments: s.Segments, FreeBytes: s.FreeBytes, Full: s.Full}
	sum := uint64(0)
	for i := range storage.FlushBounds {
		sum += s.FlushCounts[i]
		out.FlushBuckets = append(out.FlushBuckets, FlushBucket{UpTo: storage.FlushBound(i), Count: sum})
	}
	return out
}
