package chaos

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

// Where the campaigns' results are kept and shown.
const (
	ledgerFile  = "../../docs/ledger/chaos.ndjson"
	totalsFile  = "../../docs/testing.md"
	totalsBegin = "<!-- chaos totals: made by go test ./internal/chaos -run TestDocumentedTotals -update -->\n"
	totalsEnd   = "<!-- end of chaos totals -->"
)

var updateFlag = flag.Bool("update", false, "write the totals of the ledger into docs/testing.md")

// The tables in the documentation are those of the ledger, never written by hand.
func TestDocumentedTotals(t *testing.T) {
	reports, err := readLedgerFile(ledgerFile)
	if err != nil {
		t.Skipf("no ledger: %v", err)
	}
	isTasks := func(r Report) bool { return r.Tasks != nil }
	others := slices.DeleteFunc(slices.Clone(reports), isTasks)
	tables := Totals(others) + "\n" + FaultTotals(others)
	if slices.ContainsFunc(reports, isTasks) {
		tables += "\nTasks, whose units are done once, by `make chaos-tasks`:\n\n" + TaskTotals(reports)
	}
	if *updateFlag {
		t.Log("\n" + tables)
	}
	page, err := os.ReadFile(totalsFile)
	if err != nil {
		t.Skipf("no page: %v", err)
	}
	before, rest, ok := strings.Cut(string(page), totalsBegin)
	shown, after, whole := strings.Cut(rest, totalsEnd)
	if !ok || !whole {
		t.Skipf("%s has no place for the totals: %s%s", totalsFile, totalsBegin, totalsEnd)
	}
	if shown == tables {
		return
	}
	if !*updateFlag {
		t.Fatalf("%s shows other totals than the ledger; again with -update", totalsFile)
	}
	if err := os.WriteFile(totalsFile, []byte(before+totalsBegin+tables+totalsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
