package chaos

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// endTasks lets no more units begin and waits until all are done.
func (r *ContainerRun) endTasks(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(r.dir(), enoughName), nil, 0o644); err != nil {
		return err
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(r.config.Longest + endLimit); ; {
		book, err := r.book()
		if err != nil {
			return err
		}
		if book.ended {
			return r.leftContainers()
		}
		if err := r.tend(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("chaos: %d tasks are still open: %.1000s", len(book.open), fmt.Sprint(book.openNames()))
		}
	}
}

// leftContainers waits until no container of a task is there any more, ended ones included: each is removed when its
// end was acknowledged.
func (r *ContainerRun) leftContainers() error {
	return pollEach(commandEvery, patience, func() error {
		out, err := r.engine.Docker("ps", "-a", "--format", `{{.Names}} {{.Label "synod.task"}} {{.Status}}`, "--filter", "label=synod.cluster="+containerProject)
		if err == nil && out != "" {
			err = fmt.Errorf("chaos: all units are done, and containers of tasks are left: %s", out)
		}
		return err
	})
}

// judgeTasks compares what tasks and the scheduler have written.
func (r *ContainerRun) judgeTasks() error {
	journal, err := ReadJournalFile(r.journal())
	if err != nil {
		return err
	}
	book, err := r.book()
	if err != nil {
		return err
	}
	h := TaskHistory{Journal: journal}
	for n, s := range book.states {
		if s.attempts > 0 {
			h.Units = append(h.Units, book.units[n])
		}
	}
	if h.Ledgers, err = ReadChores(r.ledgers(), book.units); err != nil {
		return err
	}
	h.Shims, h.Forgotten = struckContainers(h, r.strikes, r.agents), forgottenTasks(h, r.strikes)
	violations, counts := JudgeTasks(h)
	r.report.Tasks = &TaskReport{TaskCounts: counts, Kills: len(r.strikes), Violations: make(map[string]int)}
	for _, v := range violations {
		r.fail("%v", v)
		r.report.Tasks.Violations[v.Class]++
	}
	if counts.Started < r.config.Least {
		r.void = append(r.void, fmt.Sprintf("only %d tasks were started, want %d", counts.Started, r.config.Least))
	}
	return nil
}

// termExitCode is that of a Go program which is the first process of a container, and gets SIGTERM before it listens
// for it: the kernel spares such a process the signal that it sends itself, and the runtime exits so instead.
const termExitCode = 2

// asSignal tells of a task in a container as of others: an engine knows the signal by which a process has ended as an
// exit code alone, and no unit exits with such a one by itself.
func (l JournalLine) asSignal() JournalLine {
	switch {
	case !l.HasExit || l.Signal != 0:
	case l.Exit == termExitCode:
		l.Signal, l.Exit = int(syscall.SIGTERM), 0
	case l.Exit > 128 && l.Exit < 128+65:
		l.Signal, l.Exit = l.Exit-128, 0
	}
	return l
}

// Of a task that was struck: how long it may have been silent before, in beats or while it flushed its first or last line.
const (
	silent      = time.Second
	silentFlush = 10 * time.Second
)

// forgottenTasks are those that began to run within a second of an engine's being killed, and that DROPPED was told of later,
// and nothing else: an engine starts a container before it writes that down and answers.
func forgottenTasks(h TaskHistory, strikes []strike) map[string]bool {
	first, starts := make(map[string]time.Duration), make(map[string]int)
	for _, lines := range h.Ledgers {
		for _, l := range lines {
			if at, is := first[l.Task]; !is || l.At < at {
				first[l.Task] = l.At
			}
			if l.What == choreStart {
				starts[l.Task]++
			}
		}
	}
	running, forgotten := make(map[string]bool), make(map[string]bool)
	for _, l := range h.Journal {
		running[l.Task] = running[l.Task] || l.State == "RUNNING"
		began, ran := first[l.Task]
		ran = ran && starts[l.Task] < 2 && !running[l.Task]
		for _, s := range strikes {
			if ran && l.Deed == DeedUpdate && l.State == "DROPPED" && s.kind == KillEngine && l.At > s.from && began > s.from-time.Second && began < s.from+time.Second {
				forgotten[l.Task] = true
			}
		}
	}
	return forgotten
}

// struckContainers are the containers whose tasks lived when a fault came that may have ended them.
func struckContainers(h TaskHistory, strikes []strike, agents map[string]string) map[string]time.Duration {
	on := make(map[string]string)
	for _, l := range h.Journal {
		if l.Deed == DeedIntend {
			on[l.Task] = agents[l.Agent]
		}
	}
	type life struct {
		task        string
		first, last time.Duration
		silent      time.Duration
	}
	lives := make(map[string]life)
	for _, lines := range h.Ledgers {
		for _, l := range lines {
			now := life{l.Task, l.At, l.At, silent}
			if before, is := lives[l.Container]; is {
				now.first = before.first
			}
			if l.What == choreStart || l.What == choreExit {
				now.silent = silentFlush
			}
			lives[l.Container] = now
		}
	}
	struck := make(map[string]time.Duration)
	for container, l := range lives {
		for _, s := range strikes {
			meant := s.task == l.task || s.task == "" && (s.agent == "" || s.agent == on[l.task])
			// A paused machine writes late, and one beat may have been under way.
			if meant && l.first <= s.to && l.last >= s.from-l.silent {
				if at, is := struck[container]; !is || s.from < at {
					struck[container] = s.from
				}
			}
		}
	}
	return struck
}

// summarize makes the report of how long clients have waited, and logs it as a table.
func (r *ContainerRun) summarize() {
	report := &ContainerReport{Waits: make(map[string]*Drill), Kinds: make(map[FaultKind]map[string]*Drill)}
	all := make(map[string][]time.Duration)
	var table strings.Builder
	table.WriteString("| fault | times | write | read | pause of all writers | process started | container started |\n|---|---|---|---|---|---|---|\n")
	row := func(name string, drills map[string]*Drill) {
		times := 0
		if drills[waitWrite] != nil { // its fault fired
			times = drills[waitWrite].Count
		}
		fmt.Fprintf(&table, "| %s | %d |", name, times)
		for _, what := range []string{waitWrite, waitRead, waitGap, waitProcess, waitContainer} {
			if drills[what] == nil { // no client writes while the engine is away
				table.WriteString(" |")
				continue
			}
			fmt.Fprintf(&table, " %.1f, %.1f |", float64(drills[what].Median)/1000, float64(drills[what].Max)/1000)
		}
		table.WriteString("\n")
	}
	for _, kind := range slices.Sorted(maps.Keys(r.waits)) {
		report.Kinds[kind] = make(map[string]*Drill)
		for what, waits := range r.waits[kind] {
			all[what] = append(all[what], waits...)
			report.Kinds[kind][what] = NewDrill(kind, slices.Clone(waits))
		}
		row(string(kind), report.Kinds[kind])
	}
	for what, waits := range all {
		report.Waits[what] = NewDrill("", waits)
	}
	if len(all) > 0 {
		row("**all**", report.Waits)
	}
	r.logf("seconds until the service answers, median and most:\n%s", table.String())
	starts, soon := slices.Concat(all[waitProcess], all[waitContainer]), 0
	for _, took := range starts {
		if took <= r.config.Answers {
			soon++
		}
	}
	r.logf("%d of %d jobs that were handed in after a fault had started within %v; %.1f threads wanted each core", soon, len(starts),
		r.config.Answers, r.crowd.perCore(r.report.Time))
	r.report.Containers = report
}
