package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAGoalJudgesTheMedianOrEveryValue(t *testing.T) {
	for _, c := range []struct {
		goal *goal
		met  bool
	}{
		{atLeast(20), true}, {atLeast(21), false}, {atMost(20), true}, {atMost(19), false},
		{always(atLeast(10)), true}, {always(atLeast(20)), false}, {always(atMost(40)), true}, {always(atMost(39)), false},
	} {
		if got := c.goal.met([]float64{40, 10, 20}); got != c.met {
			t.Errorf("10, 20 and 40 meet %+v: %v, want %v", *c.goal, got, c.met)
		}
		if c.goal.met(nil) {
			t.Errorf("nothing meets %+v", *c.goal)
		}
	}
}

func TestFiguresStandBesideTheirGoals(t *testing.T) {
	r := &tasksReport{Void: []string{"no master leads"}}
	for _, v := range []float64{2500, 1900, 2100} {
		r.add("launches/s", "%.0f", atLeast(2000), v)
		r.add("ms", "%.1f", always(atMost(2000)), v)
	}
	r.add("cores", "%.2f", nil, 0.5)
	var out strings.Builder
	r.write(&out)
	for _, want := range []string{"| launches/s | at least 2000       | 2100   | 1900   | 2500   | 3     | met ",
		"| ms         | at most 2000.0, all | 2100.0 | 1900.0 | 2500.0 | 3     | missed |",
		"| cores      |                     | 0.50   | 0.50   | 0.50   | 1     | ", "- no master leads"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in:\n%s", want, &out)
		}
	}
}

// The whole of it with real processes, in small numbers.
func TestTasksAreMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts nodes")
	}
	dir := t.TempDir()
	node := filepath.Join(dir, "node")
	if out, err := exec.Command("go", "build", "-C", "..", "-o", node, "./cmd/node").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), tasksPatience)
	defer cancel()
	var out strings.Builder
	if err := runTasks(ctx, []string{"-quick", "-node", node, "-dir", dir}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"| launches/s, 10 agents ", "| tasks dropped, 10 agents ", "| ms offer to RUNNING, idle, real process, p50 ",
		"| MB (PSS) of a shim ", "| ms from kill -9 of the agent until it is registered with all 5 tasks ",
		"| ms from kill -9 of the leading master to the first call answered ",
		"| ms from kill -9 of the leading master until all are registered, 20 agents with 10 tasks ", "| MiB of the new master's node, 20 agents with 10 tasks "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in\n%s", want, &out)
		}
	}
}
