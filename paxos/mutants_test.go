package paxos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/explore"
)

var (
	huntFlag    = flag.Int("hunt", -1, "explore the world of the planted bug with this number")
	mutantsFlag = flag.String("mutants", "", "planted bugs to hunt: a part of a name; default all")
)

// The words by which a hunt tells its parent what it has found.
const (
	caught   = "CAUGHT"
	survived = "SURVIVED"
)

// hunt explores the mutant's world and says what is wrong in it.
func (m mutant) hunt(ballots int) string {
	c := m.world(ballots)
	c.agreementOnly = !m.allRules
	w := newWorld(c)
	began := time.Now()
	const chosen = "a value is chosen"
	r := explore.Run(w, explore.Config[state]{Workers: 1, Sometimes: map[string]func(state) bool{
		chosen: func(s state) bool { return w.chosenIs("x")(s) || w.chosenIs("y")(s) },
	}})
	what, depth := "", r.Depth
	switch _, reached := r.Reached[chosen]; {
	case r.Violation != nil:
		what, depth = fmt.Sprintf("%s: %v", caught, r.Violation.Err), len(r.Violation.Trace)
	case !r.Complete:
		what = "gave up"
	case !reached:
		what = caught + ": " + noChoice
	default:
		what = survived
	}
	return fmt.Sprintf("%s; %d ballots, depth %d, %d states, %v", what, ballots, depth, r.States, time.Since(began).Round(time.Millisecond))
}

// huntAll hunts with two ballots, and with three if that finds nothing.
func (m mutant) huntAll() string {
	out := m.hunt(2)
	if strings.HasPrefix(out, survived) {
		out += "\n" + m.hunt(3)
	}
	return out
}

// TestHunt is the child of TestMutants: it runs in a binary with a planted bug.
func TestHunt(t *testing.T) {
	if *huntFlag < 0 {
		t.Skip("hunts only with -hunt")
	}
	fmt.Println(mutants[*huntFlag].huntAll())
}

// TestMutantsAreWhole looks that every planted bug still has its place, and that
// none of the twenty is missing.
func TestMutantsAreWhole(t *testing.T) {
	names := ""
	for _, m := range mutants {
		names += m.name + "\n"
		if _, err := m.sources(); err != nil {
			t.Error(err)
		}
	}
	for n := 1; n <= 20; n++ {
		if !strings.Contains(names, fmt.Sprintf("B%d ", n)) {
			t.Errorf("no mutant is B%d", n)
		}
	}
}

// TestMutants builds the check with each planted bug and wants it found, with two
// ballots where two suffice. Bugs are planted by `go test -overlay`: the sources
// have no hooks.
func TestMutants(t *testing.T) {
	if testing.Short() && *mutantsFlag == "" {
		t.Skip("-short")
	}
	for i, m := range mutants {
		if !strings.Contains(m.name, *mutantsFlag) {
			continue
		}
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			out := m.run(t, i)
			t.Log(out)
			first, second, both := strings.Cut(out, "\n")
			switch {
			case m.safe && (!both || strings.Contains(out, caught)):
				t.Error("something is found, want nothing")
			case m.safe:
			case !strings.Contains(out, caught) || !strings.Contains(out, m.wants):
				t.Errorf("want it caught, by %q", m.wants)
			case m.three != both || both && !strings.HasPrefix(second, caught):
				t.Errorf("with two ballots: %s; want it to need three: %v", first, m.three)
			}
		})
	}
}

// run returns what the hunt says: in this process if only the world is wrong.
func (m mutant) run(t *testing.T, number int) string {
	t.Helper()
	if len(m.edits) == 0 {
		return m.huntAll()
	}
	dir := t.TempDir()
	overlay, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "paxos.test")
	m.writeOverlay(t, dir, overlay)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command(ctx, t, "go", "test", "-c", "-overlay", overlay, "-o", binary, ".")
	out := command(ctx, t, binary, "-test.run=^TestHunt$", fmt.Sprintf("-hunt=%d", number))
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(out), "PASS"))
}

func (m mutant) writeOverlay(t *testing.T, dir, overlay string) {
	t.Helper()
	sources, err := m.sources()
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for file, text := range sources {
		original, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		replace[original] = filepath.Join(dir, file)
		if err := os.WriteFile(replace[original], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sources are the files with the bug in them.
func (m mutant) sources() (map[string]string, error) {
	sources := map[string]string{}
	for _, e := range m.edits {
		text, ok := sources[e.file]
		if !ok {
			data, err := os.ReadFile(e.file)
			if err != nil {
				return nil, err
			}
			text = string(data)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("mutant %q: %d places in %s for %q, want 1", m.name, n, e.file, e.old)
		}
		sources[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return sources, nil
}

func command(ctx context.Context, t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
