package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

// looked is what three nodes of a cluster say when so many writes are committed; n3 is behind, and leads the registry.
func looked(at time.Time, commit uint64, ended ...int64) topLook {
	replica := func(name, engine, role, leader string, term, commit, applied uint64) api.GroupLook {
		return api.GroupLook{Name: name, Engine: engine, Role: role, Leader: leader, Term: term, Commit: commit, Applied: applied, Voters: []string{"n1", "n2", "n3"}}
	}
	master := &api.MasterLook{Term: 7, Running: 1, Tasks: []api.Task{{ID: "web.0.1", State: "RUNNING"}}, Ended: len(ended)}
	for i, since := range ended {
		master.Tasks = append(master.Tasks, api.Task{ID: fmt.Sprint(i), State: "FINISHED", Since: since})
	}
	l := topLook{at: at, agents: agents(), jobs: web(), nodes: map[string]api.Look{
		"n1": {Groups: []api.GroupLook{replica("coordination", "raft", "leader", "n1", 2, commit, commit), replica("registry", "paxos", "follower", "n3", 66, 55, 55)}},
		"n3": {Groups: []api.GroupLook{replica("coordination", "raft", "follower", "n1", 2, commit-4, commit-5), replica("registry", "paxos", "leader", "n3", 66, 55, 55)}, Master: master},
	}}
	for _, t := range tasks() {
		if t.State == "RUNNING" {
			l.tasks = append(l.tasks, t)
		}
	}
	l.status = api.Status{Cluster: "demo", Leader: "n1", Voters: 3, Up: 2, Quorum: 2, Reasons: []string{"n2 is down"}}
	return l
}

func TestTwoLooksTellWhatAClusterDoes(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before, now := looked(began, 1_000, 10, 9), looked(began.Add(2*time.Second), 1_621, 12, 11, 11, 10, 9)
	want := `CLUSTER demo  UNHEALTHY  n1 leads, quorum 2 of 3, tolerates no more loss
! n2 is down

GROUP         ENGINE  LEADER  TERM  COMMIT  WRITES/S  BEHIND
coordination  raft    n1      2     1,621   310.5     5 n3, no answer of n2
registry      paxos   n3      66    55      0.0       0, no answer of n2

AGENT  STATE       TASKS  CPUS  OF  MEMORY    OF
a1     registered  2      0.5   2   64.0 MiB  1.0 GiB  ###.......
a2     registered  0      0     2   0 B       1.0 GiB  ..........

JOB     RUNNING  CPUS  MEMORY
web     1 of 2   0.5   64.0 MiB
other/  1        0     0 B
! web: needs mem:4096 on one agent; the roomiest, a1, has mem:900 free

TASKS 2 running, 1 pending, 1.5 ended a second`
	if got := strings.Join(topLines(before, now, nil, 100, 40), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOfOneLookNoRateIsTold(t *testing.T) {
	u := summed(topLook{}, looked(time.Now(), 1_000, 10))
	if u.Groups[0].Writes != nil || u.Tasks.Ended != nil {
		t.Errorf("rates of one look: %+v, %+v", u.Groups[0], u.Tasks)
	}
	// The log of another cluster behind the same addresses is shorter.
	u = summed(looked(time.Now(), 1_000), looked(time.Now().Add(time.Second), 900))
	if u.Groups[0].Writes != nil {
		t.Errorf("%v writes a second, though the commit index fell", *u.Groups[0].Writes)
	}
}

func TestALookThatFailsLeavesTheLastOne(t *testing.T) {
	now := looked(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 1_000)
	got := strings.Join(topLines(now, now, errors.New("nobody answers"), 100, 40), "\n")
	if !strings.Contains(got, "! this is how it was at 03:04:05: nobody answers") || !strings.Contains(got, "a2     registered") {
		t.Errorf("got\n%s", got)
	}
	now.unmanaged = &api.Error{Code: api.CodeNoLeader, Message: "no master leads"}
	got = strings.Join(topLines(now, now, nil, 100, 40), "\n")
	if !strings.Contains(got, "! not known now: E-NOLEADER: no master leads") || !strings.Contains(got, "coordination") || strings.Contains(got, "a2") {
		t.Errorf("got\n%s", got)
	}
}

func TestWhatIsShownFitsTheTerminal(t *testing.T) {
	now := looked(time.Now(), 1_000)
	now.agents, now.jobs[1].Instances[1].Pending = nil, "needs\x1b[2J\n\tmore"
	for i := range 200 {
		now.agents = append(now.agents, api.Agent{ID: fmt.Sprint(i), State: "registered", Resources: "cpus:2;mem:64"})
	}
	for _, size := range [][2]int{{1, 1}, {20, 3}, {40, 12}, {80, 24}, {200, 60}} {
		lines := topLines(topLook{}, now, nil, size[0], size[1])
		if len(lines) > size[1] {
			t.Errorf("%d lines on %d", len(lines), size[1])
		}
		for _, line := range lines {
			if len([]rune(line)) >= size[0] || strings.ContainsAny(line, "\x1b\n\t") {
				t.Errorf("%q on %d columns", line, size[0])
			}
		}
	}
	got := strings.Join(topLines(topLook{}, now, nil, 100, 24), "\n")
	for _, want := range []string{"... and 192 more", "coordination", "web     1 of 2", "! web: needs?[2J??more", "TASKS 2 running"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
