package actors

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/extensions"
)

// Status is an actor as its mailbox knows it.
type Status struct {
	Name    string
	Parent  string // "" for an actor at the root
	Waiting int    // messages in its mailbox
	Handled uint64 // messages that it was handed since it was spawned; with those of others that share its MailboxStats
	Refused uint64 // messages for which there was no room, likewise
	// Restarts are those since it was spawned; Panic is the reason of its last failure, "" if
	// there was none, at most 300 bytes, and PanicAt when that was.
	Restarts int
	Panic    string
	PanicAt  time.Time
}

// Census returns the actors of a system of NewSystem that have a Mailbox, by name.
func Census(system *actor.ActorSystem) []Status {
	c, is := system.Extensions.Get(censusID).(*census)
	if !is {
		return nil
	}
	c.mu.Lock()
	list := make([]Status, 0, len(c.mailboxes))
	for m, who := range c.mailboxes {
		list = append(list, m.status(who))
	}
	c.mu.Unlock()
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// censusID is under what a system keeps its census.
var censusID = extensions.NextExtensionID()

// census knows the mailboxes of a system.
type census struct {
	mu        sync.Mutex
	mailboxes map[*Mailbox]identity
}

// identity is who an actor is: its name and its parent's.
type identity struct{ name, parent string }

// ExtensionID implements extensions.Extension.
func (c *census) ExtensionID() extensions.ExtensionID { return censusID }

// placed is what an invoker of protoactor knows of its actor.
type placed interface {
	Self() *actor.PID
	Parent() *actor.PID
	ActorSystem() *actor.ActorSystem
}

// enrol notes the mailbox of an actor that is being spawned.
func (m *Mailbox) enrol() {
	p, is := m.invoker.(placed)
	if !is {
		return
	}
	c, is := p.ActorSystem().Extensions.Get(censusID).(*census)
	if !is {
		return
	}
	who := identity{name: p.Self().GetId()}
	if parent := p.Parent(); parent != nil && parent.GetAddress() == p.Self().GetAddress() {
		who.parent = parent.GetId()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mailboxes[m] = who
}

// leave takes the mailbox of an actor that has stopped out again.
func (m *Mailbox) leave() {
	p, is := m.invoker.(placed)
	if !is {
		return
	}
	if c, is := p.ActorSystem().Extensions.Get(censusID).(*census); is {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.mailboxes, m)
	}
}

// failures are what a mailbox remembers of those of its actor. Guarded by Mailbox.mu.
type failures struct {
	restarts int
	reason   string
	at       time.Time
}

// reasonBytes is how much of a panic is kept.
const reasonBytes = 300

func (m *Mailbox) noteFailure(reason any) {
	text := fmt.Sprint(reason)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures.reason, m.failures.at = text[:min(len(text), reasonBytes)], time.Now()
}

func (m *Mailbox) noteRestart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures.restarts++
}

func (m *Mailbox) status(who identity) Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Status{Name: who.name, Parent: who.parent, Waiting: len(m.user), Handled: m.stats.Messages.Load(), Refused: m.stats.Refused.Load(),
		Restarts: m.failures.restarts, Panic: m.failures.reason, PanicAt: m.failures.at}
}
