package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// script builds a history: each line is one operation, begun and answered at the
// given milliseconds.
type script struct {
	ops   []Operation
	final Final
}

func (s *script) add(o Operation, call, back int) *script {
	o.Call, o.Return = time.Duration(call)*time.Millisecond, time.Duration(back)*time.Millisecond
	if o.Outcome == 0 {
		o.Outcome = Done
	}
	if o.Kind == Get && o.Level == "" {
		o.Level = LevelLinearizable
	}
	o.Key = "k"
	s.ops = append(s.ops, o)
	return s
}

func (s *script) ends(index uint64, value string, version, modified uint64) *script {
	s.final.Index = index
	if value != "" {
		s.final.Entries = []Entry{{"k", value, version, modified}}
	}
	return s
}

func put(value string, index, version uint64) Operation {
	return Operation{Kind: Put, Value: value, Index: index, Version: version}
}

func lostPut(value string) Operation { return Operation{Kind: Put, Value: value, Outcome: Unknown} }

func get(value string, index, version, modified uint64) Operation {
	return Operation{Kind: Get, Value: value, Found: value != "", Index: index, Version: version, Modified: modified}
}

func TestWitness(t *testing.T) {
	for _, c := range []struct {
		name   string
		script *script
		class  string // "" means clean
	}{
		{"a write is read and stays", new(script).add(put("a", 5, 1), 0, 1).add(get("a", 5, 1, 5), 2, 3).ends(9, "a", 1, 5), ""},
		{"a read beside the write sees either", new(script).add(put("a", 5, 1), 0, 9).add(get("", 4, 0, 0), 2, 3).ends(9, "a", 1, 5), ""},
		{"an unknown write may have happened", new(script).add(lostPut("a"), 0, 1).add(get("a", 7, 1, 6), 2, 3).ends(9, "a", 1, 6), ""},
		{"an unknown write may never happen", new(script).add(lostPut("a"), 0, 1).add(get("", 7, 0, 0), 2, 3).ends(9, "", 0, 0), ""},
		{"an unknown write may happen unseen", new(script).add(lostPut("a"), 0, 1).add(put("b", 8, 2), 2, 3).ends(9, "b", 2, 8), ""},
		{"a delete starts the versions again", new(script).add(put("a", 5, 1), 0, 1).add(Operation{Kind: Delete, Index: 6}, 2, 3).
			add(put("b", 7, 1), 4, 5).ends(9, "b", 1, 7), ""},
		{"a compare-and-set on the version", new(script).add(put("a", 5, 1), 0, 1).
			add(Operation{Kind: CompareAndSet, Value: "b", Expect: 1, Index: 6, Version: 2}, 2, 3).ends(9, "b", 2, 6), ""},
		{"a miss on another version", new(script).add(put("a", 5, 1), 0, 1).
			add(Operation{Kind: CompareAndSet, Value: "b", Expect: 4, Index: 6, Missed: true}, 2, 3).ends(9, "a", 1, 5), ""},
		{"a sequential read may be old", new(script).add(put("a", 5, 1), 0, 1).
			add(Operation{Kind: Get, Level: LevelSequential, Index: 4, Client: 1}, 2, 3).ends(9, "a", 1, 5), ""},

		{"gone at the end", new(script).add(put("a", 5, 1), 0, 1).ends(9, "", 0, 0), LostWrite},
		{"an older value at the end", new(script).add(put("a", 5, 1), 0, 1).add(put("b", 6, 2), 2, 3).ends(9, "a", 1, 5), LostWrite},
		{"overwritten, and the versions show that it was lost", new(script).add(put("a", 5, 1), 0, 1).add(put("b", 6, 2), 2, 3).
			add(put("c", 7, 2), 4, 5).ends(9, "c", 2, 7), LostWrite},
		{"a lower version at the end", new(script).add(put("a", 5, 1), 0, 1).add(put("b", 6, 2), 2, 3).ends(9, "b", 1, 6), LostWrite},
		{"an old value by its own index", new(script).add(put("a", 5, 1), 0, 1).add(put("b", 6, 2), 0, 1).
			add(get("a", 8, 1, 5), 2, 3).ends(9, "b", 2, 6), StaleRead},
		{"nothing found after a write", new(script).add(put("a", 5, 1), 0, 1).add(get("", 8, 0, 0), 2, 3).ends(9, "a", 1, 5), StaleRead},
		{"a read at an index before an answered write", new(script).add(put("a", 5, 1), 0, 1).add(get("", 4, 0, 0), 2, 3).ends(9, "a", 1, 5), StaleRead},
		{"reads that go back", new(script).add(lostPut("a"), 0, 1).add(get("a", 6, 1, 6), 2, 3).add(get("", 5, 0, 0), 4, 5).ends(9, "a", 1, 6), StaleRead},
		{"a miss on the right version", new(script).add(put("a", 5, 1), 0, 1).
			add(Operation{Kind: CompareAndSet, Value: "b", Expect: 1, Index: 6, Missed: true}, 2, 3).ends(9, "a", 1, 5), StaleRead},
		{"a client's sequential reads go back", new(script).add(put("a", 5, 1), 0, 1).
			add(Operation{Kind: Get, Level: LevelSequential, Index: 4}, 2, 3).ends(9, "a", 1, 5), StaleRead},
		{"seen at two indexes", new(script).add(put("a", 5, 1), 0, 1).add(get("a", 8, 1, 7), 2, 3).ends(9, "a", 1, 5), Duplicate},
		{"an unknown write seen at two indexes", new(script).add(lostPut("a"), 0, 1).add(get("a", 8, 1, 6), 2, 3).ends(9, "a", 2, 9), Duplicate},
		{"more versions than writes", new(script).add(put("a", 5, 1), 0, 1).add(put("b", 7, 3), 2, 3).ends(9, "b", 3, 7), Duplicate},
		{"more versions at the end", new(script).add(put("a", 5, 1), 0, 1).ends(9, "a", 2, 5), Duplicate},
		{"two commands at an index", new(script).add(put("a", 5, 1), 0, 1).add(put("b", 5, 2), 2, 3).ends(9, "b", 2, 5), Disorder},
		{"against real time", new(script).add(put("a", 5, 1), 0, 1).add(put("b", 4, 1), 2, 3).ends(9, "a", 2, 5), Disorder},
		{"acknowledged without an index", new(script).add(put("a", 0, 1), 0, 1).ends(9, "", 0, 0), Disorder},
		{"a value nobody wrote", new(script).add(get("x", 5, 1, 5), 0, 1).ends(9, "", 0, 0), Phantom},
		{"a refused write is seen", new(script).add(Operation{Kind: Put, Value: "a", Outcome: Refused}, 0, 1).
			add(get("a", 6, 1, 5), 2, 3).ends(9, "a", 1, 5), Phantom},
	} {
		violations := Witness(c.script.ops, c.script.final)
		has := func(v Violation) bool { return v.Class == c.class }
		switch {
		case c.class == "" && len(violations) > 0:
			t.Errorf("%s: clean, but reported %v", c.name, violations)
		case c.class != "" && !slices.ContainsFunc(violations, has):
			t.Errorf("%s: want a %s, got %v", c.name, c.class, violations)
		}
	}
}

// ideal makes a history as a perfect store would: clients one after the other,
// some answers lost, some writes never done.
func ideal(seed uint64, length int) ([]Operation, Final) {
	random := rand.New(rand.NewPCG(seed, 1))
	cells := make(map[string]Entry)
	var ops []Operation
	index := uint64(1)
	for n := range length {
		o := Operation{Client: n % 5, Key: fmt.Sprint("k", random.IntN(4)), Kind: Kind(1 + random.IntN(4)), Outcome: Done,
			Call: time.Duration(10 * n), Return: time.Duration(10*n + 1 + random.IntN(9))}
		e := cells[o.Key]
		happens := true
		if o.write() && random.IntN(8) == 0 {
			o.Outcome, happens = Unknown, random.IntN(2) == 0
		}
		switch o.Kind {
		case Get:
			o.Level, o.Found, o.Value, o.Version, o.Modified, o.Index = LevelLinearizable, e.Version > 0, e.Value, e.Version, e.Modified, index
		case Delete:
			o.Missed = e.Version == 0
		default:
			o.Value = fmt.Sprint("v", n)
			if o.Kind == CompareAndSet {
				o.Expect = uint64(random.IntN(3))
				o.Missed = o.Expect != e.Version
			}
		}
		if o.write() && happens {
			index++
			if !o.Missed {
				e = Entry{o.Key, o.Value, e.Version + 1, index}
				cells[o.Key] = e
				if o.Kind == Delete {
					delete(cells, o.Key)
				}
			}
			o.Index, o.Version = index, cells[o.Key].Version
		}
		if o.Outcome == Unknown {
			o.Missed, o.Index, o.Version, o.Return = false, 0, 0, 0
		}
		ops = append(ops, o)
	}
	final := Final{Index: index}
	for _, e := range cells {
		final.Entries = append(final.Entries, e)
	}
	return ops, final
}

func TestIdealHistoriesAreClean(t *testing.T) {
	for seed := range uint64(300) {
		ops, final := ideal(seed, 400)
		if violations := Witness(ops, final); violations != nil {
			t.Fatalf("seed %d: %v", seed, violations)
		}
	}
	ops, _ := ideal(1, 2000)
	verdict, err := Linearizable(t.Context(), ops, Judge{})
	if err != nil || verdict.Result != "Ok" || verdict.Operations < 1500 {
		t.Fatalf("%+v, %v", verdict, err)
	}
}

// An ideal history in which one acknowledged read is replaced by an older value,
// or one write is taken from the final state, must not pass.
func TestDamagedHistoriesAreCaught(t *testing.T) {
	for seed := range uint64(100) {
		ops, final := ideal(seed, 400)
		if len(final.Entries) > 0 {
			damaged := Final{final.Index, slices.Clone(final.Entries)[1:]}
			// An unknown delete would explain that the key is gone.
			key := final.Entries[0].Key
			explained := slices.ContainsFunc(ops, func(o Operation) bool { return o.Key == key && o.Kind == Delete && o.Outcome == Unknown })
			if !explained && Witness(ops, damaged) == nil {
				t.Fatalf("seed %d: key %s taken from the final state was not missed", seed, key)
			}
		}
		reads := slices.Collect(func(yield func(int) bool) {
			for i, o := range ops {
				if o.Kind == Get && o.Found && !yield(i) {
					return
				}
			}
		})
		i, j := reads[len(reads)/3], reads[len(reads)-1]
		if ops[i].Key != ops[j].Key || ops[i].Value == ops[j].Value {
			continue
		}
		ops[j].Value, ops[j].Version, ops[j].Modified = ops[i].Value, ops[i].Version, ops[i].Modified
		if Witness(ops, final) == nil {
			t.Fatalf("seed %d: an old value in %v passed", seed, &ops[j])
		}
	}
}

func TestDoubtMakesAnswersUnknown(t *testing.T) {
	r := NewRecorder()
	for n := range 3 {
		r.Add(Operation{Kind: Put, Value: fmt.Sprint(n), Outcome: Done, Index: uint64(n + 1), Version: 1, Return: time.Duration(10 * n)})
	}
	r.Doubt(5, 15)
	history := r.History()
	for n, want := range []Outcome{Done, Unknown, Done} {
		if history[n].Outcome != want || (history[n].Index == 0) != (want == Unknown) {
			t.Errorf("operation %d: %v with index %d, want %v", n, history[n].Outcome, history[n].Index, want)
		}
	}
}

func TestAJudgeThatGivesUpSaysUnknown(t *testing.T) {
	// Forty concurrent writes and a read that fits none of their orders.
	var ops []Operation
	for n := range 40 {
		ops = append(ops, Operation{Client: n, Kind: CompareAndSet, Key: "k", Value: fmt.Sprint(n), Expect: uint64(n % 7), Outcome: Unknown})
	}
	ops = append(ops, Operation{Client: 41, Kind: Get, Level: LevelLinearizable, Key: "k", Value: "none", Found: true, Version: 7, Outcome: Done, Call: 1, Return: 2})
	for _, judge := range []Judge{{Time: 50 * time.Millisecond}, {Time: 10 * time.Second, Memory: 1 << 20}} {
		verdict, err := Linearizable(t.Context(), ops, judge)
		if err != nil || verdict.Result != "Unknown" {
			t.Errorf("%+v: %+v, %v; want Unknown", judge, verdict, err)
		}
	}
}

func TestLedger(t *testing.T) {
	path := t.TempDir() + "/ledger"
	for _, r := range []Report{
		{Name: "kill", Verdict: verdictPass, Cycles: 10, Acknowledged: 100, Faults: map[FaultKind]int{KillAll: 10}},
		{Name: "kill", Verdict: verdictVoid, Cycles: 99, Acknowledged: 999, Faults: map[FaultKind]int{KillAll: 99}},
		{Name: "kill", Verdict: verdictFail, Cycles: 5, LostWrites: 1, Faults: map[FaultKind]int{KillLeader: 5}},
		{Name: "power", Engine: engineRaft, Verdict: verdictPass, Cycles: 7, PorcupineOps: 50},
		{Name: "kill", Engine: enginePaxos, Verdict: verdictPass, Cycles: 3, Acknowledged: 30, Faults: map[FaultKind]int{KillAll: 3}},
	} {
		if err := AppendLedger(path, r); err != nil {
			t.Fatal(err)
		}
	}
	reports, err := readLedgerFile(path)
	if err != nil {
		t.Fatal(err)
	}
	totals := Totals(reports)
	for _, row := range []string{
		"| kill | raft | 3 (1, 1) | 15 | 0.0 | 100 | 0 | 1 | 0 | 0 | 0 |", "| **all** | raft | 4 (1, 1) | 22 |",
		"| kill | paxos | 1 (0, 0) | 3 | 0.0 | 30 |", "| **all** | paxos | 1 (0, 0) | 3 |",
	} {
		if !strings.Contains(totals, row) {
			t.Errorf("no row %q in\n%s", row, totals)
		}
	}
	if faults := FaultTotals(reports); !strings.Contains(faults, "| kill all | 10 | 3 |") {
		t.Errorf("a void run counts in\n%s", faults)
	}
}

func TestDrill(t *testing.T) {
	var waits []time.Duration
	for n := range 100 {
		waits = append(waits, time.Duration(100-n)*time.Millisecond)
	}
	if d := NewDrill(KillLeader, waits); d.Median != 51 || d.P99 != 99 || d.Max != 100 || d.Count != 100 {
		t.Errorf("%+v", d)
	}
}
