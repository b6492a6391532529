package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

const (
	changeClients = 64
	changeValue   = 128
	changeEvery   = time.Second
	// changeWindow from its begin on is the change; one before and one after it are
	// the steady state. Both, as with one vote less a write waits for other replicas.
	changeWindow = 400 * time.Millisecond
)

// A changesOrder asks a leader to write with many clients and meanwhile to take a
// follower's vote and give it back, in turn.
type changesOrder struct {
	Changes int `json:"changes"`
}

// A changing engine changes its membership while it works.
type changing interface {
	// change takes the vote of one follower, or gives it back. It returns when
	// that is in force.
	change(ctx context.Context, promote bool) error
}

// A change is what one of them did to the writers.
type change struct {
	Engine  string  `json:"engine"`
	Promote bool    `json:"promote"`
	Millis  float64 `json:"ms"`       // of the call
	Stall   float64 `json:"stall_ms"` // the longest time without an acknowledged write
	Pause   float64 `json:"pause_ms"` // the same in the window before
	// Share is the rate outside the stall over that of the steady state.
	Share float64 `json:"share"`
}

// runChanges times membership changes under load.
func runChanges(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("changes", flag.ContinueOnError)
	engines := flags.String("engines", "synod,synod-paxos", "engines to compare")
	count := flags.Int("changes", 10, "changes in each run")
	rounds := flags.Int("rounds", 3, "repeats of the whole")
	dir := flags.String("dir", defaultDir, "where the replicas keep their data")
	file := flags.String("json", "", "file for every single change; empty: none")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	chosen, err := parseKinds(*engines)
	if err != nil {
		return err
	}
	work, remove, err := makeWorkDir(*dir)
	if err != nil {
		return err
	}
	defer remove()
	fmt.Fprintf(out, "%s\n%d clients write %d bytes while a follower loses its vote and gets it back, every %v\n",
		describeMachine(), changeClients, changeValue, changeEvery)
	var all []change
	for range *rounds {
		for _, k := range chosen {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			changes, err := changeUnderLoad(k, work, *count)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			for _, c := range changes {
				c.Engine = k.name
				fmt.Fprintf(os.Stderr, "%-12s promote %-5v %5.1f ms  stall %5.1f ms  pause before %5.1f ms  share %.2f\n",
					c.Engine, c.Promote, c.Millis, c.Stall, c.Pause, c.Share)
				all = append(all, c)
			}
		}
	}
	writeChanges(out, chosen, all)
	return writeJSON(*file, all)
}

func changeUnderLoad(k kind, dir string, count int) ([]change, error) {
	c, err := startCluster(k, dir)
	if err != nil {
		return nil, err
	}
	defer c.stop()
	leader := c.replicas[c.leader]
	if err := leader.send(order{Changes: &changesOrder{Changes: count}}); err != nil {
		return nil, err
	}
	e, err := leader.wait("changed", 2*time.Duration(count+1)*changeEvery+2*finishPatience)
	return e.Changes, err
}

// A timeline counts what ended in each millisecond.
type timeline struct {
	begun  time.Time
	counts []atomic.Int32
}

func (t *timeline) note(at time.Time) {
	if ms := at.Sub(t.begun).Milliseconds(); ms < int64(len(t.counts)) {
		t.counts[ms].Add(1)
	}
}

// between returns how many ended from begin to end, and the longest row of
// milliseconds in which none did.
func (t *timeline) between(begin, end time.Time) (ended, longest int) {
	row := 0
	for ms := begin.Sub(t.begun).Milliseconds(); ms < min(end.Sub(t.begun).Milliseconds(), int64(len(t.counts))); ms++ {
		n := int(t.counts[ms].Load())
		ended += n
		if row++; n > 0 {
			row = 0
		}
		longest = max(longest, row)
	}
	return ended, longest
}

// runChangesUnderLoad does as ordered.
func runChangesUnderLoad(e engine, o changesOrder) ([]change, error) {
	m, ok := e.(changing)
	if !ok {
		return nil, errors.New("this engine's membership cannot be changed")
	}
	length := 2*time.Duration(o.Changes+1)*changeEvery + finishPatience
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	t := &timeline{begun: time.Now(), counts: make([]atomic.Int32, length.Milliseconds())}
	for i := range changeClients {
		go func() {
			value := make([]byte, changeValue)
			for ctx.Err() == nil {
				if e.write(ctx, uint64(i), value) == nil {
					t.note(time.Now())
				}
			}
		}()
	}
	var changes []change
	for i := range o.Changes {
		time.Sleep(changeEvery)
		begun := time.Now()
		if err := m.change(ctx, i%2 == 1); err != nil {
			return nil, fmt.Errorf("change %d: %w", i+1, err)
		}
		took := time.Since(begun)
		time.Sleep(max(changeWindow, took) + changeWindow - took)
		changes = append(changes, t.measure(begun, took, i%2 == 1))
	}
	return changes, nil
}

func (t *timeline) measure(begun time.Time, took time.Duration, promote bool) change {
	window := max(changeWindow, took)
	before, pause := t.between(begun.Add(-changeWindow), begun)
	during, stall := t.between(begun, begun.Add(window))
	after, pauseAfter := t.between(begun.Add(window), begun.Add(window+changeWindow))
	c := change{Promote: promote, Millis: took.Seconds() * 1e3, Stall: float64(stall), Pause: float64(pause)}
	// All without their longest pause, or the change alone would be given one.
	rate := func(n int, of time.Duration, without int) float64 {
		return float64(n) / max(1, of.Seconds()*1e3-float64(without))
	}
	if steady := (rate(before, changeWindow, pause) + rate(after, changeWindow, pauseAfter)) / 2; steady > 0 {
		c.Share = rate(during, window, stall) / steady
	}
	return c
}

func writeChanges(out io.Writer, chosen []kind, all []change) {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "| engine\t| change\t| ms\t| stall ms\t| longest\t| pause before ms\t| rate outside it\t| changes\t|")
	fmt.Fprintln(w, "| ---\t| ---\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t|")
	for _, k := range chosen {
		for _, promote := range []bool{false, true} {
			name := map[bool]string{false: "vote taken", true: "promoted"}[promote]
			var took, stall, pause, share []float64
			longest := 0.0
			for _, c := range all {
				if c.Engine == k.name && c.Promote == promote {
					took, stall = append(took, c.Millis), append(stall, c.Stall)
					pause, share = append(pause, c.Pause), append(share, c.Share)
					longest = max(longest, c.Stall)
				}
			}
			fmt.Fprintf(w, "| %s\t| %s\t| %.1f\t| %.0f\t| %.0f\t| %.0f\t| %.2f\t| %d\t|\n",
				k.name, name, median(took), median(stall), longest, median(pause), median(share), len(took))
		}
	}
}
