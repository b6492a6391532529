package replica

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// No expiry can be decided by a local clock if no clock is there.
func TestCoreReadsNoClock(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	forbidden := regexp.MustCompile(`time\.(Now|Since|After|NewTimer|Sleep|Tick)|math/rand|crypto/rand|\bgo func`)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if code, _, _ := strings.Cut(line, "//"); forbidden.MatchString(code) {
				t.Errorf("%s:%d: %s", name, i+1, line)
			}
		}
	}
}

func TestEntriesWithoutDataOnlyMoveTheIndex(t *testing.T) {
	g := newGroup(t, Limits{})
	results := make([]Result, 2)
	before := g.Digest()
	if err := g.Apply([]Entry{{Index: 1}, {Index: 2, Data: []byte{}}}, results); err != nil {
		t.Fatal(err)
	}
	wantResult(t, "second", results[1], CodeApplied, 2, "")
	if after := g.Digest(); after.Index != 2 || after.Digest == before.Digest {
		t.Fatalf("digest %+v after %+v", after, before)
	}
}

func TestEntriesAppliedBeforeAreSkipped(t *testing.T) {
	g := newGroup(t, Limits{})
	g.plain("a")
	g.plain("a")
	before := g.Digest()
	results := make([]Result, 2)
	if err := g.Apply(g.log, results); err != nil {
		t.Fatal(err)
	}
	if g.machine.runs["a"] != 2 || g.Digest() != before || !errors.Is(results[0].Err(), ErrUnavailable) {
		t.Fatalf("ran %d times, digest %+v, result %v", g.machine.runs["a"], g.Digest(), results[0].Err())
	}
}

func TestAGapBetweenEntriesPanics(t *testing.T) {
	g := newGroup(t, Limits{})
	defer func() {
		if v, _ := recover().(string); !strings.Contains(v, "entry 2 handed over after entry 0") {
			t.Fatalf("recovered %q", v)
		}
		if err := g.Apply([]Entry{{Index: 1}}, nil); err != nil {
			t.Fatalf("the caller's bug stopped the replica: %v", err)
		}
	}()
	_ = g.Apply([]Entry{{Index: 2}}, nil)
}

func TestMalformedEntriesAreAnsweredAndChangeNothing(t *testing.T) {
	g := newGroup(t, Limits{})
	results := make([]Result, 1)
	if err := g.Apply([]Entry{{Index: 1, Data: []byte{1, 2, 3}}}, results); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(results[0].Err(), ErrMalformed) || g.Applied() != 1 || len(g.machine.runs) != 0 {
		t.Fatalf("%v, applied %d, ran %v", results[0].Err(), g.Applied(), g.machine.runs)
	}
}

func TestAnEntryOfANewerProgramStopsTheReplica(t *testing.T) {
	g := newGroup(t, Limits{})
	g.plain("a")
	err := g.Apply([]Entry{{Index: 2, Data: []byte{99, 0, 0, 0, 0, 0, 0}}}, nil)
	if !errors.Is(err, ErrFailed) || !errors.Is(err, ErrUnknownKind) || g.Applied() != 1 {
		t.Fatalf("%v, applied %d", err, g.Applied())
	}
}

func TestAPanickingMachineStopsTheReplica(t *testing.T) {
	g := newGroup(t, Limits{})
	g.plain("a")
	envelope := func(command string) []byte {
		return Envelope{Kind: KindPlain, Command: []byte(command)}.Append(nil)
	}
	results := make([]Result, 3)
	err := g.Apply([]Entry{{2, envelope("b")}, {3, envelope("panic")}, {4, envelope("c")}}, results)
	stopped, _ := errors.AsType[*StoppedError](err)
	panicked, _ := errors.AsType[*PanicError](err)
	if !errors.Is(err, ErrFailed) || !errors.Is(err, ErrStopped) || stopped == nil || stopped.Index != 2 ||
		panicked == nil || panicked.Value != "bug in the machine" || !strings.Contains(string(panicked.Stack), "ledger") {
		t.Fatalf("got %v", err)
	}
	wantResult(t, "before the panic", results[0], CodeApplied, 2, "b@2#1")
	wantResult(t, "the panic", results[1], CodeUnavailable, 3, "")
	wantResult(t, "after it", results[2], CodeUnavailable, 4, "")
	wantStopped(t, g.Replica, ErrFailed)
}

func TestAMachineThatEndsTheGoroutineStopsTheReplica(t *testing.T) {
	r := mustNew(t, Config{}, goexitMachine{newLedger()})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Apply([]Entry{{1, Envelope{Kind: KindPlain}.Append(nil)}}, nil)
	}()
	<-done
	wantStopped(t, r, ErrFailed)
}

type goexitMachine struct{ *ledger }

func (goexitMachine) Apply(uint64, int64, []byte) []byte { runtime.Goexit(); return nil }

func wantStopped(t *testing.T, r *Replica, state error) {
	t.Helper()
	applied := r.Applied()
	called := false
	errs := map[string]error{
		"View":   r.View(func(uint64) { called = true }),
		"Apply":  r.Apply([]Entry{{Index: applied + 1}}, nil),
		"Status": r.Status().Stopped,
	}
	_, errs["Snapshot"] = r.Snapshot()
	for method, err := range errs {
		if !errors.Is(err, state) || !errors.Is(err, ErrStopped) {
			t.Errorf("%s: got %v, want %v", method, err, state)
		}
	}
	if called || r.Applied() != applied {
		t.Errorf("a stopped replica was viewed (%t) or went from %d to %d", called, applied, r.Applied())
	}
}

func TestQuarantineRefusesEverythingUntilARestore(t *testing.T) {
	g := newGroup(t, Limits{})
	g.plain("a")
	whole := g.snapshot()
	g.plain("b")
	reason := errors.New("digest differs")
	g.Quarantine(reason)
	g.Quarantine(errors.New("a later reason"))
	wantStopped(t, g.Replica, ErrQuarantined)
	if err := g.View(func(uint64) {}); !errors.Is(err, reason) {
		t.Fatalf("got %v, want the first reason", err)
	}
	if err := g.Restore(strings.NewReader(whole)); err != nil {
		t.Fatalf("an older snapshot must heal a stopped replica: %v", err)
	}
	if err := g.View(func(index uint64) {
		if index != 1 || g.machine.runs["b"] != 0 {
			t.Errorf("index %d, ran %v", index, g.machine.runs)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

func TestReplicasWithOneLogHaveOneDigest(t *testing.T) {
	limits := Limits{DigestEvery: 4}
	g := newGroup(t, limits)
	s := g.register()
	for i := range uint64(30) {
		g.command(s, i+1, i, "x")
		g.plain("y")
	}
	batches := mustNew(t, Config{Limits: limits, DigestHistory: 3}, newLedger())
	for len(g.log) > 0 && batches.Applied() < uint64(len(g.log)) {
		next := g.log[batches.Applied():]
		if err := batches.Apply(next[:min(7, len(next))], nil); err != nil {
			t.Fatal(err)
		}
	}
	if batches.Digest() != g.Digest() {
		t.Fatalf("digest %+v, want %+v", batches.Digest(), g.Digest())
	}
	kept := batches.Checkpoints()
	if len(kept) != 3 || kept[0].Index != 52 || kept[2].Index != 60 {
		t.Fatalf("kept %+v, want 52, 56, 60", kept)
	}
	for _, c := range kept {
		if d, ok := g.DigestAt(c.Index); !ok || d != c.Digest {
			t.Fatalf("at %d: %016x, %t; want %016x", c.Index, d, ok, c.Digest)
		}
	}
	if _, ok := batches.DigestAt(48); ok {
		t.Fatal("a checkpoint was kept beyond DigestHistory")
	}
}

func TestTheDigestTellsWhatDiffers(t *testing.T) {
	base := func() *group { return newGroup(t, Limits{DigestEvery: 2}) }
	run := func(g *group, commands ...string) Checkpoint {
		for _, c := range commands {
			g.plain(c)
		}
		return g.Digest()
	}
	want := run(base(), "a", "b")
	limited := newGroup(t, Limits{DigestEvery: 2, Requests: 5})
	later := base()
	later.now++
	silently := base()
	silently.plain("a")
	silently.machine.runs["a"] = 7 // state gone wrong that no result shows
	silently.plain("b")
	otherwise := mustNew(t, Config{Limits: Limits{DigestEvery: 2}}, &nothing{reply: []byte("other")})
	again := base()
	run(again, "a", "b")
	if err := otherwise.Apply(again.log[:1], nil); err != nil {
		t.Fatal(err)
	}
	if otherwise.Digest() == run(base(), "a") {
		t.Error("another result: the digest is the same")
	}
	for name, got := range map[string]Checkpoint{
		"command": run(base(), "a", "c"), "order": run(base(), "b", "a"), "limits": run(limited, "a", "b"),
		"time": run(later, "a", "b"), "machine": silently.Digest(),
	} {
		if got.Digest == want.Digest {
			t.Errorf("another %s: the digest is the same", name)
		}
	}
	if got := again.Digest(); got != want {
		t.Errorf("the same again: %+v, want %+v", got, want)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]Config{
		"Sessions": {Limits: Limits{Sessions: -1}}, "SessionWindow": {Limits: Limits{SessionWindow: 1 << 17}},
		"RequestSkew": {Limits: Limits{RequestSkew: 5}}, "DigestHistory": {DigestHistory: -1},
	} {
		if _, err := New(c, newLedger()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := New(Config{}, nil); err == nil {
		t.Error("no machine: no error")
	}
}

func TestEachCodeHasItsError(t *testing.T) {
	seen := make(map[string]Code)
	for c := CodeUnavailable; c <= CodeRequestFuture+1; c++ {
		err := c.Err()
		if err == nil {
			t.Fatalf("code %d has no error", c)
		}
		if other, ok := seen[err.Error()]; ok {
			t.Fatalf("codes %d and %d share %q", other, c, err)
		}
		seen[err.Error()] = c
	}
}
