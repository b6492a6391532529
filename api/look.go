package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/mesos"
)

// Bounds of a Look.
const (
	lookEntries    = 64
	lookSessions   = 50
	lookTasks      = 300
	lookHappenings = 500
)

// thisProcess tells this process from others of the same node.
var thisProcess = time.Now().UnixNano() ^ int64(os.Getpid())

// LookAt looks at a node of this process. It asks no other node and waits for no majority; a
// group that does not answer before ctx ends says so in its Error.
func LookAt(ctx context.Context, n *synod.Node, o LookOptions) Look {
	l := Look{Node: n.Name(), ID: cluster.NodeID(n.ID()).String(), Cluster: n.Cluster(), Process: thisProcess, Time: time.Now()}
	for _, m := range n.Members() {
		l.Members = append(l.Members, Sighting{Name: m.Name, ID: cluster.NodeID(m.ID).String(), API: m.API, State: m.State, LastSeen: m.LastSeen,
			Voter: m.Voter, Roles: m.Roles})
		if m.Self {
			l.Version = m.Version
		}
	}
	for _, g := range n.Groups() {
		l.Groups = append(l.Groups, lookAtGroup(ctx, g, min(o.Entries, lookEntries)))
		if s := lookAtSessions(ctx, g); s != nil {
			l.Sessions = s
		}
		if m := lookAtMaster(ctx, g, o); m != nil {
			l.Master = m
		}
	}
	for _, a := range n.Actors() {
		l.Actors = append(l.Actors, ActorLook{Name: a.Name, Parent: a.Parent, Waiting: a.Waiting, Handled: a.Handled, Refused: a.Refused,
			Restarts: a.Restarts, Panic: a.Panic, PanicAt: a.PanicAt})
	}
	if o.Process != thisProcess {
		o.Event = 0
	}
	events, count := n.EventsAfter(o.Event)
	for _, e := range events {
		l.Events = append(l.Events, eventOf(e))
	}
	l.EventCount = count
	return l
}

func lookAtGroup(ctx context.Context, g *synod.Group, entries int) GroupLook {
	s, err := g.Status(ctx)
	tail, tailErr := g.Log(ctx, entries)
	if err = cmp.Or(err, tailErr); err != nil {
		return GroupLook{Name: g.Name(), Engine: string(g.Engine()), Error: Reason(err), Quarantined: s.Quarantined}
	}
	l := GroupLook{Name: s.Name, Engine: string(s.Engine), Role: s.Role, Term: s.Term, Ballot: s.Ballot, Leader: s.Leader, Commit: s.Commit, Applied: s.Applied,
		First: s.First, Last: s.Last, Snapshot: s.Snapshot, Witness: s.Witness, Stalled: s.Stalled, Quarantined: s.Quarantined, Promised: tail.Promised,
		Digest: Digest{Index: s.DigestIndex, Sum: fmt.Sprintf("%016x", s.Digest)}}
	for _, m := range s.Members {
		if m.Voter {
			l.Voters = append(l.Voters, m.Name)
		}
		if m.Voter && s.Role == "leader" && m.Active {
			l.Up = append(l.Up, m.Name)
		}
	}
	for _, e := range tail.Entries {
		kind := e.Kind
		if kind == "command" {
			kind = ""
		}
		l.Entries = append(l.Entries, LogEntryLook{Index: e.Index, Term: e.Term, Ballot: e.Ballot, Vote: e.Vote, Kind: kind, Chosen: e.Chosen, Sum: e.Sum})
	}
	return l
}

// lookAtSessions is nil unless the group's state machine is a tree.
func lookAtSessions(ctx context.Context, g *synod.Group) (l *SessionsLook) {
	_ = g.Read(ctx, synod.Stale, func(machine synod.StateMachine, _ uint64) { // without an answer there is nothing to show
		tree, is := machine.(*coordination.Tree)
		if !is {
			return
		}
		l = &SessionsLook{Open: tree.Status().Sessions}
		for _, info := range tree.SessionsAfter(0, lookSessions) {
			l.List = append(l.List, sessionStatusOf(info))
		}
	})
	return l
}

// lookAtMaster is nil unless the group's master leads on this node.
func lookAtMaster(ctx context.Context, g *synod.Group, o LookOptions) *MasterLook {
	h := g.Master()
	if h == nil {
		return nil
	}
	v, err := h.Recent()
	if err != nil {
		return nil
	}
	l := &MasterLook{Term: uint64(v.Term), Agents: []Agent{}, Frameworks: []Framework{}, Tasks: []Task{}}
	for i := range v.Agents {
		l.Agents, l.Offered = append(l.Agents, agentOf(&v.Agents[i])), append(l.Offered, v.Agents[i].Offered.String())
	}
	for i := range v.Frameworks {
		l.Frameworks, l.Offers = append(l.Frameworks, frameworkOf(&v.Frameworks[i])), append(l.Offers, v.Frameworks[i].Offers)
	}
	l.addTasks(v)
	after := o.Happening
	if o.Term != l.Term {
		after = 0
	}
	if leading, err := h.Leading(); err == nil {
		for _, h := range leading.HappenedAfter(after, lookHappenings) {
			l.Happenings = append(l.Happenings, happeningOf(h))
		}
	}
	return l
}

// addTasks shows the tasks that run, and then the newest of those that have ended.
func (l *MasterLook) addTasks(v *mesos.MasterView) {
	var ended []Task
	for i := range v.Tasks {
		t := taskOf(&v.Tasks[i], agentName(v, v.Tasks[i].Task.Agent))
		if v.Tasks[i].Task.State.Terminal() {
			ended = append(ended, t)
			continue
		}
		if l.Running++; len(l.Tasks) < lookTasks {
			l.Tasks = append(l.Tasks, t)
		}
	}
	l.Ended = len(ended)
	slices.SortStableFunc(ended, func(a, b Task) int { return cmp.Compare(b.Since, a.Since) })
	l.Tasks = append(l.Tasks, ended[:min(len(ended), lookTasks-len(l.Tasks), 20)]...)
}

// getLook answers with what a live page shows of this node.
func (s *Server) getLook(w http.ResponseWriter, r *http.Request) {
	o, err := ReadLookOptions(r)
	ctx, cancel, timeErr := s.requestContext(r)
	if err = errors.Join(err, timeErr); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	l, err := s.Look(ctx, o)
	if err != nil {
		writeError(w, err)
		return
	}
	s.writeAnswer(w, l)
}

// Look looks at the server's node, and at what hangs on its connections.
func (s *Server) Look(ctx context.Context, o LookOptions) (Look, error) {
	if s.node.Load() == nil {
		return Look{}, s.starting()
	}
	l, err := s.backend().Look(ctx, o)
	if err == nil && l.Sessions != nil {
		s.sessions.mu.Lock()
		l.Sessions.Connections = s.sessions.count
		s.sessions.mu.Unlock()
		l.Sessions.Watches = len(s.watches)
	}
	return l, err
}

func (n *node) Look(ctx context.Context, o LookOptions) (Look, error) {
	return LookAt(ctx, n.node, o), nil
}

// ReadLookOptions reads the parameters of a request for a Look.
func ReadLookOptions(r *http.Request) (LookOptions, error) {
	q := newQuery(r, "event", "process", "happening", "term", "entries")
	o := LookOptions{Event: q.number("event"), Happening: q.number("happening"), Term: q.number("term"), Entries: int(min(q.number("entries"), lookEntries))}
	if q.values.Has("process") {
		p, err := strconv.ParseInt(q.values.Get("process"), 10, 64)
		if err != nil {
			q.fail("process", q.values.Get("process"), "it is the process of an earlier look")
		}
		o.Process = p
	}
	return o, q.err
}

// Look looks at the node that answers.
func (c *Client) Look(ctx context.Context, o LookOptions) (Look, error) {
	values := url.Values{}
	for name, n := range map[string]uint64{"event": o.Event, "happening": o.Happening, "term": o.Term, "entries": uint64(max(o.Entries, 0))} {
		if n > 0 {
			values.Set(name, strconv.FormatUint(n, 10))
		}
	}
	if o.Process != 0 {
		values.Set("process", strconv.FormatInt(o.Process, 10))
	}
	var l Look
	err := c.do(ctx, call{method: http.MethodGet, path: LookPath, query: values, what: "the look at a node"}, &l)
	return l, err
}

// LookPath is where a node shows itself to the pages of others.
const LookPath = "/v1/look"
