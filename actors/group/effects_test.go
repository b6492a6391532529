package group

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
)

// A disk that stands still must not make the answers to a repeating peer pile up.
func TestAnswersHeldForAStalledDiskAreBounded(t *testing.T) {
	a := &Actor{issued: 5, saved: 4, handle: &Handle{}, cfg: Config{Peer: func(consensus.ID) *actor.PID { return nil }}}
	answer := []Envelope{{To: 2, Message: &messages.GroupMessage{}}}
	for range 3 * maxHeld {
		a.sendAfter(5, answer)
	}
	if len(a.held) != maxHeld {
		t.Errorf("%d turns wait, want %d", len(a.held), maxHeld)
	}
	a.saved = 5
	a.sendAfter(5, answer) // is sent at once
	if len(a.held) != 0 {
		t.Errorf("%d turns wait after the save, want none", len(a.held))
	}
}
