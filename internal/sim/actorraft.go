package sim

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
)

// raftActors runs groups of Raft.
type raftActors struct {
	w       *ActorWorld
	votes   map[ballot]raft.ID // who a replica voted for in a term
	leaders map[raft.Term]raft.ID
	said    map[raft.ID]statement
}

// statement is what a replica has said about its disk.
type statement struct {
	term  raft.Term  // it voted or acknowledged in this term, or in later ones
	acked raft.Term  // the newest term in which it acknowledged entries
	match raft.Index // the highest of them
}

func newRaftActors(w *ActorWorld) *raftActors {
	return &raftActors{w, map[ballot]raft.ID{}, map[raft.Term]raft.ID{}, map[raft.ID]statement{}}
}

func (o *raftActors) protocol(h *host) group.Protocol {
	c := o.w.weather.raftConfig(o.w.plan.Seed, h.id, h.life)
	c.CatchUpBytes = o.w.limits.catchUpBytes
	return raftnode.New(raftnode.Config{Core: c})
}

func (o *raftActors) campaign(e group.Engine) { raftnode.Core(e).Campaign() }

// damaged implements actorEngine.
func (o *raftActors) damaged(message proto.Message, d draw) (proto.Message, bool) {
	m, own := message.(*messages.RaftMessage)
	if len(m.GetInstallSnapshot().GetData()) == 0 {
		return nil, own
	}
	bad := proto.CloneOf(m)
	data := bad.GetInstallSnapshot().GetData()
	data[d.below(len(data))] ^= 1 << (d.split() % 8)
	return bad, true
}

// leaves checks that votes are given once (R6), and that one replica leads in a
// term (R1). What a message says about the disk is kept.
func (o *raftActors) leaves(h *host, message proto.Message) {
	m, ok := message.(*messages.RaftMessage)
	if !ok {
		return
	}
	term, s := raft.Term(m.Term), o.said[h.id]
	switch body := m.Body.(type) {
	case *messages.RaftMessage_RequestVote:
		o.vote(h.id, term, h.id)
		s.term = max(s.term, term)
	case *messages.RaftMessage_Vote:
		if body.Vote.GetGranted() {
			o.vote(h.id, term, raft.ID(m.To))
			s.term = max(s.term, term)
		}
	case *messages.RaftMessage_AppendReply:
		if r := body.AppendReply; !r.GetRejected() {
			s.term = max(s.term, term)
			if term > s.acked {
				s.acked, s.match = term, 0
			}
			if term == s.acked {
				s.match = max(s.match, raft.Index(r.GetMatch()))
			}
		}
	case *messages.RaftMessage_AppendEntries, *messages.RaftMessage_Heartbeat, *messages.RaftMessage_InstallSnapshot:
		o.lead(h.id, term)
		if m.GetInstallSnapshot() != nil {
			o.w.sometimes.count(sawSnapshotSent)
		}
	}
	o.said[h.id] = s
}

func (o *raftActors) vote(id raft.ID, term raft.Term, vote raft.ID) {
	had, ok := o.votes[ballot{id, term}]
	if ok && had != vote {
		o.w.note("R6", "replica %d votes for %d and for %d in term %d", id, had, vote, term)
	}
	o.votes[ballot{id, term}] = vote
}

func (o *raftActors) leads(h *host, v group.View) { o.lead(h.id, v.Term) }

func (o *raftActors) lead(id raft.ID, term raft.Term) {
	if other, ok := o.leaders[term]; ok && other != id {
		o.w.note("R1", "replicas %d and %d both lead in term %d", other, id, term)
	}
	o.leaders[term] = id
}

// remembers is R10.
func (o *raftActors) remembers(h *host, s consensus.Status) {
	said := o.said[h.id]
	if s.Term < said.term {
		o.w.note("R10", "replica %d starts in term %d, it has voted or acknowledged in term %d", h.id, s.Term, said.term)
	}
	if s.Term == said.acked && s.LastIndex < said.match {
		o.w.note("R10", "replica %d starts with a log that ends at %d, in term %d it has acknowledged %d", h.id, s.LastIndex, s.Term, said.match)
	}
}

// short implements actorEngine.
func (o *raftActors) short(message proto.Message) string {
	m, ok := message.(*messages.RaftMessage)
	if !ok {
		return spaced(message)
	}
	switch b := m.Body.(type) {
	case *messages.RaftMessage_AppendEntries:
		entries, _ := raft.DecodeEntries(b.AppendEntries.GetEntries()) // only counted
		return fmt.Sprintf("AppendEntries term %d after %d/%d, commit %d, %d entries", m.Term, b.AppendEntries.GetPrevIndex(),
			b.AppendEntries.GetPrevTerm(), b.AppendEntries.GetCommit(), len(entries))
	case *messages.RaftMessage_InstallSnapshot:
		return fmt.Sprintf("InstallSnapshot term %d, snapshot %d, %d bytes at %d of %d", m.Term, b.InstallSnapshot.GetIndex(),
			len(b.InstallSnapshot.GetData()), b.InstallSnapshot.GetOffset(), b.InstallSnapshot.GetSize())
	}
	return spaced(&messages.RaftMessage{Term: m.Term, Body: m.Body})
}
