package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// copyOf copies a node's directory under another name. A running node may rename a
// file meanwhile; then the copy is made anew.
func copyOf(c *Cluster, n int, name string) (string, error) {
	dir := filepath.Join(c.config.Dir, name)
	return dir, poll(10*time.Second, func() error {
		err := os.CopyFS(dir, os.DirFS(c.Nodes[n].Dir))
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			err = fatal{err}
		}
		return errors.Join(err, os.RemoveAll(dir))
	})
}

// A copy of a voter's directory, started beside the original, has its identity: it
// ends with a clear error, at each start. The original does not notice, whether it leads
// or not, and whether the copy was taken while it ran or while it was down.
func TestACopiedDirectoryDoesNoHarm(t *testing.T) {
	c := smallCluster(t, 3, nil)
	write(t, c, "before", "1", 10*time.Second)
	copies := 0
	for _, test := range []struct {
		after   int // so many nodes after the leader
		running bool
	}{{0, true}, {1, true}, {2, false}} {
		for try := 1; ; try++ {
			leader, err := c.WaitLeader(t.Context(), 15*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			copies++
			copied(t, c, (leader+test.after)%3, test.running, copies)
			now, err := c.WaitLeader(t.Context(), 15*time.Second)
			if err == nil && now == leader {
				break
			}
			// A disk that stands still for a moment deposes a leader too, but not each time.
			if t.Logf("%d leads, %v; before the copy it was %d", now, err, leader); err != nil || try == 5 {
				t.Fatal("a copy disturbs the leader")
			}
		}
	}
}

// copied starts a copy of a node's directory beside it, number i of those of a test, from when it ran or was down.
func copied(t *testing.T, c *Cluster, node int, running bool, i int) {
	t.Helper()
	if !running {
		c.Kill(node)
	}
	name := fmt.Sprintf("copy%0*d", i, i) // its length is part of its address
	dir, err := copyOf(c, node, name)
	if !running {
		err = errors.Join(err, c.Start(node), c.WaitHealthy(t.Context(), 15*time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 { // so that the original is further than the copy, and then not
		if i > 1 {
			write(t, c, "before", fmt.Sprint(n), 10*time.Second)
		}
	}
	spec := extra(c, name, dir)
	spec.Name = c.Nodes[node].Name
	for range 2 { // without TLS a refusal does not mark the directory
		refused(t, c, name, NodeArguments(spec), 1, "E-LOST", "refuses node "+spec.Name, "data directory is", "mv "+dir)
	}
	for n := range 50 {
		write(t, c, "during", fmt.Sprint(n), 10*time.Second)
	}
	if err := errors.Join(c.Unplanned(), c.WaitHealthy(t.Context(), 15*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// An older copy in the place of a directory that has acknowledged more since ends
// with a clear error, also in a later term and with another leader; what it says
// to do about it works, and nothing is lost.
func TestAnOlderCopyIsRefusedAndItsCureWorks(t *testing.T) {
	for _, ofLeader := range []bool{false, true} {
		c := smallCluster(t, 3, nil)
		n, err := c.WaitLeader(t.Context(), 15*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if !ofLeader {
			n = (n + 1) % 3
		}
		name := fmt.Sprintf("older%v", ofLeader)
		harmed(t, c, n, func() error {
			c.Kill(n)
			older, err := copyOf(c, n, name)
			if err := errors.Join(err, c.Start(n), c.WaitHealthy(t.Context(), 30*time.Second)); err != nil {
				return err
			}
			for begun := time.Now(); time.Since(begun) < time.Second; { // so that all have heard of it
				write(t, c, "after", fmt.Sprint(time.Since(begun)), 10*time.Second)
			}
			c.Kill(n)
			if err := errors.Join(os.RemoveAll(c.Nodes[n].Dir), os.Rename(older, c.Nodes[n].Dir)); err != nil {
				return err
			}
			if other, err := c.WaitLeader(t.Context(), 15*time.Second); err != nil || other == n {
				return fmt.Errorf("%d leads, %w", other, err)
			} else if !ofLeader { // its successor has not heard from the old leader what n had acknowledged
				c.Kill(other)
				if err := c.Start(other); err != nil {
					return err
				}
			}
			refused(t, c, name, NodeArguments(c.Nodes[n].NodeSpec), 1, "E-LOST", "refuses node "+c.Nodes[n].Name, "older copy", "mv "+c.Nodes[n].Dir)
			return cure(t, c, n, name)
		})
		if err := c.Unplanned(); err != nil {
			t.Error(err)
		}
	}
}
