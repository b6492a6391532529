package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

const (
	catchUpClients  = 32
	catchUpValue    = 64 << 10
	catchUpPatience = 90 * time.Second
	settleBytes     = 64 * catchUpValue
	wholeLog        = 1 << 40 // so many bytes of log make no snapshot
	askInterval     = time.Millisecond
)

// A fillOrder asks a leader to write Bytes, each value to a key of its own, so
// that neither log nor snapshot is smaller than that.
type fillOrder struct {
	Bytes int64 `json:"bytes"`
}

// A positioned engine tells how much of the log its state machine has applied.
type positioned interface {
	applied(context.Context) (uint64, error)
}

// A catchUp is one replica that was stopped, missed Bytes and came back.
type catchUp struct {
	Engine       string  `json:"engine"`
	How          string  `json:"how"` // it learned from the others' log, or from a snapshot
	Bytes        int64   `json:"bytes"`
	DiskMiB      float64 `json:"disk_mib_per_second"` // of one file, written from begin to end just before
	StartSeconds float64 `json:"start_seconds"`       // of the process, until the node has opened its log
	Seconds      float64 `json:"seconds"`             // from then on until it had applied everything
	Error        string  `json:"error,omitempty"`
}

func (c catchUp) perSecond() float64 { return float64(c.Bytes) / (1 << 20) / c.Seconds }

// runCatchUp stops a replica, writes, starts it and times until it has it all.
func runCatchUp(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("catchup", flag.ContinueOnError)
	engines := flags.String("engines", "synod,synod-paxos", "engines to compare")
	mib := flags.Int64("mib", 256, "MiB that the replica misses")
	rounds := flags.Int("rounds", 3, "repeats of the whole")
	dir := flags.String("dir", defaultDir, "where the replicas keep their data")
	file := flags.String("json", "", "file for every single run; empty: none")
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
	fmt.Fprintf(out, "%s\na stopped replica misses %d MiB in values of %d KiB; MiB/s from its start until it has applied them\n",
		describeMachine(), *mib, catchUpValue>>10)
	var all []catchUp
	for range *rounds {
		for _, how := range []string{"log", "snapshot"} {
			for _, k := range chosen {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				one := catchUp{Engine: k.name, How: how, Bytes: *mib << 20}
				if err := one.measure(k, work); err != nil {
					one.Error = err.Error()
				}
				fmt.Fprintf(os.Stderr, "%-12s %-8s disk %5.0f MiB/s  start %4.2f s  caught up %5.2f s %s\n",
					one.Engine, one.How, one.DiskMiB, one.StartSeconds, one.Seconds, one.Error)
				all = append(all, one)
			}
		}
	}
	writeCatchUps(out, all)
	return writeJSON(*file, all)
}

func (c *catchUp) measure(k kind, dir string) (err error) {
	if c.DiskMiB, err = sequentialSpeed(dir, c.Bytes); err != nil {
		return err
	}
	config := engineConfig{}
	if c.How == "log" {
		config.SnapshotBytes = wholeLog
	}
	cluster, err := startClusterWith(k, dir, config)
	if err != nil {
		return err
	}
	defer cluster.stop()
	// The configuration with the third vote may not be committed yet, and without
	// the second voter would never be.
	if _, err := cluster.fill(settleBytes); err != nil {
		return err
	}
	behind := (cluster.leader + 1) % replicaCount
	if err := cluster.replicas[behind].kill(); err != nil {
		return err
	}
	cluster.replicas[behind].end()
	filled, err := cluster.fill(c.Bytes)
	if err != nil {
		return err
	}
	begun := time.Now()
	p, err := cluster.startAgain(behind)
	if err != nil {
		return err
	}
	if _, err := p.wait("started", startPatience); err != nil {
		return err
	}
	started := time.Now()
	if err := p.send(order{Reach: filled.Index}); err != nil {
		return err
	}
	if _, err := p.wait("reached", catchUpPatience); err != nil {
		return err
	}
	c.StartSeconds, c.Seconds = started.Sub(begun).Seconds(), time.Since(started).Seconds()
	return nil
}

// fill has the leader write so many bytes.
func (c *cluster) fill(bytes int64) (event, error) {
	leader := c.replicas[c.leader]
	if err := leader.send(order{Fill: &fillOrder{Bytes: bytes}}); err != nil {
		return event{}, err
	}
	return leader.wait("filled", catchUpPatience)
}

// sequentialSpeed is how fast a file is written from begin to end, flush included,
// in MiB a second.
func sequentialSpeed(dir string, bytes int64) (float64, error) {
	name := filepath.Join(dir, "sequential")
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer os.Remove(name)
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	begun := time.Now()
	for at := int64(0); at < bytes && err == nil; at += int64(len(block)) {
		_, err = f.Write(block)
	}
	err = errors.Join(err, dataSync(f))
	seconds := time.Since(begun).Seconds()
	return float64(bytes) / (1 << 20) / seconds, errors.Join(err, f.Close())
}

// runFill writes as ordered and returns what this replica has applied then.
func runFill(e engine, o fillOrder) (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpPatience)
	defer cancel()
	l := &load{engine: e}
	var next atomic.Int64
	var clients sync.WaitGroup
	failures := make(chan error, catchUpClients)
	for range catchUpClients {
		clients.Go(func() {
			value := make([]byte, catchUpValue)
			for key := next.Add(1); key <= o.Bytes/catchUpValue; key = next.Add(1) {
				if err := l.insist(ctx, uint64(key), value); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	clients.Wait()
	close(failures)
	if err := <-failures; err != nil {
		return 0, err
	}
	p, ok := e.(positioned)
	if !ok {
		return 0, errors.New("this engine does not tell what it has applied")
	}
	return p.applied(ctx)
}

// awaitApplied returns when the replica has applied index.
func awaitApplied(e engine, index uint64) error {
	p, ok := e.(positioned)
	if !ok {
		return errors.New("this engine does not tell what it has applied")
	}
	ctx, cancel := context.WithTimeout(context.Background(), catchUpPatience)
	defer cancel()
	for ; ; time.Sleep(askInterval) {
		switch at, err := p.applied(ctx); {
		case err == nil && at >= index:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("applied %d of %d: %w", at, index, ctx.Err())
		}
	}
}

func writeCatchUps(out io.Writer, all []catchUp) {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "| engine\t| learns from\t| disk MiB/s\t| start s\t| catch-up s\t| MiB/s\t| of disk\t| runs\t|")
	fmt.Fprintln(w, "| ---\t| ---\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t|")
	seen := map[catchUp]bool{}
	for _, c := range all {
		key := catchUp{Engine: c.Engine, How: c.How}
		if seen[key] {
			continue
		}
		seen[key] = true
		var disk, start, seconds, speed, share []float64
		for _, one := range all {
			if one.Engine == c.Engine && one.How == c.How && one.Error == "" {
				disk, start, seconds = append(disk, one.DiskMiB), append(start, one.StartSeconds), append(seconds, one.Seconds)
				speed, share = append(speed, one.perSecond()), append(share, one.perSecond()/one.DiskMiB)
			}
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %.0f\t| %.2f\t| %.2f\t| %.0f\t| %.2f\t| %d\t|\n",
			c.Engine, c.How, median(disk), median(start), median(seconds), median(speed), median(share), len(seconds))
	}
}
