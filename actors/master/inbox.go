package master

import (
	"sync"
	"time"

	"github.com/synod-go/synod/mesos"
)

// What stands in an inbox.
type (
	fromAgent struct {
		link    mesos.LinkID
		name    string // that the agent has proven, "" if none had to
		message any
	}
	linkBroken    mesos.LinkID
	fromScheduler struct {
		calls []mesos.Call
		asked *asked // nil of a SubscribeCall, which is answered on its stream
	}
	fromOperator struct {
		operations []mesos.RegistryOperation
		asked      *asked
	}
	killTask struct {
		task  mesos.TaskKey
		grace time.Duration
		asked *asked
	}
	written struct {
		stream mesos.StreamID
		events int
	}
	streamClosed mesos.StreamID
	wantView     struct{}
)

// maxLinkShare is about how many bytes of one agent's messages may wait for the leader: who
// sends more than it takes waits alone, and not all who come behind.
const maxLinkShare = 256 << 10

// inbox is what waits for a leader, bounded by about so many bytes.
type inbox struct {
	most int

	mu      sync.Mutex
	items   []any
	bytes   int
	links   map[mesos.LinkID]int // the bytes of each agent's messages
	woken   bool
	closed  bool
	drained chan struct{} // closed and replaced when room has come
}

// put takes an item, and says whether the leader has to be woken. If there is no room it
// returns a channel that tells when there may be. A closed one takes everything, for nobody.
func (b *inbox) put(item any, weight int, always bool) (wake bool, drained <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed && always:
		return false, nil
	case b.closed, !always && b.full(item, weight):
		return false, b.drained
	}
	b.items = append(b.items, item)
	b.bytes += weight
	if m, is := item.(fromAgent); is {
		if b.links == nil {
			b.links = map[mesos.LinkID]int{}
		}
		b.links[m.link] += weight
	}
	wake = !b.woken
	b.woken = true
	return wake, nil
}

// full reports whether an item has to wait. One is let in, however long it is.
func (b *inbox) full(item any, weight int) bool {
	if b.bytes > 0 && b.bytes+weight > b.most {
		return true
	}
	m, is := item.(fromAgent)
	return is && b.links[m.link] > 0 && b.links[m.link]+weight > maxLinkShare
}

// take empties it.
func (b *inbox) take() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	if b.closed {
		items = nil
	}
	for _, item := range items {
		switch v := item.(type) {
		case fromScheduler:
			if v.asked != nil {
				v.asked.taken = true
			}
		case fromOperator:
			v.asked.taken = true
		case killTask:
			v.asked.taken = true
		}
	}
	full := b.bytes > 0
	b.items, b.bytes, b.links, b.woken = nil, 0, nil, false
	if full && !b.closed {
		close(b.drained)
		b.drained = make(chan struct{})
	}
	return items
}

// close lets go of everything, and of nothing to the leader any more.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.items, b.bytes, b.links = true, nil, 0, nil
}

func (b *inbox) wasTaken(a *asked) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return a.taken
}

// weigh is about how many bytes a message or a call takes.
func weigh(message any) int {
	const small, task = 256, 512
	switch v := message.(type) {
	case mesos.Register:
		return small + task*(len(v.Tasks)+len(v.Frameworks))
	case mesos.Registered:
		return small + task*len(v.Missing)
	case mesos.Launch:
		return task + weighTask(&v.Task)
	case mesos.StatusUpdate:
		return task + len(v.Status.Message)
	case mesos.Call:
		return small + weighCall(v.Body)
	default:
		return small
	}
}

func weighCall(b mesos.CallBody) int {
	const name = 32
	switch v := b.(type) {
	case mesos.AcceptCall:
		n := name * len(v.Offers)
		for i := range v.Launch {
			n += 512 + weighTask(&v.Launch[i])
		}
		return n
	case mesos.DeclineCall:
		return name * len(v.Offers)
	case mesos.ReconcileCall:
		return 2 * name * len(v.Tasks)
	case mesos.SubscribeCall:
		return 1024
	default:
		return name
	}
}

func weighTask(t *mesos.TaskInfo) int {
	n := len(t.Data) + len(t.Command.Value)
	for _, a := range t.Command.Arguments {
		n += len(a)
	}
	for k, v := range t.Command.Environment {
		n += len(k) + len(v)
	}
	for i := range t.Command.URIs {
		n += 64 + len(t.Command.URIs[i].Value)
	}
	return n
}
