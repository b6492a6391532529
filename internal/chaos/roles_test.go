package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// sevenRoles are the members of TestRolesApart, by node number, as they are
// started. The founder has to vote at first.
var sevenRoles = []string{"proposer,acceptor", "proposer", "acceptor", "acceptor", "acceptor", "learner", "learner"}

// sevenAtLast is what they are when the founder votes no more.
var sevenAtLast = []string{"proposer,learner", "proposer,learner", "acceptor", "acceptor", "acceptor", "learner", "learner"}

type apartMember struct {
	Name  string   `json:"name"`
	ID    string   `json:"id"`
	Voter bool     `json:"voter"`
	Roles []string `json:"paxos_roles"`
}

// apartMembers are the members as node n knows them, in the order of the nodes; those
// that it does not know as members have no id.
func (c *Cluster) apartMembers(ctx context.Context, n int) ([]apartMember, error) {
	var answer struct {
		Members []apartMember `json:"members"`
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	err := c.HTTP.JSON(ctx, c.Nodes[n].API, "/v1/members?local", &answer)
	members := make([]apartMember, len(c.Nodes))
	for i, node := range c.Nodes {
		for _, m := range answer.Members {
			if m.Name == node.Name && (members[i].ID == "" || m.Voter) && len(m.Roles) > 0 {
				members[i] = m
			}
		}
	}
	return members, err
}

// waitRoles waits until node n knows its members in their roles.
func (c *Cluster) waitRoles(ctx context.Context, n int, want []string) error {
	return poll(30*time.Second, func() error {
		members, err := c.apartMembers(ctx, n)
		for i, m := range members {
			if got := strings.Join(m.Roles, ","); err == nil && got != want[i] {
				err = fmt.Errorf("chaos: %s is known as %q, want %q", c.Nodes[i].Name, got, want[i])
			}
		}
		return err
	})
}

// changeMember asks node at, which is up, for a change until it is done.
func (c *Cluster) changeMember(ctx context.Context, at int, action, name string) error {
	return poll(30*time.Second, func() error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Nodes[at].API+"/v1/members/"+action+"?name="+name, nil)
		if err != nil {
			return fatal{err}
		}
		response, err := c.HTTP.client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var failure wireError
		if err := json.NewDecoder(response.Body).Decode(&failure); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("chaos: %s %s: %s %s %s", action, name, response.Status, failure.Code, failure.Message)
		}
		return nil
	})
}

// waitLearned waits until the given nodes, which run the state machine, have applied
// the same, and compares their digests.
func (c *Cluster) waitLearned(ctx context.Context, nodes ...int) error {
	return poll(30*time.Second, func() error {
		var first NodeStatus
		for i, n := range nodes {
			status, err := c.Status(ctx, n)
			switch {
			case err != nil:
				return err
			case i == 0:
				first = status
			case status.Applied != first.Applied || status.Digest.Index != first.Digest.Index:
				return fmt.Errorf("chaos: %s has applied %d, %s %d", status.Node, status.Applied, first.Node, first.Applied)
			case status.Digest != first.Digest:
				return fatal{fmt.Errorf("chaos: digests differ: %s %+v, %s %+v", status.Node, status.Digest, first.Node, first.Digest)}
			}
		}
		return nil
	})
}

// apartArguments are those of a node of TestRolesApart, of which three shall vote.
func apartArguments(s NodeSpec) []string {
	s.Voters = 3
	roles := sevenRoles[s.Name[1]-'1']
	if s.Name == "n1" && !s.Bootstrap { // it has been demoted
		roles = "proposer"
	}
	return append(NodeArguments(s), "--roles", roles, "--snapshot-mib", "1")
}

// waitApart waits until all nodes know one leader and three voters.
func (c *Cluster) waitApart(ctx context.Context) error {
	return poll(30*time.Second, func() error {
		leader := ""
		for n, node := range c.Nodes {
			status, err := c.Status(ctx, n)
			switch {
			case err != nil:
				return err
			case status.Voters != 3 || status.Leader == "" || leader != "" && leader != status.Leader:
				return fmt.Errorf("chaos: %s knows %d voters and follows %q, not %q", node.Name, status.Voters, status.Leader, leader)
			}
			leader = status.Leader
		}
		return nil
	})
}

// startApart starts two proposers, three witnesses and two learners.
func startApart(t *testing.T) *Cluster {
	t.Helper()
	needs(t, true)
	argv, err := program()
	if err != nil {
		t.Fatalf("build the node: %v", err)
	}
	host, err := NewHost(true)
	if err != nil {
		t.Skipf("needs namespaces: %v", err)
	}
	t.Cleanup(host.Close)
	c := &Cluster{HTTP: NewHTTP(host.Dial), config: ClusterConfig{Program: argv, Engine: enginePaxos, Nodes: len(sevenRoles),
		Dir: runDir(t), Host: host, Arguments: apartArguments}}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.prepare(); err != nil {
		t.Fatal(err)
	}
	for n := range c.Nodes {
		if err := c.Start(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.waitApart(t.Context()); err != nil {
		t.Fatal(err)
	}
	members, err := c.apartMembers(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range members {
		if sevenRoles[i] == "acceptor" && !m.Voter {
			if err := c.changeMember(t.Context(), 0, "promote", c.Nodes[i].Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(c.changeMember(t.Context(), 0, "demote", "n1"), c.waitRoles(t.Context(), 1, sevenAtLast)); err != nil {
		t.Fatal(err)
	}
	c.Nodes[0].Bootstrap = false
	return c
}

// Two proposers, three witnesses and two learners, no two roles in one process but
// that a proposer learns: each process is killed in turn, a witness loses its disk, a
// learner leaves and comes back, all are killed at once. Clients write and read all
// the time, on all nodes.
func TestRolesApart(t *testing.T) {
	c := startApart(t)
	config := WorkloadConfig{Seed: seed(), Prefix: "apart", Clients: 14, Keys: 20, Dial: c.config.Host.Dial}
	for _, node := range c.Nodes {
		config.Addresses, config.Names = append(config.Addresses, node.API), append(config.Names, node.Name)
	}
	recorder := NewRecorder()
	w := StartWorkload(t.Context(), config, recorder)
	defer w.Stop()
	step := func(what string, steps ...func() error) bool {
		for _, f := range append(steps, func() error { return waitWrites(recorder, 60, 30*time.Second) }, c.Unplanned) {
			if err := f(); err != nil {
				t.Errorf("%s: %v", what, err)
				return false
			}
		}
		w.NextEpoch()
		return true
	}
	everybody := []int{0, 1, 2, 3, 4, 5, 6}
	ok := step("at first")
	for n := range c.Nodes {
		ok = ok && step("without "+c.Nodes[n].Name, func() error { c.Kill(n); return nil }) &&
			step("with it again", func() error { return c.Start(n) }, func() error { return c.waitApart(t.Context()) })
	}
	ok = ok && step("a witness without its disk", func() error { return c.losesDisk(t.Context(), 3) }) &&
		step("without a learner", func() error { return c.changeMember(t.Context(), 1, "remove", "n7") }) &&
		step("with it again", func() error { return c.changeMember(t.Context(), 1, "add", "n7") }) &&
		step("all at once", func() error { c.Kill(everybody...); return nil }, func() error {
			var errs []error
			for n := range c.Nodes {
				errs = append(errs, c.Start(n))
			}
			return errors.Join(errs...)
		}, func() error { return c.waitRoles(t.Context(), 5, sevenAtLast) })
	w.Stop()
	if !ok {
		return
	}
	if err := c.waitLearned(t.Context(), 0, 1, 5, 6); err != nil {
		t.Error(err)
	}
	final, err := c.HTTP.List(t.Context(), c.Nodes[6].API, "apart", LevelLinearizable)
	if err != nil {
		t.Fatal(err)
	}
	history := recorder.History()
	verdict, err := Linearizable(t.Context(), history, Judge{Time: 30 * time.Second})
	if violations := Witness(history, final); err != nil || verdict.Result != "Ok" || len(violations) > 0 {
		t.Errorf("porcupine %+v, %v; witness %v", verdict, err, violations)
	}
	counts, _ := recorder.Counts()
	t.Logf("%d operations, %+v", len(history), counts)
	readOnly := func(o Operation) bool {
		return o.Kind == Get && o.Level == LevelSequential && o.Outcome == Done && (o.Node == "n6" || o.Node == "n7")
	}
	if !slices.ContainsFunc(history, readOnly) {
		t.Error("void: no sequential read was answered by a learner")
	}
}

// losesDisk starts node n on an empty directory and waits until it votes in its old
// place, under another id.
func (c *Cluster) losesDisk(ctx context.Context, n int) error {
	before, err := c.apartMembers(ctx, 1)
	if err != nil {
		return err
	}
	c.Kill(n)
	if err := errors.Join(os.RemoveAll(c.Nodes[n].Dir), c.Start(n)); err != nil {
		return err
	}
	return poll(30*time.Second, func() error {
		now, err := c.apartMembers(ctx, 1)
		if err == nil && (!now[n].Voter || now[n].ID == before[n].ID) {
			err = fmt.Errorf("chaos: %s is %+v, want a voter in the place of %s", c.Nodes[n].Name, now[n], before[n].ID)
		}
		return err
	})
}
