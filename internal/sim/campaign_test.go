package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// report is the line that a campaign adds to the ledger.
type report struct {
	Name        string            `json:"name"`
	FirstSeed   uint64            `json:"first_seed"`
	Seeds       int               `json:"seeds"`
	WallSeconds float64           `json:"wall_seconds"`
	CPUSeconds  float64           `json:"cpu_seconds"`
	Steps       uint64            `json:"steps"`
	Elections   uint64            `json:"elections"`
	Crashes     uint64            `json:"crashes"`
	Snapshots   uint64            `json:"snapshots"`
	Installs    uint64            `json:"installs"`
	Committed   uint64            `json:"committed"`
	Operations  uint64            `json:"operations"`
	Unknown     uint64            `json:"unknown"`
	Reads       uint64            `json:"reads"`
	Changes     uint64            `json:"membership_changes"`
	Faults      map[string]uint64 `json:"faults"`
	Sometimes   map[string]uint64 `json:"sometimes"`
	Verdict     string            `json:"verdict"`
}

func (r *report) add(x Result) {
	r.Steps += x.Stats.Steps
	r.Elections += x.Stats.Elections
	r.Crashes += x.Stats.Crashes
	r.Snapshots += x.Stats.Snapshots
	r.Installs += x.Stats.Installs
	r.Committed += x.Stats.Committed
	r.Operations += x.Stats.Operations
	r.Unknown += x.Stats.Unknown
	r.Reads += x.Stats.Reads
	r.Changes += x.Stats.Changes
	for name, n := range x.Stats.Faults {
		r.Faults[name] += n
	}
}

// campaign runs seeds on all processors and returns the failure of the lowest
// seed that failed, if any.
func campaign(s simulation, base Plan, seeds int) (report, sometimes, *Result) {
	r := report{Name: s.name, FirstSeed: base.Seed, Seeds: seeds, Faults: map[string]uint64{}, Verdict: "pass"}
	var mu sync.Mutex
	var total sometimes
	var failed *Result
	var next atomic.Int64
	var group sync.WaitGroup
	began, cpu := time.Now(), cpuSeconds()
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				mu.Lock()
				stop := failed != nil
				mu.Unlock()
				if i >= seeds || stop {
					return
				}
				p := base
				p.Seed += uint64(i)
				x := s.run(p, false)
				mu.Lock()
				r.add(x)
				total.add(x.Sometimes)
				if x.Failure != nil && (failed == nil || x.Plan.Seed < failed.Plan.Seed) {
					failed = &x
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	r.WallSeconds, r.CPUSeconds = time.Since(began).Seconds(), cpuSeconds()-cpu
	r.Sometimes = total.byName(s.sights)
	if failed != nil {
		r.Verdict = fmt.Sprintf("seed %d: %s", failed.Plan.Seed, failed.Failure.Rule)
	}
	return r, total, failed
}

// cpuSeconds is what this process has used of the processors.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// TestCampaign runs many seeds. Without flags it is short; the campaign of the
// continuous integration is
//
//	go test ./internal/sim -run TestCampaign -seeds=2000 -steps=40000 -timeout=30m -v
func TestCampaign(t *testing.T) {
	runCampaign(t, simulations["sim"], 60, 12)
}

// TestPaxosCampaign is TestCampaign with the other engine. A ghost is rare: it takes more seeds to meet one.
func TestPaxosCampaign(t *testing.T) {
	runCampaign(t, simulations["paxos"], 140, 12)
}

func runPaxos(p Plan, trace bool) Result {
	p.Engine = enginePaxos
	return Run(p, trace)
}

func runTree(p Plan, trace bool) Result {
	p.Tree = true
	return Run(p, trace)
}

func runPaxosTree(p Plan, trace bool) Result {
	p.Tree = true
	return runPaxos(p, trace)
}

func runPaxosActors(p Plan, trace bool) Result {
	p.Engine = enginePaxos
	return RunActors(p, trace)
}

// simulation is a kind of world with the tests that run it.
type simulation struct {
	name   string
	run    func(Plan, bool) Result
	sights []sight
	enough int    // seeds that must have seen all sights
	replay string // the test that replays one run
}

var simulations = map[string]simulation{
	"sim":          {"sim", Run, worldSights(), 60, "TestReplay"},
	"paxos":        {"paxos", runPaxos, paxosSights(), 60, "TestReplay"},
	"tree":         {"tree", runTree, treeSights(), 100, "TestReplay"},
	"paxos tree":   {"paxos tree", runPaxosTree, treeSights(), 100, "TestReplay"},
	"actors":       {"actors", RunActors, actorSights(), 200, "TestActorReplay"},
	"paxos actors": {"paxos actors", runPaxosActors, actorSights(), 200, "TestActorReplay"},
}

// runCampaign runs the seeds that the flags say, or so many, or with -short few.
func runCampaign(t *testing.T, s simulation, seeds, few int) {
	t.Helper()
	if *seedFlag != 0 && *seedsFlag == 0 {
		t.Skipf("-seed without -seeds asks for %s", s.replay)
	}
	plan := planOfFlags(t)
	switch {
	case *seedsFlag != 0:
		seeds = *seedsFlag
	case testing.Short():
		seeds = few
	}
	if plan.Seed == 0 {
		plan.Seed = 1
	}
	r, seen, failed := campaign(s, plan, seeds)
	if missing := seen.missing(s.sights); failed == nil && len(missing) > 0 && seeds >= s.enough && plan.Off == 0 {
		r.Verdict = "never seen: " + strings.Join(missing, ", ")
		t.Error(r.Verdict)
	}
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "%s\n", line)
	if failed != nil {
		reportFailure(t, s, failed)
	}
}

// reportFailure shrinks a failed run and tells how to replay it.
func reportFailure(t *testing.T, s simulation, failed *Result) {
	t.Helper()
	t.Errorf("seed %d: %v", failed.Plan.Seed, failed.Failure)
	small := shrink(s.run, failed.Plan, failed.Failure.Rule, 200)
	lines := small.Failure.Transcript
	lines = lines[max(0, len(lines)-60):]
	t.Fatalf("shrunk to: %v\n%s\n%v\nreplay: go test ./internal/sim -run %s -v %s",
		small.On, strings.Join(lines, "\n"), small.Failure, s.replay, small.Plan.Args())
}

// TestRunsAreDeterministic runs each seed twice, on as many processors as there
// are, and compares the fingerprints of everything that happened.
func TestRunsAreDeterministic(t *testing.T) { compareRuns(t, Run) }

func TestPaxosRunsAreDeterministic(t *testing.T) { compareRuns(t, runPaxos) }

func compareRuns(t *testing.T, run func(Plan, bool) Result) {
	t.Helper()
	seeds := uint64(8)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		p := Plan{Seed: 1000 + seed, Steps: 8000}
		prints := make([]uint64, 2)
		var group sync.WaitGroup
		for i := range prints {
			group.Go(func() { prints[i] = run(p, i == 1).Print })
		}
		group.Wait()
		if prints[0] != prints[1] {
			t.Errorf("seed %d: fingerprints %016x and %016x", p.Seed, prints[0], prints[1])
		}
	}
}
