package models

import (
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/explore"
)

var (
	large  = flag.Bool("large", false, "explore the models in their larger bounds: minutes and gigabytes")
	traces = flag.Bool("traces", false, "print the shortest trace of every mutant and of every state that must be reachable")
)

// A mutant is the rule that a model breaks; the empty one breaks none.
type mutant string

// shortStates is how far the large models are explored under -short, for the
// race detector.
const shortStates = 100_000

// holds fails the test unless the whole model is right and every one of
// sometimes is reachable in it.
func holds[S any](t *testing.T, model explore.Model[S], config explore.Config[S]) {
	t.Helper()
	if testing.Short() {
		config.MaxStates = shortStates
	}
	result := run(t, model, config)
	if result.Violation != nil {
		t.Fatal(result.Violation)
	}
	if testing.Short() {
		return
	}
	if !result.Complete {
		t.Fatalf("gave up after %d states", result.States)
	}
	for _, name := range slices.Sorted(maps.Keys(config.Sometimes)) {
		trace, reached := result.Reached[name]
		if !reached {
			t.Errorf("never reached: %s", name)
		}
		if *traces {
			t.Logf("%s, after %d steps:\n%v", name, len(trace), trace)
		}
	}
}

// fails fails the test unless the model is found to be wrong in the way wanted.
func fails[S any](t *testing.T, model explore.Model[S], config explore.Config[S], want string) {
	t.Helper()
	if testing.Short() {
		t.Skip("explores up to 1.3 million states")
	}
	result := run(t, model, config)
	if result.Violation == nil {
		t.Fatalf("survived %d states, want %q", result.States, want)
	}
	if !strings.Contains(result.Violation.Err.Error(), want) {
		t.Fatalf("want %q, got %v", want, result.Violation)
	}
	t.Logf("%v, after %d steps", result.Violation.Err, len(result.Violation.Trace))
	if *traces {
		t.Logf("\n%v", result.Violation.Trace)
	}
}

func run[S any](t *testing.T, model explore.Model[S], config explore.Config[S]) explore.Result {
	t.Helper()
	begin := time.Now()
	result := explore.Run(model, config)
	t.Logf("%d states, %d transitions, depth %d, %v", result.States, result.Transitions, result.Depth,
		time.Since(begin).Round(10*time.Millisecond))
	return result
}
