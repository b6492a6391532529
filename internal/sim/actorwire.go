package sim

import (
	"fmt"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/synod-go/synod/consensus"
)

// wireEnd is where the actors of one process send what is meant for a replica.
type wireEnd struct {
	w    *ActorWorld
	from *host
	life uint32
	to   consensus.ID
}

func wireName(id consensus.ID) string { return fmt.Sprint("wire/", id) }

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
	w.engine.leaves(h, m)
	frame, err := proto.Marshal(m)
	if err != nil {
		w.note("wire", "replica %d sends what cannot be encoded: %v", h.id, err)
		return
	}
	w.fold(digest(frame))
	if w.tracer != nil {
		w.trace("send      %d → %d %s", h.id, w.hosts[to].id, w.engine.short(m))
	}
	if w.net.cut[h.slot][to] > 0 || w.lost(h.slot, to) {
		return
	}
	if frame = w.corrupted(h.slot, to, m, frame); frame == nil {
		return
	}
	w.carry(h, to, m.ProtoReflect().Type(), frame)
	if w.has(Duplicate) && w.dice.roll(streamDuplicate, h.slot*maxSlots+to).perMille(w.weather.duplicate) {
		w.carry(h, to, m.ProtoReflect().Type(), frame)
	}
}

// corrupted is a frame as it arrives, nil if the link's checksum finds it damaged.
func (w *ActorWorld) corrupted(from, to int, m proto.Message, frame []byte) []byte {
	if _, own := w.engine.damaged(m, 0); !own || !w.has(Corrupt) {
		return frame
	}
	d := w.dice.roll(streamCorrupt, from*maxSlots+to)
	if !d.perMille(w.weather.corrupt) {
		return frame
	}
	bad, _ := w.engine.damaged(m, d.split())
	if bad == nil {
		w.sometimes.count(sawCorruptFrame)
		return nil
	}
	frame, err := proto.Marshal(bad)
	if err != nil {
		return nil
	}
	return frame
}

func (w *ActorWorld) carry(h *host, to int, kind protoreflect.MessageType, frame []byte) {
	at := w.arrival(h.slot, to, w.delay(h.slot, to))
	w.agenda.add(at, actorEvent{event: event{kind: evDeliver, slot: to, from: h.id}, of: kind, frame: frame})
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
		w.trace("deliver   %d → %d %s", e.from, h.id, w.engine.short(m))
	}
	h.system.Root.Send(h.handle.PID(), m)
}

// spaced prints a message with single spaces: protobuf sets its own at random.
func spaced(m proto.Message) string {
	return strings.Join(strings.Fields(fmt.Sprint(m)), " ")
}
