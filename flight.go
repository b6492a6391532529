package synod

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/paxosnode"
	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/raft"
)

// FlightEvent is what the flight recorder of a group keeps of one message of this
// node's replica, or of one change of its role, leader, term or ballot, and in a Raft
// group of its log.
type FlightEvent struct {
	// Time is the moment on the replica's clock, told by the wall clock as it
	// shows now: times of different nodes are no order.
	Time      time.Time
	Direction string // "in", "out", or "self" for a change
	// Kind is the message, "Prepare" or "RequestVote" for example; or the role that
	// the replica has now; or what has become of entries of its Raft log: "appended",
	// "truncated" (replaced by those of a newer leader), "committed".
	Kind string
	// Refused tells of a reply in a Raft group that it grants no vote or accepts no
	// entries.
	Refused bool
	// Peer sent the message or gets it; with "self" it is the leader. 0 and "" if
	// there is none.
	Peer     uint64
	PeerName string
	Term     uint64 // Raft's, of the message or the replica; 0 in a Paxos group
	Ballot   string // of Paxos, epoch.round.proposer; "" if the message has none
	// First and Last are the slots or indexes that it is about: the entries of an
	// Accept or AppendEntries, the votes that a Promise reports, the entries that were
	// appended. First is 0 if there are none; Last alone is a chosen prefix or a commit
	// index, a candidate's last entry, or up to where logs are equal.
	First, Last uint64
	// EntryTerm is the term of entry Last in a Raft group, 0 if it is not told.
	EntryTerm uint64
}

// Flight returns the newest events of this node's replica, oldest first: up to
// 4096. Errors: ErrOverloaded, ErrStopped, and ctx's.
func (g *Group) Flight(ctx context.Context) ([]FlightEvent, error) {
	if g.config.Engine == Paxos {
		events, err := paxosnode.Flight(ctx, g.handle)
		return flightEvents(events, g.paxosEvent), g.readError(err)
	}
	events, err := raftnode.Flight(ctx, g.handle)
	return flightEvents(events, g.raftEvent), g.readError(err)
}

// flightEvents are events as callers are told them.
func flightEvents[E any](events []E, event func(e E, wall time.Time, now consensus.Time) FlightEvent) []FlightEvent {
	wall, now := time.Now(), clock()
	list := make([]FlightEvent, len(events))
	for i, e := range events {
		list[i] = event(e, wall, now)
	}
	return list
}

// tellFlight is what an engine's recorder calls, nil if nobody wants to be told.
func tellFlight[E any](g *Group, event func(e E, wall time.Time, now consensus.Time) FlightEvent) func(E) {
	if g.config.Event == nil {
		return nil
	}
	wall, now := time.Now(), clock() // once, so that events of one turn have one time
	return func(e E) { g.config.Event(event(e, wall, now)) }
}

// intercept leaves a message to the group's Intercept, if there is one.
func (g *Group) intercept() func(to consensus.ID, m proto.Message, send func()) {
	if g.config.Intercept == nil {
		return nil
	}
	return func(to consensus.ID, m proto.Message, send func()) {
		event, err := g.describe(to, m)
		if err != nil {
			panic("synod: " + err.Error()) // a message of our own
		}
		g.config.Intercept(event, send)
	}
}

// describe is a message that may leave now.
func (g *Group) describe(to consensus.ID, m proto.Message) (FlightEvent, error) {
	wall, now := time.Now(), clock()
	if g.config.Engine == Paxos {
		e, err := paxosnode.Describe(to, m)
		e.Time = now
		return g.paxosEvent(e, wall, now), err
	}
	e, err := raftnode.Describe(to, m)
	e.Time = now
	return g.raftEvent(e, wall, now), err
}

func (g *Group) paxosEvent(e paxosnode.Event, wall time.Time, now consensus.Time) FlightEvent {
	return FlightEvent{Time: wall.Add(time.Duration(e.Time - now)), Direction: e.Direction.String(), Kind: e.Kind.String(),
		Peer: uint64(e.Peer), PeerName: g.peerName(e.Peer), Ballot: g.ballot(e.Ballot), First: uint64(e.First), Last: uint64(e.Last)}
}

func (g *Group) raftEvent(e raftnode.Event, wall time.Time, now consensus.Time) FlightEvent {
	return FlightEvent{Time: wall.Add(time.Duration(e.Time - now)), Direction: e.Direction.String(), Kind: e.Kind.String(),
		Refused: e.Refused, Peer: uint64(e.Peer), PeerName: g.peerName(e.Peer), Term: uint64(e.Term),
		First: uint64(e.First), Last: uint64(e.Last), EntryTerm: uint64(e.EntryTerm)}
}

// peerName is what a replica of the group is called, "" if that is not known.
func (g *Group) peerName(id consensus.ID) string {
	if id == consensus.None {
		return ""
	}
	c := g.members.Load()
	if c == nil {
		c = new(raft.Configuration)
	}
	return g.node.memberName(*c, id)
}
