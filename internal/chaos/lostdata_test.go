package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// harmed lets clients work on all nodes before, during and after harm, waits until
// the cluster is whole again, and fails unless nothing acknowledged is lost, no read
// was stale, and node n is a new member in its old place.
func harmed(t *testing.T, c *Cluster, n int, harm func() error) {
	t.Helper()
	name := c.Nodes[n].Name
	before, err := c.members(t, n)
	if err != nil {
		t.Fatal(err)
	}
	prefix := "kept" + before[name] // registers of its own each time
	config := WorkloadConfig{Seed: seed(), Prefix: prefix, Dial: c.config.Host.Dial}
	for _, node := range c.Nodes {
		config.Addresses, config.Names = append(config.Addresses, node.API), append(config.Names, node.Name)
	}
	recorder := NewRecorder()
	w := StartWorkload(t.Context(), config, recorder)
	defer w.Stop()
	for _, step := range []func() error{
		func() error { return waitWrites(recorder, 200, 20*time.Second) },
		harm,
		func() error { return poll(30*time.Second, func() error { return c.renewed(t, n, before[name]) }) },
		func() error { return c.WaitHealthy(t.Context(), 30*time.Second) },
		func() error { return waitWrites(recorder, 200, 20*time.Second) },
	} {
		if err := step(); err != nil {
			t.Error(err)
			break
		}
	}
	w.Stop()
	if _, err := c.WaitEqual(t.Context(), 20*time.Second); err != nil {
		t.Error(err)
	}
	final, err := c.listed(t.Context(), n, prefix)
	if err != nil {
		t.Fatal(err)
	}
	history := recorder.History()
	verdict, err := Linearizable(t.Context(), history, Judge{Time: 10 * time.Second})
	if violations := Witness(history, final); err != nil || verdict.Result != "Ok" || len(violations) > 0 {
		t.Errorf("porcupine %+v, %v; witness %v", verdict, err, violations)
	}
}

// renewed returns nil when node n is a voter under another id than before, and
// no others vote than the nodes of c.
func (c *Cluster) renewed(t *testing.T, n int, before string) error {
	name := c.Nodes[n].Name
	now, err := c.members(t, (n+1)%len(c.Nodes))
	if err == nil && (len(now) != len(c.Nodes) || now[name] == before) {
		err = fmt.Errorf("voters %v, want %s under another id than %s", now, name, before)
	}
	return err
}

// members are the ids of the members that vote by name, as node n knows them.
func (c *Cluster) members(t *testing.T, n int) (map[string]string, error) {
	var answer struct {
		Members []struct {
			Name, ID string
			Voter    bool
		} `json:"members"`
	}
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	err := c.HTTP.JSON(ctx, c.Nodes[n].API, "/v1/members?local", &answer)
	ids := map[string]string{}
	for _, m := range answer.Members {
		if m.Voter {
			ids[m.Name] = m.ID
		}
	}
	return ids, err
}

// A node whose directory has gone is started with the flags that it has always had,
// the founder with --bootstrap and --join.
func TestStartingWithoutItsDataDoesNoHarm(t *testing.T) {
	c := smallCluster(t, 3, nil)
	for _, n := range []int{0, 1, 0} {
		harmed(t, c, n, func() error {
			c.Kill(n)
			return errors.Join(os.RemoveAll(c.Nodes[n].Dir), c.Start(n))
		})
	}
}

var (
	moveAway = regexp.MustCompile(`mv (\S+) (\S+)`)
	joinThem = regexp.MustCompile(`without --bootstrap and with --join (\S+): `)
)

// cure does what a node that does not start has written: it moves the directory and
// starts the node with other flags.
func cure(t *testing.T, c *Cluster, n int, log string) error {
	t.Helper()
	out, err := os.ReadFile(filepath.Join(c.config.Dir, log+".log"))
	if err != nil {
		return err
	}
	move, join := moveAway.FindSubmatch(out), joinThem.FindSubmatch(out)
	if move == nil || join == nil || string(move[1]) != c.Nodes[n].Dir {
		return fmt.Errorf("no advice to move %s and to join the others in\n%s", c.Nodes[n].Dir, out)
	}
	if err := exec.Command("mv", string(move[1]), string(move[2])).Run(); err != nil {
		return err
	}
	node := c.Nodes[n]
	node.Bootstrap = false
	if seeds := strings.Split(string(join[1]), ","); !strings.Contains(string(join[1]), "GOSSIP") {
		node.Join = seeds
	}
	return c.Start(n)
}

func TestADamagedLogIsRefusedAndItsCureWorks(t *testing.T) {
	c := smallCluster(t, 3, nil)
	const canary = "a value in the middle of the log"
	write(t, c, "canary", canary, 10*time.Second)
	for i := range 50 {
		write(t, c, "after", fmt.Sprint(i), 10*time.Second)
	}
	harmed(t, c, 0, func() error {
		c.Kill(0)
		logs, err := filepath.Glob(filepath.Join(c.Nodes[0].Dir, "wal", "*.log"))
		if err != nil {
			return err
		}
		flipped := slices.ContainsFunc(logs, func(name string) bool {
			data, err := os.ReadFile(name)
			at := bytes.Index(data, []byte(canary))
			if err != nil || at < 0 {
				return false
			}
			data[at] ^= 1
			return os.WriteFile(name, data, 0o600) == nil
		})
		if !flipped {
			return fmt.Errorf("%q is in none of %q", canary, logs)
		}
		refused(t, c, "damaged", NodeArguments(c.Nodes[0].NodeSpec), 1, "E-DAMAGE", "inspect wal "+c.Nodes[0].Dir)
		return cure(t, c, 0, "damaged")
	})
}

// With --bootstrap alone a node without its data can ask nobody: the others find it.
func TestASecondFounderStaysOut(t *testing.T) {
	c := smallCluster(t, 3, nil)
	// Until the others have the last change of the voters, they need n1 for a quorum.
	write(t, c, "before", "1", 10*time.Second)
	if _, err := c.WaitEqual(t.Context(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	others := c.Nodes[0].Join
	c.Nodes[0].Join = nil
	c.Kill(0)
	if err := os.RemoveAll(c.Nodes[0].Dir); err != nil {
		t.Fatal(err)
	}
	for _, start := range []string{"second", "again"} {
		refused(t, c, start, NodeArguments(c.Nodes[0].NodeSpec), 1, "E-CLUSTER", "it has founded a second cluster")
	}
	c.Nodes[0].Join = others
	if err := errors.Join(cure(t, c, 0, "again"), c.WaitHealthy(t.Context(), 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	write(t, c, "after", "1", 10*time.Second)
}
