package group

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
)

// Proposals that could not leave yet wait without a turn of their own, until
// there are enough of them or something else calls for one.
func TestProposalsWaitForAWorthwhileTurn(t *testing.T) {
	system := actor.NewActorSystem()
	defer system.Shutdown()
	c := Config{MaxProposals: 10, MaxProposalBytes: 1000, MaxReads: 10}
	h := &Handle{cfg: c, system: system, pid: actor.NewPID("nobody", "here"),
		mailbox: actors.NewMailbox(actors.MailboxConfig{})} // not started: it keeps what it gets
	propose := func(bytes int) {
		t.Helper()
		if _, err := h.enqueue(make([]byte, bytes), false); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(awake bool, when string) {
		t.Helper()
		if h.awake != awake {
			t.Errorf("%s: awake %v, want %v", when, h.awake, awake)
		}
	}
	var in inbox
	turn := func(gather int, during func()) {
		h.take(&in)
		if during != nil {
			during()
		}
		h.rest(gather)
	}
	propose(1)
	expect(true, "first proposal")
	turn(100, nil)
	expect(false, "nothing new")
	propose(99)
	expect(false, "less than the actor asked for")
	propose(1)
	expect(true, "as much as it asked for")
	turn(100, func() { propose(99) })
	expect(false, "too little during the turn")
	turn(0, nil)
	turn(100, func() { propose(100) })
	expect(true, "enough during the turn")
	turn(100, func() { h.wake() })
	expect(true, "something else during the turn")
	turn(100, nil)
	if _, err := h.enqueue(nil, true); err != nil {
		t.Fatal(err)
	}
	expect(true, "a read")
	turn(100, nil)
	propose(1)
	h.savedUpTo(1, true)
	expect(true, "a finished save")
	h.take(&in)
	if len(in.proposals) != 1 {
		t.Errorf("%d proposals in the turn, want the one that waited", len(in.proposals))
	}
}
