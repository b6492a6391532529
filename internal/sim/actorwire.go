package sim

import (
	"fmt"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
)

// wire is what went over the network so far, as far as promises follow from it:
// the actors' logs are not looked into, what they have said is.
type wire struct {
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

func newWire() wire {
	return wire{map[ballot]raft.ID{}, map[raft.Term]raft.ID{}, map[raft.ID]statement{}}
}

// wireEnd is where the actors of one process send what is meant for a replica.
type wireEnd struct {
	w    *ActorWorld
	from *host
	life uint32
	to   raft.ID
}

func wireName(id raft.ID) string { return fmt.Sprint("wire/", id) }

// SendUserMessage implements actor.Process: the message goes through the real
// encoding and takes its time.
func (e *wireEnd) SendUserMessage(_ *actor.PID, message any) {
	if envelope, ok := message.(*actor.MessageEnvelope); ok {
		message = envelope.Message
	}
	m, ok := message.(proto.Message)
	if !ok || e.life != e.from.life {
		e.w.note("wire", "replica %d of life %d sends a %T in life %d", e.from.id, e.life, message, e.from.life)
		return
	}
	e.w.send(e.from, slotOf(e.to), m)
}

// SendSystemMessage implements actor.Process.
func (e *wireEnd) SendSystemMessage(*actor.PID, any) {}

// Stop implements actor.Process.
func (e *wireEnd) Stop(*actor.PID) {}

// send puts a message on its way.
func (w *ActorWorld) send(h *host, to int, m proto.Message) {
	raftMessage, isRaft := m.(*messages.RaftMessage)
	if isRaft {
		w.leaves(h, raftMessage)
	}
	frame, err := proto.Marshal(m)
	if err != nil {
		w.note("wire", "replica %d sends what cannot be encoded: %v", h.id, err)
		return
	}
	w.fold(digest(frame))
	if w.tracer != nil {
		w.trace("send      %d → %d %s", h.id, w.hosts[to].id, short(m))
	}
	if w.net.cut[h.slot][to] > 0 || w.lost(h.slot, to) {
		return
	}
	if isRaft && w.has(Corrupt) {
		if d := w.dice.roll(streamCorrupt, h.slot*maxSlots+to); d.perMille(w.weather.corrupt) {
			if frame = damagedChunk(raftMessage, d.split()); frame == nil {
				w.sometimes.count(sawCorruptFrame)
				return // the link's checksum finds it
			}
		}
	}
	w.carry(h, to, m.ProtoReflect().Type(), frame)
	if w.has(Duplicate) && w.dice.roll(streamDuplicate, h.slot*maxSlots+to).perMille(w.weather.duplicate) {
		w.carry(h, to, m.ProtoReflect().Type(), frame)
	}
}

func (w *ActorWorld) carry(h *host, to int, kind protoreflect.MessageType, frame []byte) {
	at := w.arrival(h.slot, to, w.delay(h.slot, to))
	w.agenda.add(at, actorEvent{event: event{kind: evDeliver, slot: to, from: h.id}, of: kind, frame: frame})
}

// damagedChunk is a chunk of a snapshot with one bit changed, nil for every other message.
func damagedChunk(m *messages.RaftMessage, d draw) []byte {
	chunk := m.GetInstallSnapshot()
	if len(chunk.GetData()) == 0 {
		return nil
	}
	bad := proto.CloneOf(m)
	data := bad.GetInstallSnapshot().GetData()
	data[d.below(len(data))] ^= 1 << (d.split() % 8)
	frame, err := proto.Marshal(bad)
	if err != nil {
		return nil
	}
	return frame
}

// deliver hands a message to the actor, as the link does.
func (w *ActorWorld) deliver(h *host, e actorEvent) {
	if w.net.cut[slotOf(e.from)][h.slot] > 0 {
		return
	}
	m := e.of.New().Interface()
	if err := proto.Unmarshal(e.frame, m); err != nil {
		violated("wire", "a message of replica %d cannot be decoded: %v", e.from, err)
	}
	if w.tracer != nil {
		w.trace("deliver   %d → %d %s", e.from, h.id, short(m))
	}
	h.system.Root.Send(h.handle.PID(), m)
}

// leaves checks a message at the moment it leaves: votes are given once (R6),
// and one replica leads in a term (R1). What it says about the disk is kept.
func (w *ActorWorld) leaves(h *host, m *messages.RaftMessage) {
	term, s := raft.Term(m.Term), w.wire.said[h.id]
	switch body := m.Body.(type) {
	case *messages.RaftMessage_RequestVote:
		w.votes(h.id, term, h.id)
		s.term = max(s.term, term)
	case *messages.RaftMessage_Vote:
		if body.Vote.GetGranted() {
			w.votes(h.id, term, raft.ID(m.To))
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
		w.leads(term, h.id)
		if m.GetInstallSnapshot() != nil {
			w.sometimes.count(sawSnapshotSent)
		}
	}
	w.wire.said[h.id] = s
}

func (w *ActorWorld) votes(id raft.ID, term raft.Term, vote raft.ID) {
	had, ok := w.wire.votes[ballot{id, term}]
	if ok && had != vote {
		w.note("R6", "replica %d votes for %d and for %d in term %d", id, had, vote, term)
	}
	w.wire.votes[ballot{id, term}] = vote
}

func (w *ActorWorld) leads(term raft.Term, id raft.ID) {
	if other, ok := w.wire.leaders[term]; ok && other != id {
		w.note("R1", "replicas %d and %d both lead in term %d", other, id, term)
	}
	w.wire.leaders[term] = id
}

// remembers checks what an actor has rebuilt itself from, after a crash of the
// process or a panic of its own: everything it has said about its log must be
// there, or it said it too early (R10).
func (w *ActorWorld) remembers(h *host, s raft.Status) {
	said := w.wire.said[h.id]
	if s.Term < said.term {
		w.note("R10", "replica %d starts in term %d, it has voted or acknowledged in term %d", h.id, s.Term, said.term)
	}
	if s.Term == said.acked && s.LastIndex < said.match {
		w.note("R10", "replica %d starts with a log that ends at %d, in term %d it has acknowledged %d", h.id, s.LastIndex, s.Term, said.match)
	}
}

// short prints a message for a transcript.
func short(message proto.Message) string {
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

// spaced prints a message with single spaces: protobuf sets its own at random.
func spaced(m proto.Message) string {
	return strings.Join(strings.Fields(fmt.Sprint(m)), " ")
}
