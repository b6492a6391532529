package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A fanOut is what became of the changes of one key that many sessions watch.
type fanOut struct {
	Service   string  `json:"service"`
	Round     int     `json:"round"`
	Error     string  `json:"error,omitempty"`
	Changes   int     `json:"changes"`
	Missed    int     `json:"missed"` // changes of which some watcher was not told
	Watchers  int     `json:"watchers"`
	Millis    float64 `json:"ms"`      // median of all, from the begin of the write
	P99Millis float64 `json:"p99_ms"`  // of all
	LastOf    float64 `json:"last_ms"` // median of the last watcher of each change
	CPUMicros float64 `json:"cpu_us"`  // of the servers, for each watcher told
}

const (
	fanOutKey      = coordKeyRoot + "/k0"
	fanOutPatience = 2 * time.Second
	fanOutPause    = 40 * time.Millisecond // between changes
	fanOutWarm     = 10                    // changes that do not count
)

// runFanOut changes one key again and again and times until every watcher has heard.
func runFanOut(ctx context.Context, e *ensemble, watchers, changes int) (fanOut, error) {
	f := fanOut{Service: e.name(), Changes: changes, Watchers: watchers}
	sessions, err := openSessions(ctx, e, watchers+1, coordTimeout)
	defer closeSessions(sessions)
	if err != nil {
		return f, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the watches, before their sessions
	writer, sessions := sessions[watchers], sessions[:watchers]
	told := make(chan time.Time, watchers) // each is told once of each change
	err = inParallel(openMost, watchers, func(i int) error {
		return sessions[i].watch(ctx, fanOutKey, func() {
			select {
			case told <- time.Now():
			default: // a watcher that is told twice shows as too many
			}
		})
	})
	if err != nil {
		return f, err
	}
	var before meters
	var all, last []float64
	for i := range fanOutWarm + changes {
		if i == fanOutWarm {
			all, last = nil, nil
			if before, err = readMeters(e.pids()); err != nil {
				return f, err
			}
		}
		times, err := f.change(ctx, writer, told)
		if err != nil {
			return f, fmt.Errorf("change %d: %w", i+1, err)
		}
		if len(times) < watchers {
			f.Missed++
			continue
		}
		all, last = append(all, times...), append(last, slices.Max(times))
		time.Sleep(fanOutPause)
	}
	after, err := readMeters(e.pids())
	if err != nil {
		return f, err
	}
	if f.Missed > changes/5 {
		return f, fmt.Errorf("%d of %d changes were not told to all watchers", f.Missed, fanOutWarm+changes)
	}
	f.summarize(all, last, before, after)
	return f, nil
}

// change writes once and returns when each watcher was told, in milliseconds. They are
// fewer than the watchers if the change came before a one-shot watch was set again.
func (f *fanOut) change(ctx context.Context, writer session, told <-chan time.Time) ([]float64, error) {
	value := make([]byte, coordValue)
	for len(told) > 0 {
		<-told // too late, of the change before
	}
	begun := time.Now()
	var writing sync.WaitGroup
	var failure error
	writing.Go(func() { failure = writer.set(ctx, fanOutKey, value) })
	times := make([]float64, 0, f.Watchers)
	patience := time.After(fanOutPatience)
	for len(times) < f.Watchers {
		select {
		case at := <-told:
			times = append(times, float64(at.Sub(begun))/1e6)
		case <-patience:
			writing.Wait()
			return times, failure
		}
	}
	writing.Wait()
	return times, failure
}

func (f *fanOut) summarize(all, last []float64, before, after meters) {
	slices.Sort(all)
	f.Millis, f.LastOf = median(all), median(last)
	f.P99Millis = all[len(all)*99/100]
	f.CPUMicros = float64(after.used(before).Microseconds()) / float64(len(all))
}
