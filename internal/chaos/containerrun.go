package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ContainerConfig is a run in which the cluster of compose.yaml and its tasks are containers of an
// engine of the run's own, and these and the engine come to harm.
type ContainerConfig struct {
	RunConfig         // Cluster: Program, Dir and Host alone; Mix is ContainerMix by default
	Tools      string // the directory of cluster.sh
	Longest    time.Duration
	Least      int           // units that are to be done, at least
	Answers    time.Duration // within which the service has to answer, default 5 s
	StartsTask time.Duration // within which a task has to start where an agent is away, default 20 s: some machines make a container in five
}

// commandEvery is how often a command of another process is repeated.
const commandEvery = 50 * time.Millisecond

// patience is how long it is repeated: what takes longer than it may is noted, and the run goes on.
const patience = 90 * time.Second

// ContainerRun is one such run. What clients see is judged as in any other Run, what tasks write as in a TaskRun.
type ContainerRun struct {
	*Run
	config    ContainerConfig
	engine    *Dockerd
	scheduler *Process
	agents    map[string]string // their names by their ids
	strikes   []strike
	waits     map[FaultKind]map[string][]time.Duration // by what was waited for
	probes    int
}

// Names of what a run has in its engine.
const (
	containerProject = "chaos"
	containerImage   = "synod:chaos"
	choreImage       = "chore:1"
	ledgerVolume     = "ledgers"
	ledgerTarget     = "/ledgers"
)

var (
	controlNames = []string{"n1", "n2", "n3"}
	agentNames   = []string{"a1", "a2", "a3"}
)

// ContainerReport is what the ledger keeps of such a run: how long clients waited after each kind of fault.
type ContainerReport struct {
	Waits map[string]*Drill               `json:"waits"` // over all faults, by what was waited for
	Kinds map[FaultKind]map[string]*Drill `json:"kinds"`
}

// ExecuteContainers brings the cluster up, carries out the plan of the seed, and judges what clients, tasks and the
// scheduler have seen. The error says that the harness itself failed.
func ExecuteContainers(ctx context.Context, config ContainerConfig) (report Report, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := beginContainers(ctx, config)
	if r != nil {
		defer func() { err = errors.Join(err, r.close()) }()
	}
	if err != nil {
		return Report{}, err
	}
	for _, fault := range MakePlan(r.config.Seed, r.config.Mix, r.config.Cycles) {
		if r.config.Limit > 0 && time.Since(r.report.Time) > r.config.Limit {
			break
		}
		if err := r.tend(); err != nil {
			return r.report, err
		}
		r.workload.NextEpoch() // registers are fresh when the fault comes
		r.logf("%.1fs, cycle %d: %v", time.Since(r.report.Time).Seconds(), r.report.Cycles+1, fault)
		if err := r.cycle(ctx, fault, r.harm); err != nil {
			r.fail("cycle %d (%v): %v", r.report.Cycles, fault, err)
			break
		}
	}
	if err := r.endTasks(ctx); err != nil {
		r.fail("the end of the tasks: %v", err)
	}
	r.summarize()
	if err := r.judgeTasks(); err != nil {
		return r.report, err
	}
	return r.finish(ctx)
}

func (c ContainerConfig) withDefaults() ContainerConfig {
	if c.Mix == nil {
		c.Mix = ContainerMix
	}
	if c.Longest == 0 {
		c.Longest = 15 * time.Second
	}
	if c.Answers == 0 {
		c.Answers = 5 * time.Second
	}
	if c.StartsTask == 0 {
		c.StartsTask = 20 * time.Second
	}
	if c.Floor == 0 {
		c.Floor = 25
	}
	if c.Logf == nil {
		c.Logf = func(string, ...any) {}
	}
	return c
}

// beginContainers starts the engine, the cluster in it, and those who use it.
func beginContainers(ctx context.Context, config ContainerConfig) (*ContainerRun, error) {
	config = config.withDefaults()
	engine, err := StartDockerd(config.Cluster.Host, filepath.Join(config.Cluster.Dir, "engine"))
	if err != nil {
		return nil, err
	}
	r := &ContainerRun{Run: &Run{config: config.RunConfig, recorder: NewRecorder(), crowd: watchCrowd(ctx, config.Cluster.Dir)}, config: config, engine: engine,
		agents: make(map[string]string), waits: make(map[FaultKind]map[string][]time.Duration)}
	r.report = Report{Name: config.Name, Engine: engineRaft, Commit: config.Commit, Seed: config.Seed, Nodes: len(controlNames),
		Time: time.Now(), Faults: make(map[FaultKind]int)}
	r.cluster = &Cluster{HTTP: NewHTTP(r.dial), config: ClusterConfig{Nodes: len(controlNames)}}
	for n, name := range controlNames {
		r.cluster.Nodes = append(r.cluster.Nodes, &Node{Number: n, NodeSpec: NodeSpec{Name: name, API: name + ":4700", Voters: len(controlNames)}})
	}
	if err := errors.Join(r.makeImages(), r.makeLedgers()); err != nil {
		return r, err
	}
	began := time.Now()
	if _, err := r.script("up"); err != nil {
		return r, err
	}
	r.logf("%s: seed %d, the cluster serves %v after its image was built", config.Name, config.Seed, time.Since(began).Round(time.Millisecond))
	return r, r.startClients(ctx)
}

func (r *ContainerRun) dir() string     { return r.config.Cluster.Dir }
func (r *ContainerRun) journal() string { return filepath.Join(r.dir(), journalName) }
func (r *ContainerRun) ledgers() string { return filepath.Join(r.dir(), "ledgers") }
func (r *ContainerRun) secrets() string {
	return filepath.Join(r.dir(), "cluster", "tls", "operator")
}

// container is the name that compose gives to the container of a service.
func container(service string) string { return containerProject + "_" + service + "_1" }

// dial connects to a node by its name.
func (r *ContainerRun) dial(ctx context.Context, _, address string) (net.Conn, error) {
	service, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return r.engine.Dial(ctx, container(service), port)
}

// script runs tools/cluster.sh in the engine's network, where the ports of the nodes are.
func (r *ContainerRun) script(verb string) (string, error) {
	env := []string{"PROJECT=" + containerProject, "IMAGE=" + containerImage, "DIR=" + filepath.Join(r.dir(), "cluster"), "NODE=" + r.config.Cluster.Program[0],
		"DOCKER=yes", "WAIT=90s", "SYNOD_AGENT=cpus:100;mem:100000", "EXTRA=" + filepath.Join(r.dir(), "extra.yaml")}
	return r.engine.run(env, append(r.engine.inside("-n"), filepath.Join(r.config.Tools, "cluster.sh"), verb)...)
}

// node runs a verb of the program, from the engine's network.
func (r *ContainerRun) node(args ...string) (string, error) {
	s := r.secrets()
	env := []string{"NODE_ADDR=" + strings.Join(publishedAddresses, ","), "NODE_TLS_CA=" + s + "/ca.pem", "NODE_TLS_CERT=" + s + "/operator.pem",
		"NODE_TLS_KEY=" + s + "/operator-key.pem"}
	return r.engine.run(env, slices.Concat(r.engine.inside("-n"), r.config.Cluster.Program, args)...)
}

// publishedAddresses are those of the nodes in the engine's network.
var publishedAddresses = []string{"127.0.0.1:4700", "127.0.0.1:4710", "127.0.0.1:4720"}

// makeImages builds the cluster's image, with the tasks' program in it for tasks that are processes, and the
// image of tasks that are containers.
func (r *ContainerRun) makeImages() error {
	if err := os.WriteFile(filepath.Join(r.dir(), "extra.yaml"), nil, 0o644); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	if _, err := r.script("image"); err != nil {
		return err
	}
	stage := filepath.Join(r.dir(), "stage")
	if err := os.MkdirAll(stage, 0o755); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(stage, "chore"), "github.com/synod-go/synod/internal/chaos/chore")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("chaos: build the tasks' program: %w: %s", err, out)
	}
	for image, text := range map[string]string{
		containerImage: "FROM " + containerImage + "\nCOPY chore /chore\n",
		choreImage:     "FROM scratch\nCOPY chore /chore\nENTRYPOINT [\"/chore\"]\n",
	} {
		if err := os.WriteFile(filepath.Join(stage, "Dockerfile"), []byte(text), 0o644); err != nil {
			return fmt.Errorf("chaos: %w", err)
		}
		if _, err := r.engine.Docker("build", "-q", "-t", image, stage); err != nil {
			return err
		}
	}
	return nil
}

// makeLedgers makes the volume that all tasks see, and the harness too.
func (r *ContainerRun) makeLedgers() error {
	// Any user may write, and no sticky bit: of files in such a directory the kernel lets nobody write but their owners.
	if err := errors.Join(os.MkdirAll(r.ledgers(), 0o755), os.Chmod(r.ledgers(), 0o777)); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	extra := "version: \"3.8\"\nservices:\n"
	for _, a := range agentNames {
		extra += fmt.Sprintf("  %s:\n    volumes: [\"%s:%s\"]\n", a, ledgerVolume, ledgerTarget)
	}
	extra += fmt.Sprintf("volumes:\n  %s: {external: true}\n", ledgerVolume)
	if err := os.WriteFile(filepath.Join(r.dir(), "extra.yaml"), []byte(extra), 0o644); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	_, err := r.engine.Docker("volume", "create", "-d", "local", "-o", "type=none", "-o", "o=bind", "-o", "device="+r.ledgers(), ledgerVolume)
	return err
}

// startClients starts those who write, and the scheduler, and waits until tasks run.
func (r *ContainerRun) startClients(ctx context.Context) error {
	secret, err := (&Certificates{dir: r.secrets()}).Config("operator")
	if err != nil {
		return err
	}
	r.cluster.HTTP.Secure(secret)
	if err := r.cluster.WaitHealthy(ctx, patience); err != nil {
		return err
	}
	if err := r.awaitAgents(); err != nil {
		return err
	}
	workload := WorkloadConfig{Seed: r.config.Seed, Prefix: "chaos", Pause: r.config.Pause, Dial: r.dial, TLS: secret}
	for _, node := range r.cluster.Nodes {
		workload.Addresses, workload.Names = append(workload.Addresses, node.API), append(workload.Names, node.Name)
	}
	r.workload = StartWorkload(ctx, workload, r.recorder)
	go r.turnPages(ctx)
	if err := r.startScheduler(); err != nil {
		return err
	}
	return poll(time.Minute, func() error {
		if err := r.tend(); err != nil {
			return fatal{err}
		}
		book, err := r.book()
		if err == nil && book.begun() < 3 {
			err = fmt.Errorf("chaos: %d units have begun, see scheduler.log", book.begun())
		}
		return err
	})
}

// pageTime is how long clients stay on the same registers. Of operations whose outcome is unknown there may be eight a
// second while nobody leads, and porcupine tries each at every place behind it.
const pageTime = 3 * time.Second

func (r *ContainerRun) turnPages(ctx context.Context) {
	tick := time.NewTicker(pageTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.workload.NextEpoch()
		}
	}
}

func (r *ContainerRun) startScheduler() (err error) {
	config := SchedulerConfig{Name: "s1", Addresses: publishedAddresses, Dir: r.dir(), Ledgers: ledgerTarget, Chore: "/chore", Seed: r.config.Seed,
		Units: 100_000, Least: r.config.Least, Longest: r.config.Longest, Width: 100, PerTick: 1, Tick: time.Second, Silence: 3 * time.Second,
		TLS: r.secrets(), Image: choreImage, Volume: ledgerVolume}
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("chaos: encode scheduler: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("chaos: find own program: %w", err)
	}
	argv := append(r.engine.inside("-n"), "env", schedulerEnvironment+"="+string(text), self)
	r.scheduler, err = StartProcess(r.config.Cluster.Host, nil, "scheduler", filepath.Join(r.dir(), "scheduler.log"), argv)
	return err
}

// tend starts the scheduler again if it has ended: its session may have, while nobody led.
func (r *ContainerRun) tend() error {
	if r.scheduler.Alive() {
		return nil
	}
	return r.startScheduler()
}

// awaitAgents waits until all agents are registered.
func (r *ContainerRun) awaitAgents() error {
	return pollEach(commandEvery, patience, func() error {
		out, err := r.node("agents", "--output", "json", "--timeout", "2s")
		if err != nil {
			return err
		}
		var agents []struct{ ID, Name, State string }
		if err := json.Unmarshal([]byte(out), &agents); err != nil {
			return fmt.Errorf("chaos: agents: %w", err)
		}
		registered := 0
		for _, a := range agents {
			if r.agents[a.ID] = a.Name; a.State == "registered" {
				registered++
			}
		}
		if registered != len(agentNames) {
			return fmt.Errorf("chaos: %d agents are registered: %s", registered, out)
		}
		return nil
	})
}

// book is what the journal says now.
func (r *ContainerRun) book() (*taskBook, error) {
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

// close ends everything, also of a run that went wrong.
func (r *ContainerRun) close() error {
	if r.workload != nil {
		r.workload.Stop()
	}
	if r.scheduler != nil {
		r.scheduler.Kill()
	}
	r.cluster.HTTP.Close()
	return r.engine.Close()
}
