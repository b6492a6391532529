package sim

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	huntFlag    = flag.Duration("hunt", 0, "run seeds until a rule is broken, at most for so much processor time")
	worldFlag   = flag.String("world", "sim", "the world to hunt in: sim or actors")
	shrinkFlag  = flag.Bool("shrink", false, "let a hunt also print the shrunk arguments of what it found")
	mutantsFlag = flag.String("mutants", "", "planted bugs to hunt: all, a number, or a part of a name")
)

// caught is the word by which a hunt tells its parent that it found something.
const caught = "CAUGHT"

// TestHunt is the child of TestMutants: it runs in a binary with a planted bug.
func TestHunt(t *testing.T) {
	if *huntFlag == 0 {
		t.Skip("hunts only with -hunt")
	}
	hunter, ok := simulations[*worldFlag]
	if !ok {
		t.Fatalf("no world is called %q", *worldFlag)
	}
	var steps uint64
	spent := func() time.Duration { return time.Duration(cpuSeconds() * float64(time.Second)) }
	for seed := uint64(1); spent() < *huntFlag; seed++ {
		r := hunter.run(Plan{Seed: seed, Steps: *stepsFlag, Engine: *engineFlag}, false)
		steps += r.Stats.Steps
		if r.Failure != nil {
			text, _, _ := strings.Cut(r.Failure.Text, "\n")
			fmt.Printf("%s by %s: seed %d, %d steps in all, %v: %s\n", caught, r.Failure.Rule, seed, steps, spent().Round(time.Millisecond), text)
			if *shrinkFlag {
				small := shrink(hunter.run, r.Plan, r.Failure.Rule, 200)
				fmt.Printf("shrunk: %s\n", small.Plan.Args())
			}
			return
		}
	}
	fmt.Printf("nothing found in %d steps\n", steps)
}

// TestMutantsAreWhole looks that every planted bug still has its place.
func TestMutantsAreWhole(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutants {
		names[m.name] = true
		if _, err := m.source(); err != nil {
			t.Error(err)
		}
	}
	for name := range shownBy {
		if !names[name] {
			t.Errorf("no planted bug is called %q", name)
		}
	}
}

// TestMutants builds the simulator with each planted bug and wants a broken rule
// within 60 s of processor time, or the test red that shownBy names. Bugs are planted
// by `go build -overlay`: the sources have no hooks. Without -mutants it takes one
// bug, with -short none.
func TestMutants(t *testing.T) {
	chosen := chooseMutants(t)
	if testing.Short() && *mutantsFlag == "" {
		t.Skip("-short")
	}
	for _, m := range chosen {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			out := hunt(t, m)
			if !strings.Contains(out, caught) {
				t.Errorf("not caught within 60 s: %s\n%s", m.name, out)
				return
			}
			t.Log(strings.TrimSpace(strings.TrimPrefix(out, "PASS")))
		})
	}
}

func chooseMutants(t *testing.T) []mutant {
	count, err := strconv.Atoi(*mutantsFlag)
	switch {
	case *mutantsFlag == "all":
		return mutants
	case *mutantsFlag == "":
		return mutants[:1]
	case err == nil: // as many, starting where -seed says, so that runs take turns
		first := int(*seedFlag) % len(mutants)
		return append(append([]mutant(nil), mutants...), mutants...)[first : first+min(count, len(mutants))]
	}
	var chosen []mutant
	for _, m := range mutants {
		if strings.Contains(m.name, *mutantsFlag) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		t.Fatalf("no planted bug is called %q", *mutantsFlag)
	}
	return chosen
}

// world is where the bug is hunted: one of the actors shows itself only there.
func (m mutant) world() string {
	if strings.HasPrefix(m.file, "actors/") && !strings.HasPrefix(m.name, "tree") {
		return "actors"
	}
	if strings.HasPrefix(m.name, "tree") {
		return "tree"
	}
	return "sim"
}

// engine is the one that has the bug.
func (m mutant) engine() string {
	if strings.HasPrefix(m.name, "paxos") {
		return enginePaxos
	}
	return engineRaft
}

// source is the file with the bug in it.
func (m mutant) source() (string, error) {
	data, err := os.ReadFile(filepath.Join("..", "..", m.file))
	if err != nil {
		return "", err
	}
	text := string(data)
	if n := strings.Count(text, m.old); n != 1 {
		return "", fmt.Errorf("mutant %q: %d places in %s for %q, want 1", m.name, n, m.file, m.old)
	}
	text = strings.Replace(text, m.old, m.new, 1)
	if strings.Contains(m.new, "unsafe.") {
		text = strings.Replace(text, "import (\n", "import (\n\t\"unsafe\"\n", 1)
	}
	return text, nil
}

// hunt builds the package that shows the bug, runs it and returns what it printed.
func hunt(t *testing.T, m mutant) string {
	t.Helper()
	dir := t.TempDir()
	overlay, binary := m.plant(t, dir), filepath.Join(dir, "bug.test")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	if by, ok := shownBy[m.name]; ok {
		return directed(ctx, t, overlay, binary, by[0], by[1])
	}
	run(ctx, t, "go", "test", "-c", "-overlay", overlay, "-o", binary, ".")
	return run(ctx, t, binary, "-test.run=^TestHunt$", "-hunt=60s", "-world="+m.world(), "-engine="+m.engine(), fmt.Sprintf("-shrink=%v", *shrinkFlag))
}

// plant writes the file with the bug and returns the overlay that puts it in place.
func (m mutant) plant(t *testing.T, dir string) (overlay string) {
	t.Helper()
	source, err := m.source()
	if err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(filepath.Join("..", "..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	data, err := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{changed: []byte(source), overlay: data} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}

// directed runs one test of a package, which must fail by itself: a bug that does not
// build has not been caught, nor has one whose test is gone.
func directed(ctx context.Context, t *testing.T, overlay, binary, pkg, test string) string {
	t.Helper()
	run(ctx, t, "go", "test", "-c", "-overlay", overlay, "-o", binary, "../../"+pkg)
	c := exec.CommandContext(ctx, binary, "-test.run=^"+test+"$")
	c.Dir = filepath.Join("..", "..", pkg)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "FAIL: "+test) {
		return fmt.Sprintf("%s of %s: %v\n%s", test, pkg, err, out)
	}
	return fmt.Sprintf("%s by %s of %s", caught, test, pkg)
}

func run(ctx context.Context, t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
