package chaos

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Report is what one run says, and one line of the ledger.
type Report struct {
	Name    string    `json:"name"`
	Engine  string    `json:"engine,omitempty"` // "" is raft
	Time    time.Time `json:"time"`
	Commit  string    `json:"commit"`
	Version string    `json:"version"`
	Seed    uint64    `json:"seed"`
	Nodes   int       `json:"nodes"`
	Disk    string    `json:"disk,omitempty"`
	Seconds float64   `json:"seconds"`

	Cycles int               `json:"cycles"`
	Faults map[FaultKind]int `json:"faults"`

	Acknowledged int `json:"acknowledged"` // operations with an answer
	Writes       int `json:"writes"`       // of them, writes that took effect
	Refused      int `json:"refused"`
	Unknown      int `json:"unknown"`
	Before       int `json:"before"` // acknowledged writes before, during and after faults
	During       int `json:"during"`
	After        int `json:"after"`
	Retried      int `json:"retried"` // writes sent more than once with one request id

	LostWrites    int `json:"lost_writes"`
	StaleReads    int `json:"stale_reads"`
	DoubleApplies int `json:"double_applies"`
	Disorders     int `json:"disorders"`
	Phantoms      int `json:"phantoms"`

	Witnessed     int              `json:"witnessed"` // operations given to the witness
	Porcupine     string           `json:"porcupine"` // the worst verdict over all slices
	PorcupineOps  int              `json:"porcupine_ops"`
	Slices        int              `json:"slices"`
	EqualNodes    bool             `json:"equal_nodes"` // digests and trees agree at the end
	FinalKeys     int              `json:"final_keys"`
	MaxRSS        int64            `json:"max_rss"`           // bytes, of any node
	RecoverMedian int64            `json:"recover_median_ms"` // from the end of a fault to the next acknowledged writes
	RecoverMax    int64            `json:"recover_max_ms"`
	Failover      *Drill           `json:"failover,omitempty"`
	Leadership    *Drill           `json:"leadership,omitempty"`  // from a partial cut to a leader that reaches a majority
	Successions   int              `json:"successions,omitempty"` // changes of the leader after that, until the cut is healed
	Contest       *ContestReport   `json:"contest,omitempty"`
	Tasks         *TaskReport      `json:"tasks,omitempty"`
	Containers    *ContainerReport `json:"containers,omitempty"`
	Verdict       string           `json:"verdict"` // "pass", "fail" or "void"
	Reasons       []string         `json:"reasons,omitempty"`
}

// Drill is a distribution of how long clients waited for their writes.
type Drill struct {
	Fault  FaultKind `json:"fault,omitempty"`
	Count  int       `json:"count"`
	Median int64     `json:"median_ms"`
	P99    int64     `json:"p99_ms"`
	Max    int64     `json:"max_ms"`
	// Void were repeated: others had the processors or the disks meanwhile.
	Void int `json:"void,omitempty"`
}

// NewDrill summarises waits, which it sorts.
func NewDrill(fault FaultKind, waits []time.Duration) *Drill {
	d := &Drill{Fault: fault, Count: len(waits)}
	if len(waits) == 0 {
		return d
	}
	slices.Sort(waits)
	// The 99th percentile by nearest rank: of fewer than 100 it is the largest.
	rank := (len(waits)*99 + 99) / 100
	d.Median, d.P99, d.Max = waits[len(waits)/2].Milliseconds(), waits[rank-1].Milliseconds(), waits[len(waits)-1].Milliseconds()
	return d
}

// AppendLedger adds the report as one line to the file at path.
func AppendLedger(path string, report Report) error {
	line, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("chaos: encode report: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("chaos: ledger: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return cmp.Or(err, f.Close())
}

// ReadLedger returns all reports of a ledger.
func ReadLedger(r io.Reader) ([]Report, error) {
	var reports []Report
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var report Report
		if err := json.Unmarshal(scanner.Bytes(), &report); err != nil {
			return nil, fmt.Errorf("chaos: ledger line %d: %w", len(reports)+1, err)
		}
		reports = append(reports, report)
	}
	return reports, scanner.Err()
}

// Totals is a Markdown table of the ledger: for each engine a row for each name
// and their sum.
func Totals(reports []Report) string {
	var b strings.Builder
	b.WriteString("| campaign | engine | runs (failed, void) | cycles | hours | acknowledged | unknown | lost writes | stale reads | double applies | porcupine operations |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	byEngine := groupBy(reports, func(r Report) string { return cmp.Or(r.Engine, engineRaft) })
	for _, engine := range slices.Sorted(maps.Keys(byEngine)) {
		byName := groupBy(byEngine[engine], func(r Report) string { return r.Name })
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			writeTotal(&b, name+" | "+engine, byName[name])
		}
		writeTotal(&b, "**all** | "+engine, byEngine[engine])
	}
	return b.String()
}

// groupBy sorts reports into heaps by what name calls them.
func groupBy(reports []Report, name func(Report) string) map[string][]Report {
	heaps := make(map[string][]Report)
	for _, r := range reports {
		heaps[name(r)] = append(heaps[name(r)], r)
	}
	return heaps
}

// writeTotal adds one row. A void run is listed and adds to no total.
func writeTotal(b *strings.Builder, name string, reports []Report) {
	var t Report
	failed, void := 0, 0
	for _, r := range reports {
		switch r.Verdict {
		case verdictVoid:
			void++
			continue
		case verdictFail:
			failed++
		}
		t.Cycles += r.Cycles
		t.Seconds += r.Seconds
		t.Acknowledged += r.Acknowledged
		t.Unknown += r.Unknown
		t.LostWrites += r.LostWrites
		t.StaleReads += r.StaleReads
		t.DoubleApplies += r.DoubleApplies
		t.PorcupineOps += r.PorcupineOps
	}
	fmt.Fprintf(b, "| %s | %d (%d, %d) | %d | %.1f | %d | %d | %d | %d | %d | %d |\n", name, len(reports), failed, void,
		t.Cycles, t.Seconds/3600, t.Acknowledged, t.Unknown, t.LostWrites, t.StaleReads, t.DoubleApplies, t.PorcupineOps)
}

// FaultTotals is a Markdown table of how often each fault has fired on each engine.
func FaultTotals(reports []Report) string {
	kinds := make(map[FaultKind]bool)
	fired := map[string]map[FaultKind]int{engineRaft: {}, enginePaxos: {}}
	for _, r := range reports {
		if r.Verdict == verdictVoid {
			continue
		}
		for kind, count := range r.Faults {
			kinds[kind] = true
			fired[cmp.Or(r.Engine, engineRaft)][kind] += count
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| fault | %s | %s |\n| --- | --- | --- |\n", engineRaft, enginePaxos)
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", kind, fired[engineRaft][kind], fired[enginePaxos][kind])
	}
	return b.String()
}

func readLedgerFile(path string) ([]Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("chaos: ledger: %w", err)
	}
	defer f.Close()
	return ReadLedger(f)
}
