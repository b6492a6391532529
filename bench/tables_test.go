package main

import (
	"strings"
	"testing"
)

// made is a run of one second in the cell of 16 clients and 128 bytes.
func made(engine string, round int, operations int64, p50 float64) run {
	return run{
		cell:   cell{Value: 128, Clients: 16},
		Engine: engine,
		Round:  round,
		Result: &loadResult{Operations: operations, Seconds: 1, P50Micros: p50, P99Micros: 2 * p50, CPUSeconds: []float64{0.5, 0.25, 0.25}, PeakBytes: []int64{3 << 20, 9 << 20, 6 << 20}},
	}
}

func findRow(t *testing.T, rows []row, engine string) row {
	t.Helper()
	for _, r := range rows {
		if r.engine == engine {
			return r
		}
	}
	t.Fatalf("no row of %s in %+v", engine, rows)
	return row{}
}

func TestARowIsTheMedianOfItsRounds(t *testing.T) {
	r := findRow(t, summarize([]run{
		made("etcdraft", 1, 3000, 900), made("etcdraft", 2, 1000, 100), made("etcdraft", 3, 2000, 200),
	}), "etcdraft")
	if r.perSecond != 2000 || r.p50Micros != 200 || r.rounds != 3 {
		t.Errorf("got %v/s, p50 %v µs, %d rounds, want 2000, 200, 3", r.perSecond, r.p50Micros, r.rounds)
	}
	if want := 1e6 / 2000.0; r.cpuMicros != want {
		t.Errorf("CPU is %v µs, want %v: one second of all processes over 2000 writes", r.cpuMicros, want)
	}
	if r.replicaMiB != 9 {
		t.Errorf("memory is %v MiB, want that of the largest replica, 9", r.replicaMiB)
	}
}

func TestAVoidRunCountsForNothingButIsShown(t *testing.T) {
	bad := made("dragonboat", 2, 9_999_999, 1)
	bad.Error = "lost its leader"
	runs := []run{made("dragonboat", 1, 500, 100), bad}
	r := findRow(t, summarize(runs), "dragonboat")
	if r.perSecond != 500 || r.void != 1 {
		t.Errorf("got %v/s and %d void, want 500 and 1", r.perSecond, r.void)
	}
	var out strings.Builder
	writeTables(&out, runs)
	for _, want := range []string{"1 + 1 void", "void: lost its leader"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in:\n%s", want, &out)
		}
	}
}

func TestTheBetterVariantStandsForBoth(t *testing.T) {
	rows := summarize([]run{made("hashicorp-plain", 1, 700, 1), made("hashicorp-batch", 1, 900, 1)})
	if len(rows) != 1 {
		t.Fatalf("got %d rows, want 1: %+v", len(rows), rows)
	}
	if r := rows[0]; r.engine != "hashicorp" || r.variant != "hashicorp-batch" || r.perSecond != 900 {
		t.Errorf("got %s by %s with %v/s, want hashicorp by hashicorp-batch with 900", r.engine, r.variant, r.perSecond)
	}
}

func TestRatiosCompareWithTheCeilingAndTheBestPeerOfTheSameClass(t *testing.T) {
	rows := summarize([]run{
		made("bare", 1, 4000, 1), made("synod", 1, 3000, 1), made("etcdraft", 1, 1000, 1),
		made("dragonboat", 1, 1500, 1), made("etcd", 1, 100, 1),
	})
	for engine, want := range map[string][2]float64{
		"bare":       {1, 0},
		"synod":      {0.75, 2},
		"dragonboat": {0.375, 1},
		"etcd":       {0.025, 1},
	} {
		if r := findRow(t, rows, engine); r.ofBare != want[0] || r.ofBestPeer != want[1] {
			t.Errorf("%s: %v of bare and %v of the best peer, want %v", engine, r.ofBare, r.ofBestPeer, want)
		}
	}
}

func TestAimsSayWhatWasMetAndWhatWasMissed(t *testing.T) {
	var out strings.Builder
	writeTables(&out, []run{made("bare", 1, 4000, 1), made("synod", 1, 3000, 1), made("etcdraft", 1, 1500, 1)})
	for _, want := range []string{
		"- missed writes, 128 B, 16 clients: writes/s over the best peer's: 2, wanted at least 2.5",
		"- met    writes, 128 B, 16 clients: writes/s over the bare path's: 0.75, wanted at least 0.7",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want the line %q in:\n%s", want, &out)
		}
	}
}

func TestEnginesThatShallBeEqualAreComparedRoundByRound(t *testing.T) {
	slow := made("synod-paxos", 3, 100, 1)
	slow.Error = "no leader"
	runs := []run{
		made("synod", 1, 1000, 1), made("synod-paxos", 1, 800, 1),
		made("synod", 2, 4000, 1), made("synod-paxos", 2, 4800, 1),
		made("synod", 3, 2000, 1), slow,
	}
	r := findRow(t, summarize(runs), "synod-paxos")
	if r.ofTwin != 1 { // the medians alone would say 2800 of 2000
		t.Errorf("%v of Raft, want 1: the median of 0.8 and 1.2", r.ofTwin)
	}
	if want := (1/0.8 + 1/1.2) / 2; r.cpuOfTwin != want {
		t.Errorf("CPU is %v of Raft, want %v", r.cpuOfTwin, want)
	}
	var out strings.Builder
	writeTables(&out, runs)
	if want := "- met    writes, 128 B, 16 clients: synod-paxos's rate over Raft's: 1, wanted at least 0.9"; !strings.Contains(out.String(), want) {
		t.Errorf("want the line %q in:\n%s", want, &out)
	}
}

func TestAnEngineThatFailedAltogetherHasARowAndNoRatioToItself(t *testing.T) {
	failed := run{cell: cell{Value: 128, Clients: 16}, Engine: "etcd", Round: 1, Error: "no leader"}
	r := findRow(t, summarize([]run{failed}), "etcd")
	if r.rounds != 0 || r.void != 1 || r.ofBestPeer != 0 {
		t.Errorf("got %d rounds, %d void, ratio %v, want 0, 1, 0", r.rounds, r.void, r.ofBestPeer)
	}
}
