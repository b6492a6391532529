package sim

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	seedFlag    = flag.Uint64("seed", 0, "seed to replay, or the first seed of a campaign")
	seedsFlag   = flag.Int("seeds", 0, "number of seeds of a campaign")
	stepsFlag   = flag.Int("steps", 0, "events of the safety phase of one seed")
	votersFlag  = flag.Int("voters", 0, "first voters, 1 to 5; 0 lets the seed choose")
	clientsFlag = flag.Int("clients", 0, "clients, 1 to 6; 0 lets the seed choose")
	offFlag     = flag.String("off", "", "fault classes to turn off, by name, separated by commas")
	omitFlag    = flag.String("omit", "", "single faults to leave out, such as crash:3,partition:1") // -skip is go test's own
	stopFlag    = flag.Uint64("stop", 0, "end the run after that many events")
	scriptFlag  = flag.Bool("script", false, "every client has its own register and repeats until it is answered")
	treeFlag    = flag.Bool("tree", false, "the state machine is a coordination.Tree, with sessions in it")
	engineFlag  = flag.String("engine", "", "raft or paxos")
)

func planOfFlags(t *testing.T) Plan {
	off, err := ParseFaults(*offFlag)
	if err != nil {
		t.Fatal(err)
	}
	skip, err := ParseSkips(*omitFlag)
	if err != nil {
		t.Fatal(err)
	}
	return Plan{Seed: *seedFlag, Engine: *engineFlag, Script: *scriptFlag, Tree: *treeFlag, Steps: *stepsFlag, Voters: *votersFlag, Clients: *clientsFlag, Off: off, Skip: skip, Stop: *stopFlag}
}

// TestReplay replays one run with its transcript: see the package's doc.
func TestReplay(t *testing.T) { replay(t, Run) }

func replay(t *testing.T, run func(Plan, bool) Result) {
	t.Helper()
	if *seedFlag == 0 || *seedsFlag > 0 {
		t.Skip("replays only with -seed")
	}
	r := run(planOfFlags(t), true)
	t.Logf("classes on: %v", r.On)
	t.Logf("%+v", r.Stats)
	if r.Failure != nil {
		t.Fatalf("%s\n%v", strings.Join(r.Failure.Transcript, "\n"), r.Failure)
	}
}

// TestRegressions replays every run that has once shown a bug, here or in the
// code it tests.
func TestRegressions(t *testing.T) { replayScripts(t, "testdata/*.txt", simulations["sim"]) }

func replayScripts(t *testing.T, pattern string, s simulation) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := ParseArgs(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseArgs(plan.Args()); err != nil || again.Args() != plan.Args() {
				t.Errorf("arguments do not survive: %s, %v", again.Args(), err)
			}
			if r := s.run(plan, true); r.Failure != nil {
				t.Errorf("%s\n%v\nreplay: go test ./internal/sim -run %s -v %s",
					strings.Join(r.Failure.Transcript, "\n"), r.Failure, s.replay, plan.Args())
			}
		})
	}
}

// TestTurningAClassOffLeavesTheOthersAlone is what shrinking stands on.
func TestTurningAClassOffLeavesTheOthersAlone(t *testing.T) {
	all := &dice{seed: 7}
	one := &dice{seed: 7}
	for range 10 {
		one.roll(streamLoss, 3) // decisions of another stream, and of another key
		one.roll(streamDelay, 4)
	}
	for range 10 {
		if a, b := all.roll(streamDelay, 3), one.roll(streamDelay, 3); a != b {
			t.Fatalf("decision depends on other streams: %x and %x", a, b)
		}
	}
	full := drawWeather(&dice{seed: 7}, Plan{})
	less := drawWeather(&dice{seed: 7}, Plan{Off: Loss | Crash})
	full.on, less.on = 0, 0
	if full != less {
		t.Errorf("turning classes off changes the rest: %+v, %+v", full, less)
	}
}
