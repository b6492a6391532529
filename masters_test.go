package synod

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/mesos"
)

func registryConfig() GroupConfig {
	return GroupConfig{Name: "registry", Engine: Paxos, Master: &MasterConfig{}, New: func() StateMachine {
		r, err := mesos.NewRegistry(mesos.RegistryConfig{})
		if err != nil {
			panic(err)
		}
		return r
	}}
}

// leading returns which node's master leads, once one does that is not i.
func (c *LocalCluster) leadingMaster(ctx context.Context, not int) (int, error) {
	for {
		for i := range c.nodes {
			if n := c.Node(i); n != nil && i != not && n.Group("registry").Master().Leads() == nil {
				return i, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestTheMasterOfTheNodeThatLeadsTheRegistryLeads(t *testing.T) { // M-1
	c := Local(t, 3, registryConfig())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first, err := c.leadingMaster(ctx, -1)
	if err != nil {
		t.Fatal(err)
	}
	lead, err := c.Node(first).Group("registry").Master().Leading()
	if err != nil {
		t.Fatal(err)
	}
	if answers, err := lead.Operate(ctx, mesos.SetWeight{Role: "r", Weight: 2000}); err != nil || answers[0].Code != mesos.CallAccepted {
		t.Fatal(answers, err)
	}
	c.Kill(first)
	next, err := c.leadingMaster(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	now, err := c.Node(next).Group("registry").Master().Leading()
	if err != nil {
		t.Fatal(err)
	}
	if now.Term() <= lead.Term() || now.Registry().Weight("r") != 2000 {
		t.Errorf("term %d after %d has weight %v", now.Term(), lead.Term(), now.Registry().Weight("r"))
	}
}

func TestAMasterThatIsCutOffIsFenced(t *testing.T) { // M-4
	c := Local(t, 3, registryConfig())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first, err := c.leadingMaster(ctx, -1)
	if err != nil {
		t.Fatal(err)
	}
	lead, err := c.Node(first).Group("registry").Master().Leading()
	if err != nil {
		t.Fatal(err)
	}
	c.Isolate(first)
	if _, err := c.leadingMaster(ctx, first); err != nil {
		t.Fatal(err)
	}
	answers, err := lead.Operate(ctx, mesos.SetWeight{Role: "r", Weight: 2000})
	if not, is := errors.AsType[*master.NotLeadingError](err); err == nil || !is && !errors.Is(err, master.ErrUnknownOutcome) {
		t.Errorf("a deposed master: %+v, %v, %v", answers, err, not)
	}
	select {
	case <-lead.Done():
	case <-ctx.Done():
		t.Error("a deposed master goes on")
	}
}

// A cluster that was founded by a version without masters gets the registry from the node
// that has founded it, when that is started again, and the others join.
func TestAGroupThatIsNewToAClusterIsFoundedByItsFounder(t *testing.T) {
	old := GroupConfig{Name: "g", Engine: Raft, New: registryConfig().New}
	c := Local(t, 3, old)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c.groups = []GroupConfig{old, registryConfig()}
	for _, i := range []int{2, 1, 0} { // one after the other, the founder last
		c.Kill(i)
		if err := c.Restart(ctx, i); err != nil {
			t.Fatal(err)
		}
		for j := range 3 { // the old group goes on
			if _, _, err := c.Leader(ctx, "g"); err != nil {
				t.Fatal(j, err)
			}
		}
	}
	if _, err := c.leadingMaster(ctx, -1); err != nil {
		t.Fatal(err)
	}
	if err := c.waitVoters(ctx, 3); err != nil {
		t.Fatal(err)
	}
}
