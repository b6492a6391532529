package synod

import (
	"context"
	"errors"
	"time"

	"github.com/synod-go/synod/actors/paxosnode"
	"github.com/synod-go/synod/consensus"
)

// ErrNoFlight: the group is a Raft group, which has no flight recorder.
var ErrNoFlight = errors.New("synod: only a Paxos group has a flight recorder")

// FlightEvent is what the flight recorder of a Paxos group keeps of one message
// of this node's replica, or of one change of its role, leader or ballot.
type FlightEvent struct {
	// Time is the moment on the replica's clock, told by the wall clock as it
	// shows now: times of different nodes are no order.
	Time      time.Time
	Direction string // "in", "out", or "self" for a change
	Kind      string // the message, "Prepare" for example, or the role that it has now
	// Peer sent the message or gets it; with "self" it is the leader. 0 and "" if
	// there is none.
	Peer     uint64
	PeerName string
	Ballot   string // epoch.round.proposer; "" if the message has none
	// First and Last are the slots that it is about: the entries of an Accept, the
	// votes that a Promise reports. First is 0 if there are none; Last alone is a
	// chosen prefix.
	First, Last uint64
}

// Flight returns the newest events of this node's replica, oldest first: up to
// 4096. Errors: ErrNoFlight, ErrOverloaded, ErrStopped, and ctx's.
func (g *Group) Flight(ctx context.Context) ([]FlightEvent, error) {
	if g.config.Engine != Paxos {
		return nil, ErrNoFlight
	}
	events, err := paxosnode.Flight(ctx, g.handle)
	if err != nil {
		return nil, g.readError(err)
	}
	wall, now, c := time.Now(), clock(), g.handle.View().Configuration
	list := make([]FlightEvent, len(events))
	for i, e := range events {
		list[i] = FlightEvent{Time: wall.Add(time.Duration(e.Time - now)), Direction: e.Direction.String(), Kind: e.Kind.String(),
			Peer: uint64(e.Peer), Ballot: g.ballot(e.Ballot), First: uint64(e.First), Last: uint64(e.Last)}
		if e.Peer != consensus.None {
			list[i].PeerName = g.node.memberName(c, e.Peer)
		}
	}
	return list, nil
}
