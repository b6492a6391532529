package group_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/actors/paxosnode"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/replica"
)

// startWitnesses starts a group of replica 0, which can do everything, and two
// witnesses, none of which may make a state machine.
func startWitnesses(t *testing.T, core multipaxos.Config) *trio {
	t.Helper()
	roles := func(c *group.Config) {
		for i := range c.Bootstrap[1:] {
			c.Bootstrap[i+1].Roles = consensus.RoleAcceptor
		}
		if c.ID != c.Bootstrap[0].ID {
			c.Roles = consensus.RoleAcceptor
			c.Machine = func() replica.StateMachine {
				t.Error("a witness has made a state machine")
				return &counter{}
			}
		}
	}
	return startTrio(t, paxosnode.New(paxosnode.Config{Core: core}), roles)
}

// until waits until cond holds, with a round of reads between two looks.
func (x *trio) until(i int, cond func() bool) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 20*time.Second)
	defer cancel()
	for !cond() {
		if _, err := x.handles[i].ReadIndex(ctx); ctx.Err() != nil {
			x.t.Fatalf("replica %d: not within 20 s: %v, %v", i, err, x.last)
		}
	}
}

func (x *trio) status(i int) consensus.Status {
	x.t.Helper()
	s, err := x.handles[i].Status(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	return s
}

// What stays behind a snapshot, or a base: few entries, or of large ones few bytes.
var (
	fewEntries = multipaxos.Config{TrailingEntries: 4}
	fewBytes   = multipaxos.Config{TrailingBytes: 100}
)

func TestAWitnessLetsGoOfItsLogAndGoesOnFromItsBase(t *testing.T) {
	t.Run("entries", func(t *testing.T) { testBase(t, fewEntries) })
	t.Run("bytes", func(t *testing.T) { testBase(t, fewBytes) })
}

func testBase(t *testing.T, core multipaxos.Config) {
	x := startWitnesses(t, core)
	for range 30 {
		x.add()
	}
	snapshot, err := x.handles[0].Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x.add()
	for i := 1; i < 3; i++ {
		// The base follows the learner's snapshot, and the log the base, whose record stays.
		var base consensus.Index
		x.until(i, func() bool {
			base = x.status(i).Snapshot
			return base+4 > snapshot && x.stores[i].Released(1) == uint64(base)-1
		})
		if files, err := x.stores[i].Snapshots(1); err != nil || len(files) > 0 {
			t.Errorf("witness %d keeps snapshots %v, %v; want none", i, files, err)
		}
		x.stop(i)
		x.restart(i)
		if now := x.status(i).Snapshot; now < base {
			t.Errorf("witness %d has come back with base %d, want %d", i, now, base)
		}
	}
	x.stop(2)
	_, index := x.add() // with the vote of a witness that has come back
	if err := x.handles[1].WaitApplied(t.Context(), index); err != nil {
		t.Error(err)
	}
	if err := x.handles[0].Read(index, func(m replica.StateMachine, _ uint64) {
		if n := m.(*counter).n; n != 32 {
			t.Errorf("the learner counts %d, want 32", n)
		}
	}); err != nil {
		t.Error(err)
	}
}

// Who was away for longer than anybody's log goes back takes over the base alone.
func TestAWitnessThatIsFarBehindNeedsNoSnapshot(t *testing.T) {
	x := startWitnesses(t, fewEntries)
	x.add()
	x.stop(2)
	for range 30 {
		x.add()
	}
	if _, err := x.handles[0].Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, index := x.add()
	x.restart(2)
	if err := x.handles[2].WaitApplied(t.Context(), index); err != nil {
		t.Fatal(err)
	}
	if files, err := x.stores[2].Snapshots(1); err != nil || len(files) > 0 {
		t.Errorf("it was sent snapshots %v, %v", files, err)
	}
}

func TestAWitnessHasNothingToRead(t *testing.T) {
	x := startWitnesses(t, fewEntries)
	x.add()
	read := func(replica.StateMachine, uint64) { t.Error("a witness was read") }
	if err := x.handles[1].Read(0, read); !errors.Is(err, group.ErrNoMachine) {
		t.Errorf("a read ended with %v, want ErrNoMachine", err)
	}
	if _, err := x.handles[1].Snapshot(t.Context()); !errors.Is(err, group.ErrNoMachine) {
		t.Errorf("a snapshot ended with %v, want ErrNoMachine", err)
	}
}

// A witness lacks what a learner must hold, and what a learner holds others may have
// let go of.
func TestAReplicaKeepsItsStateMachineOrDoesWithout(t *testing.T) {
	x := startWitnesses(t, fewEntries)
	for range 10 {
		x.add()
	}
	if _, err := x.handles[0].Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.add()
	x.until(1, func() bool { return x.stores[1].Released(1) > 0 })
	for i, roles := range map[int]consensus.Roles{0: consensus.RoleAcceptor, 1: 0, 2: consensus.RoleLearner} {
		x.stop(i)
		was := x.change
		ended := make(chan error, 8)
		x.change = func(c *group.Config) {
			was(c)
			c.Roles = roles
			c.Machine = func() replica.StateMachine { return &counter{} }
			c.FailStop = func(err error) { ended <- err }
		}
		x.open(i)
		x.start(i)
		var wrong *group.RolesError
		select {
		case err := <-ended:
			if !errors.As(err, &wrong) {
				t.Errorf("replica %d as %q ended with %v, want *RolesError", i, roles, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("replica %d runs as %q", i, roles)
		}
		x.change = was
		x.stop(i)
	}
}

func TestANewcomerWithoutAcceptorNeverVotes(t *testing.T) {
	x := startWitnesses(t, fewEntries)
	x.add()
	for _, roles := range []consensus.Roles{consensus.RoleLearner, consensus.RoleProposer, consensus.RoleProposer | consensus.RoleLearner} {
		c := x.handles[0].View().Configuration
		newcomer := consensus.Member{ID: 1000 + consensus.ID(roles), Name: roles.String(), Roles: roles}
		index, err := x.handles[0].Admit(t.Context(), newcomer, 9, c.Version)
		for errors.Is(err, consensus.ErrChangePending) || errors.Is(err, consensus.ErrStaleVersion) {
			index, err = x.handles[0].Admit(t.Context(), newcomer, 9, x.handles[0].View().Configuration.Version)
		}
		if err == nil {
			err = x.handles[0].WaitApplied(t.Context(), index)
		}
		if err != nil {
			t.Fatal(roles, err)
		}
		var m consensus.Member
		x.until(0, func() (ok bool) { // the view follows what was applied
			m, ok = x.handles[0].View().Configuration.Find(newcomer.ID)
			return ok
		})
		if m.Voter || m.Promote {
			t.Errorf("%s became %+v; want a member that is not to vote", roles, m)
		}
	}
	c := x.handles[0].View().Configuration
	again := consensus.Member{ID: 2000, Name: "n1", Roles: consensus.RoleLearner}
	x.stop(1)
	x.until(0, func() bool {
		_, err := x.handles[0].Admit(t.Context(), again, 9, c.Version)
		return errors.Is(err, group.ErrPlaceVotes)
	})
}
