package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/storage"
)

type paxosEngine struct{}

func (paxosEngine) bootstrap(members []consensus.Member) consensus.SnapshotMeta {
	return multipaxos.Bootstrap(members...)
}

func (paxosEngine) recover() recovery { return &paxosRecovery{} }

func (paxosEngine) newOracle(w *World) oracle { return newPaxosOracle(w) }

func (paxosEngine) newCore(w *World, n *node, state any, high consensus.Index) (core, error) {
	node, err := multipaxos.New(w.weather.paxosConfig(w.plan.Seed, n), state.(multipaxos.State))
	return &paxosCore{node, multipaxos.Writer{High: high, MaxRecordBytes: w.weather.appendMax}}, err
}

func (w *weather) paxosConfig(seed uint64, n *node) multipaxos.Config {
	c := multipaxos.Config{
		ID: n.id, Heartbeat: w.heartbeat, Election: w.election, Lease: w.lease, MaxDrift: w.drift,
		MaxAcceptBytes: w.appendMax, MaxInflightBytes: 4 * w.appendMax, MaxUnchosenBytes: 64 << 10, FullFrameBytes: w.appendMax / 2,
		MaxApplyBytes: 2 * w.appendMax, MaxReads: 64, MaxChunkBytes: w.chunk, TrailingEntries: w.trailing,
		PromoteWithin: 16, Witness: n.witness, Rand: rand.New(rand.NewPCG(seed, uint64(n.id)<<32|uint64(n.life))),
	}
	if w.on&Burst != 0 {
		c.FullFrameBytes, c.MaxInflightFrames = 1, 8
	}
	return c
}

// paxosCore is a replica of the Paxos log with the writer of its records.
type paxosCore struct {
	*multipaxos.Node
	writer multipaxos.Writer
}

func (c *paxosCore) step(from consensus.ID, m message) { c.Step(from, m.(multipaxos.Message)) }

func (c *paxosCore) output() output {
	out := c.Output()
	o := output{
		lease: out.Lease, leaseIndex: out.LeaseIndex, sendNow: paxosEnvelopes(out.SendNow),
		save: out.Save, send: paxosEnvelopes(out.Send),
		chunks: out.Chunks, apply: out.Apply, reads: out.Reads, ended: out.Loss != nil, sendSnapshots: out.SendSnapshots,
		own: &out,
	}
	if out.Base != nil {
		o.base = out.Base.Index
	}
	for _, r := range c.writer.Records(&out) {
		o.records = append(o.records, storageRecord(r.Type, r.Index, r.Data))
	}
	for _, a := range out.Alarms {
		o.alarms = append(o.alarms, fmt.Sprintf("%s of %d at slot %d, ballot %s", a.What, a.From, a.Index, multipaxos.FormatBallot(a.Ballot)))
	}
	return o
}

func paxosEnvelopes(list []multipaxos.Envelope) []envelope {
	own := make([]envelope, len(list))
	for i, e := range list {
		own[i] = envelope{e.To, e.Message}
	}
	return own
}

// paxosRecovery reads a replica's records with the core's own code. How the group
// began the World keeps itself.
type paxosRecovery struct{ multipaxos.Recovery }

func (r *paxosRecovery) add(rec storage.Record) error {
	return r.Add(multipaxos.Record{Type: rec.Type, Index: rec.Index, Data: rec.Data})
}

func (r *paxosRecovery) high() consensus.Index { return r.High }

func (r *paxosRecovery) base() consensus.SnapshotMeta { return r.Base() }

func (r *paxosRecovery) state(snapshot consensus.SnapshotMeta, released consensus.Index) (any, error) {
	s, err := r.State(snapshot, released)
	if snapshot.Index == 0 {
		s.Snapshot = snapshot
	}
	return s, err
}

func (paxosEngine) chunk(_ consensus.SnapshotRequest, meta consensus.SnapshotMeta, offset int64, data []byte) message {
	return multipaxos.InstallSnapshot{Snapshot: meta, Offset: offset, Data: data, Checksum: multipaxos.ChunkChecksum(data)}
}

func (paxosEngine) damaged(m message, d draw) (message, bool) {
	chunk, ok := m.(multipaxos.InstallSnapshot)
	if !ok || len(chunk.Data) == 0 {
		return nil, false
	}
	chunk.Data = flipped(chunk.Data, d)
	return chunk, true
}

// part is what a machine can play.
type part uint8

const (
	playsAll part = iota
	playsWitness
	playsAcceptorAndLearner
	playsProposer
)

// partOf draws what a machine can play. The first one can play everything, or
// nobody might lead; a proposer alone is none of the first acceptors.
func (w *World) partOf(slot int) part {
	if w.weather.on&Roles == 0 || slot == 0 {
		return playsAll
	}
	parts := []part{playsAll, playsAll, playsWitness, playsAcceptorAndLearner, playsProposer}
	if slot < w.weather.voters {
		parts = parts[:4]
	}
	return parts[w.dice.at(streamPlan, 2, uint64(slot)).below(len(parts))]
}

func (paxosEngine) cast(w *World, m *consensus.Member) {
	switch w.partOf(slotOf(m.ID)) {
	case playsWitness:
		m.Roles = consensus.RoleAcceptor
	case playsAcceptorAndLearner:
		m.Roles = consensus.RoleAcceptor | consensus.RoleLearner
	case playsProposer:
		m.Roles, m.Voter, m.Promote = consensus.RoleProposer, false, false
	}
}

func (paxosEngine) witness(w *World, slot int) bool { return w.partOf(slot) == playsWitness }

// survives wants a majority of the acceptors to decide, a majority of the
// learners, so that one of them holds what acceptors have trimmed, and a proposer.
func (paxosEngine) survives(c *consensus.Configuration, in func(consensus.ID) bool) bool {
	var learners, learnersIn int
	proposes := false
	for _, m := range c.Members {
		if m.Learns() {
			learners++
			learnersIn += int(bit01(in(m.ID)))
		}
		proposes = proposes || m.Proposes() && in(m.ID)
	}
	return majorityOf(c, in) && 2*learnersIn > learners && proposes
}

func (paxosEngine) hash(m message) uint64 {
	switch m := m.(type) {
	case multipaxos.Poll:
		return uint64(m.Epoch)<<8 ^ uint64(m.Chosen)<<24 ^ 1
	case multipaxos.PollReply:
		return uint64(m.Epoch)<<8 ^ uint64(m.Chosen)<<24 ^ bit01(m.Granted)<<4 ^ 2
	case multipaxos.Prepare:
		return uint64(m.Ballot)<<8 ^ uint64(m.From)<<24 ^ 3
	case multipaxos.Promise:
		return mix(uint64(m.Ballot)<<8^uint64(m.From)<<24^4) ^ uint64(m.Next)<<16 ^ uint64(len(m.Runs)) ^ uint64(m.Chosen)<<32
	case multipaxos.Accept:
		return mix(uint64(m.Ballot)<<8^uint64(m.Start)<<24^5) ^ uint64(len(m.Entries))<<32 ^ uint64(m.Chosen)
	case multipaxos.Accepted:
		return mix(uint64(m.Ballot)<<8^uint64(m.First)<<24^6) ^ uint64(m.Last)
	case multipaxos.Nack:
		return mix(uint64(m.Ballot)<<8^uint64(m.Promised)<<24^7) ^ uint64(m.Reason)
	case multipaxos.Heartbeat:
		return uint64(m.Sent) ^ m.Round<<40 ^ 8
	case multipaxos.HeartbeatReply:
		return uint64(m.Sent) ^ m.Round<<40 ^ 9
	case multipaxos.Learn:
		return uint64(m.From)<<8 ^ 10
	case multipaxos.Learned:
		return mix(uint64(m.Chosen)<<8^11) ^ uint64(len(m.Entries))<<32 ^ uint64(m.Snapshot.Index)
	case multipaxos.Fetch:
		return uint64(m.Index)<<20 ^ uint64(m.Offset)<<36 ^ 12
	case multipaxos.InstallSnapshot:
		return uint64(m.Snapshot.Index)<<20 ^ uint64(m.Offset)<<36 ^ uint64(m.Checksum) ^ 13
	case multipaxos.ReadIndex:
		return m.Ref ^ 14
	case multipaxos.ReadIndexReply:
		return m.Ref ^ uint64(m.Index)<<24 ^ 15
	case multipaxos.Campaign:
		return uint64(m.Ballot)<<8 ^ 16
	}
	return 17
}

func (paxosEngine) show(m message) string {
	text := fmt.Sprintf("%+v", m)
	switch m := m.(type) {
	case multipaxos.Prepare:
		text = fmt.Sprintf("{%s From:%d Over:%s}", multipaxos.FormatBallot(m.Ballot), m.From, multipaxos.FormatBallot(m.Over))
	case multipaxos.Promise:
		text = fmt.Sprintf("{%s From:%d Next:%d Chosen:%d Trimmed:%d%s}", multipaxos.FormatBallot(m.Ballot), m.From, m.Next, m.Chosen, m.Trimmed, showRuns(m.Runs))
	case multipaxos.Accept:
		text = fmt.Sprintf("{%s Start:%d Chosen:%d%s}", multipaxos.FormatBallot(m.Ballot), m.Start, m.Chosen, showEntries(m.Entries))
	case multipaxos.Accepted:
		text = fmt.Sprintf("{%s %d to %d}", multipaxos.FormatBallot(m.Ballot), m.First, m.Last)
	case multipaxos.Nack:
		text = fmt.Sprintf("{%s Promised:%s %v Chosen:%d}", multipaxos.FormatBallot(m.Ballot), multipaxos.FormatBallot(m.Promised), m.Reason, m.Chosen)
	case multipaxos.Heartbeat:
		text = fmt.Sprintf("{%s Start:%d Chosen:%d Round:%d Match:%d Safe:%d}", multipaxos.FormatBallot(m.Ballot), m.Start, m.Chosen, m.Round, m.Match, m.Safe)
	case multipaxos.Learned:
		text = fmt.Sprintf("{Chosen:%d Snapshot:%d%s}", m.Chosen, m.Snapshot.Index, showEntries(m.Entries))
	case multipaxos.InstallSnapshot:
		text = fmt.Sprintf("{Snapshot:%d Offset:%d +%d of %d}", m.Snapshot.Index, m.Offset, len(m.Data), m.Snapshot.Size)
	}
	return fmt.Sprintf("%s %s", strings.TrimPrefix(fmt.Sprintf("%T", m), "multipaxos."), text)
}

func showRuns(runs []multipaxos.Run) (text string) {
	for _, r := range runs {
		what := "votes " + multipaxos.FormatBallot(r.Ballot)
		if r.Chosen {
			what = "chosen"
		}
		text += " " + what + showEntries(r.Entries)
	}
	return text
}

func showEntries(entries []consensus.Entry) (text string) {
	for _, e := range entries {
		text += fmt.Sprintf(" %d:%s/%d", e.Index, multipaxos.FormatBallot(e.Term), e.Kind)
	}
	return text
}
