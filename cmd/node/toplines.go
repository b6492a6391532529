package main

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// topLines are what a terminal of that size shows of two looks. failure is why there has been none since.
func topLines(before, now topLook, failure error, width, height int) []string {
	sections := topSections(summed(before, now))
	if failure != nil {
		sections[0] = append(sections[0], "! this is how it was at "+now.at.Format("15:04:05")+": "+api.Reason(failure))
	}
	lines := fit(sections, height)
	for i, line := range lines {
		lines[i] = narrowed(line, width)
	}
	return lines
}

// topSections are the cluster, its groups, its agents and its jobs. The first line of each stays whatever is left out.
func topSections(u usage) [][]string {
	head := []string{fmt.Sprintf("CLUSTER %s  %s  %s", u.Cluster, healthOf(u.status), ledBy(u.status))}
	for _, reason := range u.Reasons {
		head = append(head, "! "+reason)
	}
	sections := [][]string{head, table(groupRows(u.Groups))}
	if u.unmanaged != nil {
		return append(sections, []string{"AGENTS, JOBS", "! not known now: " + api.Reason(u.unmanaged)})
	}
	jobs := table(jobRowsOf(u.Jobs))
	for _, j := range u.Jobs {
		if j.Pending != "" {
			jobs = append(jobs, "! "+j.Job+": "+j.Pending)
		}
	}
	return append(sections, table(agentRowsOf(u.Agents)), jobs, []string{tasksLine(u.Tasks)})
}

func ledBy(s api.Status) string {
	if s.Leader == "" {
		return tolerates(s)
	}
	return fmt.Sprintf("%s leads, quorum %d of %d, %s", s.Leader, s.Quorum, s.Voters, tolerates(s))
}

func tasksLine(t taskUsage) string {
	line := fmt.Sprintf("TASKS %d running, %d pending", t.Running, t.Pending)
	if t.Ended != nil {
		line += fmt.Sprintf(", %.1f ended a second", *t.Ended)
	}
	return line
}

func groupRows(groups []groupUsage) [][]string {
	rows := [][]string{{"GROUP", "ENGINE", "LEADER", "TERM", "COMMIT", "WRITES/S", "BEHIND"}}
	for _, g := range groups {
		writes, behind := "-", counted(g.Behind)
		if g.Writes != nil {
			writes = fmt.Sprintf("%.1f", *g.Writes)
		}
		if g.Slowest != "" {
			behind += " " + g.Slowest
		}
		if len(g.Silent) > 0 {
			behind += ", no answer of " + strings.Join(g.Silent, ", ")
		}
		rows = append(rows, []string{g.Group, g.Engine, cmp.Or(g.Leader, "-"), cmp.Or(g.Ballot, fmt.Sprint(g.Term)), counted(g.Commit), writes, behind})
	}
	return rows
}

func agentRowsOf(agents []agentUsage) [][]string {
	rows := [][]string{{"AGENT", "STATE", "TASKS", "CPUS", "OF", "MEMORY", "OF", ""}}
	for _, a := range agents {
		rows = append(rows, []string{a.Agent, a.State, fmt.Sprint(a.Tasks), mesos.Milli(a.MilliCPUs).String(), mesos.Milli(a.CPUsOf).String(),
			sized(a.MemoryMiB << 20), sized(a.MemoryOf << 20), bar(a.MilliCPUs, a.CPUsOf)})
	}
	return rows
}

func jobRowsOf(jobs []jobUsage) [][]string {
	rows := [][]string{{"JOB", "RUNNING", "CPUS", "MEMORY"}}
	for _, j := range jobs {
		running := fmt.Sprint(j.Running)
		if j.Wanted > 0 {
			running += fmt.Sprintf(" of %d", j.Wanted)
		}
		rows = append(rows, []string{j.Job, running, mesos.Milli(j.MilliCPUs).String(), sized(j.MemoryMiB << 20)})
	}
	return rows
}

// table is rows as lines.
func table(rows [][]string) (lines []string) {
	var text strings.Builder
	columns(&text, rows)
	for line := range strings.Lines(text.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return lines
}

// fit joins sections with an empty line between two, and shortens the longest ones until all is at most height lines, 0 for
// any number of them. What is left out is counted.
func fit(sections [][]string, height int) (lines []string) {
	show, total := make([]int, len(sections)), len(sections)-1
	for i, s := range sections {
		show[i], total = len(s), total+len(s)
	}
	for ; height > 0 && total > height; total-- {
		longest := 0
		for i := range show {
			if show[i] > show[longest] {
				longest = i
			}
		}
		if show[longest] <= 2 {
			break
		}
		show[longest]--
	}
	for i, s := range sections {
		if i > 0 {
			lines = append(lines, "")
		}
		if left := len(s) - show[i]; left > 0 {
			s = append(s[:show[i]-1:show[i]-1], fmt.Sprintf("... and %d more", left+1))
		}
		lines = append(lines, s...)
	}
	if height > 0 {
		lines = lines[:min(len(lines), height)]
	}
	return lines
}

// narrowed is what of a line fits, one column less than the terminal has: behind the last one terminals differ in what they
// do next. Characters that would move the cursor are not let through.
func narrowed(line string, width int) string {
	var out []rune
	for _, r := range line {
		if len(out) >= width-1 {
			break
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		out = append(out, r)
	}
	return string(out)
}

// bar shows a share with ten marks.
func bar(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	n := int(min(10, (10*part+whole-1)/whole))
	return strings.Repeat("#", n) + strings.Repeat(".", 10-n)
}
