package synod_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

// journal is a state machine that remembers its commands in order.
type journal struct{ lines []string }

func (j *journal) Apply(_ uint64, _ int64, command []byte) []byte {
	j.lines = append(j.lines, string(command))
	return fmt.Appendf(nil, "%d", len(j.lines))
}

func (j *journal) Snapshot() (io.WriterTo, error) {
	return strings.NewReader(strings.Join(j.lines, "\n")), nil
}

func (j *journal) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	j.lines = nil
	if len(data) > 0 {
		j.lines = strings.Split(string(data), "\n")
	}
	return err
}

// journals makes a group whose machines the test can look into, under Read.
type journals struct {
	mu   sync.Mutex
	made []*journal
}

func (j *journals) group(engine synod.Engine) synod.GroupConfig {
	return synod.GroupConfig{Name: "journal", Engine: engine, New: func() synod.StateMachine {
		j.mu.Lock()
		defer j.mu.Unlock()
		m := &journal{}
		j.made = append(j.made, m)
		return m
	}}
}

// onBoth runs a test on a group of each engine.
func onBoth(t *testing.T, test func(t *testing.T, engine synod.Engine)) {
	t.Helper()
	for _, engine := range []synod.Engine{synod.Raft, synod.Paxos} {
		t.Run(string(engine), func(t *testing.T) { test(t, engine) })
	}
}

func start(t *testing.T, n int, engine synod.Engine) *synod.LocalCluster {
	t.Helper()
	return synod.Local(t, n, (&journals{}).group(engine))
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// propose retries at whoever leads until the command is in; unknown outcomes
// are repeated under one request id.
func propose(t *testing.T, c *synod.LocalCluster, command string) synod.Result {
	t.Helper()
	ctx := within(t, 20*time.Second)
	request := synod.NewRequestID()
	for {
		leader, _, err := c.Leader(ctx, "journal")
		if err != nil {
			t.Fatalf("no leader: %v", err)
		}
		try, cancel := context.WithTimeout(ctx, time.Second)
		result, err := leader.Group("journal").ProposeOnce(try, request, []byte(command))
		cancel()
		if err == nil {
			return result
		}
		if ctx.Err() != nil {
			t.Fatalf("propose %q: %v", command, err)
		}
	}
}

// applied waits until node i has applied index and returns its result count
// from the machine's own answer to a last command.
func applied(t *testing.T, c *synod.LocalCluster, i int, index uint64) {
	t.Helper()
	err := c.Node(i).Group("journal").ReadAt(within(t, 20*time.Second), index, func(synod.StateMachine, uint64) {})
	if err != nil {
		t.Fatalf("node %d has not applied %d: %v", i, index, err)
	}
}

func TestACommandIsAppliedOnAllNodes(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		var last synod.Result
		for i := range 10 {
			last = propose(t, c, fmt.Sprint("c", i))
		}
		if string(last.Value) != "10" {
			t.Fatalf("result %q, want 10", last.Value)
		}
		for i := range 3 {
			applied(t, c, i, last.Index)
		}
	})
}

func TestNothingAcknowledgedIsLostWhenTheLeaderDies(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		for round := range 3 {
			propose(t, c, fmt.Sprint("before", round))
			_, i, err := c.Leader(within(t, 20*time.Second), "journal")
			if err != nil {
				t.Fatal(err)
			}
			c.Kill(i)
			got := propose(t, c, fmt.Sprint("after", round))
			if want := fmt.Sprint(2*round + 2); string(got.Value) != want {
				t.Fatalf("round %d: %s commands applied, want %s", round, got.Value, want)
			}
			if err := c.Restart(t.Context(), i); err != nil {
				t.Fatal(err)
			}
			applied(t, c, i, got.Index)
		}
	})
}

func TestAMinorityAnswersNeitherWritesNorLinearizableReads(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		propose(t, c, "one")
		old, i, err := c.Leader(within(t, 20*time.Second), "journal")
		if err != nil {
			t.Fatal(err)
		}
		c.Isolate(i)
		g := old.Group("journal")
		if _, err := g.Propose(within(t, time.Second), []byte("lost?")); err == nil {
			t.Fatal("a leader without a majority acknowledged a write")
		}
		for _, level := range []synod.Level{synod.Linearizable, synod.Lease} {
			if err := g.Read(within(t, time.Second), level, func(synod.StateMachine, uint64) {}); err == nil {
				t.Fatalf("a leader without a majority answered a read at level %d", level)
			}
		}
		if err := g.Read(t.Context(), synod.Stale, func(synod.StateMachine, uint64) {}); err != nil {
			t.Fatalf("stale read: %v", err)
		}
		c.Heal()
		got := propose(t, c, "two")
		applied(t, c, i, got.Index)
	})
}

func TestARepeatedRequestIsAppliedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		leader, _, err := c.Leader(within(t, 20*time.Second), "journal")
		if err != nil {
			t.Fatal(err)
		}
		request := synod.NewRequestID()
		first, err := leader.Group("journal").ProposeOnce(t.Context(), request, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		again, err := leader.Group("journal").ProposeOnce(t.Context(), request, []byte("x"))
		if err != nil || again.Index != first.Index || string(again.Value) != "1" {
			t.Fatalf("repeated: %+v, %v, want %+v", again, err, first)
		}
	})
}

func TestLeadershipIsHandedToWhomIsNamed(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		ctx := within(t, 20*time.Second)
		_, i, err := c.Leader(ctx, "journal")
		if err != nil {
			t.Fatal(err)
		}
		to := (i + 1) % 3
		if err := c.Node(i).Group("journal").TransferLeadership(ctx, c.Node(to).Name()); err != nil {
			t.Fatal(err)
		}
		if _, now, err := c.Leader(ctx, "journal"); err != nil || now != to {
			t.Fatalf("node %d leads, %v, want %d", now, err, to)
		}
		if err := c.Node(to).Group("journal").TransferLeadership(ctx, "nobody"); !errors.Is(err, synod.ErrNotFound) {
			t.Fatalf("transfer to nobody: %v, want ErrNotFound", err)
		}
	})
}

// A leader that was heard of too late goes on, and asks again.
func TestLeadershipIsHandedToWhomCannotBeReachedAtFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		ctx := within(t, 30*time.Second)
		for range 10 { // an election amid it is no transfer
			_, i, err := c.Leader(ctx, "journal")
			if err != nil {
				t.Fatal(err)
			}
			to := (i + 1) % 3
			c.Cut(i, to)
			healed := time.AfterFunc(500*time.Millisecond, c.Heal) // more than an election, less than until it is asked again
			err = c.Node(i).Group("journal").TransferLeadership(ctx, c.Node(to).Name())
			healed.Stop()
			c.Heal()
			if _, now, lost := c.Leader(ctx, "journal"); err == nil && lost == nil && now == to {
				return
			}
			t.Logf("handed over: %v", err)
		}
		t.Fatal("it does not come to lead")
	})
}

func TestALaggingNodeCatchesUpBySnapshot(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		group := (&journals{}).group(engine)
		group.SnapshotBytes = 4 << 10
		c := synod.Local(t, 3, group)
		ctx := within(t, 60*time.Second)
		_, i, err := c.Leader(ctx, "journal")
		if err != nil {
			t.Fatal(err)
		}
		behind := (i + 1) % 3
		c.Kill(behind)
		var last synod.Result
		g := c.Node(i).Group("journal")
		for n := range 6000 {
			if last, err = g.Propose(ctx, fmt.Appendf(nil, "%06d", n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Restart(ctx, behind); err != nil {
			t.Fatal(err)
		}
		applied(t, c, behind, last.Index)
		status, err := c.Node(behind).Group("journal").Status(ctx)
		if err != nil || status.Snapshot == 0 {
			t.Fatalf("snapshot index %d, %v: the node caught up without one", status.Snapshot, err)
		}
	})
}

func TestANodeLeavesAndTheRestGoOn(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		ctx := within(t, 30*time.Second)
		leader, i, err := c.Leader(ctx, "journal")
		if err != nil {
			t.Fatal(err)
		}
		gone := (i + 1) % 3
		if err := leader.Group("journal").ChangeMember(ctx, synod.MemberChange{Action: synod.RemoveMember, Name: c.Node(gone).Name()}); err != nil {
			t.Fatal(err)
		}
		status, err := leader.Group("journal").Status(ctx)
		if err != nil || len(status.Members) != 2 {
			t.Fatalf("%d members, %v, want 2", len(status.Members), err)
		}
		c.Kill(gone)
		propose(t, c, "two of two")
	})
}

// forgetful is a journal whose n-th line is wrong on one node.
type forgetful struct {
	journal
	wrong bool
}

func (f *forgetful) Apply(index uint64, now int64, command []byte) []byte {
	if f.wrong && len(f.lines) == 3 {
		command = []byte("something else")
	}
	return append(f.journal.Apply(index, now, command), command...)
}

func TestAReplicaWhoseStateDiffersIsQuarantined(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		for _, wrong := range []int{0, 2} { // the founder leads
			t.Run(fmt.Sprint("n", wrong+1), func(t *testing.T) {
				var made atomic.Int32
				group := synod.GroupConfig{Name: "journal", Engine: engine, New: func() synod.StateMachine {
					return &forgetful{wrong: int(made.Add(1)) == wrong+1}
				}}
				group.Limits.DigestEvery = 16
				c := synod.Local(t, 3, group)
				ctx := within(t, 30*time.Second)
				for i := 0; c.Node(wrong).Err() == nil; i++ {
					if ctx.Err() != nil {
						t.Fatal("nobody noticed")
					}
					propose(t, c, fmt.Sprint(i))
				}
				if err := c.Node(wrong).Err(); !errors.Is(err, synod.ErrQuarantined) {
					t.Fatalf("the node ended with %v, want ErrQuarantined", err)
				}
				status, err := c.Node(wrong).Group("journal").Status(ctx)
				if err != nil && !errors.Is(err, synod.ErrQuarantined) || !strings.Contains(status.Quarantined, "differs from the majority's") {
					t.Fatalf("status says %q, %v, want why it is quarantined", status.Quarantined, err)
				}
				staysQuarantined(ctx, t, c, wrong)
			})
		}
	})
}

// staysQuarantined checks that node i, which has ended, never starts again on its
// disk, not even with a state machine that does no wrong, and that the rest goes on.
func staysQuarantined(ctx context.Context, t *testing.T, c *synod.LocalCluster, i int) {
	t.Helper()
	<-c.Node(i).Done()
	c.Kill(i)
	for range 2 {
		err := c.Restart(ctx, i)
		if !errors.Is(err, synod.ErrQuarantined) {
			t.Fatalf("the node starts again: %v, want ErrQuarantined", err)
		}
		for _, text := range []string{fmt.Sprint("node n", i+1), "journal", "differs from the majority's", "move it away"} {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("no %q in %q", text, err)
			}
		}
	}
	for n := range 40 { // beyond two more checkpoints
		propose(t, c, fmt.Sprint("after", n))
	}
	for n := range 3 {
		if n != i && c.Node(n).Err() != nil {
			t.Errorf("node %d has ended too: %v", n, c.Node(n).Err())
		}
	}
}

// oneWay can be written as JSON and not read back.
type oneWay struct{}

func (oneWay) MarshalJSON() ([]byte, error)  { return []byte(`"x"`), nil }
func (*oneWay) UnmarshalJSON(b []byte) error { return fmt.Errorf("planted: %s", b) }

func TestAStateThatDoesNotSurviveJSONIsRefusedAtOnce(t *testing.T) {
	_, err := synod.Open(t.Context(), synod.Config{Name: "n1", Bootstrap: true}, oneWay{},
		func(*oneWay, int) int { return 0 })
	if err == nil || !strings.Contains(err.Error(), "survive JSON") {
		t.Fatalf("error %v, want one about JSON", err)
	}
}
