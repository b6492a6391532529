package chaos

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

// crowdEvery is how often a crowd counts.
const crowdEvery = 100 * time.Millisecond

// crowdedPerCore is how many threads may want each core, on the average over a wait, for its length to say something
// of the cluster. Elections and pings have to be answered within a second, and a thread in such a crowd waits as long.
const crowdedPerCore = 8

// crowd counts how many threads of the whole machine run or want to.
type crowd struct {
	mu     sync.Mutex
	counts []crowdCount
}

type crowdCount struct {
	at      time.Time
	perCore float64
}

// watchCrowd counts until ctx ends.
func watchCrowd(ctx context.Context) *crowd {
	c := &crowd{}
	go func() {
		tick := time.NewTicker(crowdEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				c.count(now)
			}
		}
	}()
	return c
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
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = append(c.counts, crowdCount{now, float64(running) / float64(runtime.NumCPU())})
}

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
