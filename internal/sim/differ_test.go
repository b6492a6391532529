package sim

import (
	"strings"
	"testing"
)

// TestBothEnginesGiveTheSameAnswers runs the same scripted clients under the same
// faults on a Raft and on a Paxos group. The clients of a script have registers of
// their own and repeat a command, under one request id, until it is answered. So
// each answer is a function of those before it, however often an attempt was lost
// or leaders changed: all answers must be the same, one by one, as far as both runs
// have come. That every command has had its effect once, and that all state
// machines agree with the model, the oracles of both runs have seen.
func TestBothEnginesGiveTheSameAnswers(t *testing.T) {
	plan := planOfFlags(t)
	seeds := uint64(40)
	if testing.Short() {
		seeds = 8
	}
	if *seedsFlag > 0 {
		seeds = uint64(*seedsFlag)
	}
	if plan.Seed == 0 {
		plan.Seed = 1
	}
	if plan.Steps == 0 {
		plan.Steps = 15_000
	}
	answers := 0
	for i := range seeds {
		p := plan
		p.Seed, p.Script = plan.Seed+i, true
		if i%4 == 0 {
			p.Off = AllFaults
		}
		answers += sameAnswers(t, p)
	}
	if answers < int(seeds)*100 {
		t.Errorf("%d answers in %d seeds are too few to say anything", answers, seeds)
	}
	t.Logf("%d answers in %d seeds", answers, seeds)
}

// sameAnswers compares the answers of one plan and returns how many there were.
func sameAnswers(t *testing.T, p Plan) (count int) {
	t.Helper()
	var heard [2][][]string
	for i, engine := range []string{engineRaft, enginePaxos} {
		p.Engine = engine
		r := Run(p, false)
		if r.Failure != nil {
			t.Fatalf("%s: %v\nreplay: go test ./internal/sim -run TestReplay -v %s", engine, r.Failure, p.Args())
		}
		heard[i] = r.Heard
	}
	for c := range heard[0] {
		both := min(len(heard[0][c]), len(heard[1][c]))
		for k := range both {
			if a, b := heard[0][c][k], heard[1][c][k]; a != b {
				t.Fatalf("seed %d: client %d is answered %q by raft and %q by paxos, after\n%s", p.Seed, c, a, b, strings.Join(heard[0][c][:k], "\n"))
			}
		}
		if p.Off == AllFaults && both == 0 {
			t.Errorf("seed %d: client %d was never answered although nothing failed", p.Seed, c)
		}
		count += both
	}
	return count
}
