package chaos

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// crowdEvery is how often a crowd counts.
const crowdEvery = 100 * time.Millisecond

// crowdedPerCore is how many threads may want each core, on the average over a wait, for its length to say something
// of the cluster. Elections and pings have to be answered within a second, and a thread in such a crowd waits as long.
const crowdedPerCore = 8

// diskStood is for what part of a wait nothing on the machine may have run because all waited for disks.
const diskStood = 1. / 2

// crowd counts how many threads of the whole machine run or want to.
type crowd struct {
	mu     sync.Mutex
	counts []crowdCount
}

type crowdCount struct {
	at      time.Time
	perCore float64
	stood   time.Duration // for how long, since the machine was started, all waited for disks; 0 where the kernel does not tell
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
	stood := ioStood()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = append(c.counts, crowdCount{now, float64(running) / float64(runtime.NumCPU()), stood})
}

// ioStood reads for how long all tasks that are not idle have waited for disks.
func ioStood() time.Duration {
	data, _ := os.ReadFile("/proc/pressure/io") // some kernels have none
	_, full, _ := strings.Cut(string(data), "\nfull ")
	_, total, _ := strings.Cut(full, "total=")
	micros, _ := strconv.ParseInt(strings.TrimSpace(total), 10, 64)
	return time.Duration(micros) * time.Microsecond
}

// between is the mean crowd of a time, and for what part of it all waited for disks.
func (c *crowd) between(from, to time.Time) (perCore, stood float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var inside []crowdCount
	for _, count := range c.counts {
		if !count.at.Before(from) && !count.at.After(to) {
			inside = append(inside, count)
			perCore += count.perCore
		}
	}
	if len(inside) < 2 {
		return perCore, 0
	}
	first, last := inside[0], inside[len(inside)-1]
	return perCore / float64(len(inside)), float64(last.stood-first.stood) / float64(last.at.Sub(first.at))
}

// crowded reports whether a wait in that time says nothing of the cluster.
func (c *crowd) crowded(from, to time.Time) bool {
	perCore, stood := c.between(from, to)
	return perCore > crowdedPerCore || stood > diskStood
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
