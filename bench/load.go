package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

// A loadOrder asks a process to drive its engine with closed-loop clients: each
// begins its next call when the last one has ended.
type loadOrder struct {
	Clients int           `json:"clients"`
	Value   int           `json:"value"` // bytes
	Level   readLevel     `json:"level"` // of reads; empty: write
	Warm    time.Duration `json:"warm"`  // not measured
	Time    time.Duration `json:"time"`  // measured
	PIDs    []int         `json:"pids"`  // of all processes whose CPU time counts
	Profile string        `json:"profile,omitempty"`
}

// A loadResult is what happened in the measured window.
type loadResult struct {
	Operations int64   `json:"operations"`
	Errors     int64   `json:"errors"`
	FirstError string  `json:"first_error,omitempty"`
	Seconds    float64 `json:"seconds"`

	P50Micros  float64 `json:"p50_us"`
	P99Micros  float64 `json:"p99_us"`
	P999Micros float64 `json:"p999_us"`
	MaxMicros  float64 `json:"max_us"`

	CPUSeconds  []float64 `json:"cpu_seconds"`       // in the order of PIDs
	PeakBytes   []int64   `json:"peak_memory_bytes"` // since the start of each
	OtherCores  float64   `json:"other_cores"`       // used by all else on the machine
	StuckClient int       `json:"stuck_clients"`     // calls that did not end
}

const (
	loadKeys       = 4096
	fillClients    = 64
	fillTime       = 60 * time.Second
	finishPatience = 15 * time.Second
	errorPause     = time.Millisecond
)

type phase = int32

const (
	warming phase = iota
	measuring
	finished
)

// A load is one execution of a loadOrder.
type load struct {
	loadOrder
	engine   engine
	deadline bool
	phase    atomic.Int32
	errors   atomic.Int64
	first    atomic.Pointer[string]
}

// runLoad drives the engine as ordered and reports what came of it.
func runLoad(e engine, deadline bool, o loadOrder) (*loadResult, error) {
	l := &load{loadOrder: o, engine: e, deadline: deadline}
	if o.Level != "" {
		if err := l.fill(); err != nil {
			return nil, fmt.Errorf("fill: %w", err)
		}
	}
	histograms := make([]histogram, o.Clients)
	var clients sync.WaitGroup
	var ended atomic.Int32
	for i := range o.Clients {
		clients.Go(func() {
			l.client(uint64(i), &histograms[i])
			ended.Add(1)
		})
	}
	time.Sleep(o.Warm)
	result, err := l.measure()
	if err != nil {
		return nil, err
	}
	if !waitFor(&clients, finishPatience) {
		result.StuckClient = o.Clients - int(ended.Load())
		return result, nil // their histograms are still theirs
	}
	l.summarize(result, histograms)
	return result, nil
}

// measure opens and closes the window and takes the meters at both ends.
func (l *load) measure() (*loadResult, error) {
	if l.Profile != "" {
		stop, err := profile(l.Profile)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	before, err := readMeters(l.PIDs)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	l.phase.Store(measuring)
	time.Sleep(l.Time)
	l.phase.Store(finished)
	elapsed := time.Since(begun)
	after, err := readMeters(l.PIDs)
	if err != nil {
		return nil, err
	}
	r := &loadResult{Seconds: elapsed.Seconds()}
	others := after.busy - before.busy
	for i := range l.PIDs {
		used := after.cpu[i] - before.cpu[i]
		others -= used
		r.CPUSeconds = append(r.CPUSeconds, used.Seconds())
		r.PeakBytes = append(r.PeakBytes, peakMemory(l.PIDs[i]))
	}
	r.OtherCores = max(0, others.Seconds()/elapsed.Seconds())
	return r, nil
}

type meters struct {
	busy time.Duration
	cpu  []time.Duration
}

func readMeters(pids []int) (meters, error) {
	m := meters{busy: busyTime()}
	for _, pid := range pids {
		used, err := cpuTime(pid)
		if err != nil {
			return m, err
		}
		m.cpu = append(m.cpu, used)
	}
	return m, nil
}

func profile(name string) (stop func(), err error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			report("profile", err)
		}
	}, nil
}

func (l *load) summarize(r *loadResult, histograms []histogram) {
	var all histogram
	for i := range histograms {
		all.merge(&histograms[i])
	}
	micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	r.Operations, r.Errors = all.count(), l.errors.Load()
	r.P50Micros, r.P99Micros = micros(all.quantile(0.5)), micros(all.quantile(0.99))
	r.P999Micros, r.MaxMicros = micros(all.quantile(0.999)), micros(all.max)
	if first := l.first.Load(); first != nil {
		r.FirstError = *first
	}
}

// client calls until the window closes. A call counts if it ends inside.
func (l *load) client(seed uint64, h *histogram) {
	ctx, cancel := l.context()
	defer cancel()
	value := make([]byte, l.Value)
	rand.Read(value)
	random := seed*0x9E3779B97F4A7C15 + 1
	for last := time.Now(); ; {
		random ^= random << 13
		random ^= random >> 7
		random ^= random << 17
		err := l.call(ctx, random%loadKeys, value)
		now := time.Now()
		switch l.phase.Load() {
		case finished:
			return
		case measuring:
			if err == nil {
				h.record(now.Sub(last))
			} else {
				l.count(err)
			}
		}
		last = now
		if err != nil {
			time.Sleep(errorPause)
			last = time.Now()
		}
	}
}

func (l *load) call(ctx context.Context, key uint64, value []byte) error {
	if l.Level == "" {
		return l.engine.write(ctx, key, value)
	}
	return l.engine.read(ctx, key, l.Level)
}

// context is one for each client: with one for all they would queue for its lock.
func (l *load) context() (context.Context, context.CancelFunc) {
	if !l.deadline {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), l.Warm+l.Time+fillTime+finishPatience)
}

func (l *load) count(err error) {
	l.errors.Add(1)
	text := err.Error()
	l.first.CompareAndSwap(nil, &text)
}

// fill writes every key once, so that reads find something.
func (l *load) fill() error {
	ctx, cancel := context.WithTimeout(context.Background(), fillTime)
	defer cancel()
	value := make([]byte, l.Value)
	rand.Read(value)
	var next atomic.Int64
	var clients sync.WaitGroup
	failures := make(chan error, fillClients)
	for range fillClients {
		clients.Go(func() {
			for key := next.Add(1) - 1; key < loadKeys; key = next.Add(1) - 1 {
				if err := l.insist(ctx, uint64(key), value); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	if !waitFor(&clients, fillTime) {
		return fmt.Errorf("not done after %v", fillTime)
	}
	close(failures)
	return <-failures // nil when there is none
}

// insist writes again until it succeeds: a new leader may refuse at first.
func (l *load) insist(ctx context.Context, key uint64, value []byte) error {
	for {
		err := l.engine.write(ctx, key, value)
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(errorPause)
	}
}

// waitFor reports whether all have ended in time.
func waitFor(all *sync.WaitGroup, patience time.Duration) bool {
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}
