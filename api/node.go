package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/sessions"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/coordination"
)

// node is the Backend of a running node.
type node struct {
	node  *synod.Node
	group *synod.Group
	tree  *Tree

	leader signal // raised when the leader changes

	began time.Time

	mu     sync.Mutex
	checks map[string]Check // the last of each name, for Since
}

// NewBackend returns the Backend of a running node whose named group takes its
// state machine from tree.New. It fails when the node has no such group. It lives as long
// as the node.
func NewBackend(n *synod.Node, group string, tree *Tree) (Backend, error) {
	g := n.Group(group)
	if g == nil {
		return nil, fmt.Errorf("api: the node has no group %q", group)
	}
	backend := &node{node: n, group: g, tree: tree, began: time.Now(), checks: map[string]Check{}}
	n.Subscribe(func(e synod.Event) {
		if e.Group == group && (e.Kind == "new leader" || e.Kind == "became leader") {
			backend.leader.raise()
		}
	})
	return backend, nil
}

func (n *node) LeaderChange() <-chan struct{} { return n.leader.wait() }

func (n *node) Changed() <-chan struct{} { return n.tree.changed.wait() }

func (n *node) Propose(ctx context.Context, o coordination.Operation, id RequestID) (coordination.Result, error) {
	var result synod.Result
	var err error
	if command := o.Append(nil); id == (RequestID{}) {
		result, err = n.group.Propose(ctx, command)
	} else {
		result, err = n.group.ProposeOnce(ctx, synod.RequestID(id), command)
	}
	if err != nil {
		return coordination.Result{}, nodeError(err, whatOf(o))
	}
	r, err := coordination.DecodeResult(result.Value)
	if err != nil {
		return r, fmt.Errorf("api: result of %s: %w", whatOf(o), err)
	}
	return r, nil
}

func (n *node) Touch(ctx context.Context, session, connection uint64) (coordination.Sign, error) {
	keeper := n.group.Sessions()
	if keeper == nil {
		return 0, &Error{Code: CodeNoState, Message: "this node keeps no sessions", Do: []string{"ask another node:  node members"}}
	}
	sign, err := keeper.Touch(ctx, session, connection)
	switch {
	case errors.Is(err, sessions.ErrStopped):
		err = synod.ErrStopped
	case errors.Is(err, sessions.ErrOverloaded):
		err = synod.ErrOverloaded
	}
	return sign, nodeError(err, "the sign of life")
}

func (n *node) Gone(session, connection uint64) {
	if keeper := n.group.Sessions(); keeper != nil {
		keeper.Gone(session, connection)
	}
}

// whatOf names an operation in errors.
func whatOf(o coordination.Operation) string {
	switch o.Kind {
	case coordination.Multi:
		return "the transaction"
	case coordination.OpenSession:
		return "the opening of a session"
	case coordination.CloseSession, coordination.ExpireSessions:
		return "the end of the session"
	}
	return fmt.Sprintf("the write of %q", strings.TrimPrefix(o.Path, "/"))
}

func (n *node) View(ctx context.Context, o ReadOptions, f func(tree *coordination.Tree, index uint64)) error {
	read := func(machine synod.StateMachine, index uint64) { f(machine.(*coordination.Tree), index) }
	var err error
	switch {
	case o.Level == Lease:
		err = n.group.Read(ctx, synod.Lease, read)
	case o.Level == Stale:
		err = n.group.Read(ctx, synod.Stale, read)
	case o.Level == Sequential && o.MinIndex > 0:
		err = n.group.ReadAt(ctx, o.MinIndex, read)
		if errors.Is(err, context.DeadlineExceeded) {
			return notApplied(n.applied(), o.MinIndex)
		}
	case o.Level == Sequential:
		err = n.group.Read(ctx, synod.Sequential, read)
	default:
		err = n.group.Read(ctx, synod.Linearizable, read)
	}
	return nodeError(err, "the read")
}

// applied is the log index that this node's tree reflects.
func (n *node) applied() (index uint64) {
	_ = n.group.Read(context.Background(), synod.Stale, func(_ synod.StateMachine, at uint64) { index = at }) // 0 says enough
	return index
}

// notApplied is the error of a read that waited in vain for the log index wanted.
func notApplied(applied, wanted uint64) error {
	return &Error{Code: CodeTimeout, Message: "the read got no answer in time",
		Why: fmt.Sprintf("this node has applied the log up to index %d, %d is waited for", applied, wanted),
		Do:  []string{"give it more time, or ask another node"}}
}

// groupOf is the group of that name, or that of the keys.
func (n *node) groupOf(name string) (*synod.Group, error) {
	if name == "" {
		return n.group, nil
	}
	if group := n.node.Group(name); group != nil {
		return group, nil
	}
	return nil, &Error{Code: CodeNotFound, Message: fmt.Sprintf("the node has no group %.100q", name)}
}

func (n *node) Transfer(ctx context.Context, group, to string) (Done, error) {
	g, err := n.groupOf(group)
	if err != nil {
		return Done{}, err
	}
	if err := g.TransferLeadership(ctx, to); err != nil {
		return Done{}, nodeError(err, "the transfer of the leadership")
	}
	status, err := g.Status(ctx)
	return Done{Leader: status.Leader}, nodeError(err, "the status")
}

func (n *node) Snapshot(ctx context.Context) (Done, error) {
	index, err := n.group.Snapshot(ctx)
	return Done{Index: index}, nodeError(err, "the snapshot")
}

func (n *node) Backup(ctx context.Context) (Backup, error) {
	b, err := n.node.Backup(ctx)
	if err != nil {
		return nil, nodeError(err, "the backup")
	}
	return b, nil
}

func (n *node) ChangeMember(ctx context.Context, c MemberChange) (Done, error) {
	what := c.Action + " " + c.Name
	group, err := n.groupOf(c.Group)
	if err != nil {
		return Done{}, err
	}
	err = group.ChangeMember(ctx, synod.MemberChange{Action: synod.MemberAction(c.Action), Name: c.Name, Version: c.Version})
	status, statusErr := group.Status(ctx)
	if errors.Is(err, synod.ErrConflict) && c.Version != nil && statusErr == nil && status.ConfigVersion != *c.Version {
		return Done{}, &Error{Code: CodeConflict, Message: "the configuration has changed", Version: &status.ConfigVersion,
			Why: fmt.Sprintf("version %d was expected, it has version %d", *c.Version, status.ConfigVersion),
			Do:  []string{"look at it again:  node members"}}
	}
	if err != nil {
		return Done{}, nodeError(err, what)
	}
	return Done{Version: status.ConfigVersion}, nodeError(statusErr, "the status")
}

func (n *node) Events(ctx context.Context, o EventOptions, f func(Event) bool) {
	more := make(chan struct{}, 1)
	cancel := n.node.Subscribe(func(synod.Event) {
		select {
		case more <- struct{}{}:
		default: // it is told already
		}
	})
	defer cancel()
	after := uint64(0)
	if o.After != nil {
		after = *o.After
	} else if past := n.node.Events(); len(past) > 0 {
		after = past[len(past)-1].Sequence
	}
	for {
		for _, e := range n.node.EventsSince(after) {
			if !f(eventOf(e)) {
				return
			}
			after = e.Sequence
		}
		if o.Past {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

func eventOf(e synod.Event) Event {
	return Event{Sequence: e.Sequence, Time: e.Time, Node: e.Node, Kind: e.Kind, Group: e.Group, Term: e.Term, Ballot: e.Ballot, Leader: e.Leader, Reason: e.Reason, Attrs: e.Attrs}
}

func (n *node) Status(ctx context.Context) (Status, error) {
	g, err := n.group.Status(ctx)
	if err != nil {
		return Status{}, nodeError(err, "the status")
	}
	s := Status{
		Cluster: n.node.Cluster(), Node: n.node.Name(), Group: g.Name, Role: g.Role, Engine: string(g.Engine), Term: g.Term, Ballot: g.Ballot, Epoch: g.Epoch, Leader: g.Leader,
		ConfigVersion: g.ConfigVersion, Commit: g.Commit, Applied: g.Applied, FirstIndex: g.First, LastIndex: g.Last,
		SnapshotIndex: g.Snapshot, LogBytes: int64(g.LogBytes), Lease: g.Lease, Witness: g.Witness,
		Digest:  Digest{Index: g.DigestIndex, Sum: fmt.Sprintf("%016x", g.Digest)},
		Members: n.memberStatuses(g),
	}
	judge(&s, g, cluster.NodeID(n.node.ID()).String(), diskFull(n.node.Storage()))
	for _, other := range n.node.Groups() {
		if other != n.group {
			s.Reasons = append(s.Reasons, n.wrongWith(ctx, other, g.Members)...)
		}
	}
	s.Healthy = len(s.Reasons) == 0
	return s, nil
}

// wrongWith is what this node knows to be wrong with a group beside that of the keys, whose members are given: who votes
// there and runs the group must vote here too, else fewer could be lost than is said. Nodes of versions before the registry do
// not run it; one without members was not founded yet, as where the founder was not started again since it was upgraded.
func (n *node) wrongWith(ctx context.Context, group *synod.Group, members []synod.GroupMember) (reasons []string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	g, err := group.Status(ctx)
	switch {
	case g.Quarantined != "":
		return []string{n.node.Name() + " is quarantined in " + group.Name() + ": " + g.Quarantined}
	case err != nil:
		return []string{n.node.Name() + "'s group " + group.Name() + " does not answer: " + nodeReason(err)}
	case len(g.Members) == 0:
		return nil
	case g.Leader == "":
		return []string{"no leader of " + group.Name()}
	}
	for _, m := range members {
		at := slices.IndexFunc(g.Members, func(here synod.GroupMember) bool { return here.ID == m.ID })
		if m.Voter && (at >= 0 && !g.Members[at].Voter || at < 0 && slices.Contains(g.Asking, m.ID)) {
			reasons = append(reasons, m.Name+" has no vote in "+group.Name()+" yet")
		}
	}
	return reasons
}

// judge counts the voters that are up and says what is not well. self is the id of the
// node, full why its log takes nothing more, or "".
func judge(s *Status, g synod.GroupStatus, self string, full string) {
	for _, m := range s.Members {
		if m.ID == self {
			s.Version = m.Version
		}
		if !m.Voter {
			continue
		}
		s.Voters++
		switch {
		case m.State == "up", m.State == "?" && s.Role != "leader" && m.Gossip == "alive":
			s.Up++
		case m.State == "?" && s.Role == "leader":
			s.Reasons = append(s.Reasons, m.Name+" has not answered the new leader yet")
		default:
			s.Reasons = append(s.Reasons, m.Name+" is down")
		}
	}
	s.Quorum = s.Voters/2 + 1
	s.Tolerates = max(s.Up-s.Quorum, 0)
	if s.Leader == "" {
		s.Tolerates = 0
		s.Reasons = append(s.Reasons, "no leader")
	}
	if g.Joint || g.ConfigVersion > g.Commit {
		s.Reasons = append(s.Reasons, "the members are changing")
	}
	if g.Stalled {
		s.Reasons = append(s.Reasons, s.Node+"'s disk does not answer")
	}
	if full != "" {
		s.Reasons = append(s.Reasons, s.Node+"'s "+full)
	}
	if g.Quarantined != "" {
		s.Reasons = append(s.Reasons, s.Node+" is quarantined: "+g.Quarantined)
	}
}

func (n *node) Members(ctx context.Context) (MemberList, error) {
	g, err := n.group.Status(ctx)
	if err != nil {
		return MemberList{}, nodeError(err, "the members")
	}
	return MemberList{ConfigVersion: g.ConfigVersion, Members: n.memberStatuses(g)}, nil
}

// memberStatuses joins the group's configuration with what gossip knows.
func (n *node) memberStatuses(g synod.GroupStatus) []MemberStatus {
	known := n.node.Members()
	var list []MemberStatus
	for _, m := range g.Members {
		status := memberStatus(m, g)
		for _, k := range known {
			if k.ID == m.ID {
				describe(&status, k)
			}
		}
		list = append(list, status)
	}
	for _, k := range known { // nodes without a place in the group
		if !slices.ContainsFunc(g.Members, func(m synod.GroupMember) bool { return m.ID == k.ID }) {
			status := MemberStatus{Name: k.Name, ID: cluster.NodeID(k.ID).String(), Role: "-", State: "?"}
			describe(&status, k)
			list = append(list, status)
		}
	}
	slices.SortFunc(list, func(a, b MemberStatus) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list
}

func memberStatus(m synod.GroupMember, g synod.GroupStatus) MemberStatus {
	s := MemberStatus{Name: m.Name, ID: cluster.NodeID(m.ID).String(), Voter: m.Voter, Role: "follower", State: "?", Gossip: "-",
		PaxosRoles: m.Roles.Names()}
	switch {
	case m.Name == g.Leader:
		s.Role = "leader"
	case !m.Voter:
		s.Role = "non-voter"
	case m.Self:
		s.Role = g.Role
	}
	if m.Self {
		s.State = "up"
	}
	if g.Role == "leader" {
		s.Match = m.Match
		switch {
		case !m.Active:
			s.State = "down"
		case m.Match > 0: // a new leader counts everyone as active until the first timeout
			s.State = "up"
		}
		if behind := int64(g.Last) - int64(m.Match); m.Match > 0 {
			s.Behind = &behind
		}
	}
	return s
}

func describe(s *MemberStatus, k synod.Member) {
	s.Gossip, s.API, s.Link, s.Version, s.LastSeen = cmp.Or(k.State, "-"), k.API, k.Link, k.Version, k.LastSeen
	s.Roles = k.Roles
}

// diskFull is what is wrong with a disk below its reserve, or a log that cannot grow; "" if nothing is.
func diskFull(s synod.StorageStats) string {
	if !s.Full {
		return ""
	}
	return fmt.Sprintf("disk is nearly full, or holds too much log: it takes no writes (%d MiB are free, log files: %d)", s.FreeBytes>>20, s.Segments)
}

// nodeError says for people and programs what a node's error means.
func nodeError(err error, what string) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*synod.NotLeaderError](err); ok {
		return &Error{Code: CodeNoLeader, Message: "this node does not lead", Why: e.Leader + " does", Leader: &Leader{Name: e.Leader, API: e.API}}
	}
	for _, known := range nodeErrors {
		if errors.Is(err, known.err) {
			return &Error{Code: known.code, Message: fmt.Sprintf(known.message, what), Why: nodeReason(err), Do: known.do}
		}
	}
	return fmt.Errorf("api: %s: %w", what, err)
}

// nodeErrors are tried in this order: an unknown outcome wraps its reason.
var nodeErrors = []struct {
	err     error
	code    Code
	message string // %s is what was asked for
	do      []string
}{
	{synod.ErrUnknownOutcome, CodeUnknown, "%s may or may not have happened", []string{"read it back, or repeat it with the same Synod-Request-Id"}},
	{synod.ErrNoLeader, CodeNoLeader, "%s was not done: there is no leader", []string{"try again in a second; if that does not help, look which nodes are down:  node status"}},
	{synod.ErrNotCommitted, CodeNoLeader, "%s was not done: the leader changed meanwhile", []string{"try again"}},
	{synod.ErrOverloaded, CodeOverloaded, "%s was not done: the node is overloaded", []string{"try again a little later, and slower"}},
	{synod.ErrDiskFull, CodeDiskFull, "%s was not done: the leader's disk is nearly full", []string{"free space on it, nothing acknowledged is lost. How much is left:  node status"}},
	{synod.ErrTooLarge, CodeTooLarge, "%s was not done: it is too large", nil},
	{synod.ErrRequestExpired, CodeExpired, "%s may or may not have happened: its request id is too old", []string{"read it back"}},
	{synod.ErrRequestFuture, CodeRequest, "%s was not done: its request id lies in the future", []string{"set the clock of the machine that made the id, and use a new one"}},
	{synod.ErrQuarantined, CodeQuarantined, "%s was not done: this node's state differs from its peers'", []string{"ask another node; move this one's data directory away and let it join again"}},
	{synod.ErrLost, CodeLost, "%s was not done: this node has ended, its data directory must not be used any more", []string{"ask another node"}},
	{synod.ErrNoStateMachine, CodeNoState, "%s was not done: this node is an acceptor alone and has no state", []string{"ask a learner or a proposer:  node members"}},
	{synod.ErrStopped, CodeStopped, "%s was not done: this node is stopping", []string{"ask another node"}},
	{synod.ErrConflict, CodeConflict, "%s was not done: the members are changing", []string{"look at them again:  node members"}},
	{synod.ErrUnavailable, CodeUnhealthy, "%s was not done: no node that answers can take it", []string{"look who is up:  node status"}},
	{synod.ErrInvalidMembership, CodeRequest, "%s was not done: the group cannot have these members", []string{"keep a majority of voters that answer, and in a Paxos group a proposer; only acceptors can vote:  node members"}},
	{synod.ErrAmbiguous, CodeRequest, "%s was not done: several members have that name", []string{"give the id of the one that is meant:  node members"}},
	{synod.ErrNotFound, CodeNotFound, "%s was not done: no member has that name", []string{"look who is there:  node members"}},
	{context.DeadlineExceeded, CodeTimeout, "%s got no answer in time", []string{"give it more time, or look at the cluster:  node status"}},
	{context.Canceled, CodeTimeout, "%s was given up by the client", nil},
}

// nodeReason is why, without the names of Go.
func nodeReason(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no majority has confirmed it in time"
	case errors.Is(err, context.Canceled):
		return "the client has gone"
	case errors.Is(err, synod.ErrAmbiguous):
		_, which, _ := strings.Cut(err.Error(), synod.ErrAmbiguous.Error()+": ")
		return which
	case errors.Is(err, synod.ErrInvalidMembership):
		_, which, _ := strings.Cut(err.Error(), synod.ErrInvalidMembership.Error()+": ")
		return strings.TrimPrefix(which, "consensus: invalid membership: ")
	}
	return ""
}
