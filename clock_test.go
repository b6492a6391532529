package synod_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

const year = 365 * 24 * time.Hour

// write proposes one command as api.Client does: a new request id by the client's
// clock, repeated under it at whoever leads. Only what a client repeats by itself
// is repeated here: that nobody leads, or that the outcome is unknown.
func write(t *testing.T, c *synod.LocalCluster, command string) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	request := synod.NewRequestID()
	for times := 0; times < 2; { // the second is a repetition after a lost answer
		leader, _, err := c.Leader(ctx, "journal")
		if err != nil {
			t.Fatalf("no leader: %v", err)
		}
		try, cancel := context.WithTimeout(ctx, time.Second)
		_, err = leader.Group("journal").ProposeOnce(try, request, []byte(command))
		cancel()
		var notLeader *synod.NotLeaderError
		switch {
		case err == nil:
			times++
		case errors.As(err, &notLeader), errors.Is(err, synod.ErrNoLeader), errors.Is(err, synod.ErrUnknownOutcome),
			errors.Is(err, synod.ErrNotCommitted):
		default:
			t.Fatalf("write %q: %v", command, err)
		}
	}
}

// wrote fails unless the machines applied exactly these commands.
func wrote(t *testing.T, c *synod.LocalCluster, want []string) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	read := func(m synod.StateMachine, _ uint64) {
		if got := m.(*journal).lines; !slices.Equal(got, want) {
			t.Errorf("applied %q, want %q", got, want)
		}
	}
	err := synod.ErrNoLeader
	for errors.Is(err, synod.ErrNoLeader) && ctx.Err() == nil { // while leaders change
		err = c.Node(0).Group("journal").Read(ctx, synod.Linearizable, read)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A year, or two minutes, forward and back, on the leader, on a follower, on all
// nodes; then the leader changes, between nodes whose clocks are apart, and the
// clocks are set right. Every write of a client with a right clock succeeds, and
// none is applied twice.
func TestWallClocksThatAreSetRefuseNoWrite(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		for _, jump := range []time.Duration{year, -year, 2 * time.Minute, -2 * time.Minute} {
			t.Run(jump.String(), func(t *testing.T) {
				t.Parallel()
				c := start(t, 3, engine)
				var want []string
				put := func(when string) {
					t.Helper()
					for i := range 3 {
						want = append(want, fmt.Sprint(when, i))
						write(t, c, want[len(want)-1])
					}
				}
				put("before")
				for _, who := range []string{"the leader", "a follower", "all nodes"} {
					ctx := within(t, 20*time.Second)
					_, leader, err := c.Leader(ctx, "journal")
					if err != nil {
						t.Fatal(err)
					}
					for i := range 3 {
						if who == "all nodes" || (i == leader) == (who == "the leader") {
							c.SetWallClock(i, jump)
						}
					}
					put("jump of " + who)
					to := c.Node((leader + 1) % 3)
					if err := c.Node(leader).Group("journal").TransferLeadership(ctx, to.Name()); err != nil {
						t.Fatal(err)
					}
					put("another leader after a jump of " + who)
					for i := range 3 {
						c.SetWallClock(i, 0)
					}
					put("set right")
				}
				wrote(t, c, want)
			})
		}
	})
}

// A leader that starts again knows nothing of the time but its log and a wall
// clock, which may be wrong.
func TestAllNodesMayStartAgainWithWrongClocks(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		for _, jump := range []time.Duration{year, -year} {
			c := start(t, 3, engine)
			write(t, c, "before")
			for i := range 3 {
				c.Kill(i)
				c.SetWallClock(i, jump)
			}
			for i := range 3 {
				if err := c.Restart(within(t, 20*time.Second), i); err != nil {
					t.Fatal(err)
				}
			}
			write(t, c, "after")
			wrote(t, c, []string{"before", "after"})
		}
	})
}

func TestARequestIDOfTheFutureIsRefusedAndNotApplied(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 1, engine)
		id := synod.NewRequestID()
		id[0] += 2 // by centuries
		_, err := c.Node(0).Group("journal").ProposeOnce(within(t, 20*time.Second), id, []byte("x"))
		if !errors.Is(err, synod.ErrRequestFuture) {
			t.Fatalf("got %v, want ErrRequestFuture", err)
		}
		write(t, c, "y")
		wrote(t, c, []string{"y"})
	})
}
