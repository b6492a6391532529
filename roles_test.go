package synod_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

const founder = synod.Proposer | synod.Acceptor

// apart starts a group with the roles of Paxos apart.
func apart(t *testing.T, roles ...synod.Roles) (*synod.LocalCluster, *journals) {
	t.Helper()
	j := &journals{}
	return synod.LocalRoles(t, roles, j.group(synod.Paxos)), j
}

// rolesOf are what the members are known for at node i, by name.
func rolesOf(t *testing.T, c *synod.LocalCluster, i int) map[string]string {
	t.Helper()
	status, err := c.Node(i).Group("journal").Status(within(t, 20*time.Second))
	if err != nil {
		t.Fatalf("status of node %d: %v", i, err)
	}
	roles := make(map[string]string)
	for _, m := range status.Members {
		roles[m.Name] = m.Roles.String()
	}
	return roles
}

// change has the leader change the members, as often as it takes.
func change(t *testing.T, c *synod.LocalCluster, action synod.MemberAction, name string) error {
	t.Helper()
	ctx := within(t, 30*time.Second)
	for {
		leader, _, err := c.Leader(ctx, "journal")
		if err != nil {
			t.Fatalf("no leader: %v", err)
		}
		try, cancel := context.WithTimeout(ctx, 3*time.Second)
		err = leader.Group("journal").ChangeMember(try, synod.MemberChange{Action: action, Name: name})
		cancel()
		var other *synod.NotLeaderError
		again := errors.Is(err, synod.ErrNoLeader) || errors.Is(err, synod.ErrUnknownOutcome) || errors.Is(err, synod.ErrConflict)
		if !again && !errors.As(err, &other) || ctx.Err() != nil {
			return err
		}
	}
}

// eventually waits until cond returns "", looking after each change of a group.
func eventually(t *testing.T, n *synod.Node, cond func() string) {
	t.Helper()
	changes := make(chan struct{}, 1)
	defer n.Subscribe(func(synod.Event) {
		select {
		case changes <- struct{}{}:
		default:
		}
	})()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	ctx := within(t, 30*time.Second)
	for {
		why := cond()
		if why == "" {
			return
		}
		select {
		case <-changes:
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("after 30 s: %s", why)
		}
	}
}

// withoutFounder has three of n2, n3 and n4 vote, and n1 no more.
func withoutFounder(t *testing.T, c *synod.LocalCluster) {
	t.Helper()
	for name, roles := range rolesOf(t, c, 0) {
		if roles != "" { // only the acceptor that there was no need of has none
			continue
		}
		if err := change(t, c, synod.PromoteMember, name); err != nil {
			t.Fatalf("promote %s: %v", name, err)
		}
	}
	if err := change(t, c, synod.DemoteMember, "n1"); err != nil {
		t.Fatalf("demote n1: %v", err)
	}
}

func TestAWitnessVotesAndRunsNoStateMachine(t *testing.T) {
	c, j := apart(t, founder, synod.Acceptor, synod.Acceptor, synod.Learner)
	last := propose(t, c, "a")
	applied(t, c, 3, last.Index)
	if len(j.made) != 2 {
		t.Errorf("%d state machines were made, want those of n1 and n4 alone", len(j.made))
	}
	want := map[string]string{"n1": "proposer,acceptor,learner", "n2": "acceptor", "n3": "acceptor", "n4": "learner"}
	if got := rolesOf(t, c, 1); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("roles %v, want %v", got, want)
	}
	g, ctx := c.Node(1).Group("journal"), within(t, 20*time.Second)
	read := func(synod.StateMachine, uint64) { t.Error("a witness was read") }
	for _, level := range []synod.Level{synod.Sequential, synod.Stale} {
		if err := g.Read(ctx, level, read); !errors.Is(err, synod.ErrNoStateMachine) {
			t.Errorf("a read at level %d ended with %v, want ErrNoStateMachine", level, err)
		}
	}
	if err := g.ReadAt(ctx, last.Index, read); !errors.Is(err, synod.ErrNoStateMachine) {
		t.Errorf("ReadAt ended with %v, want ErrNoStateMachine", err)
	}
	if _, err := g.Snapshot(ctx); !errors.Is(err, synod.ErrNoStateMachine) {
		t.Errorf("Snapshot ended with %v, want ErrNoStateMachine", err)
	}
	for _, level := range []synod.Level{synod.Linearizable, synod.Lease} {
		var other *synod.NotLeaderError
		if err := g.Read(ctx, level, read); !errors.As(err, &other) || other.Leader != "n1" {
			t.Errorf("a read at level %d ended with %v, want *NotLeaderError to n1", level, err)
		}
	}
	if err := c.Node(1).Ready(ctx); err != nil {
		t.Errorf("Ready of a witness: %v", err)
	}
	if status, err := g.Status(ctx); err != nil || !status.Witness || status.DigestIndex != 0 {
		t.Errorf("status %+v, %v; want that of a witness", status, err)
	}
}

func TestALearnerReadsAndNeverVotes(t *testing.T) {
	c, _ := apart(t, founder, synod.Acceptor, synod.Acceptor, synod.Learner)
	last := propose(t, c, "a")
	g, ctx := c.Node(3).Group("journal"), within(t, 20*time.Second)
	for _, read := range []func(func(synod.StateMachine, uint64)) error{
		func(f func(synod.StateMachine, uint64)) error { return g.ReadAt(ctx, last.Index, f) },
		func(f func(synod.StateMachine, uint64)) error { return g.Read(ctx, synod.Sequential, f) },
		func(f func(synod.StateMachine, uint64)) error { return g.Read(ctx, synod.Stale, f) },
		func(f func(synod.StateMachine, uint64)) error { return g.Read(ctx, synod.Linearizable, f) },
	} {
		var lines []string
		if err := read(func(m synod.StateMachine, _ uint64) { lines = m.(*journal).lines }); err != nil || !slices.Equal(lines, []string{"a"}) {
			t.Errorf("read %q, %v; want a", lines, err)
		}
	}
	if err := change(t, c, synod.PromoteMember, "n4"); !errors.Is(err, synod.ErrInvalidMembership) {
		t.Errorf("promoting a learner ended with %v, want ErrInvalidMembership", err)
	}
}

func TestTheWantedVotersAreCountedAmongAcceptors(t *testing.T) {
	c, _ := apart(t, founder, synod.Learner, synod.Proposer, synod.Acceptor, synod.Acceptor|synod.Learner)
	want := map[string]string{"n1": "proposer,acceptor,learner", "n2": "learner", "n3": "proposer,learner", "n4": "acceptor", "n5": "acceptor,learner"}
	if got := rolesOf(t, c, 0); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("roles %v, want %v", got, want)
	}
}

func TestAProposerWithoutAcceptorLeads(t *testing.T) {
	c, _ := apart(t, founder, synod.Acceptor, synod.Acceptor, synod.Proposer)
	propose(t, c, "a")
	if err := c.Node(0).Group("journal").TransferLeadership(within(t, 20*time.Second), "n4"); err != nil {
		t.Fatal(err)
	}
	eventually(t, c.Node(3), func() string {
		if _, i, err := c.Leader(within(t, 20*time.Second), "journal"); err != nil || i != 3 {
			return fmt.Sprintf("node %d leads, %v; want 3, n4", i, err)
		}
		return ""
	})
	if got := propose(t, c, "b"); string(got.Value) != "2" {
		t.Errorf("the second command had result %q, want 2", got.Value)
	}
}

// A founder votes, since nobody else is there at first. When others can, it is demoted
// and goes on as a proposer.
func TestADemotedProposerLeadsOn(t *testing.T) {
	c, _ := apart(t, founder, synod.Acceptor, synod.Acceptor, synod.Acceptor, synod.Learner)
	withoutFounder(t, c)
	eventually(t, c.Node(0), func() string {
		want := map[string]string{"n1": "proposer,learner", "n2": "acceptor", "n3": "acceptor", "n4": "acceptor", "n5": "learner"}
		if got := rolesOf(t, c, 0); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprintf("roles %v, want %v", got, want)
		}
		return ""
	})
	last := propose(t, c, "led without a vote")
	applied(t, c, 4, last.Index)
	c.Kill(0)
	if err := c.Restart(within(t, 20*time.Second), 0); err != nil {
		t.Fatal(err)
	}
	if got := propose(t, c, "after a restart"); string(got.Value) != "2" {
		t.Errorf("the second command had result %q, want 2", got.Value)
	}
}

// Two proposers, three witnesses and two learners: nobody is needed for good.
func TestAnyOfSevenWithTheirRolesApartMayDie(t *testing.T) {
	c, j := apart(t, founder, synod.Acceptor, synod.Acceptor, synod.Acceptor, synod.Proposer, synod.Learner, synod.Learner)
	withoutFounder(t, c)
	want := []string{}
	for i := range 7 {
		c.Kill(i)
		line := fmt.Sprint("without node ", i)
		propose(t, c, line)
		want = append(want, line)
		if err := c.Restart(within(t, 20*time.Second), i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 7 {
		c.Kill(i)
	}
	for i := range 7 {
		if err := c.Restart(within(t, 20*time.Second), i); err != nil {
			t.Fatal(err)
		}
	}
	last := propose(t, c, "after all")
	want = append(want, "after all")
	for _, i := range []int{0, 4, 5, 6} {
		var lines []string
		err := c.Node(i).Group("journal").ReadAt(within(t, 20*time.Second), last.Index, func(m synod.StateMachine, _ uint64) {
			lines = slices.Clone(m.(*journal).lines)
		})
		if err != nil || !slices.Equal(lines, want) {
			t.Errorf("node %d has %q, %v; want %q", i, lines, err, want)
		}
	}
	if made := 4 + 4 + 4; len(j.made) != made { // at first, each once more, all together
		t.Errorf("%d state machines were made, want %d: none by a witness", len(j.made), made)
	}
}

func TestRolesThatCannotBeAreRefused(t *testing.T) {
	machine := func() synod.StateMachine { return &journal{} }
	for want, c := range map[string]synod.Config{
		"Config.PaxosRoles is 8": {PaxosRoles: 8},
		"synod: Config.PaxosRoles is learner, but no group has engine paxos":                                        {PaxosRoles: synod.Learner, Engine: synod.Raft},
		"synod: Config.PaxosRoles is acceptor: the founder must be proposer,acceptor, it is alone at first":         {PaxosRoles: synod.Acceptor, Bootstrap: true},
		"synod: Config.PaxosRoles is proposer,learner: the founder must be proposer,acceptor, it is alone at first": {PaxosRoles: synod.Proposer | synod.Learner, Bootstrap: true},
	} {
		c.Name, c.Join = "n1", []string{"127.0.0.1:1"}
		if c.Engine == "" {
			c.Engine = synod.Paxos
		}
		c.Groups = []synod.GroupConfig{{Name: "journal", New: machine}}
		if _, err := synod.Start(within(t, 5*time.Second), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("started with %v, want %q", err, want)
		}
	}
	for text, want := range map[string]string{"": `there is no role ""`, "acceptor,voter": `there is no role "voter"`, "learner,learner": "role learner is named twice"} {
		if roles, err := synod.ParseRoles(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %v, %v; want %q", text, roles, err, want)
		}
	}
	for _, roles := range []synod.Roles{synod.Proposer, synod.Acceptor | synod.Learner, synod.AllRoles} {
		if got, err := synod.ParseRoles(roles.String()); got != roles || err != nil {
			t.Errorf("%q is %v, %v; want %v", roles.String(), got, err, roles)
		}
	}
}
