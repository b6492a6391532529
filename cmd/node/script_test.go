package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

func TestMain(m *testing.M) {
	if os.Getenv("SYNOD_TASK") != "" { // an agent started this program as a task: it is node there, and no test
		os.Args[0] = "node"
	}
	testscript.Main(m, map[string]func(){"node": main})
}

// TestScripts runs the transcripts in testdata/script against real processes.
// Commands beside testscript's own: "cluster N [ENGINE]" starts nodes and sets NODE_ADDR, "agents N" adds agents,
// "code N node ..." runs a command that must end with exit code N, "until PATTERN CMD ..." runs one until it prints
// what is known soon, "killnode NAME",
// "stopnode NAME", "again NAME" and "snapshot NAME" treat a node, "flip FILE OFFSET" damages a byte,
// "altervote FILE" a vote in a recording, "behind NAME CMD ..." runs a command in the background.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: func(e *testscript.Env) error { e.Setenv("NO_COLOR", "1"); return nil },
		Condition: func(c string) (bool, error) {
			if c == "long" {
				return !testing.Short(), nil
			}
			return false, fmt.Errorf("unknown condition %q", c)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cluster": cmdCluster, "code": cmdCode, "killnode": cmdKill, "stopnode": cmdStop, "again": cmdAgain, "flip": cmdFlip,
			"freeport": cmdFreePort, "requestid": cmdRequestID, "waitgone": cmdWaitGone, "signal": cmdSignal, "waitfor": cmdWaitFor,
			"agents": cmdAgents, "behind": cmdBehind, "json": cmdJSON, "jsonlines": cmdJSONLines, "snapshot": cmdSnapshot, "altervote": cmdAlterVote,
			"until": cmdUntil,
		},
	})
}

// fleets are the clusters of the running scripts.
var fleets sync.Map // *testscript.TestScript to *fleet

func cmdCluster(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	engine := synod.Raft
	if len(args) > 1 {
		engine = synod.Engine(args[1])
	}
	f, client := startFleet(ts, n, ts.Getenv("WORK"), engine)
	fleets.Store(ts, f)
	ts.Defer(func() { f.end(); client.Close(); fleets.Delete(ts) })
	ts.Setenv("NODE_ADDR", strings.Join(f.addrs(), ","))
	for _, c := range f.nodes {
		ts.Setenv("API_"+c.name, c.api())
	}
}

// cmdAgents adds agents to the cluster.
func cmdAgents(ts *testscript.TestScript, _ bool, args []string) {
	f, _ := node(ts, "n1")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(f.addAgents(n))
	client, err := api.NewClient(api.ClientConfig{Addrs: f.addrs()})
	ts.Check(err)
	defer client.Close()
	for _, c := range f.agents {
		ts.Check(f.start(c))
	}
	ctx, cancel := contextFor(30 * time.Second)
	defer cancel()
	ts.Check(f.awaitAgents(ctx, client))
}

// checker is what startFleet needs of a test or a script.
type checker interface {
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

func startFleet(t checker, n int, dir string, engine synod.Engine) (*fleet, *api.Client) {
	logs := &lockedBuffer{}
	f, err := newFleet(n, 0, filepath.Join(dir, "data"), func(*child) io.Writer { return logs })
	if err != nil {
		t.Fatalf("fleet: %v", err)
	}
	f.engine = string(engine)
	for _, c := range f.nodes {
		if err := f.start(c); err != nil {
			t.Fatalf("start: %v", err)
		}
	}
	client, err := api.NewClient(api.ClientConfig{Addrs: f.addrs()})
	if err != nil {
		t.Fatalf("client: %v", err)
	}
	ctx, cancel := contextFor(30 * time.Second)
	defer cancel()
	if status, err := f.await(ctx, client, allVote(n)); err != nil {
		f.end()
		t.Fatalf("the cluster did not come up: %s\n%s", upReason(status, err), logs.tail())
	}
	return f, client
}

func node(ts *testscript.TestScript, name string) (*fleet, *child) {
	v, ok := fleets.Load(ts)
	if !ok {
		ts.Fatalf("no cluster")
	}
	f := v.(*fleet)
	if name == "leader" {
		client, err := api.NewClient(api.ClientConfig{Addrs: f.addrs()})
		ts.Check(err)
		defer client.Close()
		ctx, cancel := contextFor(30 * time.Second)
		defer cancel()
		status, err := f.await(ctx, client, func(s api.Status) bool { return s.Leader != "" })
		ts.Check(err)
		name = status.Leader
	}
	c := f.find(name)
	if c == nil {
		ts.Fatalf("no node %q", name)
	}
	return f, c
}

func cmdKill(ts *testscript.TestScript, _ bool, args []string) {
	_, c := node(ts, args[0])
	c.kill()
}

// cmdStop ends a node with SIGTERM, which must give exit code 0.
func cmdStop(ts *testscript.TestScript, _ bool, args []string) {
	_, c := node(ts, args[0])
	c.mu.Lock()
	cmd, done := c.cmd, c.done
	c.mu.Unlock()
	c.signal(syscall.SIGTERM, true)
	<-done
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		ts.Fatalf("%s ended with exit code %d after SIGTERM, want 0", c.name, code)
	}
}

func cmdAgain(ts *testscript.TestScript, _ bool, args []string) {
	f, c := node(ts, args[0])
	ts.Check(f.start(c))
}

// cmdSnapshot has a node take a snapshot.
func cmdSnapshot(ts *testscript.TestScript, _ bool, args []string) {
	_, c := node(ts, args[0])
	client, err := api.NewClient(api.ClientConfig{Addrs: []string{c.api()}})
	ts.Check(err)
	defer client.Close()
	ctx, cancel := contextFor(5 * time.Second)
	defer cancel()
	_, err = client.Snapshot(ctx)
	ts.Check(err)
}

func cmdCode(ts *testscript.TestScript, _ bool, args []string) {
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if !slices.Contains(strings.Split(args[0], "|"), strconv.Itoa(got)) {
		ts.Fatalf("%s: exit code %d, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// cmdUntil runs a command again, whatever its exit code, until a line of its output matches.
func cmdUntil(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		out, problems := ts.ReadFile("stdout"), ts.ReadFile("stderr")
		if pattern.MatchString(out) || pattern.MatchString(problems) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: nothing matches %q after 30 s (%v):\n%s%s", strings.Join(args[1:], " "), args[0], err, out, problems)
		}
	}
}

func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	data, err := os.ReadFile(name)
	ts.Check(err)
	data[offset] ^= 0xff
	ts.Check(os.WriteFile(name, data, 0o600))
}

// cmdFreePort sets a variable to a port that is free, with the next ones.
func cmdFreePort(ts *testscript.TestScript, _ bool, args []string) {
	f, err := newFleet(len(args), 0, "", nil)
	ts.Check(err)
	ts.Defer(f.end)
	for i, name := range args {
		for j, port := range f.nodes[i].ports {
			ts.Setenv(fmt.Sprintf("%s%d", name, j), strconv.Itoa(port))
		}
	}
}

// cmdSignal sends a signal to the process whose number a file holds after a word:
// signal INT FILE WORD.
func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM}
	ts.Check(syscall.Kill(pidIn(ts, args[1], args[2]), signals[args[0]]))
}

func pidIn(ts *testscript.TestScript, file, word string) int {
	_, after, found := strings.Cut(ts.ReadFile(file), word)
	fields := strings.Fields(after)
	if !found || len(fields) == 0 {
		ts.Fatalf("%s has no %q", file, word)
	}
	pid, err := strconv.Atoi(fields[0])
	ts.Check(err)
	return pid
}

// cmdWaitGone waits until the process whose number a file holds after a word has ended.
func cmdWaitGone(ts *testscript.TestScript, _ bool, args []string) {
	stat := fmt.Sprintf("/proc/%d/stat", pidIn(ts, args[0], "\n"+args[1]))
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		data, err := os.ReadFile(stat)
		if err != nil || strings.Contains(string(data), ") Z ") { // gone, or not yet reaped by its new parent
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s still runs", args[1])
		}
	}
}

// behindScript runs a command: NAME.out and NAME.err get its output, NAME.pid its number behind "pid", and
// NAME.out in the end its exit code behind "code".
const behindScript = `name=$1; shift
{ "$@" >$name.out 2>$name.err & echo pid $! >$name.pid; wait $!; echo code $? >>$name.out; } >/dev/null 2>&1 &
until test -s $name.pid; do sleep 0.01; done`

// cmdBehind runs a command in the background, until the script ends at most.
func cmdBehind(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("sh", append([]string{"-c", behindScript, "sh"}, args...)...))
	pid := pidIn(ts, args[0]+".pid", "pid ")
	ts.Defer(func() {
		if !strings.Contains(ts.ReadFile(args[0]+".out"), "\ncode ") {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may end just now
		}
	})
}

// cmdWaitFor waits until a file holds a text.
func cmdWaitFor(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		data, _ := os.ReadFile(ts.MkAbs(args[0])) // it may not be there yet
		if strings.Contains(string(data), args[1]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s has no %q after 30 s:\n%s", args[0], args[1], data)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// cmdRequestID sets a variable to a new request id.
func cmdRequestID(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], api.NewRequestID().String())
}
