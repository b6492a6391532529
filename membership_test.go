package synod_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

// leading returns the leader's group and its number.
func leading(t *testing.T, ctx context.Context, c *synod.LocalCluster) (*synod.Group, int) {
	t.Helper()
	node, i, err := c.Leader(ctx, "journal")
	if err != nil {
		t.Fatal(err)
	}
	return node.Group("journal"), i
}

func version(t *testing.T, ctx context.Context, g *synod.Group) uint64 {
	t.Helper()
	status, err := g.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return status.ConfigVersion
}

func TestOfChangesOfOneVersionExactlyOneIsDone(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		ctx := within(t, 30*time.Second)
		for round := range 5 {
			g, i := leading(t, ctx, c)
			name, seen := c.Node((i+1)%3).Name(), version(t, ctx, g)
			results := make(chan error)
			const callers = 8
			for range callers {
				go func() {
					results <- g.ChangeMember(ctx, synod.MemberChange{Action: synod.DemoteMember, Name: name, Version: &seen})
				}()
			}
			done := 0
			for range callers {
				switch err := <-results; {
				case err == nil:
					done++
				case !errors.Is(err, synod.ErrConflict):
					t.Fatalf("round %d: %v, want ErrConflict", round, err)
				}
			}
			if done != 1 {
				t.Fatalf("round %d: %d of %d changes of version %d were done, want 1", round, done, callers, seen)
			}
		}
	})
}

func TestAChangeOfAnotherVersionDoesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		ctx := within(t, 30*time.Second)
		g, i := leading(t, ctx, c)
		now := version(t, ctx, g)
		for _, action := range []synod.MemberAction{synod.AddMember, synod.RemoveMember, synod.PromoteMember, synod.DemoteMember} {
			old := now - 1
			err := g.ChangeMember(ctx, synod.MemberChange{Action: action, Name: c.Node((i + 1) % 3).Name(), Version: &old})
			if !errors.Is(err, synod.ErrConflict) {
				t.Errorf("%s with version %d of %d: %v, want ErrConflict", action, old, now, err)
			}
		}
		if after := version(t, ctx, g); after != now {
			t.Errorf("version %d became %d", now, after)
		}
	})
}

func TestTheLastVoterCannotBeRemoved(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 1, engine)
		ctx := within(t, 30*time.Second)
		g, _ := leading(t, ctx, c)
		err := g.ChangeMember(ctx, synod.MemberChange{Action: synod.RemoveMember, Name: "n1"})
		if !errors.Is(err, synod.ErrInvalidMembership) {
			t.Errorf("error %v, want ErrInvalidMembership", err)
		}
	})
}

// killFollower ends the next node after the leader and waits until the leader has noticed.
func killFollower(t *testing.T, ctx context.Context, c *synod.LocalCluster, g *synod.Group, leader int) (dead string) {
	t.Helper()
	dead = c.Node((leader + 1) % 3).Name()
	c.Kill((leader + 1) % 3)
	for {
		status, err := g.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(status.Members, func(m synod.GroupMember) bool { return m.Name == dead && m.Active }) {
			return dead
		}
		time.Sleep(time.Millisecond)
	}
}

func TestLeadershipIsNotHandedToWhomDoesNotAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		ctx := within(t, 30*time.Second)
		g, i := leading(t, ctx, c)
		dead := killFollower(t, ctx, c, g, i)
		if err := g.TransferLeadership(ctx, dead); !errors.Is(err, synod.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
	})
}

func TestAChangeThatLeavesNoMajorityAnsweringIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 3, engine)
		ctx := within(t, 30*time.Second)
		g, i := leading(t, ctx, c)
		dead, lives := killFollower(t, ctx, c, g, i), c.Node((i+2)%3).Name()
		for _, action := range []synod.MemberAction{synod.RemoveMember, synod.DemoteMember} {
			err := change(t, c, action, lives)
			if !errors.Is(err, synod.ErrInvalidMembership) || !strings.Contains(err.Error(), dead+" does not answer") {
				t.Errorf("%s: error %v, want ErrInvalidMembership and who does not answer", action, err)
			}
		}
		if err := change(t, c, synod.RemoveMember, dead); err != nil && !errors.Is(err, synod.ErrNotFound) { // which a try of unknown outcome leaves
			t.Errorf("the dead one cannot be removed: %v", err)
		}
	})
}

func TestEveryEventNamesItsLeader(t *testing.T) {
	onBoth(t, func(t *testing.T, engine synod.Engine) {
		c := start(t, 5, engine)
		for i := range 5 {
			for _, e := range c.Node(i).Events() {
				if len(e.Leader) > 2 { // a name is n1 to n5, an id has 16 digits
					t.Errorf("%s: %q names %q", e.Node, e.Kind, e.Leader)
				}
			}
		}
	})
}
