package synod

import (
	"context"
	"hash/crc32"

	"github.com/synod-go/synod/actors/paxosnode"
	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/consensus"
)

// LogTail is the end of a replica's log as this node holds it.
type LogTail struct {
	// Promised is the ballot below which this acceptor promises and accepts nothing more; ""
	// in a Raft group.
	Promised string
	Entries  []LogEntry // in order; a Paxos group may lack some
}

// LogEntry is one entry of a log, or one instance of Paxos.
type LogEntry struct {
	Index  uint64
	Term   uint64 // of the leader that first proposed it
	Ballot string // the same for people, in a Paxos group
	// Vote is the ballot in which this acceptor has accepted it; "" in a Raft group, and if it
	// was only learned.
	Vote string
	Kind string // "command", "no-op", "configuration", or "lead" in a Paxos group
	// Chosen: this node knows that it is committed.
	Chosen bool
	// Sum tells entries apart: it is of the term, the kind, the length and the first 512 bytes.
	Sum uint32
}

// Log returns the last entries of this node's log, at most most of them and never more than
// 1024. Errors: ErrOverloaded, ErrStopped, and ctx's.
func (g *Group) Log(ctx context.Context, most int) (LogTail, error) {
	most = min(max(most, 0), 1024)
	if g.config.Engine != Paxos {
		tail, err := raftnode.ReadTail(ctx, g.handle, most)
		out := LogTail{Entries: make([]LogEntry, len(tail.Entries))}
		for i := range tail.Entries {
			out.Entries[i] = g.logEntry(&tail.Entries[i], tail.Entries[i].Index <= tail.Commit)
		}
		return out, g.readError(err)
	}
	tail, err := paxosnode.ReadTail(ctx, g.handle, most)
	out := LogTail{Promised: g.ballot(tail.Promised), Entries: make([]LogEntry, len(tail.Slots))}
	for i := range tail.Slots {
		slot := &tail.Slots[i]
		out.Entries[i] = g.logEntry(&slot.Entry, slot.Chosen)
		out.Entries[i].Vote = g.ballot(slot.Vote)
	}
	return out, g.readError(err)
}

func (g *Group) logEntry(e *consensus.Entry, chosen bool) LogEntry {
	return LogEntry{Index: uint64(e.Index), Term: uint64(e.Term), Ballot: g.ballot(e.Term), Kind: kindOfEntry(e.Kind), Chosen: chosen, Sum: sumOf(e)}
}

func kindOfEntry(k consensus.EntryKind) string {
	switch k {
	case consensus.EntryNoOp:
		return "no-op"
	case consensus.EntryConfiguration:
		return "configuration"
	case consensus.EntryLead:
		return "lead"
	}
	return "command"
}

// summed is how much of an entry's data is in its Sum: a look must not read megabytes.
const summed = 512

func sumOf(e *consensus.Entry) uint32 {
	head := []byte{byte(e.Kind)}
	for _, n := range []uint64{uint64(e.Term), uint64(len(e.Data))} {
		for range 8 {
			head, n = append(head, byte(n)), n>>8
		}
	}
	return crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, e.Data[:min(summed, len(e.Data))])
}
