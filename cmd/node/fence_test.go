package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// fenceWork is what a leader does: it holds a lock of the kernel as long as any of its processes lives, and tells
// when it begins, or that another holds the lock. It outlives SIGTERM and its own elect, and has a child.
const fenceWork = `trap '' TERM
if ! flock -n 9; then echo "two $SYNOD_TASK" >>ledger; exit 1; fi
echo "begins $SYNOD_TASK $SYNOD_TOKEN $$ $PPID" >>ledger
sleep 600 & while :; do sleep 0.05; done`

// fenced is a job of candidates for one leadership, on a cluster of its own.
type fenced struct {
	t      *testing.T
	fleet  *fleet
	client *api.Client
	dir    string
}

// startFenced runs a job of three candidates on two agents. Each writes what it says to TASK.err.
func startFenced(t *testing.T) *fenced {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &fenced{t: t, dir: t.TempDir()}
	f.fleet, f.client = startFleet(t, 1, t.TempDir(), synod.Raft)
	t.Cleanup(func() { f.fleet.end(); f.client.Close() })
	if err := f.fleet.addAgents(2); err != nil {
		t.Fatal(err)
	}
	for _, c := range f.fleet.agents {
		if err := f.fleet.start(c); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := contextFor(30 * time.Second)
	defer cancel()
	if err := f.fleet.awaitAgents(ctx, f.client); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "work.sh"), []byte(fenceWork), 0o600); err != nil {
		t.Fatal(err)
	}
	shell := fmt.Sprintf("cd %s; exec %s elect shop --fence --session-timeout 5s --grace 100ms -- sh -c '. ./work.sh' 2>$SYNOD_TASK.err 9>>lock", f.dir, program)
	job := fmt.Sprintf("name: shop\ncount: 3\nshell: %s\nenv: {NODE_ADDR: %s}\ncpus: 0.1\nmemory: 32MiB\nrestart: {on: always, backoff: 1s..1s}\n"+
		"constraints: [spread hostname]\nkill_grace: 30s\n", strconv.Quote(shell), strconv.Quote(strings.Join(f.fleet.addrs(), ",")))
	if _, err := f.client.PutJobs(ctx, []byte(job), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

// led is one that has begun to work.
type led struct {
	task        string
	token       uint64
	work, elect int // processes
}

// begun waits until n have begun to work, ever, and returns the last. There must never have been two.
func (f *fenced) begun(n int) (last led) {
	f.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(f.dir, "ledger")) // it may not be there yet
		if bytes.Contains(text, []byte("two")) {
			f.t.Fatalf("two worked at once:\n%s%s", text, f.said())
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(lines) == n && lines[0] != "" {
			if _, err := fmt.Sscanf(lines[n-1], "begins %s %d %d %d", &last.task, &last.token, &last.work, &last.elect); err == nil {
				return last
			}
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d have begun to work, want %d:\n%s%s", len(lines), n, text, f.said())
		}
	}
}

// said is what all candidates have written.
func (f *fenced) said() string {
	var all strings.Builder
	names, _ := filepath.Glob(filepath.Join(f.dir, "*.err"))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		fmt.Fprintf(&all, "%s:\n%s", filepath.Base(name), text)
	}
	return all.String()
}

// waitSaid waits until one of the candidates has said something.
func (f *fenced) waitSaid(text string) {
	f.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(f.said(), text); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("nobody says %q:\n%s", text, f.said())
		}
	}
}

// agentOf is the process of the agent that a task is on.
func (f *fenced) agentOf(task string) *child {
	f.t.Helper()
	t, err := f.client.Task(f.t.Context(), builtin, task)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.fleet.find(t.AgentName)
}

func (f *fenced) signal(pid int, s syscall.Signal) {
	f.t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		f.t.Fatal(err)
	}
}

// candidates waits until three stand in the queue.
func (f *fenced) candidates() {
	f.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		page, err := f.client.List(f.t.Context(), "shop", api.ListOptions{})
		if err == nil && len(page.Entries) == 3 {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d candidates, %v, want 3\n%s", len(page.Entries), err, f.said())
		}
	}
}

func TestTheLeaderBeforeHasEndedBeforeTheNextOneBegins(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster with two agents")
	}
	f := startFenced(t)
	first := f.begun(1)
	f.candidates()

	start := time.Now()
	f.signal(first.elect, syscall.SIGKILL)
	second := f.begun(2)
	t.Logf("its elect was killed: the next one works %v later", time.Since(start).Round(time.Millisecond))
	f.candidates()

	// It stands still: nobody in its task can know that it leads no more, and its work goes on.
	f.signal(second.elect, syscall.SIGSTOP)
	start = time.Now()
	third := f.begun(3)
	t.Logf("its elect was stopped: the next one works %v later, of which the session took 2 s", time.Since(start).Round(time.Millisecond))
	f.waitSaid("the task synod/" + second.task + ", which led before with token " + strconv.FormatUint(second.token, 10) + ", has ended")
	f.candidates()

	// The same without its agent: nobody can end it, so nobody else works.
	victim := f.agentOf(third.task)
	victim.kill()
	f.signal(third.elect, syscall.SIGSTOP)
	f.waitSaid("the task synod/" + third.task + " led before")
	f.begun(3)
	start = time.Now()
	if err := f.fleet.start(victim); err != nil {
		t.Fatal(err)
	}
	fourth := f.begun(4)
	t.Logf("its agent is back: the next one works %v later", time.Since(start).Round(time.Millisecond))
	if fourth.token <= third.token || third.token <= second.token || second.token <= first.token {
		t.Errorf("tokens %d, %d, %d, %d do not rise", first.token, second.token, third.token, fourth.token)
	}
	f.begun(4)
}

func TestWhatAnEarlierProcessOfTheSameTaskHasLeftIsEnded(t *testing.T) {
	dir := t.TempDir()
	c, out := commandTest(t, "sh", "-c", "setsid sleep 600 & echo child $! self $$; wait")
	env := leaderEnv(dir, 7) // no other election has that name
	ended := make(chan outcome, 1)
	go func() {
		done, _ := c.run(t.Context(), nil, env...)
		ended <- done
	}()
	out.waitFor(t, "self")
	f := &fencer{election: dir, self: tenant{Task: "synod/t", Process: os.Getpid()}}
	if err := f.endHere(t.Context(), tenant{Task: "synod/t", Process: os.Getpid(), Start: 1}, 8); err != nil { // another process had our number
		t.Fatal(err)
	}
	if _, alive := processStart(wordAfter(t, out.String(), "self")); !alive {
		t.Fatal("what belongs to another leadership was ended")
	}
	if err := f.endHere(t.Context(), f.self, 7); err != nil {
		t.Fatal(err)
	}
	if done := <-ended; done.code != 137 {
		t.Errorf("%+v, want it killed", done)
	}
	if _, alive := processStart(wordAfter(t, out.String(), "child")); alive {
		t.Error("a child in a session of its own lives on")
	}
}

func TestOnlyATaskOfTheClusterCanFence(t *testing.T) {
	t.Setenv("SYNOD_TASK", "")
	if code, _, err := runNode("elect", "shop", "--fence", "--", "true"); code != 2 || !strings.Contains(err, "--fence is for a task of the cluster") {
		t.Errorf("exit code %d, %q", code, err)
	}
	for _, args := range [][]string{{"elect", "shop", "--fence"}, {"elect", "shop", "--task", "x", "--", "true"}, {"elect", "shop", "--fence", "--observe"}} {
		if code, _, err := runNode(args...); code != 2 {
			t.Errorf("%v: exit code %d, %q, want 2", args, code, err)
		}
	}
}

// fakeTask is a cluster that answers about one task.
type fakeTask struct {
	mu    sync.Mutex
	state string // "" is not known
	agent string // its agent's state; "" is not known
	other bool   // another start has its name, on another agent
	kills int
	deny  bool
}

func (f *fakeTask) killed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kills
}

func (f *fakeTask) set(state, agent string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.agent = state, agent
}

func (f *fakeTask) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var answer any = &api.Error{Code: api.CodeNotFound, Message: "there is no task"}
	ours := api.Task{Framework: "synod", ID: "shop.0.1", State: f.state, Agent: "agent-1", Container: "c1"}
	switch {
	case r.URL.Path == "/v1/agents" && f.agent == "":
		answer = api.AgentList{}
	case r.URL.Path == "/v1/agents":
		answer = api.AgentList{Agents: []api.Agent{{ID: "agent-0", State: "registered"}, {ID: "agent-1", State: f.agent}}}
	case r.URL.Path == "/v1/tasks" && f.state == "":
		answer = api.TaskList{}
	case r.URL.Path == "/v1/tasks":
		answer = api.TaskList{Tasks: []api.Task{ours}}
	case r.Method == http.MethodDelete:
		f.kills++
		if answer = any(api.Changed{}); f.deny {
			answer = &api.Error{Code: api.CodeDenied, Message: "it may not"}
		}
	case f.other:
		answer = api.Task{Framework: "synod", ID: "shop.0.1", State: "RUNNING", Agent: "agent-2", Container: "c2"}
	case f.state != "":
		answer = ours
	}
	if e, is := answer.(*api.Error); is {
		w.WriteHeader(e.Code.Info().Status)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// fencing ends a task of a fake cluster in the background.
func fencing(t *testing.T, f *fakeTask) (said *lockedFile, ended <-chan error) {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	client, err := api.NewClient(api.ClientConfig{Addrs: []string{server.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	said = &lockedFile{}
	x := &fencer{app: &app{err: said}, client: client, election: "shop", self: tenant{Task: "synod/shop.1.1", Container: "c9"}}
	c := make(chan error, 1)
	former := recipes.Former{Holder: []byte(`{"task": "synod/shop.0.1", "agent": "agent-1", "container": "c1"}`), Token: 7}
	go func() { c <- x.end(t.Context(), former) }()
	return said, c
}

func TestNobodyTakesOverWhileNobodyCanKnowWhetherTheLeaderBeforeRuns(t *testing.T) {
	for name, state := range map[string]string{"its task is shown": "UNREACHABLE", "its task is not shown": ""} {
		t.Run(name, func(t *testing.T) {
			f := &fakeTask{state: state, agent: "unreachable"}
			said, ended := fencing(t, f)
			said.waitFor(t, "its agent cannot be reached; the command waits until it is back, or until somebody says that it never comes:  node agents gone agent-1\n")
			f.set("RUNNING", "registered")
			said.waitFor(t, "the task synod/shop.0.1 led before: it is ended first\n")
			f.set("KILLED", "registered")
			if err := <-ended; err != nil || f.kills == 0 {
				t.Errorf("%v, %d kills: want it killed", err, f.kills)
			}
			if strings.Count(said.String(), "cannot be reached") != 1 || !strings.HasSuffix(said.String(), "which led before with token 7, has ended\n") {
				t.Errorf("said %q", said)
			}
		})
	}
}

func TestATaskWhoseNameIsUsedAgainHasNotEnded(t *testing.T) {
	f := &fakeTask{agent: "unreachable", other: true}
	said, ended := fencing(t, f)
	said.waitFor(t, "its agent cannot be reached; the command waits until it is back, or until somebody says that it never comes:  node agents gone agent-1\n")
	if n := f.killed(); n > 0 {
		t.Errorf("%d kills of a task that never led", n)
	}
	f.set("RUNNING", "registered")
	said.waitFor(t, "the task synod/shop.0.1 led before: it is ended first\n")
	f.set("KILLED", "registered")
	if err := <-ended; err != nil || f.killed() == 0 {
		t.Errorf("%v, %d kills: want it killed", err, f.killed())
	}
}

func TestATaskWhoseAgentIsForgottenIsWaitedFor(t *testing.T) {
	f := &fakeTask{}
	said, ended := fencing(t, f)
	said.waitFor(t, "the cluster has forgotten its agent agent-1; the command waits until somebody says that it does not:  node kv del shop.fence\n")
	f.set("KILLED", "")
	if err := <-ended; err != nil || f.killed() > 0 {
		t.Errorf("%v, %d kills", err, f.killed())
	}
}

func TestARecordThatDoesNotSayWhichStartOfATaskLedEndsNobody(t *testing.T) {
	x := &fencer{election: "shop", self: tenant{Task: "synod/t"}}
	for _, holder := range []string{`"x"`, `{"task": "synod/t"}`, `{"task": "synod/t", "agent": "a"}`, `{"task": "t", "agent": "a", "container": "c"}`} {
		err := x.end(t.Context(), recipes.Former{Holder: []byte(holder), Token: 7})
		if e, is := errors.AsType[*api.Error](err); !is || e.Code != api.CodeData || !strings.Contains(strings.Join(e.Do, "\n"), "node kv del shop.fence") {
			t.Errorf("%s: %v, want CodeData and what to do", holder, err)
		}
	}
}

func TestAProcessFindsInItsEnvironmentWhichTaskItIs(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		_ = json.NewEncoder(w).Encode(api.Task{State: "RUNNING", Agent: "agent-1", Container: "c1"})
	}))
	t.Cleanup(server.Close)
	a := &app{timeout: 5 * time.Second, addr: server.Listener.Addr().String()}
	t.Setenv("SYNOD_TASK", "t.0.1")
	t.Setenv("SYNOD_FRAMEWORK", "mine")
	t.Setenv("SYNOD_CONTAINER", "c1")
	f, err := a.newFencer(t.Context(), "shop", "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.client.Close()
	if want := (tenant{Task: "mine/t.0.1", Agent: "agent-1", Container: "c1", Process: os.Getpid(), Start: f.self.Start}); f.self != want || asked[0] != "/v1/tasks/mine/t.0.1" {
		t.Errorf("%+v, asked %v, want %+v", f.self, asked, want)
	}
	t.Setenv("SYNOD_CONTAINER", "c2")
	if _, err := a.newFencer(t.Context(), "shop", ""); api.CodeOf(err) != api.CodeUsage || !strings.Contains(err.Error(), "the task mine/t.0.1 is another one") {
		t.Errorf("%v: want it refused, as another start of that task runs", err)
	}
}

func TestAKillThatEndsNothingIsNotWaitedForWithoutAWord(t *testing.T) {
	f := &fakeTask{state: "RUNNING", agent: "disconnected"}
	said, ended := fencing(t, f)
	said.waitFor(t, "the task synod/shop.0.1 led before: it is ended first\n")
	said.waitFor(t, "has not ended 3s after it was killed; the command waits; whether its agent agent-1 answers:  node agents\n")
	f.set("KILLED", "registered")
	if err := <-ended; err != nil || f.killed() < 2 {
		t.Errorf("%v, %d kills: want it killed again and again", err, f.killed())
	}
}

func TestATaskThatAnOperatorHasGivenUpHasEnded(t *testing.T) {
	f := &fakeTask{state: "UNREACHABLE", agent: "unreachable"}
	said, ended := fencing(t, f)
	said.waitFor(t, "node agents gone agent-1")
	f.set("GONE_BY_OPERATOR", "gone")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestATaskThatIsForgottenHasEndedOnceThatIsSure(t *testing.T) {
	start := time.Now()
	_, ended := fencing(t, &fakeTask{agent: "registered"})
	if err := <-ended; err != nil || time.Since(start) < fenceUnknown {
		t.Errorf("%v after %v, want it believed after %v: a master that was deposed does not know the newest tasks", err, time.Since(start), fenceUnknown)
	}
}

func TestWhoMayNotKillTheLeaderBeforeSaysSo(t *testing.T) {
	_, ended := fencing(t, &fakeTask{state: "RUNNING", agent: "registered", deny: true})
	if err := <-ended; api.CodeOf(err) != api.CodeDenied {
		t.Errorf("%v, want that it is denied", err)
	}
}
