package synod

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/raft"
)

// Event is something that an operator wants to know about a node.
type Event struct {
	// Sequence grows with each event of a node, over its restarts too as long as its clock
	// does not go back.
	Sequence uint64
	Time     time.Time
	Node     string
	Group    string // "" if it concerns the whole node
	// Kind is one of: asks to lead, starts election, refuses (whom, in "peer"), became
	// leader, stepped down, new leader, configuration changed, snapshot taken, snapshot installed, quarantined, member joined,
	// entries lost, peer lost entries, alarm, peer connected, peer lost, stopped; or
	// what Tell was given.
	Kind   string
	Term   uint64
	Ballot string // Term as people read it, in a Paxos group: epoch.round.proposer
	Leader string
	Reason string            // why, with the values on which it was decided
	Attrs  map[string]string // more of some kinds: "peer" or "version" and "voters", for example
}

// eventLog keeps the newest events and passes them on.
type eventLog struct {
	mu          sync.Mutex
	events      []Event // the newest maxEvents, oldest first
	count       uint64  // how many there were
	subscribers map[int]func(Event)
	next        int
	last        uint64 // the Sequence of the newest
}

const maxEvents = 1024

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	if l.last == 0 {
		l.last = uint64(e.Time.UnixMicro()) // fewer than one event a microsecond: later starts go on above
	}
	l.last++
	e.Sequence = l.last
	if len(l.events) >= maxEvents {
		l.events = append(l.events[:0], l.events[maxEvents/4:]...)
	}
	l.events = append(l.events, e)
	l.count++
	subscribers := make([]func(Event), 0, len(l.subscribers))
	for _, f := range l.subscribers {
		subscribers = append(subscribers, f)
	}
	l.mu.Unlock()
	for _, f := range subscribers {
		f(e)
	}
}

// Events returns the newest events of this node, oldest first: up to 1024.
func (n *Node) Events() []Event { return n.EventsSince(0) }

// EventsSince returns those of Events whose Sequence is higher.
func (n *Node) EventsSince(sequence uint64) []Event {
	n.events.mu.Lock()
	defer n.events.mu.Unlock()
	all := n.events.events
	i, _ := slices.BinarySearchFunc(all, sequence+1, func(e Event, s uint64) int { return cmp.Compare(e.Sequence, s) })
	return slices.Clone(all[i:])
}

// EventsAfter returns those of the newest events of this node, up to 1024, that came after the
// first after of them, and how many there were since it started. The events between are lost.
func (n *Node) EventsAfter(after uint64) (events []Event, count uint64) {
	l := &n.events
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := min(l.count-min(after, l.count), uint64(len(l.events)))
	return slices.Clone(l.events[len(l.events)-int(fresh):]), l.count
}

// ActorStatus is an actor of a node as its mailbox knows it.
type ActorStatus = actors.Status

// Actors returns the actors that run on this node, by name.
func (n *Node) Actors() []ActorStatus { return actors.Census(n.system) }

// Subscribe calls f with each further event until cancel is called. f runs on
// the goroutine where it happened and must not block.
func (n *Node) Subscribe(f func(Event)) (cancel func()) {
	l := &n.events
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.subscribers == nil {
		l.subscribers = make(map[int]func(Event))
	}
	id := l.next
	l.next++
	l.subscribers[id] = f
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subscribers, id)
	}
}

// emit logs an event and passes it on.
func (n *Node) emit(e Event) {
	e.Time, e.Node = time.Now(), n.cfg.Name
	var attrs []any
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("group", e.Group)
	add("ballot", e.Ballot)
	if e.Term != 0 && e.Ballot == "" {
		attrs = append(attrs, slog.Uint64("term", e.Term))
	}
	add("leader", e.Leader)
	add("reason", e.Reason)
	for _, key := range slices.Sorted(maps.Keys(e.Attrs)) {
		add(key, e.Attrs[key])
	}
	n.log.Info(e.Kind, attrs...)
	n.events.add(e)
}

// Tell adds an event of the caller's own to those of this node. Time and Node are set.
func (n *Node) Tell(e Event) { n.emit(e) }

// groupChanged runs inside the group's actor.
func (n *Node) groupChanged(g *Group, was, now group.View) {
	for _, m := range now.Configuration.Members {
		if m.Address != "" {
			n.book.Learn(cluster.NodeID(m.ID), m.Address)
		}
		n.link.Connect(cluster.NodeID(m.ID))
	}
	if !slices.Equal(was.Configuration.Members, now.Configuration.Members) {
		n.admission.learn(g.name, now.Configuration)
		n.link.Reconsider()
	}
	n.mu.Lock()
	close(n.changed)
	n.changed = make(chan struct{})
	n.mu.Unlock()
	if keeper := g.keeper.Load(); keeper != nil {
		keeper.LeaderChanged()
	}
	if master := g.master.Load(); master != nil {
		master.LeaderChanged()
	}
	e := Event{Group: g.name, Term: uint64(now.Term), Ballot: g.ballot(now.Term)}
	if now.Leader != raft.None {
		e.Leader = n.memberName(now.Configuration, now.Leader)
	}
	switch {
	case now.Role == raft.Leader && was.Role != raft.Leader:
		e.Kind = "became leader"
	case now.Role != raft.Leader && was.Role == raft.Leader:
		e.Kind, e.Reason = "stepped down", cmp.Or(now.Left, "restarted after a failure") // a new core has left nothing
	case now.Leader != was.Leader && now.Leader != raft.None:
		e.Kind = "new leader"
	case now.Configuration.Version != was.Configuration.Version:
		e.Kind, e.Attrs = "configuration changed", n.configurationAttrs(now.Configuration)
		e.Reason = n.whatChanged(was.Configuration, now.Configuration)
		if g.config.Engine == Paxos {
			e.Attrs["epoch"] = fmt.Sprint(now.Configuration.Epoch)
		}
	default:
		return
	}
	n.emit(e)
}

// memberName is the name by c or, before a newcomer has got a configuration, as
// the node was seen.
func (n *Node) memberName(c raft.Configuration, id raft.ID) string {
	if m, ok := c.Find(id); ok && m.Name != "" {
		return m.Name
	}
	name, _ := n.nameAndAPI(uint64(id))
	return name
}

// configurationAttrs tell who is in c.
func (n *Node) configurationAttrs(c raft.Configuration) map[string]string {
	var voters, others []string
	for _, m := range c.Members {
		if m.Voter {
			voters = append(voters, n.memberName(c, m.ID))
		} else {
			others = append(others, n.memberName(c, m.ID))
		}
	}
	slices.Sort(voters)
	slices.Sort(others)
	attrs := map[string]string{"version": fmt.Sprint(c.Version), "voters": strings.Join(voters, ",")}
	if len(others) > 0 {
		attrs["non_voters"] = strings.Join(others, ",")
	}
	if c.Joint() {
		attrs["joint"] = "true"
	}
	return attrs
}
