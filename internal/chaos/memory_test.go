package chaos

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	writesFlag  = flag.Int("writes", 50_000, "writes of the memory drills; the full drill takes 1,000,000")
	clientsFlag = flag.Int("clients", 1000, "clients of the overload drill; the full drill takes 4,000")
)

// The most that a node may hold with default settings and little state. It is the
// sum of what is bounded: 64 MiB each of proposals that wait, of entries that are
// not committed, of log since the last snapshot and as much again while that is
// written, of events for watches and of remembered requests; a second picture of the
// tree while a snapshot is written; twice that for the garbage collector.
const (
	memoryCap = 1 << 30
	// overloadCap: also 64 MiB of bodies that are being written, in up to three
	// copies, and 32 KiB for each of 4,000 connections.
	overloadCap = memoryCap + 2*(3*64<<20+128<<20)
)

// fullWrites is from how many writes on memory must have stopped growing: every
// bound that is counted in entries has been reached by half of them.
const fullWrites = 1_000_000

// memories are what each node holds now.
func (c *Cluster) memories() (list []Memory) {
	for _, node := range c.Nodes {
		list = append(list, node.Process().Memory())
	}
	return list
}

func showMemory(list []Memory) string {
	var text []string
	for _, m := range list {
		text = append(text, fmt.Sprintf("%d (most %d)", m.Now>>20, m.Most>>20))
	}
	return strings.Join(text, ", ") + " MiB"
}

// drive waits until the load has had n writes acknowledged and looks at the
// nodes at each tenth of the way.
func drive(t *testing.T, c *Cluster, l *Load, n int, look func(tenth int)) {
	t.Helper()
	began := time.Now()
	for tenth := 1; tenth <= 10; tenth++ {
		err := poll(10*time.Minute, func() error {
			if err := c.Unplanned(); err != nil {
				return fatal{err}
			}
			if done := l.Acknowledged(); done < n*tenth/10 {
				return fmt.Errorf("%d of %d writes acknowledged", done, n)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%v; %v", err, l.Result())
		}
		look(tenth)
	}
	t.Logf("%d writes in %v", n, time.Since(began).Round(time.Second))
}

// equal fails the test unless the nodes end with the same state.
func equal(t *testing.T, c *Cluster, limit time.Duration) {
	t.Helper()
	if _, err := c.WaitEqual(t.Context(), limit); err != nil {
		t.Error(err)
	}
}

func TestMemoryOverManyWrites(t *testing.T) {
	c := smallCluster(t, 3, nil)
	t.Logf("at the start: %s", showMemory(c.memories()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := StartLoad(ctx, LoadConfig{Dial: c.config.Host.Dial, Addresses: c.all(), Clients: 64, Keys: 1000, ValueBytes: 128, Prefix: "memory"})
	series := make([][]int64, len(c.Nodes))
	drive(t, c, load, *writesFlag, func(tenth int) {
		now := c.memories()
		for n, m := range now {
			series[n] = append(series[n], m.Now)
		}
		t.Logf("%3d %%: %s", tenth*10, showMemory(now))
	})
	cancel()
	load.Wait()
	equal(t, c, 30*time.Second)
	t.Logf("at the end: %s", showMemory(c.memories()))
	for n, m := range c.memories() {
		if m.Most > memoryCap {
			t.Errorf("%s took %d MiB, at most %d are expected", c.Nodes[n].Name, m.Most>>20, memoryCap>>20)
		}
		second, last := slices.Max(series[n][2:5]), slices.Max(series[n][7:])
		if *writesFlag >= fullWrites && last > second*3/2 {
			t.Errorf("%s goes on growing: %d MiB in the second quarter, %d in the last", c.Nodes[n].Name, second>>20, last>>20)
		}
	}
}

func TestMemoryUnderOverload(t *testing.T) {
	c := smallCluster(t, 3, nil)
	overload := 10 * time.Second
	if *minutesFlag > 0 {
		overload = time.Duration(*minutesFlag * float64(time.Minute))
	}
	ctx, cancel := context.WithTimeout(t.Context(), overload)
	defer cancel()
	load := StartLoad(ctx, LoadConfig{Dial: c.config.Host.Dial, Addresses: c.all(), Clients: *clientsFlag, Keys: 16, ValueBytes: 1 << 20, Prefix: "memory"})
	load.Wait()
	result := load.Result()
	t.Logf("%d clients with 1 MiB values for %v: %v", *clientsFlag, overload, result)
	t.Logf("memory: %s", showMemory(c.memories()))
	if err := c.Unplanned(); err != nil {
		t.Fatal(err)
	}
	if result.Refused["429 E-OVERLOADED"] == 0 {
		t.Error("void: nothing was refused as overloaded")
	}
	// A refusal does not read the body first, which would cost half of the writes
	// that are taken: a client that still sends may find the connection reset.
	cut := 0
	for reason, n := range result.Unknown {
		if strings.Contains(reason, "reset") || strings.Contains(reason, "broken pipe") {
			cut += n
		}
	}
	if refused := result.Refused["429 E-OVERLOADED"]; cut > refused/10 {
		t.Errorf("%d requests were cut off and %d refused with an answer", cut, refused)
	}
	if result.Rude > 0 {
		t.Errorf("%d refusals do not say when to try again", result.Rude)
	}
	for n, m := range c.memories() {
		if m.Most > overloadCap {
			t.Errorf("%s took %d MiB, at most %d are expected", c.Nodes[n].Name, m.Most>>20, overloadCap>>20)
		}
	}
	write(t, c, "after", "1", 10*time.Second)
	equal(t, c, 60*time.Second)
}
