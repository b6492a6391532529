package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/synod-go/synod/actors/agent"
)

// TaskConfig is a run in which control nodes, agents, schedulers and shims die while tasks
// run.
type TaskConfig struct {
	RunConfig      // Cycles is the most; Mix is TaskMix by default
	Kills      int // processes that are to be killed, at least
	Agents     int // default 5
	Schedulers int // default 2
	Least      int // units that are to be done, at least; default 200
	Width      int // tasks at once, default 100
	PerTick    int // units that begin in a tenth of a second; default 1
	Longest    time.Duration
}

// TaskRun is one such run.
type TaskRun struct {
	config     TaskConfig
	cluster    *Cluster
	agents     []*Speaker
	schedulers []*Speaker
	chore      string
	report     Report
	shims      map[string]time.Duration
	kills      int
	failures   []string
	void       []string
}

// TaskReport is what the ledger keeps of a run with tasks.
type TaskReport struct {
	TaskCounts
	Kills      int            `json:"kills"` // processes
	Violations map[string]int `json:"violations,omitempty"`
}

// ExecuteTasks starts a cluster with agents and schedulers, carries out the plan of the seed
// until enough has been killed, and judges what tasks and schedulers have written.
func ExecuteTasks(ctx context.Context, config TaskConfig) (Report, error) {
	config = config.withDefaults()
	r := &TaskRun{config: config, shims: make(map[string]time.Duration)}
	r.report = Report{Name: config.Name, Engine: config.Cluster.Engine, Commit: config.Commit, Seed: config.Seed, Nodes: config.Cluster.Nodes,
		Time: time.Now(), Faults: make(map[FaultKind]int)}
	if err := r.start(ctx); err != nil {
		return r.report, errors.Join(err, r.close())
	}
	for _, fault := range MakePlan(config.Seed, config.Mix, config.Cycles) {
		if r.kills >= config.Kills && r.report.Cycles >= len(config.Mix) {
			break
		}
		if err := r.cycle(ctx, fault); err != nil {
			r.fail("cycle %d (%v): %v", r.report.Cycles, fault, err)
			break
		}
	}
	if err := r.end(ctx); err != nil {
		r.fail("the end: %v", err)
	}
	r.report.MaxRSS = r.cluster.MaxRSS()
	err := r.judge()
	r.config.Logf("%+v", r.report.Tasks)
	return r.report, errors.Join(err, r.close())
}

func (c TaskConfig) withDefaults() TaskConfig {
	number := func(to *int, value int) {
		if *to == 0 {
			*to = value
		}
	}
	number(&c.Agents, 5)
	number(&c.Schedulers, 2)
	number(&c.Least, 200)
	number(&c.Width, 100)
	number(&c.PerTick, 1)
	if c.Longest == 0 {
		c.Longest = time.Minute
	}
	if c.Mix == nil {
		c.Mix = TaskMix
	}
	if c.Logf == nil {
		c.Logf = func(string, ...any) {}
	}
	c.Cluster.Guests = c.Agents
	return c
}

func (r *TaskRun) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.config.Logf("FAIL %s", text)
	r.failures = append(r.failures, text)
}

func (r *TaskRun) dir() string               { return r.config.Cluster.Dir }
func (r *TaskRun) ledgers() string           { return filepath.Join(r.dir(), "ledgers") }
func (r *TaskRun) journal() string           { return filepath.Join(r.dir(), journalName) }
func (r *TaskRun) work(a *Speaker) string    { return filepath.Join(r.dir(), "work", a.Name) }
func (r *TaskRun) agentAddress(n int) string { return r.cluster.address(len(r.cluster.Nodes) + n) }

// start starts everything and waits until tasks run.
func (r *TaskRun) start(ctx context.Context) (err error) {
	r.chore = filepath.Join(r.dir(), "chore")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", r.chore, "github.com/synod-go/synod/internal/chaos/chore")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("chaos: build the tasks' program: %w: %s", err, out)
	}
	if err := os.MkdirAll(r.ledgers(), 0o755); err != nil {
		return err
	}
	if r.cluster, err = StartCluster(ctx, r.config.Cluster); err != nil {
		return err
	}
	for n := range r.config.Agents {
		s := &Speaker{SpeakerConfig: SpeakerConfig{Name: fmt.Sprintf("a%d", n+1)}, guest: -1}
		if r.cluster.Network != nil {
			s.guest = len(r.cluster.Nodes) + n
		}
		r.agents = append(r.agents, s)
	}
	for n := range r.config.Schedulers {
		r.schedulers = append(r.schedulers, &Speaker{SpeakerConfig: SpeakerConfig{Name: fmt.Sprintf("s%d", n+1)}, guest: -1})
	}
	for _, s := range slices.Concat(r.agents, r.schedulers) {
		if err := r.launch(s); err != nil {
			return err
		}
	}
	if err := r.awaitUpdates(ctx, r.config.Width/2); err != nil {
		return err
	}
	r.config.Logf("%s: seed %d, tasks run after %v", r.config.Name, r.config.Seed, time.Since(r.report.Time).Round(time.Millisecond))
	return nil
}

// launch starts the process of an agent or of a scheduler.
func (r *TaskRun) launch(s *Speaker) (err error) {
	log := filepath.Join(r.dir(), s.Name+".log")
	if slices.Contains(r.schedulers, s) {
		config := SchedulerConfig{Name: s.Name, Addresses: r.cluster.all(), Dir: r.dir(), Ledgers: r.ledgers(), Chore: r.chore, Seed: r.config.Seed,
			Units: 100_000, Least: r.config.Least, Longest: r.config.Longest, Width: r.config.Width, PerTick: r.config.PerTick}
		text, err := json.Marshal(config)
		if err != nil {
			return fmt.Errorf("chaos: encode %s: %w", s.Name, err)
		}
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("chaos: find own program: %w", err)
		}
		s.process, err = StartProcess(r.config.Cluster.Host, nil, s.Name, log, []string{"env", schedulerEnvironment + "=" + string(text), self})
		return err
	}
	n := slices.Index(r.agents, s)
	argv := append(slices.Clone(r.config.Cluster.Program), "agent", "--name", s.Name, "--master", strings.Join(r.cluster.all(), ","),
		"--work", r.work(s), "--resources", "cpus:1000;mem:1000000", "--listen", r.agentAddress(n))
	var space *os.File
	if s.guest >= 0 {
		space = r.cluster.Network.Space(s.guest)
		argv = append(argv, "--insecure")
	}
	s.process, err = StartProcess(r.config.Cluster.Host, space, s.Name, log, argv)
	return err
}

// book is what the journal says now.
func (r *TaskRun) book() (*taskBook, error) {
	lines, err := ReadJournalFile(r.journal())
	if err != nil {
		return nil, err
	}
	book := newTaskBook(PlanUnits(r.config.Seed, 100_000, r.config.Longest))
	for _, l := range lines {
		book.note(l)
	}
	return book, nil
}

// updates counts those that schedulers were told.
func (r *TaskRun) updates() (count int, err error) {
	text, err := os.ReadFile(r.journal())
	if os.IsNotExist(err) {
		return 0, nil
	}
	return bytes.Count(text, []byte(`"deed":"update"`)), err
}

// awaitUpdates waits until schedulers were told so many more updates.
func (r *TaskRun) awaitUpdates(ctx context.Context, more int) error {
	start, err := r.updates()
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * recoverLimit); ; {
		now, err := r.updates()
		if err != nil || now >= start+more {
			return err
		}
		if err := r.unplanned(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("chaos: only %d of %d updates in %v", now-start, more, 2*recoverLimit)
		}
	}
}

// unplanned is an error for each process that has ended by itself. A scheduler that was
// deposed ends, and is started again as another.
func (r *TaskRun) unplanned() error {
	err := r.cluster.Unplanned()
	for _, a := range r.agents {
		if !a.process.Alive() {
			err = errors.Join(err, fmt.Errorf("chaos: agent %s ended by itself (%v), see %s", a.Name, a.process.cmd.ProcessState, a.process.Log))
		}
	}
	for _, s := range r.schedulers {
		if !s.process.Alive() {
			err = errors.Join(err, r.launch(s))
		}
	}
	return err
}

// settleUpdates is how many updates must come after a fault, as a sign that work goes on.
const settleUpdates = 3

func (r *TaskRun) cycle(ctx context.Context, f Fault) error {
	r.report.Cycles++
	r.config.Logf("%.1fs, cycle %d: %v, %d killed so far", time.Since(r.report.Time).Seconds(), r.report.Cycles, f, r.kills)
	began := time.Now()
	if err := r.inject(ctx, f); err != nil {
		return err
	}
	r.config.Logf("  injected in %v", time.Since(began).Round(time.Millisecond))
	r.report.Faults[f.Kind]++
	return r.awaitUpdates(ctx, settleUpdates)
}

// waitMaster returns the node whose master leads.
func (r *TaskRun) waitMaster(ctx context.Context) (master int, err error) {
	err = poll(recoverLimit, func() error {
		leads := make([]bool, len(r.cluster.Nodes))
		var asked sync.WaitGroup
		for n, node := range r.cluster.Nodes {
			asked.Go(func() { leads[n] = r.leads(ctx, node.API) })
		}
		asked.Wait()
		if master = slices.Index(leads, true); master < 0 {
			return errors.New("chaos: no master leads")
		}
		return nil
	})
	return master, err
}

// leads reports whether a node answers for itself what only the leading master's can.
func (r *TaskRun) leads(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/frameworks", nil)
	if err != nil {
		return false
	}
	request.Header.Set("Synod-Forwarded", "1")
	response, err := r.cluster.HTTP.client.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// endLimit is how long the last units may take behind their own time.
const endLimit = 2 * time.Minute

// end lets no more units begin, waits until all are done, ends everything and looks that
// nothing is left.
func (r *TaskRun) end(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(r.dir(), enoughName), nil, 0o644); err != nil {
		return err
	}
	if err := r.awaitDone(ctx); err != nil {
		return err
	}
	if left := r.leftovers(); len(left) > 0 {
		return fmt.Errorf("chaos: all units are done, and processes of tasks are left: %v", left)
	}
	for _, s := range slices.Concat(r.schedulers, r.agents) {
		s.process.Signal(syscall.SIGTERM)
	}
	for _, s := range slices.Concat(r.schedulers, r.agents) {
		if code, err := s.process.Ended(10 * time.Second); err != nil || code != 0 {
			return fmt.Errorf("chaos: %s was asked to end: code %d, %w, see %s", s.Name, code, err, s.process.Log)
		}
	}
	return nil
}

func (r *TaskRun) awaitDone(ctx context.Context) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(r.config.Longest + endLimit); ; {
		book, err := r.book()
		if err != nil || book.ended {
			return err
		}
		if err := r.unplanned(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("chaos: %d tasks are still open after %v: %.1000s", len(book.open), r.config.Longest+endLimit, fmt.Sprint(book.openNames()))
		}
	}
}

// leftovers are the processes that belong to a task of this run: their environment says so.
func (r *TaskRun) leftovers() (list []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	mark := []byte("CHORE_LEDGER=" + r.ledgers() + "/")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && bytes.Contains(environment, mark) {
			list = append(list, pid)
		}
	}
	return list
}

// close ends what is left, also of a run that went wrong.
func (r *TaskRun) close() error {
	for _, s := range slices.Concat(r.schedulers, r.agents) {
		if s.process != nil {
			s.process.Kill()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), recoverLimit)
	defer cancel()
	var err error
	for _, a := range r.agents {
		err = errors.Join(err, agent.EndTasks(ctx, r.work(a), 0))
	}
	if r.cluster != nil {
		err = errors.Join(err, r.cluster.Close())
	}
	return err
}

// judge compares what tasks and schedulers have written.
func (r *TaskRun) judge() error {
	journal, err := ReadJournalFile(r.journal())
	if err != nil {
		return err
	}
	book, err := r.book()
	if err != nil {
		return err
	}
	h := TaskHistory{Journal: journal, Shims: r.shims}
	for n, s := range book.states {
		if s.attempts > 0 {
			h.Units = append(h.Units, book.units[n])
		}
	}
	if h.Ledgers, err = ReadChores(r.ledgers(), book.units); err != nil {
		return err
	}
	violations, counts := JudgeTasks(h)
	r.report.Tasks = &TaskReport{TaskCounts: counts, Kills: r.kills, Violations: make(map[string]int)}
	for _, v := range violations {
		r.fail("%v", v)
		r.report.Tasks.Violations[v.Class]++
	}
	r.report.Seconds = time.Since(r.report.Time).Seconds()
	if counts.Started < r.config.Least || r.kills < r.config.Kills || r.report.Cycles < len(r.config.Mix) {
		r.void = append(r.void, fmt.Sprintf("too little was done: %d tasks started, %d processes killed, %d faults", counts.Started, r.kills, r.report.Cycles))
	}
	r.report.Reasons = slices.Concat(r.failures, r.void)
	switch {
	case len(r.failures) > 0:
		r.report.Verdict = verdictFail
	case len(r.void) > 0:
		r.report.Verdict = verdictVoid
	default:
		r.report.Verdict = verdictPass
	}
	return nil
}
