package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/cluster"
)

// Flight is what the flight recorder of a Paxos group on one node holds: its newest
// messages and changes.
type Flight struct {
	Node   string        `json:"node"` // whose recorder it is
	Group  string        `json:"group"`
	Events []FlightEvent `json:"events"` // oldest first
}

// FlightEvent is one message of the node's replica, or one change of its role,
// leader, term or ballot, and in a Raft group of its log.
type FlightEvent struct {
	Time      time.Time `json:"time"`
	Direction string    `json:"direction"` // "in", "out", or "self" for a change
	// Kind is the message, "Prepare" or "RequestVote" for example, or the role that the
	// replica has now, or what has become of entries of its Raft log: "appended",
	// "truncated", "committed".
	Kind string `json:"kind"`
	// Refused: a reply of Raft grants no vote or accepts no entries.
	Refused bool `json:"refused,omitempty"`
	// Peer is the id of who sent the message or gets it, with "self" of the leader.
	Peer     string `json:"peer,omitempty"`
	PeerName string `json:"peer_name,omitempty"`
	Term     uint64 `json:"term,omitempty"`   // in a Raft group
	Ballot   string `json:"ballot,omitempty"` // in a Paxos group
	// First and Last are the slots or indexes that it is about; Last alone is a chosen
	// prefix or a commit index, a candidate's last entry, or up to where logs are equal.
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	// EntryTerm is the term of entry Last in a Raft group, where it is told.
	EntryTerm uint64 `json:"entry_term,omitempty"`
}

// getFlight answers with one event a line, the newest last, or with a Flight if
// the client wants application/json. It is about this node: nobody else is asked.
func (s *Server) getFlight(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "limit")
	limit := q.events()
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	flight, err := s.backend().Flight(ctx, r.PathValue("name"), limit)
	switch {
	case err != nil:
		writeError(w, err)
	case strings.Contains(r.Header.Get("Accept"), "application/json"):
		s.writeAnswer(w, flight)
	default:
		s.writeLines(w, flight.Events)
	}
}

func (s *Server) writeLines(w http.ResponseWriter, events []FlightEvent) {
	var lines bytes.Buffer
	for encoder := json.NewEncoder(&lines); len(events) > 0; events = events[1:] {
		_ = encoder.Encode(events[0]) // our own types always encode
	}
	free, err := s.hold(lines.Len())
	if err != nil {
		writeError(w, err)
		return
	}
	defer free()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Content-Length", strconv.Itoa(lines.Len()))
	w.Write(lines.Bytes()) // a client that has gone is found by net/http
}

// events is how many of the newest events are wanted, 0 for all.
func (q *query) events() int {
	n := q.number("limit")
	if q.values.Has("limit") && (n < 1 || n > 1<<20) {
		q.fail("limit", q.values.Get("limit"), "it is a number of events, 1 or more")
	}
	return int(n)
}

func (n *node) Flight(ctx context.Context, group string, limit int) (Flight, error) {
	g := n.node.Group(group)
	if g == nil {
		return Flight{}, &Error{Code: CodeNotFound, Message: fmt.Sprintf("this node has no group %q", group),
			Do: []string{"the group of the keys is called " + n.group.Name()}}
	}
	events, err := g.Flight(ctx)
	if err != nil {
		return Flight{}, nodeError(err, "the look at the flight recorder")
	}
	if limit > 0 && limit < len(events) {
		events = events[len(events)-limit:]
	}
	flight := Flight{Node: n.node.Name(), Group: group, Events: make([]FlightEvent, len(events))}
	for i, e := range events {
		flight.Events[i] = NewFlightEvent(e)
	}
	return flight, nil
}

// NewFlightEvent is an event of a group in the form of the interface.
func NewFlightEvent(e synod.FlightEvent) FlightEvent {
	out := FlightEvent{Time: e.Time, Direction: e.Direction, Kind: e.Kind, Refused: e.Refused, PeerName: e.PeerName, Term: e.Term, Ballot: e.Ballot,
		First: e.First, Last: e.Last, EntryTerm: e.EntryTerm}
	if e.Peer != 0 {
		out.Peer = cluster.NodeID(e.Peer).String()
	}
	return out
}

// Flight reads the flight recorder of a group on the node that answers: its newest
// events, at most limit, or all if that is 0.
func (c *Client) Flight(ctx context.Context, group string, limit int) (Flight, error) {
	values := url.Values{}
	if limit > 0 {
		values.Set("limit", strconv.Itoa(limit))
	}
	var flight Flight
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/groups/" + url.PathEscape(group) + "/flight", query: values,
		what: "the flight recorder"}, &flight)
	return flight, err
}
