package sim

import (
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
)

// actorEngine is what differs between the protocols that an ActorWorld can run,
// with an oracle of what went over the network so far: the actors' logs are not
// looked into, what they have said is. It finds broken rules inside actors, and so
// notes them.
type actorEngine interface {
	// protocol is what the actor of a machine runs.
	protocol(h *host) group.Protocol
	// campaign has a replica ask for an election for no reason.
	campaign(e group.Engine)

	// leaves checks a message at the moment it leaves. Those of other kinds than
	// the engine's own are nothing to it.
	leaves(h *host, m proto.Message)
	// leads is a replica that begins to lead, as it tells itself.
	leads(h *host, v group.View)
	// remembers checks what an actor has rebuilt itself from, after a crash of the
	// process or a panic of its own: everything it has said about its log must be
	// there, or it said it too early.
	remembers(h *host, s consensus.Status)

	// damaged is a chunk of a snapshot with one bit changed, nil for every other
	// message, and false for a message that is none of the engine's.
	damaged(m proto.Message, d draw) (bad proto.Message, own bool)
	// short prints a message for a transcript.
	short(m proto.Message) string
}

func newActorEngine(w *ActorWorld) actorEngine {
	if w.plan.Engine == enginePaxos {
		return newPaxosActors(w)
	}
	return newRaftActors(w)
}
