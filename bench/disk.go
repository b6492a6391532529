package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"
)

// A trial is something of which the disk or the loopback device can do only so
// many. Each of its workers makes one step after the other.
type trial struct {
	name    string
	workers int
	prepare func(dir string, worker int) (step func() error, end func() error, err error)
}

const (
	smallBytes    = 4 << 10
	largeBytes    = 64 << 10
	trialRing     = 64 << 20
	messageBytes  = 128
	manyExchanges = 16
)

func trials() []trial {
	return []trial{
		{"append + fdatasync 4 KiB", 1, appendTrial(smallBytes)},
		{"overwrite + fdatasync 4 KiB", 1, overwriteTrial(smallBytes)},
		{"overwrite O_DIRECT|O_DSYNC 4 KiB", 1, ringTrial(smallBytes)},
		{"3 files: append + fdatasync 4 KiB", replicaCount, appendTrial(smallBytes)},
		{"3 files: overwrite O_DIRECT|O_DSYNC 4 KiB", replicaCount, ringTrial(smallBytes)},
		{"append + fdatasync 64 KiB", 1, appendTrial(largeBytes)},
		{"overwrite O_DIRECT|O_DSYNC 64 KiB", 1, ringTrial(largeBytes)},
		{"3 files: overwrite O_DIRECT|O_DSYNC 64 KiB", replicaCount, ringTrial(largeBytes)},
		{"tcp round trip 128 B", 1, exchangeTrial},
		{"tcp round trip 128 B, 16 connections", manyExchanges, exchangeTrial},
	}
}

// runDisk prints the physical limits, to know the noise of the machine.
func runDisk(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("disk", flag.ContinueOnError)
	dir := flags.String("dir", defaultDir, "where the files are written")
	length := flags.Duration("time", 2*time.Second, "length of each trial")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	work, remove, err := makeWorkDir(*dir)
	if err != nil {
		return err
	}
	defer remove()
	fmt.Fprintln(out, describeMachine())
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "| trial\t| p50 µs\t| p99 µs\t| p99.9 µs\t| per s\t|")
	fmt.Fprintln(w, "| ---\t| ---:\t| ---:\t| ---:\t| ---:\t|")
	for _, t := range trials() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h, err := t.run(work, *length)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		us := func(q float64) int64 { return h.quantile(q).Microseconds() }
		fmt.Fprintf(w, "| %s\t| %d\t| %d\t| %d\t| %.0f\t|\n", t.name, us(0.5), us(0.99), us(0.999), float64(h.count())/length.Seconds())
	}
	return nil
}

func (t trial) run(dir string, length time.Duration) (*histogram, error) {
	histograms, failures := make([]histogram, t.workers), make([]error, t.workers)
	begin := make(chan struct{})
	var ready, workers sync.WaitGroup
	ready.Add(t.workers)
	for i := range t.workers {
		workers.Go(func() {
			step, end, err := t.prepare(dir, i)
			ready.Done()
			<-begin
			if err == nil {
				err = errors.Join(repeat(step, length, &histograms[i]), end())
			}
			failures[i] = err
		})
	}
	ready.Wait()
	close(begin)
	workers.Wait()
	for i := 1; i < t.workers; i++ {
		histograms[0].merge(&histograms[i])
	}
	return &histograms[0], errors.Join(failures...)
}

func repeat(step func() error, length time.Duration, h *histogram) error {
	begun := time.Now()
	for last := begun; last.Sub(begun) < length; {
		if err := step(); err != nil {
			return err
		}
		now := time.Now()
		h.record(now.Sub(last))
		last = now
	}
	return nil
}

func appendTrial(size int) func(string, int) (func() error, func() error, error) {
	return func(dir string, worker int) (step, end func() error, err error) {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("append%d", worker)))
		if err != nil {
			return nil, nil, err
		}
		block := make([]byte, size)
		step = func() error {
			if _, err := f.Write(block); err != nil {
				return err
			}
			return dataSync(f)
		}
		return step, closeAndRemove(f), nil
	}
}

func overwriteTrial(size int) func(string, int) (func() error, func() error, error) {
	return func(dir string, worker int) (step, end func() error, err error) {
		name := filepath.Join(dir, fmt.Sprintf("overwrite%d", worker))
		if err := fillWithZeros(name, trialRing); err != nil {
			return nil, nil, err
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, nil, err
		}
		block, offset := make([]byte, size), int64(0)
		step = func() error {
			if _, err := f.WriteAt(block, offset); err != nil {
				return err
			}
			offset = (offset + int64(size)) % trialRing
			return dataSync(f)
		}
		return step, closeAndRemove(f), nil
	}
}

func ringTrial(size int) func(string, int) (func() error, func() error, error) {
	return func(dir string, worker int) (step, end func() error, err error) {
		r, err := createRing(filepath.Join(dir, fmt.Sprintf("ring%d", worker)), trialRing)
		if err != nil {
			return nil, nil, err
		}
		blocks := alignedBytes(size)
		return func() error { return r.append(blocks) }, closeAndRemove(r.file), nil
	}
}

func closeAndRemove(f *os.File) func() error {
	return func() error { return errors.Join(f.Close(), os.Remove(f.Name())) }
}

// exchangeTrial sends a message over loopback and waits for its echo.
func exchangeTrial(string, int) (step, end func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	go func() {
		defer l.Close()
		if c, err := l.Accept(); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	message := make([]byte, messageBytes)
	step = func() error {
		if _, err := c.Write(message); err != nil {
			return err
		}
		return readFull(c, message)
	}
	return step, c.Close, nil
}
