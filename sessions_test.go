package synod

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// keepers is a cluster of three nodes that keep sessions.
type keepers struct {
	*LocalCluster
	t *testing.T
}

func newKeepers(t *testing.T, engine Engine) *keepers {
	t.Helper()
	return &keepers{Local(t, 3, GroupConfig{Name: "g", Engine: engine, Sessions: true, New: func() StateMachine {
		tree, err := coordination.New(coordination.Config{})
		if err != nil {
			panic(err)
		}
		return tree
	}}), t}
}

// open opens a session with an ephemeral node, by way of the leader.
func (c *keepers) open(ctx context.Context, timeout time.Duration) uint64 {
	c.t.Helper()
	node, _, err := c.Leader(ctx, "g")
	if err != nil {
		c.t.Fatal(err)
	}
	propose := func(o coordination.Operation) coordination.Result {
		value, err := node.Group("g").Propose(ctx, o.Append(nil))
		if err != nil {
			c.t.Fatal(err)
		}
		r, err := coordination.DecodeResult(value.Value)
		if err != nil || r.Err() != nil {
			c.t.Fatal(err, r.Err())
		}
		return r
	}
	caller := coordination.Caller{Key: coordination.SessionKey{1}}
	r := propose(coordination.Operation{Kind: coordination.OpenSession, Timeout: timeout.Milliseconds(),
		Linger: timeout.Milliseconds(), Caller: caller})
	caller.Session = r.Session.ID
	propose(coordination.Operation{Kind: coordination.Create, Path: fmt.Sprintf("/s/%d", caller.Session), MakeParents: true,
		Mode: coordination.Ephemeral, Caller: caller})
	for i := range 3 { // a follower may have applied the first of the two only
		if err := c.Node(i).await(ctx, func() bool { return c.exists(i, caller.Session) }); err != nil {
			c.t.Fatal(err)
		}
	}
	return caller.Session
}

// exists reports whether a node's tree has the session's ephemeral node.
func (c *keepers) exists(i int, id uint64) (yes bool) {
	err := c.Node(i).Group("g").Read(c.t.Context(), Stale, func(machine StateMachine, _ uint64) {
		_, err := machine.(*coordination.Tree).Exists(fmt.Sprintf("/s/%d", id))
		yes = err == nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return yes
}

// has reports whether a node's tree has the session, and its ephemeral node.
func (c *keepers) has(i int, id uint64) (open bool) {
	err := c.Node(i).Group("g").Read(c.t.Context(), Stale, func(machine StateMachine, _ uint64) {
		tree := machine.(*coordination.Tree)
		_, open = tree.Session(id)
		if _, err := tree.Exists(fmt.Sprintf("/s/%d", id)); (err == nil) != open {
			c.t.Errorf("session %d is open: %v, its node: %v", id, open, err)
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return open
}

// client shows itself at node i until ctx ends. It holds the cluster to its promise: a client
// whose signs are confirmed in time is never told that its session is over.
func (c *keepers) client(ctx context.Context, i int, id uint64, timeout time.Duration) {
	for confirmed := time.Now(); ctx.Err() == nil; {
		sent := time.Now()
		try, cancel := context.WithTimeout(ctx, timeout)
		sign, err := c.Node(i).Group("g").Sessions().Touch(try, id, 1)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && sign == coordination.Alive:
			confirmed = sent
		case err == nil || !errors.Is(err, context.DeadlineExceeded):
			c.t.Errorf("session %d at node %d, %v after the last sign that was confirmed: %v, %v", id, i, time.Since(confirmed), sign, err)
			return
		}
		select {
		case <-time.After(timeout / 10):
		case <-ctx.Done():
		}
	}
}

// awaitEnd returns when node i has seen the session end.
func (c *keepers) awaitEnd(i int, id uint64) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Node(i).await(ctx, func() bool { return !c.has(i, id) }); err != nil {
		c.t.Fatalf("session %d does not end: %v", id, err)
	}
}

func testSessions(t *testing.T, engine Engine, change func(c *keepers, leader int)) {
	t.Parallel() // it waits most of the time
	const timeout = 2 * time.Second
	c := newKeepers(t, engine)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, leader, err := c.Leader(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	other := (leader + 1) % 3
	silent := c.open(ctx, timeout)
	alive := []uint64{c.open(ctx, timeout), c.open(ctx, timeout)}
	stopped := make(chan struct{}, len(alive))
	showing, stop := context.WithCancel(ctx)
	for n, id := range alive {
		go func() { c.client(showing, (leader+1+n)%3, id, timeout); stopped <- struct{}{} }()
	}
	change(c, leader)
	changed := time.Now()
	if !c.has(other, silent) {
		t.Log("the silent session ended before the change: the machine is slow")
	}
	c.awaitEnd(other, silent)
	// Election, claim, the timeout, and what a loaded machine needs.
	if took := time.Since(changed); took > timeout+5*time.Second {
		t.Errorf("the silent session ended %v after the change", took)
	}
	for _, id := range alive {
		if !c.has(other, id) {
			t.Errorf("session %d has shown itself and is over", id)
		}
	}
	stop()
	for range alive {
		<-stopped
	}
	for _, id := range alive {
		c.awaitEnd(other, id)
	}
}

func TestSessionsThatShowThemselvesOutliveTheLeader(t *testing.T) {
	for _, engine := range []Engine{Raft, Paxos} {
		t.Run(string(engine), func(t *testing.T) {
			testSessions(t, engine, func(c *keepers, leader int) { c.Kill(leader) })
		})
	}
}

func TestSessionsThatShowThemselvesOutliveATransferOfLeadership(t *testing.T) {
	testSessions(t, Raft, func(c *keepers, leader int) {
		if err := c.Node(leader).Group("g").TransferLeadership(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSessionsThatShowThemselvesOutliveALeaderThatIsCutOff(t *testing.T) {
	testSessions(t, Raft, func(c *keepers, leader int) { c.Isolate(leader) })
}

func TestOnlyTheLastClaimEndsSessions(t *testing.T) {
	c := newKeepers(t, Raft)
	ctx := t.Context()
	id := c.open(ctx, time.Minute)
	node, _, err := c.Leader(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	keeper := node.Group("g").Sessions()
	if sign, err := keeper.Touch(ctx, id, 1); err != nil || sign != coordination.Alive { // it has claimed by then
		t.Fatal(sign, err)
	}
	for epoch, want := range map[uint64]coordination.Code{
		0: coordination.CodeEpoch, keeper.Metrics().Epoch - 1: coordination.CodeEpoch, keeper.Metrics().Epoch: coordination.CodeOK,
	} {
		o := coordination.Operation{Kind: coordination.ExpireSessions, Sessions: []uint64{id}, Epoch: epoch}
		value, err := node.Group("g").Propose(ctx, o.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := coordination.DecodeResult(value.Value); err != nil || r.Code != want {
			t.Fatalf("epoch %d: %v, %v", epoch, r.Code, err)
		}
	}
}

func TestAGroupWithoutSessionsHasNoKeeper(t *testing.T) {
	c := Local(t, 1, GroupConfig{Name: "g", New: func() StateMachine {
		tree, err := coordination.New(coordination.Config{})
		if err != nil {
			panic(err)
		}
		return tree
	}})
	if c.Node(0).Group("g").Sessions() != nil {
		t.Fatal("a keeper that nobody asked for")
	}
}
