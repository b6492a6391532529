package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var logFlag = flag.Int("logmib", 384, "MiB of log that are written while a follower is stopped; the full drill takes 4096")

// stoppedDrill is a cluster one follower of which does not take part.
type stoppedDrill struct {
	t           *testing.T
	cluster     *Cluster
	follower    int
	snapshotMiB int
}

// The load of the drill: 64 KiB values into 16 MiB of state.
const (
	stoppedValue = 64 << 10
	stoppedKeys  = 256
	// historyBytes is what a snapshot holds besides the state: events for watches.
	historyBytes = 64 << 20
)

// catchUp is how much log a leader keeps in memory for a follower.
func (d *stoppedDrill) catchUp() int64 { return 4 * int64(d.snapshotMiB) << 20 }

// logCap is the most log in memory: what is kept for a follower, and what gathers
// until the next snapshot is durable.
func (d *stoppedDrill) logCap() int64 { return d.catchUp() + d.interval() }

// interval is the most log from one snapshot to the next: while one is written,
// twice as much is appended again.
func (d *stoppedDrill) interval() int64 { return 3 * int64(d.snapshotMiB) << 20 }

// diskCap is the most that a node may hold on disk: two snapshots, one that is
// being written and one that is being sent; the log behind the older one, rounded up
// to segments; a segment each that is prepared, spare and in reserve; and two more until the
// registry, in which nothing happens, has let go of them.
func (d *stoppedDrill) diskCap() int64 {
	const segment = 64 << 20
	return 4*(stoppedKeys*(stoppedValue+512)+historyBytes) + 2*d.interval() + segment + 3*segment + 2*segment
}

// running are the nodes that take part.
func (d *stoppedDrill) running() (list []*Node) {
	for n, node := range d.cluster.Nodes {
		if n != d.follower {
			list = append(list, node)
		}
	}
	return list
}

// burden writes -logmib of log and looks at the running nodes meanwhile. It
// returns the most log that a leader had in memory.
func (d *stoppedDrill) burden() (most int64) {
	d.t.Helper()
	var addresses []string
	for _, node := range d.running() {
		addresses = append(addresses, node.API)
	}
	before := d.snapshots()
	ctx, cancel := context.WithCancel(d.t.Context())
	defer cancel()
	load := StartLoad(ctx, LoadConfig{Dial: d.cluster.config.Host.Dial, Addresses: addresses, Clients: 16,
		Keys: stoppedKeys, ValueBytes: stoppedValue, Prefix: "stopped"})
	disk := int64(0)
	drive(d.t, d.cluster, load, *logFlag<<20/stoppedValue, func(int) {
		for _, node := range d.running() {
			held, err := node.HeldBytes()
			if err != nil {
				d.t.Fatal(err)
			}
			disk = max(disk, held)
			status, err := d.cluster.Status(d.t.Context(), node.Number)
			if err == nil { // a busy node may be late; there are ten looks at each
				most = max(most, status.LogBytes)
			}
			if held > d.diskCap() {
				d.t.Errorf("%s takes %d MiB of disk, at most %d are expected", node.Name, held>>20, d.diskCap()>>20)
			}
			if m := node.Process().Memory(); m.Most > memoryCap {
				d.t.Errorf("%s took %d MiB of memory, at most %d are expected", node.Name, m.Most>>20, memoryCap>>20)
			}
		}
	})
	cancel()
	load.Wait()
	after := d.snapshots()
	taken := 0
	for n := range after {
		taken += after[n] - before[n]
	}
	d.t.Logf("%d MiB of log: memory %s; log in memory at most %d MiB (%d allowed), disk at most %d MiB (%d allowed); %d snapshots",
		*logFlag, showMemory(d.cluster.memories()), most>>20, d.logCap()>>20, disk>>20, d.diskCap()>>20, taken)
	if most > d.logCap() {
		d.t.Errorf("the log takes %d MiB of memory, at most %d are expected", most>>20, d.logCap()>>20)
	}
	if taken < 3*len(after) {
		d.t.Errorf("void: %d snapshots were taken, at least three a node are wanted", taken)
	}
	return most
}

// snapshots counts the snapshots that each running node says it has taken.
func (d *stoppedDrill) snapshots() (counts []int) {
	for _, node := range d.running() {
		text, err := os.ReadFile(node.Log)
		if err != nil {
			d.t.Fatal(err)
		}
		counts = append(counts, strings.Count(string(text), `"msg":"snapshot taken"`))
	}
	return counts
}

// goesOn lets the follower in again and waits until all are equal.
func (d *stoppedDrill) goesOn(again func() error) {
	d.t.Helper()
	if err := again(); err != nil {
		d.t.Fatal(err)
	}
	began := time.Now()
	equal(d.t, d.cluster, 2*time.Minute)
	d.t.Logf("the follower has caught up after %v; memory %s", time.Since(began).Round(10*time.Millisecond), showMemory(d.cluster.memories()))
	if err := d.cluster.Unplanned(); err != nil {
		d.t.Fatal(err)
	}
}

// awaitTransfer waits until the follower has begun to receive a snapshot.
func (d *stoppedDrill) awaitTransfer() {
	d.t.Helper()
	pattern := filepath.Join(d.cluster.Nodes[d.follower].Dir, "snapshots", "*.part")
	err := poll(30*time.Second, func() error {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return fatal{err}
		}
		if !slices.ContainsFunc(names, func(name string) bool {
			info, err := os.Stat(name)
			return err == nil && info.Size() > 1<<20
		}) {
			return fmt.Errorf("no snapshot of at least 1 MiB in %s", pattern)
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

func TestMemoryWithAStoppedFollower(t *testing.T) {
	d := &stoppedDrill{snapshotMiB: min(64, max(1, *logFlag/16))}
	d.cluster = smallCluster(t, 3, func(c *ClusterConfig) {
		c.Arguments = func(s NodeSpec) []string {
			return append(NodeArguments(s), "--snapshot-mib", fmt.Sprint(d.snapshotMiB))
		}
	})
	// Until all have the last change of the voters, Raft needs the first two of them: a
	// write may come before the second half of that change, the next one does not.
	for range 2 {
		write(t, d.cluster, "before", "1", 10*time.Second)
	}
	equal(t, d.cluster, 10*time.Second)
	leader, err := d.cluster.WaitLeader(t.Context(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	d.follower = (leader + 1) % len(d.cluster.Nodes)
	start := func() error { return d.cluster.Start(d.follower) }
	resume := func() error { d.cluster.Resume(d.follower); return nil }
	step := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			d.t = t
			f(t)
		})
	}
	step("paused", func(*testing.T) {
		d.cluster.Pause(d.follower)
		d.burden()
		d.goesOn(resume)
	})
	step("killed", func(*testing.T) {
		d.cluster.Kill(d.follower)
		d.burden()
		d.goesOn(start)
	})
	// The leader keeps log for a transfer under way: here the bound on that counts.
	step("paused-in-a-transfer", func(t *testing.T) {
		d.cluster.Kill(d.follower)
		d.burden()
		if err := start(); err != nil {
			t.Fatal(err)
		}
		d.awaitTransfer()
		d.cluster.Pause(d.follower)
		if most := d.burden(); most < d.catchUp()/2 {
			t.Errorf("void: the leader kept %d MiB of log for the transfer, so that the bound of %d was not put to the test",
				most>>20, d.catchUp()>>20)
		}
		d.goesOn(func() error { return errors.Join(d.cluster.Unplanned(), resume()) })
	})
}
