package sessions

import (
	"context"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/coordination"
)

// BenchmarkSigns is what one sign of life costs, from Touch at a follower to its return, with
// 10,000 sessions that show themselves at once, without network and log.
func BenchmarkSigns(b *testing.B) {
	const sessions = 10_000
	w := &town{start: time.Now(), sessions: make(map[uint64]coordination.SessionInfo), ends: make(map[uint64]time.Duration)}
	system := actors.NewSystem(nil)
	for id := uint64(1); id <= 2; id++ {
		h := &home{town: w, id: id, leads: Leadership{Term: 1, Leader: 1, Leads: id == 1}}
		c := Config{ID: id, Number: 5, Name: "g", Group: h, Send: h.send, Clock: w.clock}
		w.homes = append(w.homes, h)
		keeper, err := Spawn(system, c, []string{"a", "b"}[id-1], actors.NewStrategy(actors.StrategyConfig{}))
		if err != nil {
			b.Fatal(err)
		}
		h.keeper = keeper
	}
	for range sessions {
		w.open(10*time.Second, time.Second)
	}
	var group sync.WaitGroup
	before := cpuTime()
	for b.Loop() {
		for id := uint64(1); id <= sessions; id++ {
			group.Go(func() {
				if sign, err := w.homes[1].keeper.Touch(context.Background(), id, 1); err != nil || sign == coordination.Moved {
					b.Error(sign, err)
				}
			})
		}
		group.Wait()
	}
	b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N)/sessions, "cpu-ns/sign")
	for _, h := range w.homes {
		_ = system.Root.StopFuture(h.keeper.PID()).Wait()
	}
}

// cpuTime is what this process has used, its callers' goroutines included.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail with these arguments
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTrackerMemory reports what a session takes on the leader.
func BenchmarkTrackerMemory(b *testing.B) {
	const sessions = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		tracker := coordination.NewTracker(0)
		for id := uint64(1); id <= sessions; id++ {
			tracker.Add(coordination.SessionInfo{ID: id, Timeout: 10_000, Linger: 500}, 0)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/sessions, "B/session")
		runtime.KeepAlive(tracker)
	}
}
