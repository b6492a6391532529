package api

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// BenchmarkAChangeReachesAHundredWatchers varies who watches: sessions, or streams of their
// own. What is told is the time from the write's answer until the median watcher, and the
// last one, has been told. Clients, server and tree share one process.
func BenchmarkAChangeReachesAHundredWatchers(b *testing.B) {
	const watchers = 100
	for _, kind := range []string{"sessions", "streams"} {
		b.Run(kind, func(b *testing.B) {
			f := newFake(b, coordination.Config{})
			_, addr := serve(b, Config{Backend: f})
			c := newTestClient(b, addr)
			told := make(chan time.Time, watchers)
			for range watchers {
				watch := c.Watch
				if kind == "sessions" {
					watch = openSession(b, c, SessionOptions{Timeout: time.Minute}).Watch
				}
				go func() {
					_ = watch(b.Context(), "a", WatchOptions{From: 1}, func(Change) error { // until the benchmark ends
						told <- time.Now()
						return nil
					})
				}()
			}
			var medians, lasts []time.Duration
			for i := range b.N + 1 {
				began := time.Now()
				f.put(b, "a", fmt.Append(nil, i))
				var took []time.Duration
				for range watchers {
					took = append(took, (<-told).Sub(began))
				}
				if slices.Sort(took); i > 0 { // in the first round the watches begin
					medians, lasts = append(medians, took[watchers/2]), append(lasts, took[watchers-1])
				}
			}
			slices.Sort(medians)
			slices.Sort(lasts)
			b.ReportMetric(float64(medians[b.N/2].Microseconds()), "µs/median")
			b.ReportMetric(float64(lasts[b.N/2].Microseconds()), "µs/last")
		})
	}
}
