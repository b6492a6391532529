package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Faults of a run with tasks. A master is the one whose node leads the registry.
const (
	KillMaster         FaultKind = "kill master"
	KillControl        FaultKind = "kill control node"
	KillControls       FaultKind = "kill all control nodes"
	KillAgent          FaultKind = "kill agent"
	KillAgents         FaultKind = "kill all agents"
	KillShim           FaultKind = "kill shim"
	KillShims          FaultKind = "kill shims"             // several at a time
	KillShimAndTask    FaultKind = "kill shim and its task" // so that nobody knows how it ended
	KillShimAndAgent   FaultKind = "kill shim and its agent"
	KillScheduler      FaultKind = "kill scheduler"
	KillStandby        FaultKind = "kill standby scheduler"
	KillAgentAndMaster FaultKind = "kill agent and master"
	KillEverybody      FaultKind = "kill all but shims and tasks"
	// In the middle of their recovery, several times.
	KillAgentAgain  FaultKind = "kill agent again and again"
	KillMasterAgain FaultKind = "kill one master after the other"
	PauseMaster     FaultKind = "pause master"
	PauseAgent      FaultKind = "pause agent"
	PauseScheduler  FaultKind = "pause scheduler" // for longer than its session lives
	CutAgent        FaultKind = "cut agent"       // from all control nodes
	CutMaster       FaultKind = "cut master"      // from everybody
)

// TaskMix is what is done while tasks run.
var TaskMix = []Choice{
	{KillMaster, 4, 0, time.Second},
	{KillControl, 2, 0, time.Second},
	{KillControls, 1, 0, time.Second},
	{KillAgent, 5, 0, time.Second},
	{KillAgents, 2, 0, time.Second},
	{KillShim, 5, 0, 0},
	{KillShims, 3, 0, 0},
	{KillShimAndTask, 3, 0, 0},
	{KillShimAndAgent, 3, 0, 5 * time.Second}, // its task may end meanwhile
	{KillScheduler, 5, 0, time.Second},
	{KillStandby, 1, 0, time.Second},
	{KillAgentAndMaster, 3, 0, time.Second},
	{KillEverybody, 1, 0, time.Second},
	{KillAgentAgain, 3, 0, 0},
	{KillMasterAgain, 1, 0, 0},
	{PauseMaster, 1, time.Second, 4 * time.Second},
	{PauseAgent, 1, time.Second, 4 * time.Second},
	{PauseScheduler, 1, 4 * time.Second, 6 * time.Second},
	{CutAgent, 1, time.Second, 6 * time.Second},
	{CutMaster, 1, time.Second, 4 * time.Second},
}

// inject carries out one fault, to its end.
func (r *TaskRun) inject(ctx context.Context, f Fault) error {
	master := -1
	switch f.Kind {
	case KillMaster, KillAgentAndMaster, PauseMaster, CutMaster:
		var err error
		if master, err = r.waitMaster(ctx); err != nil {
			return err
		}
	}
	agent := f.Pick % len(r.agents)
	switch f.Kind {
	case KillMaster:
		return r.strike(ctx, f, []int{master}, nil, nil)
	case KillControl:
		return r.strike(ctx, f, []int{f.Pick % len(r.cluster.Nodes)}, nil, nil)
	case KillControls:
		return r.strike(ctx, f, numbers(len(r.cluster.Nodes)), nil, nil)
	case KillAgent:
		return r.strike(ctx, f, nil, []int{agent}, nil)
	case KillAgents:
		return r.strike(ctx, f, nil, numbers(len(r.agents)), nil)
	case KillAgentAndMaster:
		return r.strike(ctx, f, []int{master}, []int{agent}, nil)
	case KillEverybody:
		return r.strike(ctx, f, numbers(len(r.cluster.Nodes)), numbers(len(r.agents)), numbers(len(r.schedulers)))
	case KillScheduler, KillStandby, PauseScheduler:
		return r.harmScheduler(ctx, f)
	case KillShim:
		return r.killShims(f, 1)
	case KillShims:
		return r.killShims(f, 4)
	case KillShimAndTask:
		return r.killShimAndTask(f)
	case KillShimAndAgent:
		return r.killShimAndAgent(ctx, f)
	case KillAgentAgain:
		return r.killAgentAgain(ctx, f, agent)
	case KillMasterAgain:
		return r.killMasterAgain(ctx, f)
	case PauseMaster:
		r.cluster.Pause(master)
		defer r.cluster.Resume(master)
		return hold(ctx, f.Hold)
	case PauseAgent:
		r.agents[agent].process.Signal(syscall.SIGSTOP)
		defer r.agents[agent].process.Signal(syscall.SIGCONT)
		return hold(ctx, f.Hold)
	case CutAgent:
		return r.cutOff(ctx, f, r.agents[agent].guest)
	case CutMaster:
		return r.cutOff(ctx, f, master)
	}
	return fmt.Errorf("chaos: no fault of tasks is called %s", f.Kind)
}

func numbers(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// strike kills nodes, agents and schedulers at the same time, and starts them again.
func (r *TaskRun) strike(ctx context.Context, f Fault, nodes, agents, schedulers []int) error {
	var speakers []*Speaker
	for _, n := range agents {
		speakers = append(speakers, r.agents[n])
	}
	for _, n := range schedulers {
		speakers = append(speakers, r.schedulers[n])
	}
	for _, s := range speakers {
		s.process.Signal(syscall.SIGKILL)
	}
	r.cluster.Kill(nodes...)
	for _, s := range speakers {
		s.process.Kill()
	}
	r.kills += len(nodes) + len(speakers)
	if err := hold(ctx, f.Hold); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := r.cluster.Start(n); err != nil {
			return err
		}
	}
	for _, s := range speakers {
		if err := r.launch(s); err != nil {
			return err
		}
	}
	return nil
}

// killAgentAgain kills an agent as it recovers, a little later each time.
func (r *TaskRun) killAgentAgain(ctx context.Context, f Fault, agent int) error {
	for n := range 5 {
		if err := r.strike(ctx, f, nil, []int{agent}, nil); err != nil {
			return err
		}
		if err := hold(ctx, time.Duration(n*f.Pick%150)*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// killMasterAgain kills the master and, as soon as the next one leads, that one.
func (r *TaskRun) killMasterAgain(ctx context.Context, f Fault) error {
	for range 3 {
		master, err := r.waitMaster(ctx)
		if err != nil {
			return err
		}
		if err := r.strike(ctx, f, []int{master}, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// harmScheduler kills or stops the scheduler that leads, or kills the one that does not.
func (r *TaskRun) harmScheduler(ctx context.Context, f Fault) error {
	leader := 0
	lines, err := ReadJournalFile(r.journal())
	if err != nil {
		return err
	}
	for _, l := range lines {
		if l.Deed == DeedLeads {
			leader = slices.IndexFunc(r.schedulers, func(s *Speaker) bool { return s.Name == l.Who })
		}
	}
	switch f.Kind {
	case PauseScheduler:
		r.schedulers[leader].process.Signal(syscall.SIGSTOP)
		defer r.schedulers[leader].process.Signal(syscall.SIGCONT)
		return hold(ctx, f.Hold)
	case KillStandby:
		leader = (leader + 1) % len(r.schedulers)
	}
	return r.strike(ctx, f, nil, nil, []int{leader})
}

// cutOff cuts one member of the network from all control nodes, and a control node from all.
func (r *TaskRun) cutOff(ctx context.Context, f Fault, victim int) error {
	if r.cluster.Network == nil {
		return fmt.Errorf("chaos: %s needs networks of their own", f.Kind)
	}
	var rules []Rule
	for n := range len(r.cluster.Nodes) + len(r.agents) {
		if n != victim {
			rules = append(rules, Rule{victim, n, 100}, Rule{n, victim, 100})
		}
	}
	if err := r.cluster.Network.Apply(rules); err != nil {
		return err
	}
	if err := hold(ctx, f.Hold); err != nil {
		return err
	}
	return r.cluster.Network.Apply(nil)
}

// victims are tasks that run as far as their ledgers say.
func (r *TaskRun) victims(pick, count int) (list []ChoreLine, err error) {
	book, err := r.book()
	if err != nil {
		return nil, err
	}
	var names []string
	for name, t := range book.open {
		if t.running != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for n := range names {
		if len(list) == count {
			break
		}
		name := names[(pick+n)%len(names)]
		t := book.open[name]
		ledger, err := ReadChores(r.ledgers(), []Unit{book.units[t.unit]})
		if err != nil {
			return nil, err
		}
		lines := ledger[t.unit]
		if len(lines) == 0 {
			continue // it runs, and has yet to say so
		}
		if last := lines[len(lines)-1]; last.Task == name && last.What != choreExit {
			list = append(list, last)
		}
	}
	return list, nil
}

// killShims kills the shims of up to so many tasks that run.
func (r *TaskRun) killShims(f Fault, count int) error {
	list, err := r.victims(f.Pick, count)
	if err != nil {
		return err
	}
	for _, v := range list {
		if r.killShim(v) {
			r.kills++
		}
	}
	return nil
}

// killShimAndTask kills a task too, at once after its shim.
func (r *TaskRun) killShimAndTask(f Fault) error {
	list, err := r.victims(f.Pick, 1)
	if err != nil || len(list) == 0 {
		return err
	}
	task, err := unix.PidfdOpen(list[0].Process, 0)
	if err != nil {
		return nil // it has ended meanwhile
	}
	defer unix.Close(task)
	if r.killShim(list[0]) {
		r.kills++
		_ = unix.PidfdSendSignal(task, unix.SIGKILL, nil, 0) // unless its agent was faster
	}
	return nil
}

func (r *TaskRun) killShimAndAgent(ctx context.Context, f Fault) error {
	list, err := r.victims(f.Pick, 1)
	if err != nil || len(list) == 0 {
		return err
	}
	agent := f.Pick % len(r.agents)
	for n, a := range r.agents {
		if r.runs(a, list[0].Process) {
			agent = n
		}
	}
	r.agents[agent].process.Signal(syscall.SIGKILL)
	if r.killShim(list[0]) {
		r.kills++
	}
	return r.strike(ctx, f, nil, []int{agent}, nil)
}

// runs reports whether a process is of a task of the agent.
func (r *TaskRun) runs(a *Speaker, process int) bool {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", process))
	return err == nil && bytes.Contains(environment, []byte(r.work(a)+"/"))
}

// killShim kills the parent of a task, by a handle and only if it is still that: the number
// may be another's by now.
func (r *TaskRun) killShim(v ChoreLine) bool {
	shim, err := unix.PidfdOpen(v.Parent, 0)
	if err != nil {
		return false
	}
	defer unix.Close(shim)
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", v.Process))
	if err != nil || !slices.Contains(strings.Split(string(environment), "\x00"), "CHORE_TASK="+v.Task) || parentOf(v.Process) != v.Parent {
		return false // it has ended meanwhile
	}
	// First the note, since the judge excuses what comes after it.
	r.shims[v.Container] = Now()
	return unix.PidfdSendSignal(shim, unix.SIGKILL, nil, 0) == nil
}

// parentOf is the parent's number of a process, 0 if there is none.
func parentOf(process int) (parent int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
	if err != nil {
		return 0
	}
	for line := range lines(string(text)) {
		if _, err := fmt.Sscanf(line, "PPid: %d", &parent); err == nil {
			return parent
		}
	}
	return 0
}
