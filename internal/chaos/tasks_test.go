package chaos

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

var (
	killsFlag = flag.Int("kills", 200, "processes that a run with tasks kills at least")
	widthFlag = flag.Int("width", 0, "tasks of a run at once; 0: 100")
)

// killsOfALife bounds what one cluster is put through.
const killsOfALife = 500

// Tasks that keep ledgers of their own, on five agents, while masters, agents, shims and
// schedulers are killed, stopped and cut off: none is lost, none runs twice, and each end is
// told once and truly.
func TestTasks(t *testing.T) {
	needs(t, true, "ip", "nft")
	argv, err := program()
	if err != nil {
		t.Fatalf("build the node: %v", err)
	}
	first, end := seed(), time.Now().Add(time.Duration(*minutesFlag*float64(time.Minute)))
	for killed, life := 0, 0; killed < *killsFlag && (*minutesFlag == 0 || time.Now().Before(end)); life++ {
		kills, seed := min(*killsFlag-killed, killsOfALife), first+uint64(life)
		killed += kills
		t.Run(fmt.Sprintf("seed%d", seed), func(t *testing.T) {
			host, err := NewHost(true)
			if err != nil {
				t.Skipf("needs namespaces: %v", err)
			}
			defer host.Close()
			config := TaskConfig{
				RunConfig: RunConfig{Name: "tasks", Commit: commit(argv[0]), Seed: seed, Cycles: 10 * kills, Logf: t.Logf,
					Cluster: ClusterConfig{Program: argv, Engine: *engineFlag, Nodes: 3, Dir: runDir(t), Host: host, Separate: true}},
				Kills: kills, Width: *widthFlag, Longest: 45 * time.Second,
			}
			report, err := ExecuteTasks(t.Context(), config)
			judge(t, report, err)
			if report.Verdict != verdictPass {
				t.Logf("again: go test ./internal/chaos -run TestTasks -chaos -seed=%d -kills=%d", seed, kills)
			}
		})
	}
}

// What a scheduler reads is what it, or one before it, has written, and enough to go on.
func TestSchedulersGoOnFromTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), journalName)
	journal, err := OpenJournal(path, "s1")
	if err != nil {
		t.Fatal(err)
	}
	units := []Unit{{Number: 0}, {Number: 1, KillAfter: 1}, {Number: 2}, {Number: 3}}
	for _, l := range []JournalLine{
		{Deed: DeedLeads, Epoch: 7},
		{Deed: DeedSubs, Framework: "f"},
		{Deed: DeedIntend, Unit: 0, Task: "unit0-1-7"},
		{Deed: DeedIntend, Unit: 1, Task: "unit1-1-7"},
		{Deed: DeedIntend, Unit: 2, Task: "unit2-1-7"},
		{Deed: DeedNot, Unit: 2, Task: "unit2-1-7"},
		{Deed: DeedUpdate, Unit: 0, Task: "unit0-1-7", State: "FAILED", Terminal: true, HasExit: true, Exit: 3},
		{Deed: DeedUpdate, Unit: 1, Task: "unit1-1-7", State: "RUNNING"},
	} {
		if err := journal.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	// One that is killed may leave a piece of a line.
	if _, err := journal.file.WriteString(`{"deed":"ends","un`); err != nil {
		t.Fatal(err)
	}
	if err := journal.Write(JournalLine{Deed: DeedKill, Unit: 1, Task: "unit1-1-7"}); err != nil {
		t.Fatal(err)
	}
	read := func() *taskBook {
		lines, err := ReadJournalFile(path)
		if err != nil {
			t.Fatal(err)
		}
		book := newTaskBook(units)
		for _, l := range lines {
			book.note(l)
		}
		return book
	}
	book := read()
	if book.framework != "f" || book.epoch != 7 || book.ended || len(book.open) != 1 || !book.open["unit1-1-7"].killed || book.open["unit1-1-7"].running == 0 {
		t.Fatalf("%+v, open %v", book, book.openNames())
	}
	// Unit 2 first, which has begun; unit 0 is done, unit 1 runs.
	if list := book.startable(5, false); len(list) != 2 || list[0].Number != 2 || list[1].Number != 3 {
		t.Errorf("may begin: %+v", list)
	}
	if list := book.startable(5, true); len(list) != 1 || list[0].Number != 2 {
		t.Errorf("may begin although no more are to: %+v", list)
	}
	if name := book.name(units[2], 9); name != "unit2-2-9" || unitOf(name) != 2 {
		t.Errorf("the next task is %s", name)
	}
	if book.finished() {
		t.Error("a task is open and all is done")
	}
	// A deposed scheduler's intent is one more that may run: nothing begins before it is known.
	for _, l := range []JournalLine{
		{Deed: DeedIntend, Unit: 2, Task: "unit2-2-9"},
		{Deed: DeedIntend, Unit: 2, Task: "unit2-2-7"},
		{Deed: DeedUpdate, Unit: 2, Task: "unit2-2-9", State: "FAILED", Terminal: true},
	} {
		if err := journal.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	if list := read().startable(5, true); len(list) != 0 {
		t.Errorf("may begin beside one that may run: %+v", list)
	}
	if err := journal.Write(JournalLine{Deed: DeedUpdate, Unit: 2, Task: "unit2-2-7", State: "UNKNOWN"}); err != nil {
		t.Fatal(err)
	}
	if list := read().startable(5, true); len(list) != 1 {
		t.Errorf("may begin: %+v", list)
	}
}
