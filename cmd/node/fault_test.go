package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

// verb runs a verb on the session's cluster, wants its exit code, and returns its output.
func (s *session) verb(t *testing.T, exit int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := self(t, ctx, args...)
	cmd.Env = append(os.Environ(), "NODE_ADDR="+s.addr)
	out, _ := cmd.CombinedOutput() // the exit code tells
	if got := cmd.ProcessState.ExitCode(); got != exit {
		t.Fatalf("node %s: exit code %d, want %d\n%s\n%s", strings.Join(args, " "), got, exit, out, s.out.String())
	}
	return string(out)
}

// leaderOf is who leads by status.
func (s *session) leaderOf(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		var status api.Status
		cmd := self(t, t.Context(), "status", "--output", "json", "--quiet")
		cmd.Env = append(os.Environ(), "NODE_ADDR="+s.addr)
		out, _ := cmd.Output() // a cluster that is not well says who leads, too
		if err := json.Unmarshal(out, &status); err == nil && status.Leader != "" {
			return status.Leader
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody leads:\n%s", out)
		}
	}
}

// processes are those of fault ls, by name.
func (s *session) processes(t *testing.T) map[string]api.FaultProcess {
	t.Helper()
	var list api.FaultList
	if err := json.Unmarshal([]byte(s.verb(t, 0, "fault", "ls", "--output", "json")), &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]api.FaultProcess{}
	for _, p := range list.Nodes {
		all[p.Name] = p
	}
	return all
}

func mustHave(t *testing.T, output string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(output, w) {
			t.Errorf("no %q in\n%s", w, output)
		}
	}
}

// without is the session as seen from all nodes but the one of that name.
func (s *session) without(name string) *session {
	addrs := strings.Split(s.addr, ",")
	i := int(name[1] - '1')
	return &session{dir: s.dir, addr: strings.Join(slices.Delete(addrs, i, i+1), ",")}
}

func TestFaultsAreSeenFromOutsideAndHealed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster of five processes")
	}
	t.Parallel()
	s := startDev(t)
	s.verb(t, 0, "wait", "--timeout", "30s", "--agents", "2", "--job", "hello")

	t.Run("a leader that is cut off is followed by another, and events say why", func(t *testing.T) {
		leader := s.leaderOf(t)
		mustHave(t, s.verb(t, 0, "fault", "cut", leader), "f-1  "+leader+" is cut off from ", "a1, a2")
		s.out.waitFor(t, "fault f-1: ")
		others := s.without(leader) // who is cut off answers too, and knows of no leader
		for deadline := time.Now().Add(20 * time.Second); ; {
			if next := others.leaderOf(t); next != leader {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s still leads", leader)
			}
		}
		others.verb(t, 0, "kv", "put", "colour", "blue", "--timeout", "20s")
		events := ""
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(events, "stepped down") && time.Now().Before(deadline); {
			events = others.verb(t, 0, "events", "--kind", "election", "--last", "0") // who is cut off finds out by itself
		}
		mustHave(t, events, "starts election", "no heartbeat from "+leader+" for ", "stepped down")
		mustHave(t, s.verb(t, 0, "fault", "heal"), "f-1  "+leader+" is connected again")
		s.verb(t, 0, "wait", "--timeout", "30s")
		mustHave(t, s.verb(t, 0, "events", "--kind", "fault", "--output", "ndjson"), leader+" is cut off from", leader+" is connected again")
	})
	t.Run("a quorum is lost only if that is wanted, and regained", func(t *testing.T) {
		s.verb(t, 0, "fault", "kill", "n3")
		if p := s.processes(t)["n3"]; p.State != "down" || p.PID != 0 {
			t.Errorf("n3 is %+v", p)
		}
		mustHave(t, s.verb(t, 1, "fault", "kill", "n2", "--timeout", "10s"), "E-QUORUM", "of 3 voters 1 would be left", "fault kill n2 --yes")
		s.verb(t, 0, "fault", "pause", "n2", "--yes")
		s.verb(t, 5, "kv", "get", "colour", "--timeout", "2s")
		mustHave(t, s.verb(t, 0, "fault", "heal"), "n3 is started again", "n2 goes on")
		s.verb(t, 0, "wait", "--timeout", "30s")
		mustHave(t, s.verb(t, 0, "kv", "get", "colour"), "blue")
	})
	t.Run("a process that is paused stands still until its time is over", func(t *testing.T) {
		before := s.processes(t)["n1"].PID
		s.verb(t, 0, "fault", "pause", "n1")
		for deadline := time.Now().Add(10 * time.Second); ; {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", before))
			if err == nil && strings.Contains(string(stat), ") T ") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("n1 does not stand still: %s, %v", stat, err)
			}
		}
		s.verb(t, 7, "fault", "pause", "n1")
		mustHave(t, s.verb(t, 0, "fault", "resume", "n1"), "n1 goes on")
		s.verb(t, 0, "fault", "pause", "n1", "--for", "300ms")
		after := s.processes(t)["n1"]
		for deadline := time.Now().Add(20 * time.Second); after.State != "running" && time.Now().Before(deadline); after = s.processes(t)["n1"] {
		}
		if after.PID != before || after.State != "running" {
			t.Errorf("n1 is %+v, want pid %d", after, before)
		}
		s.verb(t, 0, "wait", "--timeout", "30s")
	})
	t.Run("what is slow takes as long as was said", func(t *testing.T) {
		for try := 1; ; try++ {
			leader := s.leaderOf(t)
			s.verb(t, 0, "fault", "slow", leader, "--delay", "80ms")
			began := time.Now()
			s.verb(t, 0, "kv", "put", "colour", "green", "--timeout", "20s")
			took, after := time.Since(began), s.leaderOf(t)
			mustHave(t, s.verb(t, 0, "fault", "heal", leader), "as fast as before")
			if after != leader && try < 10 { // with its answers so late it may have been replaced
				continue
			}
			if took < 160*time.Millisecond {
				t.Errorf("a write took %v, want at least the way there and back", took)
			}
			break
		}
		s.verb(t, 0, "wait", "--timeout", "30s")
	})
	t.Run("an agent too", func(t *testing.T) {
		before := s.processes(t)["a1"].PID
		s.verb(t, 0, "fault", "kill", "a1", "a2")
		s.verb(t, 8, "wait", "--agents", "2", "--timeout", "500ms")
		mustHave(t, s.verb(t, 0, "fault", "restart", "a1", "a2"), "a1, a2 are started again")
		s.verb(t, 0, "wait", "--timeout", "30s", "--agents", "2", "--job", "hello")
		if after := s.processes(t)["a1"]; after.PID == before || after.State != "running" {
			t.Errorf("a1 is %+v, and was pid %d", after, before)
		}
		s.verb(t, 3, "fault", "kill", "n9")
		s.verb(t, 2, "fault", "slow", "n1")
	})
}
