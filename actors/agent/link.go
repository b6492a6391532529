package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Pauses between attempts to reach a master: random times up to one that doubles.
const (
	dialFirst, dialMost = 100 * time.Millisecond, 5 * time.Second
)

// Messages of the linker to the host.
type (
	linked struct {
		from *linker
		link *queuedLink
	}
	unlinked struct {
		from *linker
		link *queuedLink
	}
	received struct {
		from    *linker
		link    *queuedLink
		message any
	}
)

// Control lets these into a full mailbox: the linker bounds them.
func (linked) Control()   {}
func (unlinked) Control() {}
func (received) Control() {}

// Refused and Lost make room for the next message.
func (r received) Refused() { r.from.received() }

// Lost is Refused's twin.
func (r received) Lost() { r.from.received() }

// linker looks for the leading master, for as long as an instance of the host lives. There is
// one link at a time.
type linker struct {
	h      *Handle
	cancel context.CancelFunc
	room   chan struct{} // a place for each message that the host has not taken yet

	current *queuedLink // the host's: nil while it has none
}

// queuedLink is a link with messages that wait to be sent.
type queuedLink struct {
	Link
	queue chan any
	close sync.Once
}

// Close closes the link once.
func (l *queuedLink) Close() (err error) {
	l.close.Do(func() { err = l.Link.Close() })
	return err
}

func startLinker(h *Handle, _ uint64) *linker {
	ctx, cancel := context.WithCancel(context.Background())
	l := &linker{h: h, cancel: cancel, room: make(chan struct{}, maxReceive)}
	go l.run(ctx)
	return l
}

func (l *linker) stop() { l.cancel() }

// received gives back a place.
func (l *linker) received() {
	select {
	case <-l.room:
	default:
	}
}

// send hands a message to the link. One that does not take it is broken: the core's
// repetitions come over the next one.
func (l *linker) send(m any) {
	if l.current == nil {
		return
	}
	select {
	case l.current.queue <- m:
	default:
		l.h.cfg.Logger.Warn("the link to the master is cut: too much waits for it", "messages", maxSend)
		l.current.Close()
	}
}

// drop ends the link. The next one is looked for.
func (l *linker) drop() {
	if l.current != nil {
		l.current.Close()
		l.current = nil
	}
}

// run makes one link after the other.
func (l *linker) run(ctx context.Context) {
	wait, said := dialFirst, ""
	for ctx.Err() == nil {
		began := time.Now()
		link, err := l.h.cfg.Dial(ctx)
		if err == nil {
			said = ""
			l.carry(ctx, &queuedLink{Link: link, queue: make(chan any, maxSend)})
			if time.Since(began) > dialMost {
				wait = dialFirst
			}
		} else if text := err.Error(); text != said && ctx.Err() == nil {
			said = text
			l.h.cfg.Logger.Warn("no master is reached", "reason", text)
		}
		pause(ctx, rand.N(wait))
		wait = min(2*wait, dialMost)
	}
}

// carry carries messages until the link ends.
func (l *linker) carry(ctx context.Context, link *queuedLink) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { link.Close() })
	defer stop()
	l.h.tell(linked{l, link})
	defer l.h.tell(unlinked{l, link})
	go func() {
		defer cancel()
		for {
			select {
			case m := <-link.queue:
				if err := link.Send(m); err != nil {
					l.ended(ctx, err)
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		m, err := link.Receive()
		if err != nil {
			l.ended(ctx, err)
			return
		}
		select {
		case l.room <- struct{}{}:
			l.h.tell(received{l, link, m})
		case <-ctx.Done():
			return
		}
	}
}

func (l *linker) ended(ctx context.Context, err error) {
	if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		l.h.cfg.Logger.Info("the link to the master has ended", "reason", err)
	}
}
