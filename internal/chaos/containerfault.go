package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Faults of a run in containers. Control nodes and agents are taken off all their networks at once.
const (
	DockerKillMaster   FaultKind = "docker kill master"
	DockerKillControl  FaultKind = "docker kill control node"
	DockerKillAgent    FaultKind = "docker kill agent"
	DockerKillTask     FaultKind = "docker kill task"
	DockerPauseMaster  FaultKind = "docker pause master"
	DockerPauseControl FaultKind = "docker pause control node"
	DockerPauseAgent   FaultKind = "docker pause agent"
	DockerPauseTask    FaultKind = "docker pause task"
	DisconnectMaster   FaultKind = "disconnect master"
	DisconnectControl  FaultKind = "disconnect control node"
	DisconnectAgent    FaultKind = "disconnect agent"
	RemoveControl      FaultKind = "docker rm -f control node"
	RemoveAgent        FaultKind = "docker rm -f agent"
	RemoveTask         FaultKind = "docker rm -f task"
	RestartEngine      FaultKind = "restart engine"
	KillEngine         FaultKind = "kill -9 engine"
	RollingRestart     FaultKind = "rolling restart"
)

// ContainerMix is what is done to the cluster's containers, the tasks' and their engine.
var ContainerMix = []Choice{
	{DockerKillMaster, 4, 0, 2 * time.Second},
	{DockerKillControl, 2, 0, 2 * time.Second},
	{DockerKillAgent, 4, 0, 2 * time.Second},
	{DockerKillTask, 3, 0, 0},
	{DockerPauseMaster, 2, time.Second, 4 * time.Second},
	{DockerPauseControl, 1, time.Second, 4 * time.Second},
	{DockerPauseAgent, 2, time.Second, 4 * time.Second},
	{DockerPauseTask, 2, time.Second, 4 * time.Second},
	{DisconnectMaster, 3, time.Second, 6 * time.Second},
	{DisconnectControl, 2, time.Second, 6 * time.Second},
	{DisconnectAgent, 2, time.Second, 6 * time.Second},
	{RemoveControl, 1, 0, time.Second},
	{RemoveAgent, 1, 0, time.Second},
	{RemoveTask, 2, 0, 0},
	{RestartEngine, 1, 0, time.Second},
	{KillEngine, 1, 0, time.Second},
	{RollingRestart, 1, 0, 0},
}

// strike is a fault by which tasks ended, or may have, of which nobody can say how.
type strike struct {
	kind     FaultKind
	agent    string // whose processes it ended; "": not of one agent
	task     string // the one that it ended; "": of agent, or with neither all
	from, to time.Duration
}

// harm carries out one fault, to its end: until everything runs again.
func (r *ContainerRun) harm(ctx context.Context, f Fault) error {
	victim, err := r.victim(ctx, f)
	if err != nil {
		return err
	}
	r.logf("  it is %s", victim)
	if f.Kind == RestartEngine || f.Kind == KillEngine {
		return r.harmEngine(ctx, f)
	}
	defer func(from time.Duration) { r.noteGap(f, from) }(r.recorder.Now())
	switch f.Kind {
	case RollingRestart:
		return r.restartAll(ctx, f)
	}
	if strings.HasSuffix(string(f.Kind), "agent") && (strings.Contains(string(f.Kind), "kill") || f.Kind == RemoveAgent) {
		defer r.struck(strike{kind: f.Kind, agent: victim, from: Now()})
	}
	began, heal, err := r.strikeOne(f, victim)
	if err != nil {
		return err
	}
	err = r.answers(ctx, f, began, func() error { return errors.Join(hold(ctx, f.Hold), heal()) })
	return errors.Join(err, r.whole(ctx))
}

// noteGap notes for how long no client's write was acknowledged since then.
func (r *ContainerRun) noteGap(f Fault, from time.Duration) {
	gap, began := r.recorder.longestGap(from)
	r.waited(f, waitGap, gap)
	r.bound(f, waitGap, gap, r.config.Answers, time.Now().Add(began-r.recorder.Now()))
}

// bound notes what took longer than it may: as a failure, or as what proves nothing where too many others wanted the
// cores meanwhile.
func (r *ContainerRun) bound(f Fault, what string, took, limit time.Duration, since time.Time) {
	if took <= limit {
		return
	}
	text := fmt.Sprintf("after %s: %s took %v, more than %v", f.Kind, what, took.Round(time.Millisecond), limit)
	if s := r.crowd.between(since, since.Add(took)); s.tooMuch() {
		text = fmt.Sprintf("%s, while %v", text, s)
		r.logf("void %s", text)
		r.void = append(r.void, text)
		return
	}
	r.fail("%s", text)
}

func (r *ContainerRun) struck(s strike) {
	s.to = Now()
	r.strikes = append(r.strikes, s)
}

// victim is the name of a service, or of a task.
func (r *ContainerRun) victim(ctx context.Context, f Fault) (string, error) {
	switch kind := string(f.Kind); {
	case strings.HasSuffix(kind, "master"):
		master, err := (&TaskRun{cluster: r.cluster}).waitMaster(ctx)
		if err != nil {
			return "", err
		}
		return controlNames[master], nil
	case strings.HasSuffix(kind, "control node"):
		leader, err := r.cluster.WaitLeader(ctx, patience)
		if err != nil {
			return "", err
		}
		return controlNames[(leader+1+f.Pick%2)%len(controlNames)], nil
	case strings.HasSuffix(kind, "agent"):
		return agentNames[f.Pick%len(agentNames)], nil
	case strings.HasSuffix(kind, "task"):
		return r.runningTask(f.Pick)
	}
	return "all of it", nil
}

// runningTask waits for a task in a container of its own that runs, and returns its id.
func (r *ContainerRun) runningTask(pick int) (task string, err error) {
	err = pollEach(commandEvery, patience, func() error {
		if err := r.tend(); err != nil {
			return fatal{err}
		}
		out, err := r.engine.Docker("ps", "--format", `{{.Label "synod.task"}}`, "--filter", "label=synod.cluster="+containerProject)
		if err != nil {
			return err
		}
		list := slices.DeleteFunc(strings.Fields(out), func(name string) bool { return !strings.HasPrefix(name, "unit") })
		if len(list) == 0 {
			return errors.New("chaos: no container of a task runs")
		}
		slices.Sort(list)
		task = list[pick%len(list)]
		return nil
	})
	return task, err
}

// strikeOne harms one container, and returns when it began and what heals it.
func (r *ContainerRun) strikeOne(f Fault, victim string) (began time.Time, heal func() error, err error) {
	docker := func(args ...string) error {
		_, err := r.engine.Docker(args...)
		return err
	}
	name := container(victim)
	if strings.HasSuffix(string(f.Kind), "task") {
		return r.strikeTask(f, victim)
	}
	began = time.Now()
	switch f.Kind {
	case DockerKillMaster, DockerKillControl, DockerKillAgent:
		return began, func() error { return r.tries("start", name) }, docker("kill", name)
	case DockerPauseMaster, DockerPauseControl, DockerPauseAgent:
		// A busy machine's runc gives up freezing what just starts a process.
		err = pollEach(commandEvery, patience, func() error { began = time.Now(); return docker("pause", name) })
		return began, func() error { return docker("unpause", name) }, err
	case RemoveControl, RemoveAgent:
		up := func() error {
			_, err := r.script("up")
			return err
		}
		return began, up, docker("rm", "-f", name)
	case DisconnectMaster, DisconnectControl, DisconnectAgent:
		networks := []string{containerProject + "_agents"}
		if f.Kind != DisconnectAgent {
			networks = append(networks, containerProject+"_control")
		}
		heal = func() (err error) {
			for _, n := range networks {
				err = errors.Join(err, r.tries("network", "connect", "--alias", victim, n, name))
			}
			return err
		}
		for _, n := range networks {
			err = errors.Join(err, docker("network", "disconnect", n, name))
		}
		return began, heal, err
	}
	return began, nil, fmt.Errorf("chaos: no fault of containers is called %s", f.Kind)
}

// strikeTask harms the container of a task, if that has not ended meanwhile.
func (r *ContainerRun) strikeTask(f Fault, task string) (began time.Time, heal func() error, err error) {
	began = time.Now()
	from := Now()
	id, err := r.engine.Docker("ps", "-q", "--filter", "label=synod.task="+task)
	if err != nil || id == "" {
		return began, func() error { return nil }, err
	}
	verb := map[FaultKind][]string{DockerKillTask: {"kill"}, RemoveTask: {"rm", "-f"}, DockerPauseTask: {"pause"}}[f.Kind]
	_, late := r.engine.Docker(append(verb, id)...)
	if f.Kind != DockerPauseTask {
		r.struck(strike{kind: f.Kind, task: task, from: from})
	}
	return began, func() error {
		if late == nil && f.Kind == DockerPauseTask {
			_, _ = r.engine.Docker("unpause", id) // one that was killed meanwhile is not paused any more
		}
		return nil
	}, nil
}

// harmEngine ends the daemon. Without live-restore all containers end with it, or at its next start.
func (r *ContainerRun) harmEngine(ctx context.Context, f Fault) error {
	signal := "TERM"
	if f.Kind == KillEngine {
		signal = "KILL"
	}
	defer r.struck(strike{kind: f.Kind, from: Now()})
	if err := errors.Join(r.engine.Signal(signal), hold(ctx, f.Hold)); err != nil {
		return err
	}
	down := time.Now()
	if err := r.engine.Start(); err != nil {
		return err
	}
	r.logf("  the engine answers %v after its start", time.Since(down).Round(time.Millisecond))
	up := time.Now()
	if err := r.startTheRest(); err != nil {
		return err
	}
	err := errors.Join(r.answers(ctx, f, up, func() error { return nil }), r.whole(ctx))
	r.logStarts(up)
	return err
}

// sawNoInterface is what an engine says that loses sight of its own interfaces while it starts several containers at once.
const sawNoInterface = "failed to create endpoint"

// tries does what an engine may fail to do for that reason alone.
func (r *ContainerRun) tries(args ...string) error {
	return poll(30*time.Second, func() error {
		_, err := r.engine.Docker(args...)
		if err != nil && !strings.Contains(err.Error(), sawNoInterface) {
			err = fatal{err}
		}
		return err
	})
}

// startTheRest starts those of the six that the engine has given up at its own start for that reason, which it does once and for all.
func (r *ContainerRun) startTheRest() error {
	for _, name := range slices.Concat(controlNames, agentNames) {
		problem, err := r.engine.Docker("inspect", "-f", "{{if not .State.Running}}{{.State.Error}}{{end}}", container(name))
		if err != nil {
			return err
		}
		if strings.Contains(problem, sawNoInterface) {
			r.logf("  the engine does not start %s: %s", name, problem)
			if err := r.tries("start", container(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// logStarts says when the engine has started each of the six, when it spoke first, and when it knew of a leader.
func (r *ContainerRun) logStarts(up time.Time) {
	for _, name := range slices.Concat(controlNames, agentNames) {
		at, err := r.engine.Docker("inspect", "-f", "{{.State.StartedAt}}", container(name))
		if err != nil {
			continue
		}
		said := []any{name, at}
		for _, what := range []string{".", "new leader|became leader|\"registered"} {
			line, _ := r.engine.run(nil, "sh", "-c", fmt.Sprintf("docker logs --timestamps --since %s %s 2>&1 | grep -m1 -E '%s'", at, container(name), what))
			word, _, _ := strings.Cut(line, " ")
			said = append(said, word)
		}
		for n, word := range said[1:] {
			if t, err := time.Parse(time.RFC3339Nano, word.(string)); err == nil {
				said[n+1] = t.Sub(up).Round(time.Millisecond)
			}
		}
		r.logf("  %s: after the engine answered: started %v, spoke %v, knew of a leader %v", said...)
	}
}

// restartAll restarts all six, one after the other, each when the one before is there again.
func (r *ContainerRun) restartAll(ctx context.Context, f Fault) error {
	for _, name := range slices.Concat(controlNames, agentNames) {
		r.workload.NextEpoch()
		from := Now()
		if _, err := r.engine.Docker("stop", "-t", "10", container(name)); err != nil {
			return err
		}
		began, started := time.Now(), make(chan error, 1)
		go func() {
			_, err := r.engine.Docker("start", container(name))
			started <- err
		}()
		if slices.Contains(agentNames, name) {
			r.struck(strike{kind: f.Kind, agent: name, from: from})
		}
		if err := errors.Join(r.answers(ctx, f, began, func() error { return <-started }), r.whole(ctx)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// whole waits until all six are there again.
func (r *ContainerRun) whole(ctx context.Context) error {
	return errors.Join(r.cluster.WaitHealthy(ctx, patience), r.awaitAgents())
}

// What is waited for after a fault.
const (
	waitGap       = "longest pause of all writers"
	waitWrite     = "write"
	waitRead      = "read"
	waitProcess   = "process started"
	waitContainer = "container started"
)

// answers measures how long after began a write and a read are answered and tasks of both kinds start. It heals when
// the first two are: a task that was given to the agent that is away has to wait for it, since it may run there. What
// takes longer than it may is a failure of the run.
func (r *ContainerRun) answers(ctx context.Context, f Fault, began time.Time, heal func() error) error {
	r.probes++
	var serves, starts sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	var healed time.Duration
	ask := func(what string, once func(context.Context, string) error) {
		err := once(ctx, fmt.Sprint(r.probes))
		took := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		r.waited(f, what, took)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
		r.logf("  %s after %v, %.1f threads wanted each core", what, took.Round(time.Millisecond), r.crowd.perCore(began))
		limit := r.config.Answers
		if what == waitProcess || what == waitContainer {
			limit = max(r.config.StartsTask, healed+r.config.Answers)
		}
		r.bound(f, what, took, limit, began)
	}
	serves.Go(func() { ask(waitWrite, r.probeWrite) })
	serves.Go(func() { ask(waitRead, r.probeRead) })
	starts.Go(func() { ask(waitProcess, r.probeProcess) })
	starts.Go(func() { ask(waitContainer, r.probeContainer) })
	serves.Wait()
	err := heal()
	mu.Lock()
	healed = time.Since(began)
	mu.Unlock()
	starts.Wait()
	return errors.Join(append(errs, err)...)
}

func (r *ContainerRun) waited(f Fault, what string, took time.Duration) {
	if r.waits[f.Kind] == nil {
		r.waits[f.Kind] = make(map[string][]time.Duration)
	}
	r.waits[f.Kind][what] = append(r.waits[f.Kind][what], took)
}

// attempt repeats one operation of the harness at each node in turn until it is answered.
func (r *ContainerRun) attempt(ctx context.Context, o Operation) error {
	n := 0
	return poll(patience, func() error {
		limited, cancel := context.WithTimeout(ctx, 700*time.Millisecond)
		defer cancel()
		n++
		r.cluster.HTTP.Do(limited, r.cluster.Nodes[n%len(r.cluster.Nodes)].API, &o)
		if o.Outcome != Done {
			return fmt.Errorf("chaos: not answered: %v", &o)
		}
		return nil
	})
}

func (r *ContainerRun) probeWrite(ctx context.Context, n string) error {
	return r.attempt(ctx, Operation{Kind: Put, Key: "probe/written", Value: n})
}

func (r *ContainerRun) probeRead(ctx context.Context, n string) error {
	return r.attempt(ctx, Operation{Kind: Get, Level: LevelLinearizable, Key: "probe/written"})
}

func (r *ContainerRun) probeProcess(ctx context.Context, n string) error {
	return r.probeJob("process-"+n, "exec: [/node, version]\n")
}

func (r *ContainerRun) probeContainer(ctx context.Context, n string) error {
	return r.probeJob("container-"+n, fmt.Sprintf("runtime: docker\nimage: %s\nnetwork: none\nmounts: [%q]\nenv: {CHORE_TIME: 1ms, CHORE_CODE: \"0\", CHORE_TASK: probe, CHORE_LEDGER: %s/probe-%s}\n",
		choreImage, ledgerVolume+":"+ledgerTarget, ledgerTarget, n))
}

// probeJob runs a job once, and returns when it has started.
func (r *ContainerRun) probeJob(name, text string) error {
	path := filepath.Join(r.dir(), name+".yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, "name: %s\nonce: true\nmemory: 32MiB\n%s", name, text), 0o644); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return pollEach(commandEvery, patience, func() error {
		_, err := r.node("run", path, "--timeout", "1s", "--within", "20s", "--quiet")
		return err
	})
}
