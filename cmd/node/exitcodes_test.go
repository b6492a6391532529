package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/docs"
)

// meeting is a command that ends with an exit code in some situation of the cluster.
type meeting struct {
	code      int
	situation string
	args      string
	says      string // on standard error, "" if nothing is looked for
	interrupt string // sent SIGINT once its standard error says that
}

// healthyMeetings are of a cluster of three, whom nothing ails, without an agent.
var healthyMeetings = []meeting{
	{code: 0, situation: "done", args: "kv put colour blue"},
	{code: 0, situation: "healthy", args: "status"},
	{code: 1, situation: "refused", args: "fault kill n1", says: "E-NODEMO"},
	{code: 2, situation: "an argument is missing", args: "kv put", says: "E-USAGE"},
	{code: 2, situation: "no such flag", args: "status --nosuch", says: "E-USAGE"},
	{code: 3, situation: "no such key", args: "kv get nosuch", says: "E-NOTFOUND"},
	{code: 4, situation: "nothing listens there", args: "status --addr 127.0.0.1:1 --timeout 1s", says: "E-REACH"},
	{code: 7, situation: "the compare-and-set is lost", args: "kv cas colour 99 red", says: "E-CONFLICT"},
	{code: 8, situation: "what is waited for is not so", args: "wait --agents 1 --timeout 200ms", says: "E-UNHEALTHY"},
	{code: 9, situation: "no agent has room", args: "run --name big --patience 100ms --memory 900000MiB -- sleep 1", says: "E-PLACE"},
	{code: 42, situation: "the command's own code", args: "lock a -- sh -c exit\u00a042"},
	{code: 75, situation: "the lock is lost", args: "lock a -- sh -c node\u00a0kv\u00a0del\u00a0a\u00a0--recursive;exec\u00a0sleep\u00a0600", says: "E-SESSION"},
	{code: 126, situation: "the command cannot be run", args: "lock a -- ./plain", says: "cannot be run"},
	{code: 127, situation: "there is no such command", args: "lock a -- no-such-command", says: "there is no command"},
	{code: 130, situation: "Ctrl-C", args: "lock held -- true", interrupt: "waiting for the lock"},
}

// exits is a cluster on which exit codes are met.
type exits struct {
	*fleet
	dir string
	met map[int]bool
}

// run runs a command to its end. A space that must not part two words is a non-breaking one.
func (e *exits) run(t *testing.T, m meeting) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := strings.Fields(strings.ReplaceAll(m.args, "\u00a0", "\x00"))
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "\x00", " ")
	}
	cmd, stderr := self(t, ctx, args...), &lockedFile{}
	cmd.Dir, cmd.Stderr = e.dir, stderr
	cmd.Env = append(os.Environ(), "NODE_ADDR="+strings.Join(e.addrs(), ","), "PATH="+e.dir+":"+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if m.interrupt != "" {
		stderr.waitFor(t, m.interrupt)
		_ = cmd.Process.Signal(os.Interrupt) // it waits
	}
	_ = cmd.Wait() // the exit code tells
	return cmd.ProcessState.ExitCode(), stderr.String()
}

func (e *exits) meet(t *testing.T, m meeting) {
	t.Helper()
	e.met[m.code] = true
	if code, said := e.run(t, m); code != m.code || !strings.Contains(said, m.says) {
		t.Errorf("%s: node %s ends with %d, want %d and %q\n%s", m.situation, m.args, code, m.code, m.says, said)
	}
}

// meetSoon runs a command again while what has just happened is not known yet.
func (e *exits) meetSoon(t *testing.T, m meeting) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if code, said := e.run(t, m); code == m.code && strings.Contains(said, m.says) {
			e.met[m.code] = true
			return
		}
	}
	e.meet(t, m)
}

func startExits(t *testing.T) *exits {
	t.Helper()
	e := &exits{dir: t.TempDir(), met: map[int]bool{}}
	f, client := startFleet(t, 3, e.dir, synod.Raft)
	t.Cleanup(func() { client.Close(); f.end() })
	e.fleet = f
	program, err := os.Executable()
	if err == nil {
		err = os.Symlink(program, filepath.Join(e.dir, "node"))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(e.dir, "plain"), []byte("no program"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// hold has a process hold the lock "held" until the test ends.
func (e *exits) hold(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := &lockedFile{}
	holder := self(t, ctx, "lock", "held", "--addr", strings.Join(e.addrs(), ","), "--", "sh", "-c", "echo held; exec sleep 600")
	holder.Stdout = out
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = holder.Wait() }) // killed
	out.waitFor(t, "held")
}

// followers are the nodes that do not lead.
func (e *exits) followers(t *testing.T) (list []*child) {
	t.Helper()
	s := session{addr: strings.Join(e.addrs(), ",")}
	leader := s.leaderOf(t)
	for _, c := range e.nodes {
		if c.name != leader {
			list = append(list, c)
		}
	}
	return list
}

// meetUnknown has both followers stand still: the leader takes a write and cannot say what becomes of it. One that comes
// too late finds no leader, and is tried again.
func (e *exits) meetUnknown(t *testing.T) {
	t.Helper()
	write := meeting{code: 6, situation: "the followers stand still", args: "kv put colour red --timeout 1s", says: "E-UNKNOWN"}
	e.met[write.code] = true
	for deadline := time.Now().Add(30 * time.Second); ; {
		e.meet(t, meeting{code: 0, situation: "before the followers stand still", args: "wait --timeout 30s"})
		followers := e.followers(t)
		for _, c := range followers {
			c.signal(syscall.SIGSTOP, false)
		}
		code, said := e.run(t, write)
		for _, c := range followers {
			c.signal(syscall.SIGCONT, false)
		}
		switch {
		case code == write.code && strings.Contains(said, write.says):
			e.meet(t, meeting{code: 0, situation: "the followers go on", args: "wait --timeout 30s"})
			return
		case code != 5 || time.Now().After(deadline):
			t.Fatalf("%s: node %s ends with %d, want %d\n%s", write.situation, write.args, code, write.code, said)
		}
	}
}

// Every exit code of docs/errors.md is what the program ends with in some situation of one cluster.
func TestEveryExitCodeIsMet(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster of three processes")
	}
	if _, err := exec.LookPath("sleep"); err != nil {
		t.Skip("there is no command sleep here")
	}
	t.Parallel()
	e := startExits(t)
	e.hold(t)
	e.meet(t, meeting{code: 0, situation: "it becomes healthy", args: "wait --timeout 30s"})
	for _, m := range healthyMeetings {
		e.meet(t, m)
	}
	e.meetUnknown(t)
	followers := e.followers(t)
	followers[0].kill()
	e.meetSoon(t, meeting{code: 8, situation: "one of three is down", args: "status"})
	e.meet(t, meeting{code: 0, situation: "a majority is left", args: "kv put colour green --timeout 20s"})
	followers[1].kill()
	e.meet(t, meeting{code: 5, situation: "no majority is left", args: "kv get colour --timeout 3s", says: "E-NOLEADER"})
	_, all := explanations(docs.Errors)
	if len(all) < 14 {
		t.Errorf("%d exit codes in docs/errors.md", len(all))
	}
	for _, x := range all {
		if !e.met[x.Exit] {
			t.Errorf("nothing here ends with exit code %d: %s", x.Exit, x.Meaning)
		}
	}
}
