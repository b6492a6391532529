package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	drillWriters  = 16
	drillTry      = 450 * time.Millisecond
	drillPatience = 30 * time.Second
	drillLoadTime = 30 * time.Second // longer than any drill lasts before its kill
	drillValue    = 128
)

// A drill is one kill -9 of a leader under load.
type drill struct {
	Engine string  `json:"engine"`
	Millis float64 `json:"ms"` // until a write begun after the kill was acknowledged
	Error  string  `json:"error,omitempty"`
}

// runFailover kills leaders, engine by engine in turn.
func runFailover(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("failover", flag.ContinueOnError)
	engines := flags.String("engines", defaultDrills(), "engines to compare")
	drills := flags.Int("drills", 5, "kills of each engine's leader")
	dir := flags.String("dir", defaultDir, "where the replicas keep their data")
	file := flags.String("json", "", "file for every single drill; empty: none")
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
	fmt.Fprintf(out, "%s\nkill -9 of the leader under %d writers, default timers, ms until a write begun after it is acknowledged\n", describeMachine(), drillWriters)
	var all []drill
	for range *drills {
		for _, k := range chosen {
			if ctx.Err() != nil {
				break
			}
			d := drill{Engine: k.name}
			if d.Millis, err = killLeader(k, work); err != nil {
				d.Error = err.Error()
			}
			fmt.Fprintf(os.Stderr, "%-16s %7.0f ms %s\n", d.Engine, d.Millis, d.Error)
			all = append(all, d)
		}
	}
	writeDrills(out, chosen, all)
	return writeJSON(*file, all)
}

func defaultDrills() string {
	var names []string
	for _, k := range kinds {
		if k.drill {
			names = append(names, k.name)
		}
	}
	return strings.Join(names, ",")
}

// killLeader is one drill. The writers live in the leader and die with it; then
// each survivor tries to write in its own process.
func killLeader(k kind, dir string) (millis float64, err error) {
	k.newClient = nil
	c, err := startCluster(k, dir)
	if err != nil {
		return 0, err
	}
	defer c.stop()
	leader := c.replicas[c.leader]
	if err := leader.send(order{Load: &loadOrder{Clients: drillWriters, Value: drillValue, Time: drillLoadTime, PIDs: c.pids()}}); err != nil {
		return 0, err
	}
	time.Sleep(time.Second + time.Duration(rand.Int64N(int64(time.Second))))
	killed := time.Now()
	if err := leader.kill(); err != nil {
		return 0, err
	}
	acknowledged := make(chan event, replicaCount)
	failed := make(chan error, replicaCount)
	for i, p := range c.replicas {
		if i == c.leader {
			continue
		}
		if err := p.send(order{Probe: &probeOrder{Probers: drillWriters / 2, Try: drillTry}}); err != nil {
			return 0, err
		}
		go func() {
			e, err := p.wait("acknowledged", drillPatience)
			if err != nil {
				failed <- err
				return
			}
			acknowledged <- e
		}()
	}
	select {
	case e := <-acknowledged:
		return float64(e.AcknowledgedAt-killed.UnixNano()) / 1e6, nil
	case err := <-failed:
		return 0, err
	}
}

func writeDrills(out io.Writer, chosen []kind, all []drill) {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| engine\t| median\t| drills\t|")
	fmt.Fprintln(w, "| ---\t| ---\t| ---\t|")
	for _, k := range chosen {
		var times []float64
		var listed []string
		for _, d := range all {
			switch {
			case d.Engine != k.name:
			case d.Error != "":
				listed = append(listed, "void")
			default:
				times = append(times, d.Millis)
				listed = append(listed, fmt.Sprintf("%.0f", d.Millis))
			}
		}
		fmt.Fprintf(w, "| %s\t| %.0f\t| %s\t|\n", k.name, median(times), strings.Join(listed, ", "))
	}
	w.Flush()
}

// median is the middle value, the mean of the two in the middle of an even number
// of them, and 0 of none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
