package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ensemble is the exercise of examples/ensemble, on ports that are free.
type ensemble struct {
	dir     string
	addrs   []string // of the APIs
	servers [3]*exec.Cmd
	log     lockedFile
}

func newEnsemble(t *testing.T) *ensemble {
	t.Helper()
	free, err := newFleet(3, 0, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free.end)
	e := &ensemble{dir: t.TempDir()}
	for i := range 3 {
		name := fmt.Sprintf("server%d.yaml", i+1)
		text, err := os.ReadFile(filepath.Join("../../examples/ensemble", name))
		if err != nil {
			t.Fatal(err)
		}
		for j, node := range free.nodes {
			for k, port := range node.ports {
				text = []byte(strings.ReplaceAll(string(text), fmt.Sprint(4700+10*j+k), fmt.Sprint(port)))
			}
		}
		if err := os.WriteFile(filepath.Join(e.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		e.addrs = append(e.addrs, free.nodes[i].api())
	}
	return e
}

func (e *ensemble) start(t *testing.T, i int) {
	t.Helper()
	c := self(t, context.Background(), "start", "--config", fmt.Sprintf("server%d.yaml", i+1))
	c.Dir, c.Stderr = e.dir, &e.log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	e.servers[i] = c
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
	})
}

func (e *ensemble) run(t *testing.T, i int, args ...string) string {
	t.Helper()
	c := self(t, t.Context(), args...)
	c.Dir, c.Env = e.dir, append(os.Environ(), "NODE_ADDR="+e.addrs[i])
	out, err := c.CombinedOutput()
	if err != nil && c.ProcessState.ExitCode() != 8 { // unhealthy: one of three is down
		t.Fatalf("node %s: %v\n%s\n%s", strings.Join(args, " "), err, out, e.log.String())
	}
	return string(out)
}

// TestEnsemble does what examples/ensemble/README.md says.
func TestEnsemble(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three processes")
	}
	e := newEnsemble(t)
	check := e.run(t, 0, "config", "show", "server1.yaml", "--origin")
	for _, want := range []string{"server1.yaml:8", "server1.yaml:7", "300ms"} {
		if !strings.Contains(check, want) {
			t.Fatalf("config show shows no %q:\n%s", want, check)
		}
	}
	for i := range 3 {
		e.start(t, i)
	}
	e.run(t, 0, "wait", "--voters", "3", "--timeout", "30s")
	leader := e.roles(t, 0, 1, 2)
	e.run(t, leader, "kv", "put", "colour", "blue")

	if err := e.servers[leader].Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	a, b := (leader+1)%3, (leader+2)%3
	e.run(t, a, "wait", "--leader", "--timeout", "5s")
	t.Logf("a new leader after %v", time.Since(killed))
	next := e.roles(t, a, b)
	if got := e.run(t, next, "kv", "get", "colour"); !strings.Contains(got, "blue") {
		t.Fatalf("colour is %q under the new leader", got)
	}
	_ = e.servers[leader].Wait() // killed
	e.start(t, leader)
	e.run(t, a, "wait", "--voters", "3", "--timeout", "30s")
	e.roles(t, 0, 1, 2)
}

// roles returns which of the servers says that it leads, once one does, and the others follow it.
func (e *ensemble) roles(t *testing.T, servers ...int) (leader int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		leader, wrong := e.rolesNow(t, servers...)
		if wrong == "" {
			return leader
		}
		if time.Now().After(deadline) {
			t.Fatal(wrong)
		}
	}
}

// rolesNow asks each server once. wrong is what does not fit, as amid an election.
func (e *ensemble) rolesNow(t *testing.T, servers ...int) (leader int, wrong string) {
	t.Helper()
	leaders := 0
	for _, i := range servers {
		first, _, _ := strings.Cut(e.run(t, i, "status", "--local"), "\n")
		fields := strings.Fields(first)
		switch {
		case len(fields) < 5 || fields[1] != fmt.Sprintf("server%d", i+1) || fields[3] != "term":
			return 0, fmt.Sprintf("server%d says %q", i+1, first)
		case fields[2] == "leader":
			leaders, leader = leaders+1, i
		case fields[2] != "follower" || !strings.Contains(first, "behind server"):
			return 0, fmt.Sprintf("server%d says %q", i+1, first)
		}
	}
	if leaders != 1 {
		return 0, fmt.Sprintf("%d servers say that they lead", leaders)
	}
	return leader, ""
}
