package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var gibFlag = flag.Float64("gib", 0.25, "GiB of log, or of state, that a node of the restart drills holds; the full drill takes 1")

// The most time that a start may take, and the most that it may say nothing.
const (
	startBase    = 30 * time.Second
	startPerGiB  = 25 * time.Second
	startSilence = 5 * time.Second // a line is told each second
)

// startWatch is what was seen of a node from the start of its process until it
// serves.
type startWatch struct {
	live, ready, served time.Duration
	slowestLive         time.Duration   // answer of /livez, from the first on
	reasons             map[string]bool // what /readyz?verbose named, without figures
	silence             time.Duration   // longest between two lines of the log
	stages              map[string]int  // lines "recovering", by stage
	memory              Memory
}

func (w startWatch) String() string {
	return fmt.Sprintf("live after %v (slowest answer %v), ready after %v, serves after %v; at most %v without a line, %v; memory %s",
		w.live.Round(time.Millisecond), w.slowestLive.Round(time.Millisecond), w.ready.Round(time.Millisecond),
		w.served.Round(time.Millisecond), w.silence.Round(time.Millisecond), w.stages, showMemory([]Memory{w.memory}))
}

// restart kills node 0, has the kernel forget what it has read of its files, starts
// it again and watches.
func restart(t *testing.T, c *Cluster) (w startWatch) {
	t.Helper()
	node := c.Nodes[0]
	c.Kill(0)
	if err := forgetPages(node.Dir); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(node.Log)
	if err != nil {
		t.Fatal(err)
	}
	w.reasons, w.stages = map[string]bool{}, map[string]int{}
	began := time.Now()
	if err := c.Start(0); err != nil {
		t.Fatal(err)
	}
	limit := startBase + time.Duration(*gibFlag*float64(startPerGiB))
	silent := 0
	err = poll(limit, func() error {
		if err := c.Unplanned(); err != nil {
			return fatal{err}
		}
		asked := time.Now()
		if _, _, err := fetch(t.Context(), c, "/livez"); err != nil {
			if silent++; w.live > 0 && silent > 2 {
				return fatal{fmt.Errorf("/livez answers no more: %w", err)}
			}
			return err
		}
		silent = 0
		if w.live == 0 {
			w.live = time.Since(began)
		}
		w.slowestLive = max(w.slowestLive, time.Since(asked))
		status, text, err := fetch(t.Context(), c, "/readyz?verbose")
		if err != nil {
			return fatal{fmt.Errorf("/readyz: %w", err)}
		}
		if status == http.StatusOK {
			w.ready = time.Since(began)
			return nil
		}
		for line := range lines(text) {
			if reason, found := strings.CutPrefix(line, "[-] "); found {
				_, reason, _ = strings.Cut(reason, ": ")
				reason, _, _ = strings.Cut(reason, ": ")
				reason, _, _ = strings.Cut(reason, " (since")
				w.reasons[reason] = true
			}
		}
		return fmt.Errorf("not ready: %s", text)
	})
	if err != nil {
		t.Fatalf("restart: %v (%v)", err, w)
	}
	o := Operation{Kind: Get, Level: LevelLinearizable, Key: "marker"}
	err = poll(limit, func() error {
		if c.HTTP.Do(t.Context(), node.API, &o); o.Outcome != Done || o.Value != "1" {
			return fmt.Errorf("%v", &o)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("read after the restart: %v", err)
	}
	w.served, w.memory = time.Since(began), node.Process().Memory()
	w.readLog(t, node.Log, before.Size(), began)
	return w
}

// fetch gets path from node 0.
func fetch(ctx context.Context, c *Cluster, path string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Nodes[0].API+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := c.HTTP.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// readLog looks at what the node wrote since from, up to the line that it is ready.
func (w *startWatch) readLog(t *testing.T, name string, from int64, began time.Time) {
	t.Helper()
	err := poll(10*time.Second, func() error {
		text, err := os.ReadFile(name)
		if err != nil {
			return fatal{err}
		}
		last := began
		w.silence = 0
		clear(w.stages)
		for line := range lines(string(text[from:])) {
			var event struct {
				Time       time.Time
				Msg, Stage string
				Group      string
			}
			if json.Unmarshal([]byte(line), &event) != nil {
				continue // the line that the harness wrote
			}
			w.silence, last = max(w.silence, event.Time.Sub(last)), event.Time
			switch event.Msg {
			case "recovering":
				w.stages[event.Stage]++
			case "log recovered":
				w.stages[event.Msg]++
			case "replica recovered":
				w.stages[event.Msg+" of "+event.Group]++
			case "ready":
				return nil
			}
		}
		return errors.New("no line that it is ready")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// judge fails the test unless the node was quick, spoke, and named each reason.
func (w startWatch) judge(t *testing.T, reasons ...string) {
	t.Helper()
	t.Log(w)
	if w.silence > startSilence {
		t.Errorf("the node says nothing for %v while it starts, at most %v are allowed", w.silence, startSilence)
	}
	for _, reason := range reasons {
		if !w.reasons[reason] {
			t.Errorf("/readyz?verbose never said %q but %v", reason, w.reasons)
		}
	}
	for _, event := range []string{"log recovered", "replica recovered of coordination"} {
		if w.stages[event] != 1 {
			t.Errorf("%d lines %q, want one", w.stages[event], event)
		}
	}
	if w.slowestLive > requestLimit {
		t.Errorf("/livez takes %v while the node starts", w.slowestLive)
	}
}

// forgetPages has the kernel drop what it holds of the files below dir, as after
// a reboot.
func forgetPages(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	})
}

// fill has n values of 1 MiB written to as many keys as keys says.
func fill(t *testing.T, c *Cluster, n, keys int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const clients = 8
	load := StartLoad(ctx, LoadConfig{Dial: c.config.Host.Dial, Addresses: c.all(), Clients: clients, Keys: keys, ValueBytes: 1 << 20, Prefix: "restart"})
	drive(t, c, load, n+clients, func(int) {})
	cancel()
	load.Wait()
	if result := load.Result(); len(result.Refused)+len(result.Unknown) > 0 {
		t.Logf("the load was disturbed: %v", result)
	}
	write(t, c, "marker", "1", 30*time.Second)
}

// loneNode is a cluster of one that takes snapshots only when it is told to.
func loneNode(t *testing.T) *Cluster {
	return smallCluster(t, 1, func(c *ClusterConfig) {
		c.Arguments = func(s NodeSpec) []string { return append(NodeArguments(s), "--snapshot-mib", "4096") }
	})
}

func TestRestartWithALongLog(t *testing.T) {
	c := loneNode(t)
	n := int(*gibFlag * 1024)
	fill(t, c, n, 64)
	// A snapshot that the node takes of its own accord when the log has grown long
	// lets nothing go before there is a second one.
	held, err := DiskBytes(filepath.Join(c.Nodes[0].Dir, "wal"))
	if err != nil || held < int64(n)<<20 {
		t.Fatalf("void: %d MiB of log, %v, want %d", held>>20, err, n)
	}
	restart(t, c).judge(t, "reading the log", "replaying the log")
}

func TestRestartWithALargeSnapshot(t *testing.T) {
	c := loneNode(t)
	n := min(int(*gibFlag*1024), 1020) // the tree takes 1 GiB, names and all
	fill(t, c, n, n)
	// The second snapshot lets go of the log before the first one.
	for range 2 {
		began := time.Now()
		err := poll(time.Minute, func() error { // the node may be taking one of its own accord
			if err := c.Unplanned(); err != nil {
				return fatal{err}
			}
			return post(t.Context(), c, "/v1/snapshot")
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("snapshot taken in %v", time.Since(began).Round(time.Millisecond))
		write(t, c, "marker", "1", 10*time.Second)
	}
	names, err := filepath.Glob(filepath.Join(c.Nodes[0].Dir, "snapshots", fmt.Sprintf("%08x-*.snap", groupNumber("coordination"))))
	if err != nil || len(names) != 2 {
		t.Fatalf("snapshots %v, %v, want two", names, err)
	}
	newest, err := os.Stat(slices.Max(names))
	if err != nil || newest.Size() < int64(n)<<20 {
		t.Fatalf("void: the snapshot has %d bytes, %v, want %d MiB", newest.Size(), err, n)
	}
	restart(t, c).judge(t, "restoring a snapshot")
}

// post asks node 0 for an action that may take a minute.
func post(ctx context.Context, c *Cluster, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Nodes[0].API+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Synod-Timeout", "60s")
	response, err := c.HTTP.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("POST %s: %s %s", path, response.Status, body)
	}
	return err
}
