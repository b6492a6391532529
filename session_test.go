package synod_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

// onLeader repeats f at whoever leads while the outcome is unknown or nobody does.
func onLeader(t *testing.T, c *synod.LocalCluster, f func(context.Context, *synod.Group) error) error {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for {
		leader, _, err := c.Leader(ctx, "journal")
		if err != nil {
			t.Fatalf("no leader: %v", err)
		}
		try, cancel := context.WithTimeout(ctx, time.Second)
		err = f(try, leader.Group("journal"))
		cancel()
		var notLeader *synod.NotLeaderError
		if !errors.As(err, &notLeader) && !errors.Is(err, synod.ErrNoLeader) && !errors.Is(err, synod.ErrUnknownOutcome) &&
			!errors.Is(err, synod.ErrNotCommitted) {
			return err
		}
	}
}

func openSession(t *testing.T, c *synod.LocalCluster, timeout time.Duration) (s *synod.Session) {
	t.Helper()
	err := onLeader(t, c, func(ctx context.Context, g *synod.Group) (err error) {
		s, err = g.OpenSession(ctx, timeout)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASessionSurvivesItsLeaderAndAppliesEachNumberOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		s := openSession(t, c, 0)
		var first synod.Result
		number, open := s.Next(), s.Next()
		err := onLeader(t, c, func(ctx context.Context, g *synod.Group) (err error) {
			first, err = s.Propose(ctx, g, open, []byte("b"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		_, leader, err := c.Leader(within(t, 20*time.Second), "journal")
		if err != nil {
			t.Fatal(err)
		}
		c.Kill(leader)
		err = onLeader(t, c, func(ctx context.Context, g *synod.Group) error {
			again, err := s.Propose(ctx, g, open, []byte("b")) // its answer was lost, say
			if err == nil && (again.Index != first.Index || string(again.Value) != string(first.Value)) {
				t.Errorf("repeated: %+v, want %+v", again, first)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		for _, n := range []uint64{number, s.Next(), s.Next()} {
			wait.Go(func() {
				if err := onLeader(t, c, func(ctx context.Context, g *synod.Group) error {
					_, err := s.Propose(ctx, g, n, fmt.Append(nil, n))
					return err
				}); err != nil {
					t.Errorf("number %d: %v", n, err)
				}
			})
		}
		wait.Wait()
		if err := onLeader(t, c, func(ctx context.Context, g *synod.Group) error { return s.KeepAlive(ctx, g) }); err != nil {
			t.Fatal(err)
		}
		err = onLeader(t, c, func(ctx context.Context, g *synod.Group) error {
			_, err := s.Propose(ctx, g, number, []byte("a"))
			return err
		})
		if !errors.Is(err, synod.ErrAcknowledged) {
			t.Errorf("an answered number ended with %v, want ErrAcknowledged", err)
		}
		if err := c.Restart(within(t, 20*time.Second), leader); err != nil {
			t.Fatal(err)
		}
		err = synod.ErrNoLeader
		for errors.Is(err, synod.ErrNoLeader) {
			err = c.Node(0).Group("journal").Read(within(t, 20*time.Second), synod.Linearizable, func(m synod.StateMachine, _ uint64) {
				if got := m.(*journal).lines; len(got) != 4 {
					t.Errorf("applied %q, want four commands", got)
				}
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestASessionEndsWhenItIsSilentOrClosed(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 1, engine)
		g, ctx := c.Node(0).Group("journal"), within(t, 20*time.Second)
		silent, closed, kept := openSession(t, c, 50*time.Millisecond), openSession(t, c, 0), openSession(t, c, 0)
		if err := closed.Close(ctx, g); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < 60*time.Millisecond; { // log time needs stamps
			if err := kept.KeepAlive(ctx, g); err != nil {
				t.Fatal(err)
			}
		}
		for name, s := range map[string]*synod.Session{"silent": silent, "closed": closed} {
			if _, err := s.Propose(ctx, g, s.Next(), []byte("x")); !errors.Is(err, synod.ErrSessionExpired) {
				t.Errorf("a command of a session that was %s ended with %v, want ErrSessionExpired", name, err)
			}
		}
	})
}

// A session's command may be repeated for as long as nobody has seen its result.
func ExampleSession() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := synod.NewLocalCluster(ctx, 1, slog.New(slog.DiscardHandler), (&journals{}).group(synod.Raft))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Stop()
	g := c.Node(0).Group("journal")
	s, err := g.OpenSession(ctx, time.Minute)
	if err != nil {
		fmt.Println(err)
		return
	}
	number := s.Next()
	for range 2 { // as if the first answer had been lost
		result, err := s.Propose(ctx, g, number, []byte("pay"))
		fmt.Printf("%s %v\n", result.Value, err)
	}
	fmt.Println(s.Close(ctx, g))
	// Output:
	// 1 <nil>
	// 1 <nil>
	// <nil>
}
