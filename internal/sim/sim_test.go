package sim

import (
	"flag"
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
	skipFlag    = flag.String("skip", "", "single faults to leave out, such as crash:3,partition:1")
	stopFlag    = flag.Uint64("stop", 0, "end the run after that many events")
)

func planOfFlags(t *testing.T) Plan {
	off, err := ParseFaults(*offFlag)
	if err != nil {
		t.Fatal(err)
	}
	skip, err := ParseSkips(*skipFlag)
	if err != nil {
		t.Fatal(err)
	}
	return Plan{Seed: *seedFlag, Steps: *stepsFlag, Voters: *votersFlag, Clients: *clientsFlag, Off: off, Skip: skip, Stop: *stopFlag}
}

// TestReplay replays one run with its transcript: see the package's doc.
func TestReplay(t *testing.T) {
	if *seedFlag == 0 || *seedsFlag > 0 {
		t.Skip("replays only with -seed")
	}
	r := Run(planOfFlags(t), true)
	t.Logf("classes on: %v", r.On)
	t.Logf("%+v", r.Stats)
	if r.Failure != nil {
		t.Fatalf("%s\n%v", strings.Join(r.Failure.Transcript, "\n"), r.Failure)
	}
}
