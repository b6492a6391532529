package chaos

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The cluster of compose.yaml and its tasks, processes and containers, while these containers are killed, paused,
// removed and cut off and their engine is restarted: no acknowledged write is lost, no task is lost or runs
// twice, and the service answers within five seconds.
func TestContainers(t *testing.T) {
	needs(t, true, "docker", "dockerd", "containerd", "runc", "iptables", "ip", "nsenter")
	if exec.Command("docker-compose", "version").Run() != nil && exec.Command("docker", "compose", "version").Run() != nil {
		t.Skip("needs docker-compose")
	}
	argv, err := program()
	if err != nil {
		t.Fatalf("build the node: %v", err)
	}
	tools, err := filepath.Abs("../../tools")
	if err != nil {
		t.Fatal(err)
	}
	host, err := NewHost(false)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	config := ContainerConfig{Tools: tools, Least: *cyclesFlag, RunConfig: RunConfig{
		Name: "containers", Commit: commit(argv[0]), Seed: seed(), Cycles: *cyclesFlag, Pause: 40 * time.Millisecond, Logf: t.Logf,
		Cluster: ClusterConfig{Program: argv, Dir: runDir(t), Host: host}}}
	if *minutesFlag > 0 {
		config.Limit = time.Duration(*minutesFlag * float64(time.Minute))
	}
	report, err := ExecuteContainers(t.Context(), config)
	if err == nil && report.Verdict == verdictVoid {
		t.Skipf("no evidence: %s", strings.Join(report.Reasons, "\n")) // nothing was lost or wrong, and others wanted the cores
	}
	judge(t, report, err)
}

// What the harness, or an engine that it has restarted, may have ended is excused, and nothing else is.
func TestOnlyStruckTasksAreExcused(t *testing.T) {
	at := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	h := TaskHistory{
		Units: []Unit{{Number: 1}, {Number: 2}, {Number: 3}, {Number: 4}, {Number: 5}, {Number: 6}, {Number: 7}, {Number: 8}, {Number: 9}, {Number: 10}, {Number: 11}},
		Journal: []JournalLine{
			{Deed: DeedIntend, Unit: 1, Task: "unit1-1-1", Agent: "A1"},
			{Deed: DeedIntend, Unit: 2, Task: "unit2-1-1", Agent: "A2"},
			{Deed: DeedIntend, Unit: 3, Task: "unit3-1-1", Agent: "A1"},
			{Deed: DeedIntend, Unit: 4, Task: "unit4-1-1", Agent: "A1"},
			{Deed: DeedIntend, Unit: 5, Task: "unit5-1-1", Agent: "A2"},
			{Deed: DeedIntend, Unit: 6, Task: "unit6-1-1", Agent: "A1"},
			{Deed: DeedIntend, Unit: 7, Task: "unit7-1-1", Agent: "A1"},
			{Deed: DeedIntend, Unit: 8, Task: "unit8-1-1", Agent: "A1"},
			{Deed: DeedIntend, Unit: 9, Task: "unit9-1-1", Agent: "A1"},
			{Deed: DeedIntend, Unit: 10, Task: "unit10-1-1", Agent: "A1"},
			{Deed: DeedIntend, Unit: 11, Task: "unit11-1-1", Agent: "A2"},
			JournalLine{Deed: DeedUpdate, Unit: 1, Task: "unit1-1-1", ID: "1", State: "FAILED", Terminal: true, HasExit: true, Exit: 137, At: at(12)}.asSignal(),
			{Deed: DeedUpdate, Unit: 3, Task: "unit3-1-1", ID: "3", State: "FAILED", Terminal: true, At: at(12)},
			{Deed: DeedUpdate, Unit: 4, Task: "unit4-1-1", ID: "4", State: "FAILED", Terminal: true, HasExit: true, Exit: 255, At: at(12)},
			{Deed: DeedUpdate, Unit: 5, Task: "unit5-1-1", ID: "5", State: "FAILED", Terminal: true, HasExit: true, Exit: 255, At: at(12)},
			JournalLine{Deed: DeedUpdate, Unit: 6, Task: "unit6-1-1", ID: "6", State: "FAILED", Terminal: true, HasExit: true, Exit: 2, At: at(12)}.asSignal(),
			{Deed: DeedUpdate, Unit: 7, Task: "unit7-1-1", ID: "7", State: "FAILED", Terminal: true, HasExit: true, Exit: 255, At: at(12)},
			{Deed: DeedUpdate, Unit: 10, Task: "unit10-1-1", ID: "10", State: "FAILED", Terminal: true, At: at(9.5)},
			{Deed: DeedUpdate, Unit: 11, Task: "unit11-1-1", ID: "11", State: "RUNNING", At: at(30)},
			{Deed: DeedUpdate, Unit: 11, Task: "unit11-1-1", ID: "12", State: "DROPPED", Terminal: true, At: at(33)},
			{Deed: DeedUpdate, Unit: 8, Task: "unit8-1-1", ID: "8", State: "DROPPED", Terminal: true, At: at(12)},
			{Deed: DeedUpdate, Unit: 9, Task: "unit9-1-1", ID: "9", State: "DROPPED", Terminal: true, At: at(12)},
		},
		Ledgers: map[int][]ChoreLine{
			1:  {{At: at(1), What: choreStart, Task: "unit1-1-1", Container: "c1"}, {At: at(9.9), What: choreBeat, Task: "unit1-1-1", Container: "c1"}},
			2:  {{At: at(1), What: choreStart, Task: "unit2-1-1", Container: "c2"}, {At: at(20), What: choreBeat, Task: "unit2-1-1", Container: "c2"}},
			3:  {{At: at(1), What: choreStart, Task: "unit3-1-1", Container: "c3"}, {At: at(5), What: choreBeat, Task: "unit3-1-1", Container: "c3"}},
			4:  {{At: at(1), What: choreStart, Task: "unit4-1-1", Container: "c4"}, {At: at(9.9), What: choreExit, More: "0", Task: "unit4-1-1", Container: "c4"}},
			5:  {{At: at(1), What: choreStart, Task: "unit5-1-1", Container: "c5"}, {At: at(9.9), What: choreExit, More: "0", Task: "unit5-1-1", Container: "c5"}},
			7:  {{At: at(1), What: choreStart, Task: "unit7-1-1", Container: "c7"}, {At: at(9.9), What: choreBeat, Task: "unit7-1-1", Container: "c7"}},
			10: {{At: at(1), What: choreStart, Task: "unit10-1-1", Container: "c10"}, {At: at(9.4), What: choreBeat, Task: "unit10-1-1", Container: "c10"}},
			11: {{At: at(29.9), What: choreStart, Task: "unit11-1-1", Container: "c11"}, {At: at(32), What: choreBeat, Task: "unit11-1-1", Container: "c11"}},
			8:  {{At: at(29.9), What: choreStart, Task: "unit8-1-1", Container: "c8"}, {At: at(35), What: choreBeat, Task: "unit8-1-1", Container: "c8"}},
			9:  {{At: at(25), What: choreStart, Task: "unit9-1-1", Container: "c9"}, {At: at(35), What: choreBeat, Task: "unit9-1-1", Container: "c9"}},
		},
	}
	if l := h.Journal[11]; l.Signal != 9 || l.Exit != 0 || l.Completes(false) {
		t.Errorf("exit code 137 of a container is %+v, which completes its unit: %t", l, l.Completes(false))
	}
	h.Shims = struckContainers(h, []strike{{agent: "a1", from: at(10), to: at(11)}}, map[string]string{"A1": "a1", "A2": "a2"})
	if len(h.Shims) != 4 || h.Shims["c1"] != at(10) || h.Shims["c4"] != at(10) || h.Shims["c7"] != at(10) {
		t.Fatalf("struck are %v, should be c1, c4, c7 and c10: c2 and c5 are elsewhere, c3 was silent long before", h.Shims)
	}
	h.Forgotten = forgottenTasks(h, []strike{{kind: KillEngine, from: at(30), to: at(31)}, {kind: RestartEngine, from: at(25), to: at(26)}})
	if len(h.Forgotten) != 0 {
		t.Fatalf("forgotten are %v, of whom DROPPED was told before", h.Forgotten)
	}
	h.Journal[len(h.Journal)-2].At, h.Journal[len(h.Journal)-1].At = at(33), at(33)
	h.Forgotten = forgottenTasks(h, []strike{{kind: KillEngine, from: at(30), to: at(31)}, {kind: RestartEngine, from: at(25), to: at(26)}})
	if len(h.Forgotten) != 1 || !h.Forgotten["unit8-1-1"] {
		t.Fatalf("forgotten are %v, should be that which began when the engine was killed", h.Forgotten)
	}
	found := map[string]string{}
	violations, _ := JudgeTasks(h)
	for _, v := range violations {
		found[v.Task] += v.Class + "; "
	}
	if found["unit1-1-1"] != "" || found["unit2-1-1"] != TaskLost+"; " || found["unit3-1-1"] != TaskFalse+"; " ||
		found["unit4-1-1"] != "" || found["unit5-1-1"] == "" || found["unit6-1-1"] != "" || found["unit7-1-1"] != "" || found["unit8-1-1"] != "" ||
		found["unit9-1-1"] != TaskFalse+"; "+TaskGoesOn+"; " || found["unit10-1-1"] != TaskFalse+"; " || found["unit11-1-1"] != TaskFalse+"; " {
		t.Errorf("found %v", found)
	}
	for _, s := range []strike{{from: at(10), to: at(11)}, {task: "unit2-1-1", from: at(10), to: at(11)}} {
		if _, is := struckContainers(h, []strike{s}, nil)["c2"]; !is {
			t.Errorf("c2 is not struck by %+v", s)
		}
	}
}

// What a wait says depends on what the machine did in it, and not before or after.
func TestACrowdIsCountedWithinAWait(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1000+int64(s), 0) }
	c := &crowd{}
	for n := range 10 {
		count := crowdCount{at: at(n), perCore: 1}
		if n >= 4 && n <= 6 {
			count.perCore = 20
		}
		count.stood = time.Duration(max(0, min(n-4, 2))) * time.Second / 2
		c.counts = append(c.counts, count)
	}
	c.best = time.Millisecond
	for n := range 10 {
		w := crowdWork{from: at(n), to: at(n).Add(time.Millisecond), compute: time.Millisecond}
		if n == 1 || n == 2 {
			w.to, w.compute, w.flush = at(n).Add(500*time.Millisecond), 10*time.Millisecond, 490*time.Millisecond
		}
		c.works = append(c.works, w)
	}
	for _, want := range []struct {
		from, to int
		strain
		tooMuch bool
	}{
		{4, 6, strain{perCore: 20, stood: 0.5, pace: 1}, true},
		{7, 9, strain{perCore: 1, pace: 1}, false},
		{1, 2, strain{perCore: 1, flush: 490 * time.Millisecond, pace: 10}, true},
		{0, 3, strain{perCore: 1, flush: 245 * time.Millisecond, pace: 5.5}, true},
	} {
		if s := c.between(at(want.from), at(want.to)); s != want.strain || s.tooMuch() != want.tooMuch {
			t.Errorf("between %d and %d: %v, too much: %v; want %v", want.from, want.to, s, s.tooMuch(), want.strain)
		}
	}
}
