package actors

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// Batch is everything that waited in a Mailbox when its actor's turn came: one
// Batch is one user message to Receive. The Batch and its slice belong to the
// mailbox, which clears and reuses them as soon as Receive returns: keep the
// messages, never the slice.
type Batch struct {
	Messages []Item
}

// Item is one message of a Batch. Context.Sender is nil while a Batch is
// handled: the sender, if the message has one, stands here.
type Item struct {
	Message any
	Sender  *actor.PID
}

// Control marks a message that a full mailbox still takes: reports that
// something is durable, ticks, lost connections. Whoever sends such messages
// must bound them by other means.
type Control interface{ Control() }

// Sized is a message that counts towards MailboxConfig.MaxBytes. QueuedBytes
// must always return the same for one message.
type Sized interface{ QueuedBytes() int }

// Refusable is a message that wants to know that its actor never saw it:
// because the mailbox was full, or because the actor stopped first. Refused is
// called once, on the sender's or the actor's goroutine, and must not block.
type Refusable interface{ Refused() }

// Losable is a message that wants to know that its actor panicked while it
// handled the batch the message was in. Nobody knows whether it had been
// handled by then. Lost is called on the actor's goroutine and must not block.
type Losable interface{ Lost() }

// DefaultMaxMessages is how many messages wait in a mailbox whose
// MailboxConfig does not say.
const DefaultMaxMessages = 64 << 10

// keptItems is the capacity an idle mailbox keeps: 96 KiB a buffer.
const keptItems = 4 << 10

// MailboxConfig bounds a Mailbox. The zero value works.
type MailboxConfig struct {
	// MaxMessages is how many user messages may wait. The batch being handled
	// no longer waits, so up to twice as many are alive. Default
	// DefaultMaxMessages.
	MaxMessages int

	// MaxBytes bounds the sum of QueuedBytes over the waiting messages that
	// are Sized; a single larger message is taken while none waits. 0: no bound.
	MaxBytes int

	// MaxBatch is the most messages handed to one Receive. 0: all that wait.
	MaxBatch int

	// Refused, if set, is called like Refusable.Refused with every message that
	// was refused, after the message itself was told.
	Refused func(message any)

	// Stats, if set, counts; several mailboxes may share it.
	Stats *MailboxStats
}

// MailboxStats counts what passed through one or several mailboxes.
type MailboxStats struct {
	Batches  atomic.Uint64 // handed to Receive
	Messages atomic.Uint64 // in those batches
	Refused  atomic.Uint64 // never seen by the actor
	Lost     atomic.Uint64 // in a batch whose Receive panicked
}

// Producer returns what actor.WithMailbox takes.
func (c MailboxConfig) Producer() actor.MailboxProducer {
	return func() actor.Mailbox { return NewMailbox(c) }
}
