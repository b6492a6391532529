package actors

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

// mailboxes under comparison; both count messages in the same way.
var mailboxes = []struct {
	name     string
	producer actor.MailboxProducer
}{
	{"batching", MailboxConfig{MaxMessages: 1 << 30}.Producer()},
	{"unbounded", actor.Unbounded()},
}

// counter counts plain messages and those in batches, and reports when it has
// seen as many as were wanted.
type counter struct {
	seen, wanted int64
	done         chan struct{}
}

func (c *counter) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *Batch:
		c.seen += int64(len(m.Messages))
	case *int:
		c.seen++
	}
	if c.seen == c.wanted {
		c.seen++
		close(c.done)
	}
}

// BenchmarkTell varies the mailbox and how many goroutines send.
func BenchmarkTell(b *testing.B) {
	for _, senders := range []int{1, 8} {
		for _, mailbox := range mailboxes {
			b.Run(fmt.Sprintf("senders=%d/%s", senders, mailbox.name), func(b *testing.B) {
				each := b.N/senders + 1
				c := &counter{wanted: int64(each * senders), done: make(chan struct{})}
				system, m := NewSystem(nil), new(int)
				pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return c }, actor.WithMailbox(mailbox.producer)))
				b.ReportAllocs()
				b.ResetTimer()
				for range senders {
					go func() {
						for range each {
							system.Root.Send(pid, m)
						}
					}()
				}
				<-c.done
			})
		}
	}
}

// BenchmarkWake sends one message at a time and waits until it is handled.
func BenchmarkWake(b *testing.B) {
	for _, mailbox := range mailboxes {
		b.Run(mailbox.name, func(b *testing.B) {
			var seen atomic.Int64
			system, m := NewSystem(nil), new(int)
			handled := make(chan struct{}, 1)
			pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
				switch c.Message().(type) {
				case *Batch, *int:
					seen.Add(1)
					handled <- struct{}{}
				}
			}, actor.WithMailbox(mailbox.producer)))
			b.ReportAllocs()
			for b.Loop() {
				system.Root.Send(pid, m)
				<-handled
			}
		})
	}
}
