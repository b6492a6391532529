package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

type raftEngine struct{}

func (raftEngine) bootstrap(members []consensus.Member) consensus.SnapshotMeta {
	return raft.Bootstrap(members...)
}

func (raftEngine) recover() recovery { return &raftRecovery{} }

func (raftEngine) newOracle(w *World) oracle { return newRaftOracle(w) }

func (raftEngine) newCore(w *World, n *node, state any, high consensus.Index) (core, error) {
	node, err := raft.New(w.weather.raftConfig(w.plan.Seed, n.id, n.life), state.(raft.State))
	return &raftCore{node, high}, err
}

func (w *weather) raftConfig(seed uint64, id consensus.ID, life uint32) raft.Config {
	return raft.Config{
		ID: id, Heartbeat: w.heartbeat, Election: w.election, Lease: w.lease, MaxDrift: w.drift,
		MaxAppendBytes: w.appendMax, MaxInflightBytes: 4 * w.appendMax, MaxUncommittedBytes: 64 << 10,
		MaxApplyBytes: 2 * w.appendMax, MaxReads: 64, MaxChunkBytes: w.chunk, TrailingEntries: w.trailing,
		PromoteWithin: 16, Rand: rand.New(rand.NewPCG(seed, uint64(id)<<32|uint64(life))),
	}
}

// raftCore is a replica of Raft. high is the highest index of any record so far.
type raftCore struct {
	*raft.Node
	high consensus.Index
}

func (c *raftCore) step(from consensus.ID, m message) { c.Step(from, m.(raft.Message)) }

func (c *raftCore) output() output {
	out := c.Output()
	return output{
		lease: out.Lease, leaseIndex: out.LeaseIndex, sendNow: raftEnvelopes(out.SendNow),
		save: out.Save, records: records(&out, &c.high), send: raftEnvelopes(out.Send),
		chunks: out.Chunks, apply: out.Apply, reads: out.Reads, ended: out.Loss != nil, sendSnapshots: out.SendSnapshots,
		own: &out,
	}
}

func raftEnvelopes(list []raft.Envelope) []envelope {
	own := make([]envelope, len(list))
	for i, e := range list {
		own[i] = envelope{e.To, e.Message}
	}
	return own
}

type raftRecovery struct{ recovered }

func (r *raftRecovery) add(rec storage.Record) error { return r.recovered.add(rec) }

func (r *raftRecovery) high() consensus.Index { return r.recovered.high }

func (r *raftRecovery) base() consensus.SnapshotMeta { return consensus.SnapshotMeta{} }

func (r *raftRecovery) state(snapshot consensus.SnapshotMeta, released consensus.Index) (any, error) {
	r.released = released
	return r.recovered.state(snapshot)
}

func (raftEngine) chunk(ask consensus.SnapshotRequest, meta consensus.SnapshotMeta, offset int64, data []byte) message {
	return raft.InstallSnapshot{Term: ask.Term, Snapshot: meta, Offset: offset, Data: data, Checksum: raft.ChunkChecksum(data)}
}

func (raftEngine) damaged(m message, d draw) (message, bool) {
	chunk, ok := m.(raft.InstallSnapshot)
	if !ok || len(chunk.Data) == 0 {
		return nil, false
	}
	chunk.Data = flipped(chunk.Data, d)
	return chunk, true
}

// flipped is a copy of data with one bit changed.
func flipped(data []byte, d draw) []byte {
	data = slices.Clone(data)
	data[d.below(len(data))] ^= 1 << (d.split() % 8)
	return data
}

func (raftEngine) cast(*World, *consensus.Member) {}

func (raftEngine) witness(*World, int) bool { return false }

func (raftEngine) survives(c *consensus.Configuration, in func(consensus.ID) bool) bool {
	return majorityOf(c, in)
}

func (raftEngine) hash(m message) uint64 {
	switch m := m.(type) {
	case raft.PreVote:
		return uint64(m.Term)<<8 ^ uint64(m.LastIndex)<<24 ^ 1
	case raft.PreVoteReply:
		return uint64(m.Term)<<8 ^ bit01(m.Granted)<<4 ^ 2
	case raft.RequestVote:
		return uint64(m.Term)<<8 ^ uint64(m.LastIndex)<<24 ^ 3
	case raft.Vote:
		return uint64(m.Term)<<8 ^ bit01(m.Granted)<<4 ^ 4
	case raft.AppendEntries:
		return mix(uint64(m.Term)<<8^uint64(m.PrevIndex)<<24^5) ^ uint64(len(m.Entries))<<32 ^ uint64(m.Commit)
	case raft.AppendReply:
		return mix(uint64(m.Term)<<8^uint64(m.Match)<<24^6) ^ uint64(m.ConflictIndex) ^ bit01(m.Rejected)<<40
	case raft.Heartbeat:
		return uint64(m.Sent) ^ m.Round<<40 ^ 7
	case raft.HeartbeatReply:
		return uint64(m.Sent) ^ m.Round<<40 ^ 8
	case raft.InstallSnapshot:
		return uint64(m.Snapshot.Index)<<20 ^ uint64(m.Offset)<<36 ^ uint64(m.Checksum) ^ 9
	case raft.SnapshotReply:
		return uint64(m.Index)<<20 ^ uint64(m.Offset)<<36 ^ 10
	case raft.ReadIndex:
		return m.Ref ^ 11
	case raft.ReadIndexReply:
		return m.Ref ^ uint64(m.Index)<<24 ^ 12
	}
	return 13
}

func (raftEngine) show(m message) string {
	text := fmt.Sprintf("%+v", m)
	switch m := m.(type) {
	case raft.AppendEntries:
		entries := "no entries"
		if n := len(m.Entries); n > 0 {
			entries = fmt.Sprintf("entries %d to %d, terms %d to %d", m.Entries[0].Index, m.Entries[n-1].Index, m.Entries[0].Term, m.Entries[n-1].Term)
		}
		text = fmt.Sprintf("{Term:%d Prev:%d/%d Commit:%d %s}", m.Term, m.PrevIndex, m.PrevTerm, m.Commit, entries)
	case raft.InstallSnapshot:
		text = fmt.Sprintf("{Term:%d Snapshot:%d/%d Offset:%d +%d of %d}", m.Term, m.Snapshot.Index, m.Snapshot.Term, m.Offset, len(m.Data), m.Snapshot.Size)
	}
	return fmt.Sprintf("%s %s", strings.TrimPrefix(fmt.Sprintf("%T", m), "raft."), text)
}
