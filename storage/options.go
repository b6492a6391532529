package storage

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"
)

// Options says how to open a store. The zero value of each field is its default,
// except Node, which is needed.
type Options struct {
	FS FS // default OS()
	// Node is the operator's name of this node, 1 to 255 bytes. A directory keeps
	// the first one it was opened with and refuses another.
	Node string
	// Cluster, if set, must be the directory's, once it has one.
	Cluster string
	// Manual runs everything inside Flush, Mark and Close, on the caller's
	// goroutine: no goroutine, no timer, no clock that matters. For simulators.
	// Only one goroutine may then use the log.
	Manual bool
	// SegmentBytes is the size of each segment file, a multiple of BlockBytes from
	// 48 KiB to 1 GiB. Default 64 MiB. It may change between openings.
	SegmentBytes int64
	// MaxBatchBytes bounds one write; a larger single record is written alone.
	// Default 4 MiB.
	MaxBatchBytes int
	// MaxPendingBytes bounds what may wait in memory; beyond it the log fails with
	// ErrOverloaded. A caller that watches Pending never gets there. Default 256 MiB.
	MaxPendingBytes int64
	// ReserveBytes is given back to a full disk, so that votes and snapshots can
	// still be written. Default SegmentBytes; negative: none.
	ReserveBytes int64
	// MinFreeBytes is the low-water mark below which Full is true. Default twice
	// SegmentBytes; negative: 0.
	MinFreeBytes int64
	// MaxSegments is how many segments may be retained before Full is true, as a
	// request for compaction. Default 64.
	MaxSegments int
	// MarkAfter is how long the log is idle before a sync mark is written. Default
	// 50 ms. Without meaning in Manual mode.
	MarkAfter time.Duration
	// Logger gets a few lines for the operator. Default: none.
	Logger *slog.Logger
	// Progress is told how far Open has come: stage "log", bytes read, bytes to
	// read; how far Replay has come: stage "replay"; and how far Snapshots and
	// NewestSnapshot have come with a file: stage "snapshot". It runs on the goroutine of that call, often,
	// and must be quick. Default: none.
	Progress func(stage string, done, total int64)
	// Random returns random numbers for the incarnation and for salts. Default
	// crypto/rand. A simulator gives its own, to be reproducible.
	Random func() uint64
}

func (o Options) withDefaults() Options {
	setDefault := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
		*v = max(*v, 0)
	}
	if o.FS == nil {
		o.FS = OS()
	}
	setDefault(&o.SegmentBytes, 64<<20)
	setDefault(&o.MaxPendingBytes, 256<<20)
	setDefault(&o.ReserveBytes, o.SegmentBytes)
	setDefault(&o.MinFreeBytes, 2*o.SegmentBytes)
	if o.MaxBatchBytes <= 0 {
		o.MaxBatchBytes = 4 << 20
	}
	if o.MaxSegments <= 0 {
		o.MaxSegments = 64
	}
	if o.MarkAfter <= 0 {
		o.MarkAfter = 50 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	if o.Random == nil {
		o.Random = randomNumber
	}
	return o
}

func (o Options) check() error {
	if len(o.Node) == 0 || len(o.Node) > maxNameBytes || len(o.Cluster) > maxNameBytes {
		return fmt.Errorf("storage: node name of %d bytes and cluster id of %d: want 1 to %d and at most %d",
			len(o.Node), len(o.Cluster), maxNameBytes, maxNameBytes)
	}
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes || o.SegmentBytes%BlockBytes != 0 {
		return fmt.Errorf("storage: segment of %d bytes: want a multiple of %d from %d to %d",
			o.SegmentBytes, BlockBytes, minSegmentBytes, maxSegmentBytes)
	}
	return nil
}

func randomNumber() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}
