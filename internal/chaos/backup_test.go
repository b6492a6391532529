package chaos

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// previousBuild is the commit whose nodes are upgraded in TestARollingUpgradeDoesNoHarm: it knew of no
// masters, backups and forced new configurations.
const previousBuild = "b0f5cee8a8b60be64dae6e0f55c6bb815cd1c977"

// previousProgram builds that commit once.
var previousProgram = sync.OnceValues(func() ([]string, error) {
	if _, err := program(); err != nil { // makes programDir
		return nil, err
	}
	source, err := os.MkdirTemp("", "synod-previous")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(source)
	archive := exec.Command("git", "archive", previousBuild)
	archive.Dir = filepath.Join("..", "..")
	content, err := archive.Output()
	if err == nil {
		err = unpack(content, source)
	}
	if err != nil {
		return nil, fmt.Errorf("no git history that has %s: %w", previousBuild, err)
	}
	binary := filepath.Join(programDir, "previous")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./cmd/node")
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w: %s", previousBuild, err, out)
	}
	return []string{binary}, nil
})

// unpack writes the files of a tar below dir.
func unpack(content []byte, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for in := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case h.Typeflag == tar.TypeDir:
			err = root.MkdirAll(filepath.Clean(h.Name), 0o755)
		case h.Typeflag == tar.TypeReg:
			var data []byte
			if data, err = io.ReadAll(in); err == nil {
				err = root.WriteFile(h.Name, data, 0o644)
			}
		}
		if err != nil {
			return err
		}
	}
}

// loaded starts clients on all nodes of c.
func loaded(t *testing.T, c *Cluster, prefix string) (*Workload, *Recorder) {
	t.Helper()
	config := WorkloadConfig{Seed: seed(), Prefix: prefix, Dial: c.config.Host.Dial}
	for _, node := range c.Nodes {
		config.Addresses, config.Names = append(config.Addresses, node.API), append(config.Names, node.Name)
	}
	recorder := NewRecorder()
	w := StartWorkload(t.Context(), config, recorder)
	t.Cleanup(w.Stop)
	return w, recorder
}

// sound fails unless nothing of a history is lost and no read was stale.
func sound(t *testing.T, c *Cluster, recorder *Recorder, prefix string) {
	t.Helper()
	final, err := c.listed(t.Context(), 0, prefix)
	if err != nil {
		t.Fatal(err)
	}
	history := recorder.History()
	verdict, err := Linearizable(t.Context(), history, Judge{Time: 10 * time.Second})
	if violations := Witness(history, final); err != nil || verdict.Result != "Ok" || len(violations) > 0 {
		t.Errorf("porcupine %+v, %v; witness %v", verdict, err, violations)
	}
	counts, _ := recorder.Counts()
	t.Logf("%d operations, %+v", len(history), counts)
}

// must ends the test at the first step that fails.
func must(t *testing.T, steps ...func() error) {
	t.Helper()
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
}

// runs returns the output of the program with these arguments, in the host of c.
func runs(t *testing.T, c *Cluster, wanted int, args ...string) string {
	t.Helper()
	log := filepath.Join(c.config.Dir, fmt.Sprintf("%s-%d.log", args[0], time.Now().UnixNano()))
	began := time.Now()
	p, err := StartProcess(c.config.Host, nil, args[0], log, append(append([]string(nil), c.config.Program...), args...))
	if err != nil {
		t.Fatal(err)
	}
	code, err := p.Ended(time.Minute)
	out, _ := os.ReadFile(log)
	if err != nil || code != wanted {
		t.Fatalf("%v: exit code %d, %v, want %d\n%s", args, code, err, wanted, out)
	}
	t.Logf("%s %s took %v", args[0], args[1], time.Since(began).Round(time.Millisecond))
	return string(out)
}

// holds fails unless final has, of every key, the last write that was acknowledged before
// the moment given, or a later one.
func holds(t *testing.T, history []Operation, before time.Duration, final Final) {
	t.Helper()
	last, values := map[string]Operation{}, map[uint64]string{}
	removed := map[string]uint64{} // the last index at which a key may have been deleted
	for _, o := range history {
		if o.effect() && o.Return < before && o.Index > last[o.Key].Index {
			last[o.Key] = o
		}
		if o.Kind == Delete && !o.Missed {
			if removed[o.Key] = max(removed[o.Key], o.Index); o.Outcome != Done {
				removed[o.Key] = 1 << 62
			}
		}
		if o.effect() {
			values[o.Index] = o.Value
		}
	}
	there := map[string]Entry{}
	for _, e := range final.Entries {
		there[e.Key] = e
	}
	if len(last) == 0 {
		t.Fatal("nothing was acknowledged before: the run shows nothing")
	}
	for key, o := range last {
		e, found := there[key]
		switch value, known := values[e.Modified]; {
		case !found && removed[key] < o.Index:
			t.Errorf("%q is gone: %v", key, &o)
		case found && e.Modified < o.Index:
			t.Errorf("%q is as of index %d, acknowledged was %v", key, e.Modified, &o)
		case found && known && value != e.Value:
			t.Errorf("%q has %q of index %d, written there was %q", key, e.Value, e.Modified, value)
		}
	}
	t.Logf("%d keys were written before, all are there", len(last))
}

// anew gives the nodes directories of their own in which nothing is.
func (c *Cluster) anew(nodes ...int) {
	for _, n := range nodes {
		c.Nodes[n].Dir += "-new"
		c.Nodes[n].Bootstrap = false
	}
}

// starts starts the nodes, as a step.
func (c *Cluster) starts(nodes ...int) func() error {
	return func() (err error) {
		for _, n := range nodes {
			err = errors.Join(err, c.Start(n))
		}
		return err
	}
}

func TestABackupUnderLoadDoesNoHarmAndHoldsWhatWasAcknowledgedBefore(t *testing.T) {
	c := smallCluster(t, 3, nil)
	healthy := func() error { return c.WaitHealthy(t.Context(), 40*time.Second) }
	w, recorder := loaded(t, c, "before")
	must(t, func() error { return waitWrites(recorder, 500, 30*time.Second) })
	began, file := recorder.Now(), filepath.Join(c.config.Dir, "backup")
	runs(t, c, 0, "snapshot", "save", file, "--addr", c.Nodes[1].API, "--timeout", "30s")
	must(t, func() error { return waitWrites(recorder, 200, 30*time.Second) })
	w.Stop()
	sound(t, c, recorder, "before")

	c.Kill(0, 1, 2)
	c.anew(0, 1, 2)
	runs(t, c, 0, "snapshot", "restore", file, "--data", c.Nodes[0].Dir, "--name", c.Nodes[0].Name)
	restarted := time.Now()
	must(t, c.starts(0, 1, 2), healthy)
	t.Logf("three voters %v after the start", time.Since(restarted).Round(time.Millisecond))
	final, err := c.listed(t.Context(), 2, "before")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, recorder.History(), began, final)
	w, recorder = loaded(t, c, "after")
	must(t, func() error { return waitWrites(recorder, 200, 30*time.Second) })
	w.Stop()
	sound(t, c, recorder, "after")
}

func TestASurvivorIsMadeAClusterAndTheCureWorks(t *testing.T) {
	c := smallCluster(t, 3, nil)
	w, recorder := loaded(t, c, "before")
	must(t, func() error { return waitWrites(recorder, 500, 30*time.Second) })
	w.Stop()
	if _, err := c.WaitEqual(t.Context(), 20*time.Second); err != nil { // so that the survivor has it all
		t.Fatal(err)
	}
	acknowledged := recorder.Now()
	c.Kill(0, 1, 2)
	runs(t, c, 2, "recover", "--data", c.Nodes[1].Dir) // nobody is there to say yes
	out := runs(t, c, 0, "recover", "--data", c.Nodes[1].Dir, "--yes-lose-unreplicated")
	if !strings.Contains(out, "LOST is every write that was acknowledged and has not reached this node") {
		t.Errorf("no plain warning in\n%s", out)
	}
	restarted := time.Now()
	must(t, c.starts(1), func() error {
		return poll(30*time.Second, func() error {
			final, err := c.HTTP.List(t.Context(), c.Nodes[1].API, "before", LevelLinearizable)
			if err == nil {
				holds(t, recorder.History(), acknowledged, final)
			}
			return err
		})
	})
	t.Logf("the survivor serves %v after its start", time.Since(restarted).Round(time.Millisecond))

	must(t, c.starts(0)) // an old one, which was not gone for good
	c.Nodes[0].planned()
	code, err := c.Nodes[0].Process().Ended(30 * time.Second)
	said, _ := os.ReadFile(c.Nodes[0].Log)
	if err != nil || code != 1 || !strings.Contains(string(said), "E-LOST") || !strings.Contains(string(said), "was replaced by") {
		t.Fatalf("a node of the old cluster: exit code %d, %v, want 1 with E-LOST\n%s", code, err, said)
	}
	c.anew(0, 2)
	must(t, c.starts(0, 2), func() error { return c.WaitHealthy(t.Context(), 40*time.Second) })
	w, recorder = loaded(t, c, "after")
	must(t, func() error { return waitWrites(recorder, 200, 30*time.Second) })
	w.Stop()
	sound(t, c, recorder, "after")
}

// rolled stops and starts the nodes one after the other under load: the next one only
// when all are voters that have caught up.
func rolled(t *testing.T, c *Cluster, between func()) {
	t.Helper()
	w, recorder := loaded(t, c, "rolled")
	must(t, func() error { return waitWrites(recorder, 200, 30*time.Second) })
	for n := range c.Nodes {
		between()
		began := time.Now()
		must(t,
			func() error { return c.Stop(n, 20*time.Second) },
			func() error { return waitWrites(recorder, 50, 30*time.Second) }, // by the two others
			c.starts(n),
			func() error { return c.WaitHealthy(t.Context(), 40*time.Second) },
			func() error { return waitWrites(recorder, 100, 30*time.Second) })
		t.Logf("%s took %v", c.Nodes[n].Name, time.Since(began).Round(time.Millisecond))
	}
	w.Stop()
	if _, err := c.WaitEqual(t.Context(), 20*time.Second); err != nil {
		t.Error(err)
	}
	sound(t, c, recorder, "rolled")
}

func TestARollingRestartDoesNoHarm(t *testing.T) {
	rolled(t, smallCluster(t, 3, nil), func() {})
}

func TestARollingUpgradeDoesNoHarm(t *testing.T) {
	needs(t, true, "git")
	previous, err := previousProgram()
	if err != nil && strings.Contains(err.Error(), "no git history") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	present, err := program()
	if err != nil {
		t.Fatal(err)
	}
	c := smallCluster(t, 3, func(config *ClusterConfig) { config.Program = previous })
	rolled(t, c, func() { c.config.Program = present }) // each node starts on the directory of the old one
}
