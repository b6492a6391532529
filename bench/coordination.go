package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// coordOptions are the flags of `bench coordination`.
type coordOptions struct {
	services  []service
	parts     []string
	cells     []coordCell
	rounds    int
	openings  int
	heat      time.Duration
	warm      time.Duration
	window    time.Duration
	watchers  int
	changes   int
	steps     []int
	takeOvers int
	dir       string
	json      string
}

// coordReport is what -json writes.
type coordReport struct {
	Machine   machine    `json:"machine"`
	Begun     time.Time  `json:"begun"`
	Runs      []coordRun `json:"runs"`
	FanOuts   []fanOut   `json:"fan_outs"`
	Openings  []opening  `json:"openings"`
	TakeOvers []takeOver `json:"take_overs"`
}

// runCoordination compares coordination services, one after the other in each
// thing that is measured.
func runCoordination(ctx context.Context, arguments []string, out io.Writer) error {
	o, err := parseCoordination(arguments)
	if err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	dir, remove, err := makeWorkDir(o.dir)
	if err != nil {
		return err
	}
	defer remove()
	r := &coordReport{Machine: describeMachine(), Begun: time.Now()}
	fmt.Fprintf(out, "%s\n%d rounds, %v warm-up, %v measured, values of %d bytes\n", r.Machine, o.rounds, o.warm, o.window, coordValue)
	if err := o.runParts(ctx, r, dir); err != nil {
		return err
	}
	if err := writeJSON(o.json, r); err != nil {
		return err
	}
	writeCoordTables(out, r)
	return ctx.Err()
}

// The parts of the comparison.
const (
	loadPart     = "load"
	watchPart    = "watch"
	sessionsPart = "sessions"
	failoverPart = "failover"
)

func (o *coordOptions) runParts(ctx context.Context, r *coordReport, dir string) error {
	if o.has(loadPart) || o.has(watchPart) || o.has(failoverPart) {
		if err := o.runStanding(ctx, r, dir); err != nil {
			return err
		}
	}
	if !o.has(sessionsPart) {
		return nil
	}
	for round := range o.openings {
		for i := range o.services {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			one, err := runOpening(ctx, o.services[(i+round)%len(o.services)], dir, o.steps)
			one.Round, one.Error = round+1, text(err)
			fmt.Fprintln(os.Stderr, one)
			r.Openings = append(r.Openings, one)
		}
	}
	return nil
}

func (o *coordOptions) has(part string) bool { return slices.Contains(o.parts, part) }

// runStanding measures what needs no fresh servers: all services run at the same
// time, and only one of them is used.
func (o *coordOptions) runStanding(ctx context.Context, r *coordReport, dir string) error {
	var all []*ensemble
	for _, s := range o.services {
		e, err := startEnsemble(ctx, s, dir)
		if err != nil {
			return err
		}
		defer e.stop()
		if err := fillKeys(ctx, e); err != nil {
			return fmt.Errorf("%s: fill: %w", e.name(), err)
		}
		if err := o.heatUp(ctx, e); err != nil {
			return fmt.Errorf("%s: heat up: %w", e.name(), err)
		}
		all = append(all, e)
	}
	for round := range o.rounds {
		for _, c := range o.cells {
			if !o.has(loadPart) {
				continue
			}
			for i := range all {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r.Runs = append(r.Runs, o.load(ctx, all[(i+round)%len(all)], c, round+1))
			}
		}
		for i := range all {
			if ctx.Err() == nil && o.has(watchPart) {
				one, err := runFanOut(ctx, all[(i+round)%len(all)], o.watchers, o.changes)
				one.Round, one.Error = round+1, text(err)
				fmt.Fprintln(os.Stderr, one)
				r.FanOuts = append(r.FanOuts, one)
			}
		}
	}
	return o.runTakeOvers(ctx, r, all)
}

// heatUp loads an ensemble with what is measured later.
func (o *coordOptions) heatUp(ctx context.Context, e *ensemble) error {
	operations := []string{setOperation, createOperation, localReadOperation, openOperation}
	if o.heat == 0 || !o.has(loadPart) {
		return nil
	}
	for _, operation := range operations {
		if _, err := runCoordLoad(ctx, e, coordCell{operation, 3, 32}, 0, o.heat/time.Duration(len(operations))); err != nil {
			return err
		}
	}
	return nil
}

func (o *coordOptions) load(ctx context.Context, e *ensemble, c coordCell, round int) coordRun {
	one := coordRun{coordCell: c, Service: e.name(), Round: round}
	var err error
	one.Result, err = runCoordLoad(ctx, e, c, o.warm, o.window)
	switch {
	case err != nil:
		one.Error = err.Error()
	case one.Result.Errors > 0:
		one.Error = fmt.Sprintf("%d calls failed, the first with: %s", one.Result.Errors, one.Result.FirstError)
	}
	fmt.Fprintln(os.Stderr, one)
	return one
}

func (o *coordOptions) runTakeOvers(ctx context.Context, r *coordReport, all []*ensemble) error {
	if !o.has(failoverPart) {
		return nil
	}
	for range o.takeOvers {
		for _, e := range all {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			one, err := runTakeOver(ctx, e)
			one.Error = text(err)
			fmt.Fprintln(os.Stderr, one)
			r.TakeOvers = append(r.TakeOvers, one)
		}
	}
	return nil
}

// text is what err says; nothing of none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func parseCoordination(arguments []string) (o coordOptions, err error) {
	flags := flag.NewFlagSet("coordination", flag.ContinueOnError)
	services := flags.String("services", "synod,zookeeper", "services to compare")
	parts := flags.String("parts", "load,watch,sessions,failover", "what to measure")
	quick := flags.Bool("quick", false, "only a few kinds of load")
	flags.IntVar(&o.rounds, "rounds", 3, "repeats of load and watch")
	flags.IntVar(&o.openings, "openings", 2, "repeats of sessions")
	flags.DurationVar(&o.heat, "heat", 20*time.Second, "load before the first round, for what compiles its code while it runs")
	flags.DurationVar(&o.warm, "warm", 500*time.Millisecond, "time before each measured window")
	flags.DurationVar(&o.window, "time", 1500*time.Millisecond, "length of each measured window")
	flags.IntVar(&o.watchers, "watchers", 100, "sessions that watch one key")
	flags.IntVar(&o.changes, "changes", 50, "changes of that key in a round")
	flags.IntVar(&o.takeOvers, "kills", 5, "kills of each service's leader")
	steps := flags.String("steps", "1000,10000", "how many sessions to open, in steps")
	var programs serviceFlags
	programs.declare(flags)
	flags.StringVar(&o.dir, "dir", defaultDir, "where the servers keep their data: the disk under test")
	flags.StringVar(&o.json, "json", "", "file for every single run; empty: none")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if o.steps, err = parseNumbers("-steps", *steps); err != nil {
		return o, err
	}
	o.parts, o.cells = strings.Split(*parts, ","), coordCells(*quick)
	for name := range strings.SplitSeq(*services, ",") {
		one, err := programs.service(name)
		if err != nil {
			return o, err
		}
		o.services = append(o.services, one)
	}
	return o, nil
}

// coordCells are all kinds of load, in their order.
func coordCells(quick bool) []coordCell {
	if quick {
		return []coordCell{{setOperation, 1, 1}, {setOperation, 1, 64}, {setOperation, 15, 64},
			{createOperation, 15, 16}, {localReadOperation, 15, 64}, {linearizableReadOperation, 15, 64}, {openOperation, 1, 64}}
	}
	return []coordCell{
		{setOperation, 1, 1}, {setOperation, 1, 16}, {setOperation, 1, 64}, {setOperation, 1, 256},
		{setOperation, 15, 64}, {setOperation, 15, 256},
		{createOperation, 1, 16}, {createOperation, 15, 16},
		{localReadOperation, 1, 1}, {localReadOperation, 1, 64}, {localReadOperation, 15, 64}, {localReadOperation, 15, 256},
		{linearizableReadOperation, 1, 1}, {linearizableReadOperation, 1, 64}, {linearizableReadOperation, 15, 64},
		{openOperation, 1, 64},
	}
}
