package actors

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// deliverable spawns r under protoactor's own dispatcher and waits until it has
// started.
func deliverable(t *testing.T, r *recorder, config MailboxConfig) (*actor.ActorSystem, *actor.PID, *Mailbox) {
	t.Helper()
	system, m, started := NewSystem(nil), NewMailbox(config), make(chan struct{})
	on := r.on
	r.on = func(c actor.Context, message any) {
		if _, ok := message.(*actor.Started); ok {
			close(started)
			return
		}
		if on != nil {
			on(c, message)
		}
	}
	pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return r },
		actor.WithMailbox(func() actor.Mailbox { return m })))
	<-started
	for !m.idle() {
		time.Sleep(time.Millisecond)
	}
	return system, pid, m
}

func (m *Mailbox) idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.running
}

func TestDeliverRunsAnIdleActorOnTheCallersGoroutine(t *testing.T) {
	r := new(recorder)
	_, _, m := deliverable(t, r, MailboxConfig{})
	m.Deliver("a", "b")
	// Nothing is waited for: the batch has been handled when Deliver returns.
	if len(r.batches) != 1 {
		t.Fatalf("got batches %v, want one", r.batches)
	}
	want(t, "messages", r.flat(), any("a"), "b")
}

func TestDeliverGivesOneTurnAndLeavesTheRestToTheDispatcher(t *testing.T) {
	var m *Mailbox
	second := make(chan struct{})
	r := &recorder{on: func(_ actor.Context, message any) {
		switch message {
		case "first":
			m.Deliver("second") // the actor is not idle: it is only queued
		case "second":
			<-second
		}
	}}
	_, _, m = deliverable(t, r, MailboxConfig{})
	m.Deliver("first") // would wait for ever if it ran the second batch too
	close(second)
	for len(r.flat()) < 2 {
		time.Sleep(time.Millisecond)
	}
	if len(r.batches) != 2 {
		t.Fatalf("got batches %v, want two", r.batches)
	}
}

func TestDeliverRefusesWhatDoesNotFitAndSurvivesAPanic(t *testing.T) {
	var refused []any
	r := &recorder{on: func(_ actor.Context, message any) {
		if message == "bad" {
			panic("bad")
		}
	}}
	_, _, m := deliverable(t, r, MailboxConfig{MaxMessages: 2, Refused: func(message any) { refused = append(refused, message) }})
	m.Deliver("a", "bad", "too many")
	want(t, "refused", refused, any("too many"))
	want(t, "messages", r.flat(), any("a"), "bad")
}

func TestDeliverLeavesTheOrderToASeededDispatcher(t *testing.T) {
	system, m, dispatcher, r := NewSystem(nil), NewMailbox(MailboxConfig{}), NewSeededDispatcher(1, PerBatch), new(recorder)
	system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return r },
		actor.WithMailbox(func() actor.Mailbox { return m }), actor.WithDispatcher(dispatcher)))
	dispatcher.Run(0)
	m.Deliver("a")
	want(t, "before the dispatcher's turn", r.flat())
	dispatcher.Run(0)
	want(t, "after it", r.flat(), any("a"))
}
