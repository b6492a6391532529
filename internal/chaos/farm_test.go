package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// farmLimit is how long something may take that nobody announces, on a busy machine.
const farmLimit = 40 * time.Second

// closely has agents be unreachable after seconds.
var closely = []string{"--agent-ping", "500ms", "--agent-timeout", "8s"}

// farm is a node with agents, and what people do with it.
type farm struct {
	*testing.T
	c     *Cluster
	chore string
}

// newFarm starts a node, with flags, and room for so many agents in networks of their own if
// there are any.
func newFarm(t *testing.T, guests int, flags ...string) *farm {
	t.Helper()
	c := smallCluster(t, 1, func(c *ClusterConfig) {
		c.Separate, c.Guests = guests > 0, guests
		c.Arguments = func(s NodeSpec) []string {
			return append(NodeArguments(s), flags...)
		}
	})
	f := &farm{T: t, c: c, chore: filepath.Join(c.config.Dir, "chore")}
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", f.chore, "github.com/synod-go/synod/internal/chaos/chore")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tasks' program: %v: %s", err, out)
	}
	t.Cleanup(func() { f.sweep(c.config.Dir) })
	return f
}

// in is the farm in a subtest.
func (f *farm) in(t *testing.T) *farm { return &farm{T: t, c: f.c, chore: f.chore} }

// sweep ends what is left: all processes that were told of a directory of this farm, which
// nobody else has.
func (f *farm) sweep(dir string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		handle, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		for _, file := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(filepath.Join("/proc", e.Name(), file))
			if err == nil && bytes.Contains(text, []byte(dir+"/")) {
				_ = unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0) // it may have ended
			}
		}
		unix.Close(handle)
	}
}

// await repeats is until it has nothing to say.
func (f *farm) await(what string, is func() error) {
	f.Helper()
	if err := poll(farmLimit, is); err != nil {
		f.Fatalf("waited in vain until %s: %v", what, err)
	}
}

// run is what a person does: it returns what a command says and its exit code.
func (f *farm) run(args ...string) (text string, code int) {
	f.Helper()
	log, err := os.CreateTemp(f.c.config.Dir, "command")
	if err != nil {
		f.Fatal(err)
	}
	log.Close()
	argv := slices.Concat(f.c.config.Program, args[:1], []string{"--addr", strings.Join(f.c.all(), ","), "--timeout", "20s"}, args[1:])
	p, err := StartProcess(f.c.config.Host, nil, args[0], log.Name(), argv)
	if err != nil {
		f.Fatal(err)
	}
	defer p.Kill()
	code, err = p.Ended(2 * farmLimit)
	out, readErr := os.ReadFile(log.Name())
	if err = errors.Join(err, readErr); err != nil {
		f.Fatalf("node %v: %v\n%s", args, err, out)
	}
	_, text, _ = strings.Cut(string(out), "\n") // the first line is ours
	return text, code
}

// must is run for what has to succeed.
func (f *farm) must(args ...string) string {
	f.Helper()
	text, code := f.run(args...)
	if code != 0 {
		f.Fatalf("node %v: exit code %d\n%s", args, code, text)
	}
	return text
}

// says waits until a command says all texts.
func (f *farm) says(args []string, texts ...string) {
	f.Helper()
	f.await(fmt.Sprintf("node %v says %q", args, texts), func() error {
		text, _ := f.run(args...)
		return hasAll(text, texts)
	})
}

func hasAll(text string, texts []string) error {
	for _, want := range texts {
		if !strings.Contains(text, want) {
			return fmt.Errorf("no %q in\n%s", want, text)
		}
	}
	return nil
}

// noted waits until the log of a process has all texts.
func (f *farm) noted(p *Process, texts ...string) {
	f.Helper()
	f.await("it stands in "+p.Log, func() error {
		text, err := os.ReadFile(p.Log)
		return errors.Join(err, hasAll(string(text), texts))
	})
}

// start hands the jobs of a file to the cluster.
func (f *farm) start(text string) {
	f.Helper()
	file := filepath.Join(f.c.config.Dir, fmt.Sprintf("job%d.yaml", time.Now().UnixNano()))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		f.Fatal(err)
	}
	f.must("run", file, "--detach")
}

// json asks a node.
func (f *farm) json(path string, to any) error {
	return f.c.HTTP.JSON(f.Context(), f.c.Nodes[0].API, path, to)
}

// ledger is what a job's instance has written, whichever of its tasks.
func (f *farm) ledger(job string) []ChoreLine {
	f.Helper()
	text, err := os.ReadFile(filepath.Join(f.c.config.Dir, job+".ledger"))
	if os.IsNotExist(err) {
		return nil
	}
	lines, parseErr := ParseChores(text)
	if err = errors.Join(err, parseErr); err != nil {
		f.Fatal(err)
	}
	return lines
}

// work starts a job of one instance, that works for an hour, and waits until it runs.
func (f *farm) work(job string, more ...string) ChoreLine {
	f.Helper()
	f.start(strings.Join(append([]string{"name: " + job,
		fmt.Sprintf("shell: CHORE_LEDGER=%s CHORE_TASK=$SYNOD_TASK CHORE_TIME=1h CHORE_CODE=0 exec %s", filepath.Join(f.c.config.Dir, job+".ledger"), f.chore),
		"memory: 32MiB"}, more...), "\n"))
	return f.started(job, 1)
}

// started waits until a job has started so often, and returns the last start. No start may
// have come before the one before had ended.
func (f *farm) started(job string, times int) (last ChoreLine) {
	f.Helper()
	f.await(fmt.Sprintf("%s has started %d times", job, times), func() error {
		starts := startsOf(f.ledger(job))
		if len(starts) < times {
			return fmt.Errorf("it has started %d times", len(starts))
		}
		last = starts[len(starts)-1]
		return nil
	})
	f.once(job, times)
	return last
}

// once checks that a job has started so often and never twice at a time.
func (f *farm) once(job string, times int) {
	f.Helper()
	lines := f.ledger(job)
	if starts := startsOf(lines); len(starts) != times {
		f.Errorf("%s has started %d times, not %d: %+v", job, len(starts), times, starts)
	}
	current := ""
	for _, l := range lines {
		switch {
		case l.What == choreStart:
			current = l.Task
		case l.What == choreOverlap || l.Task != current:
			f.Errorf("%s runs twice: %+v after the start of %s", job, l, current)
		}
	}
}

func startsOf(lines []ChoreLine) []ChoreLine {
	return slices.DeleteFunc(slices.Clone(lines), func(l ChoreLine) bool { return l.What != choreStart })
}

// goesOn waits until a job has said three times more that it works.
func (f *farm) goesOn(job string) {
	f.Helper()
	before := len(f.ledger(job))
	f.await(job+" goes on", func() error {
		if n := len(f.ledger(job)); n < before+3 {
			return fmt.Errorf("its ledger has %d lines, and had %d", n, before)
		}
		return nil
	})
}

// hand is an agent.
type hand struct {
	f             *farm
	name          string
	work, address string
	program       string
	guest         int      // its network, -1 for the node's
	wrap          []string // what starts it
	process       *Process
	log           string
}

// agent makes one, which is not started. Its number is its own.
func (f *farm) agent(name string, number int) *hand {
	a := &hand{f: f, name: name, work: filepath.Join(f.c.config.Dir, "work"+name), program: f.c.config.Program[0], guest: -1,
		address: f.c.address(len(f.c.Nodes) + number),
		log:     filepath.Join(f.c.config.Dir, name+".log")}
	if f.c.Network != nil {
		a.guest = len(f.c.Nodes) + number
	}
	f.Cleanup(func() {
		if a.process != nil {
			a.process.Kill()
		}
	})
	return a
}

// launch starts its process.
func (a *hand) launch() *hand {
	a.f.Helper()
	argv := slices.Concat(a.wrap, []string{a.program}, a.f.c.config.Program[1:], []string{"agent", "--name", a.name, "--master", strings.Join(a.f.c.all(), ","),
		"--work", a.work, "--resources", "cpus:4;mem:1024;ports:[31000-31100]", "--listen", a.address})
	var space *os.File
	if a.guest >= 0 {
		argv, space = append(argv, "--insecure"), a.f.c.Network.Space(a.guest)
	}
	var err error
	if a.process, err = StartProcess(a.f.c.config.Host, space, a.name, a.log, argv); err != nil {
		a.f.Fatal(err)
	}
	return a
}

// boots has the agent's processes see another boot id from now on.
func (a *hand) boots(id string) {
	a.f.Helper()
	file := filepath.Join(a.f.c.config.Dir, "boot"+filepath.Base(a.work))
	if err := os.WriteFile(file, []byte(id+"\n"), 0o444); err != nil {
		a.f.Fatal(err)
	}
	a.wrap = []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, file}
}

// agentSeen is what people see of an agent.
type agentSeen struct {
	ID, Name, State, Address, Used string
}

func (f *farm) agents() ([]agentSeen, error) {
	var list struct{ Agents []agentSeen }
	err := f.json("/v1/agents", &list)
	return list.Agents, err
}

// is waits until the agent, which is known by its address, has a state, and returns its id.
func (a *hand) is(state string) (id string) {
	a.f.Helper()
	a.f.await(a.name+" is "+state, func() error {
		list, err := a.f.agents()
		for _, s := range list {
			if strings.HasPrefix(s.Address, a.address+":") && s.State == state {
				id = s.ID
				return nil
			}
		}
		out, _ := json.Marshal(list)
		return fmt.Errorf("%v: %s", err, out)
	})
	return id
}

// ends waits until the agent's process has ended by itself, with code and texts.
func (a *hand) ends(code int, texts ...string) {
	a.f.Helper()
	got, err := a.process.Ended(farmLimit)
	if err != nil || got != code {
		out, _ := os.ReadFile(a.log)
		a.f.Fatalf("%s: %v, exit code %d, want %d\n%s", a.name, err, got, code, out)
	}
	a.f.noted(a.process, texts...)
}
