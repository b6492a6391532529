package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// ContestReport is what the ledger keeps of a contest.
type ContestReport struct {
	Granted  int `json:"granted"`  // how often somebody was let in
	Sessions int `json:"sessions"` // opened
	Admitted int `json:"admitted"` // actions on the guarded store
	Refused  int `json:"refused"`  // because of their tokens
	Commits  int `json:"commits"`  // transactions that took effect
	Changes  int `json:"changes"`  // that each observer was told
	Leniency
	// Expired counts sessions that ended although their processes were not harmed,
	// because the cluster had no majority, or the machine no time. Of Disturbed harms
	// nobody knows for the same reason how soon the next one was let in.
	Expired   int `json:"expired"`
	Disturbed int `json:"disturbed"`
	// Next says how long after each kind of harm the next one was let in.
	Next []*Drill `json:"next,omitempty"`
}

// judge adds what the contenders and observers saw to the verdict.
func (c *Contest) judge() {
	records, _ := c.guarded.Records(0)
	if err := writeRecords(filepath.Join(c.cluster.config.Dir, "records.ndjson"), records); err != nil {
		c.fail("%v", err)
	}
	h := ContestHistory{Records: records, Harms: c.harms, Nodes: c.nodes, Queue: contestQueue, Target: contestTarget, Begin: c.begin,
		End: fmt.Sprint(contestMarker, c.markers)}
	for _, s := range c.observers {
		if s.Role == roleObserve {
			h.Leaders = append(h.Leaders, s.Name)
		} else {
			h.Watchers = append(h.Watchers, s.Name)
		}
	}
	violations, leniency := JudgeContest(h)
	for _, v := range violations {
		c.fail("%s", v)
	}
	c.counts.Excused, c.counts.Unseen = leniency.Excused, leniency.Unseen
	c.count(h)
	for _, kind := range slices.Sorted(maps.Keys(c.next)) {
		c.counts.Next = append(c.counts.Next, NewDrill(kind, c.next[kind]))
	}
	c.report.Contest = &c.counts
	// Most faults leave the holder where it is.
	if c.counts.Granted < max(2, c.report.Cycles/2) || c.counts.Admitted < 10*c.counts.Granted || c.counts.Commits < c.counts.Granted {
		c.void = append(c.void, fmt.Sprintf("the contenders did too little: %+v", c.counts))
	}
}

// writeRecords leaves what was said beside the logs, for whoever keeps them.
func writeRecords(path string, records []Record) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("chaos: records: %w", err)
	}
	out := bufio.NewWriter(f)
	encoder := json.NewEncoder(out)
	for n := range records {
		err = errors.Join(err, encoder.Encode(&records[n]))
	}
	return errors.Join(err, out.Flush(), f.Close())
}

func (c *Contest) count(h ContestHistory) {
	for _, r := range h.Records {
		switch {
		case r.Kind == SaidHolds:
			c.counts.Granted++
		case r.Kind == SaidOpened:
			c.counts.Sessions++
		case r.Admitted:
			c.counts.Admitted++
		case r.Kind == SaidActs || r.Kind == SaidLate:
			c.counts.Refused++
		case r.Kind == SaidCommits && r.Outcome == Done:
			c.counts.Commits++
		case r.Kind == SaidChange && r.Who == h.Watchers[0]:
			c.counts.Changes++
		}
	}
}
