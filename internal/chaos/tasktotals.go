package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// TaskTotals are Markdown tables of the runs with tasks in a ledger: what was done and found,
// and how often each fault has fired. Void runs are counted and add to nothing else.
func TaskTotals(reports []Report) string {
	var sum TaskReport
	var hours float64
	runs, failed, void, faults := 0, 0, 0, make(map[FaultKind]int)
	found, ends := make(map[string]int), make(map[string]int)
	for _, r := range reports {
		if r.Tasks == nil {
			continue
		}
		runs++
		switch r.Verdict {
		case verdictVoid:
			void++
			continue
		case verdictFail:
			failed++
		}
		hours += r.Seconds / 3600
		sum.Kills += r.Tasks.Kills
		sum.Units += r.Tasks.Units
		sum.Started += r.Tasks.Started
		sum.Updates += r.Tasks.Updates
		sum.Redelivered += r.Tasks.Redelivered
		sum.Excused += r.Tasks.Excused
		add(faults, r.Faults)
		add(ends, r.Tasks.Ends)
		add(found, r.Tasks.Violations)
	}
	var b strings.Builder
	b.WriteString("| runs (failed, void) | hours | processes killed | units done | tasks started | updates | of them again | excused | lost | run twice | told twice, falsely or out of order |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	fmt.Fprintf(&b, "| %d (%d, %d) | %.1f | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n\n", runs, failed, void, hours, sum.Kills, sum.Units, sum.Started,
		sum.Updates, sum.Redelivered, sum.Excused, found[TaskLost]+found[TaskUndone], found[TaskTwice]+found[TaskOverlap]+found[TaskDoneTwice]+found[TaskUnwanted]+found[TaskGoesOn],
		found[TaskRepeated]+found[TaskFalse]+found[TaskDisorder])
	b.WriteString("| end told | tasks |\n| --- | --- |\n")
	for _, state := range slices.Sorted(maps.Keys(ends)) {
		fmt.Fprintf(&b, "| %s | %d |\n", state, ends[state])
	}
	b.WriteString("\n| fault | times |\n| --- | --- |\n")
	for _, kind := range slices.Sorted(maps.Keys(faults)) {
		fmt.Fprintf(&b, "| %s | %d |\n", kind, faults[kind])
	}
	return b.String()
}

func add[K comparable](to, more map[K]int) {
	for k, n := range more {
		to[k] += n
	}
}
