package chaos

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// crowdEvery is how often a crowd counts, and does a little work of its own.
const crowdEvery = 100 * time.Millisecond

// The strain, on the average over a wait, from which on its length says nothing of the cluster. Elections and pings have to be
// answered within a second, and what a cluster does takes some flushes.
const (
	// crowdedPerCore is how many threads want each core: a thread in such a crowd waits for a second.
	crowdedPerCore = 8
	// diskStood is for what part nothing on the machine may have run because all waited for disks.
	diskStood = 1. / 2
	// slowFlush is how long it takes to bring 4 KiB to the disk: a quiet one needs a few milliseconds.
	slowFlush = 100 * time.Millisecond
	// slowPace is how many times as long as at its best a computation takes. It tells of a host that gives the machine's
	// processors to others, of which the machine itself knows nothing.
	slowPace = 6
)

// crowd sees what else wants the machine.
type crowd struct {
	mu     sync.Mutex
	counts []crowdCount
	works  []crowdWork
	best   time.Duration // of a computation
	data   []byte        // which that is about
}

type crowdCount struct {
	at      time.Time
	perCore float64
	stood   time.Duration // for how long, since the machine was started, all waited for disks; 0 where the kernel does not tell
}

// crowdWork is what a little work took.
type crowdWork struct {
	from, to       time.Time
	compute, flush time.Duration
}

// watchCrowd counts until ctx ends. dir is on the disk that the cluster uses.
func watchCrowd(ctx context.Context, dir string) *crowd {
	c := &crowd{data: make([]byte, 512<<10)}
	go every(ctx, func(now time.Time) { c.count(now) })
	go func() {
		file, err := os.CreateTemp(dir, "chaos-crowd-")
		if err != nil {
			return
		}
		defer file.Close()
		_ = os.Remove(file.Name())
		every(ctx, func(time.Time) { c.work(file) })
	}()
	return c
}

func every(ctx context.Context, do func(now time.Time)) {
	tick := time.NewTicker(crowdEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			do(now)
		}
	}
}

func (c *crowd) count(now time.Time) {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return
	}
	var loads [3]float64
	var running int
	if _, err := fmt.Sscanf(string(data), "%f %f %f %d/", &loads[0], &loads[1], &loads[2], &running); err != nil {
		return
	}
	stood := ioStood()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = append(c.counts, crowdCount{now, float64(running) / float64(runtime.NumCPU()), stood})
}

// work computes for about half a millisecond, and brings a page to the disk.
func (c *crowd) work(file *os.File) {
	w := crowdWork{from: time.Now()}
	sum := sha256.Sum256(c.data)
	w.compute = time.Since(w.from)
	page := make([]byte, 4<<10)
	copy(page, sum[:])
	_, err := file.WriteAt(page, 0)
	if err == nil {
		err = file.Sync()
	}
	w.to = time.Now()
	if w.flush = w.to.Sub(w.from) - w.compute; err != nil {
		w.flush = 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.works = append(c.works, w)
	if c.best == 0 || w.compute < c.best {
		c.best = w.compute
	}
}

// ioStood reads for how long all tasks that are not idle have waited for disks.
func ioStood() time.Duration {
	data, _ := os.ReadFile("/proc/pressure/io") // some kernels have none
	_, full, _ := strings.Cut(string(data), "\nfull ")
	_, total, _ := strings.Cut(full, "total=")
	micros, _ := strconv.ParseInt(strings.TrimSpace(total), 10, 64)
	return time.Duration(micros) * time.Microsecond
}

// strain is what a machine did besides, on the average over a time.
type strain struct {
	perCore float64       // threads that want each core
	stood   float64       // part of the time in which all waited for disks
	flush   time.Duration // to bring a page to the disk
	pace    float64       // how many times as long as at its best a computation takes
}

func (s strain) tooMuch() bool {
	return s.perCore > crowdedPerCore || s.stood > diskStood || s.flush > slowFlush || s.pace > slowPace
}

func (s strain) String() string {
	return fmt.Sprintf("%.0f threads wanted each core, all stood waiting for disks for %.0f %% of that time, a flush took %v and a computation %.1f times as long as at its best",
		s.perCore, 100*s.stood, s.flush.Round(time.Millisecond), s.pace)
}

// between is the strain in a time, and a count before and after it: a short one holds none.
func (c *crowd) between(from, to time.Time) (s strain) {
	from, to = from.Add(-crowdEvery), to.Add(crowdEvery)
	c.mu.Lock()
	defer c.mu.Unlock()
	var inside []crowdCount
	for _, count := range c.counts {
		if !count.at.Before(from) && !count.at.After(to) {
			inside = append(inside, count)
			s.perCore += count.perCore
		}
	}
	s.perCore /= float64(max(len(inside), 1))
	if len(inside) > 1 {
		first, last := inside[0], inside[len(inside)-1]
		s.stood = float64(last.stood-first.stood) / float64(last.at.Sub(first.at))
	}
	n, computed := 0, time.Duration(0)
	for _, w := range c.works {
		if w.to.After(from) && w.from.Before(to) {
			n++
			computed, s.flush = computed+w.compute, s.flush+w.flush
		}
	}
	if n > 0 {
		s.flush, s.pace = s.flush/time.Duration(n), float64(computed)/float64(n)/float64(c.best)
	}
	return s
}

// crowded reports whether a wait in that time says nothing of the cluster.
func (c *crowd) crowded(from, to time.Time) bool { return c.between(from, to).tooMuch() }

// perCore is the mean since then, 0 if nothing was counted.
func (c *crowd) perCore(since time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum, n := 0.0, 0
	for i := len(c.counts) - 1; i >= 0 && !c.counts[i].at.Before(since); i-- {
		sum, n = sum+c.counts[i].perCore, n+1
	}
	return sum / float64(max(n, 1))
}
