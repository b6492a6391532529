package master

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"sync"
	"sync/atomic"

	"github.com/synod-go/synod/mesos"
)

// Leading is one mastership of this node, from when it is ready to its end. Calls to it
// never reach a later one. It is safe for concurrent use.
type Leading struct {
	handle   *Handle
	wake     func() // has the leader look at the inbox
	registry *mesos.Registry
	term     mesos.Term
	done     chan struct{}

	inbox   inbox
	views   views
	ring    ring
	waiting atomic.Int64 // bytes that wait for agents, of all links

	mu       sync.Mutex
	ended    bool
	lastLink mesos.LinkID
	links    map[mesos.LinkID]*AgentLink
	streams  map[mesos.StreamID]*Subscription
}

func newLeading(h *Handle, term mesos.Term, registry *mesos.Registry, wake func()) *Leading {
	l := &Leading{handle: h, wake: wake, registry: registry, term: term, done: make(chan struct{}),
		links: map[mesos.LinkID]*AgentLink{}, streams: map[mesos.StreamID]*Subscription{}}
	l.inbox.most = h.cfg.MaxWaitingBytes
	l.inbox.drained = make(chan struct{})
	l.ring.most, l.ring.grown = h.cfg.MaxHappenings, make(chan struct{})
	return l
}

// Term is the master's.
func (l *Leading) Term() mesos.Term { return l.term }

// Registry is the registry as it was when the mastership began: a copy, to be read only.
func (l *Leading) Registry() *mesos.Registry { return l.registry }

// Done is closed when the mastership ends.
func (l *Leading) Done() <-chan struct{} { return l.done }

func (l *Leading) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// end ends the mastership for whoever has to do with it: links and streams end, and who
// waits for an answer is told that there is none.
func (l *Leading) end() {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.ended = true
	links, streams := l.links, l.streams
	l.links, l.streams = nil, nil
	close(l.done)
	l.mu.Unlock()
	for _, link := range links {
		link.out.end()
	}
	for _, s := range streams {
		s.out.end()
	}
	l.inbox.close()
}

func (l *Leading) counts() (links, streams int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.links), len(l.streams)
}

// open reports whether a link has not ended.
func (l *Leading) open(id mesos.LinkID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.links[id] != nil
}

// AgentLink is the connection of an agent to the leading master.
type AgentLink struct {
	leading *Leading
	id      mesos.LinkID
	name    string
	out     queue[any]
}

// Connect is the Handle's, for an agent that has proven to have that name, "" if none had to:
// the link ends when it speaks for another.
func (l *Leading) Connect(name string) (*AgentLink, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return nil, l.handle.notLeading()
	case len(l.links) >= l.handle.cfg.MaxLinks:
		return nil, ErrOverloaded
	}
	l.lastLink++
	k := &AgentLink{leading: l, id: l.lastLink, name: name}
	l.links[k.id] = k
	return k, nil
}

// Deliver hands the master a message of the agent. It waits while too much is under way, and
// returns an error when the link has ended.
func (k *AgentLink) Deliver(ctx context.Context, message any) error {
	if k.out.over() {
		return io.EOF
	}
	return k.leading.put(ctx, weigh(message), fromAgent{k.id, k.name, message})
}

// Next returns messages for the agent in their order, as soon as there are any. io.EOF
// says that the link has ended: the master leads no more, or the agent does not read.
func (k *AgentLink) Next(ctx context.Context) ([]any, error) {
	messages, bytes, err := k.out.next(ctx)
	k.leading.waiting.Add(int64(-bytes))
	return messages, err
}

// OnReady has f called, on any goroutines, when the link has ended or there is something
// for TryNext and was nothing before. It must not block.
func (k *AgentLink) OnReady(f func()) { k.out.onReady(f) }

// TryNext is Next without waiting: there may be none.
func (k *AgentLink) TryNext() ([]any, error) {
	messages, bytes, err := k.out.take()
	k.leading.waiting.Add(int64(-bytes))
	return messages, err
}

// Close ends the link.
func (k *AgentLink) Close() {
	l := k.leading
	l.mu.Lock()
	_, open := l.links[k.id]
	delete(l.links, k.id)
	l.mu.Unlock()
	l.waiting.Add(int64(-k.out.end()))
	if open {
		l.tell(linkBroken(k.id))
	}
}

// Subscription is a scheduler's stream of events.
type Subscription struct {
	leading *Leading
	id      mesos.StreamID
	out     queue[mesos.Event]
}

// Subscribe is the Handle's.
func (l *Leading) Subscribe(ctx context.Context, info mesos.FrameworkInfo) (*Subscription, error) {
	var random [16]byte
	rand.Read(random[:]) // never fails
	s := &Subscription{leading: l, id: mesos.StreamID(hex.EncodeToString(random[:]))}
	l.mu.Lock()
	switch {
	case l.ended:
		l.mu.Unlock()
		return nil, l.handle.notLeading()
	case len(l.streams) >= l.handle.cfg.MaxSubscriptions:
		l.mu.Unlock()
		return nil, ErrOverloaded
	}
	l.streams[s.id] = s
	l.mu.Unlock()
	call := mesos.Call{Stream: s.id, Body: mesos.SubscribeCall{Info: info}}
	if err := l.put(ctx, weigh(call), fromScheduler{calls: []mesos.Call{call}}); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Stream is its name, which calls carry.
func (s *Subscription) Stream() mesos.StreamID { return s.id }

// Next returns events in their order, as soon as there are any, and takes them for written.
// io.EOF says that the stream has ended.
func (s *Subscription) Next(ctx context.Context) ([]mesos.Event, error) {
	events, _, err := s.out.next(ctx)
	if len(events) > 0 {
		s.leading.tell(written{s.id, len(events)})
	}
	return events, err
}

// Close ends the subscription: the framework is disconnected.
func (s *Subscription) Close() {
	l := s.leading
	l.mu.Lock()
	_, open := l.streams[s.id]
	delete(l.streams, s.id)
	l.mu.Unlock()
	s.out.end()
	if open {
		l.tell(streamClosed(s.id))
	}
}
