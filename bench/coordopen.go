package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// An opening is how fast many sessions are opened, and what they cost the servers.
type opening struct {
	Service  string  `json:"service"`
	Round    int     `json:"round"`
	Error    string  `json:"error,omitempty"`
	Steps    []held  `json:"steps"`
	IdleCPU  float64 `json:"idle_cpu"`         // cores of all servers while all sessions show signs of life
	Sessions int     `json:"sessions"`         // at the end
	Each     float64 `json:"per_second"`       // sessions opened a second, over the last step
	Micros   float64 `json:"cpu_us"`           // of the servers, for each session opened in it
	Close    float64 `json:"close_per_second"` // sessions closed a second
}

// held is the memory of the servers with so many sessions open.
type held struct {
	Sessions int     `json:"sessions"`
	MiB      float64 `json:"mib"` // the largest of the three
}

const (
	// settleTime is for what the servers tidy up after sessions were opened, and for
	// signs of life to be shown: a third of the timeout or more often.
	settleTime = 5 * time.Second
)

// runOpening opens sessions on a fresh ensemble, in steps, and keeps them all open.
func runOpening(ctx context.Context, s service, dir string, steps []int) (o opening, err error) {
	o = opening{Service: s.name()}
	e, err := startEnsemble(ctx, s, dir)
	if err != nil {
		return o, err
	}
	defer e.stop()
	var sessions []session
	defer func() {
		closeSessions(sessions)
		debug.FreeOSMemory() // for what is measured next
	}()
	o.settle(ctx, e, 0)
	for _, n := range steps {
		before, err := readMeters(e.pids())
		if err != nil {
			return o, err
		}
		begun := time.Now()
		added, err := openSessions(ctx, e, n-len(sessions), coordTimeout)
		sessions = append(sessions, added...)
		if err != nil {
			return o, fmt.Errorf("open sessions up to %d: %w", n, err)
		}
		seconds := time.Since(begun).Seconds()
		after, err := readMeters(e.pids())
		if err != nil {
			return o, err
		}
		o.Each = float64(len(added)) / seconds
		o.Micros = after.used(before).Seconds() * 1e6 / float64(len(added))
		o.Sessions = len(sessions)
		o.settle(ctx, e, len(sessions))
	}
	for _, one := range sessions {
		if one.over() {
			return o, fmt.Errorf("a session of %d is over", len(sessions))
		}
	}
	begun := time.Now()
	closeSessions(sessions)
	o.Close = float64(len(sessions)) / time.Since(begun).Seconds()
	sessions = nil
	return o, nil
}

// settle waits, and notes what the servers hold and use meanwhile.
func (o *opening) settle(ctx context.Context, e *ensemble, sessions int) {
	before, _ := readMeters(e.pids())
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
	}
	after, err := readMeters(e.pids())
	if err == nil {
		o.IdleCPU = after.used(before).Seconds() / settleTime.Seconds()
	}
	o.Steps = append(o.Steps, held{sessions, largestMiB(e.pids())})
}

// used is the CPU time of all processes since earlier.
func (m meters) used(earlier meters) time.Duration {
	var used time.Duration
	for i := range earlier.cpu {
		used += m.cpu[i] - earlier.cpu[i]
	}
	return used
}

// largestMiB is the resident size of the largest of the processes.
func largestMiB(pids []int) float64 {
	var sizes []float64
	for _, pid := range pids {
		sizes = append(sizes, float64(residentMemory(pid))/(1<<20))
	}
	return slices.Max(sizes)
}
