package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A cell is one thing that is measured for every engine.
type cell struct {
	Level   readLevel `json:"level"` // empty: write
	Value   int       `json:"value"` // bytes
	Clients int       `json:"clients"`
}

func (c cell) operation() string {
	if c.Level == "" {
		return "writes"
	}
	return string(c.Level) + " reads"
}

// A run is one engine in one cell of one round, on a fresh cluster.
type run struct {
	cell
	Engine string      `json:"engine"`
	Round  int         `json:"round"`
	Error  string      `json:"error,omitempty"` // the run is void
	Result *loadResult `json:"result,omitempty"`
}

// runOptions are the flags of `bench run`.
type runOptions struct {
	kinds   []kind
	cells   []cell
	rounds  int
	warm    time.Duration
	time    time.Duration
	dir     string
	json    string
	profile string
}

// runReport is what -json writes.
type runReport struct {
	Machine machine   `json:"machine"`
	Begun   time.Time `json:"begun"`
	Warm    string    `json:"warm"`
	Time    string    `json:"time"`
	Runs    []run     `json:"runs"`
}

// runComparison measures every engine in every cell, one after the other within a
// cell, so that what changes on the machine meets all of them alike.
func runComparison(ctx context.Context, arguments []string, out io.Writer) error {
	o, err := parseRun(arguments)
	if err != nil {
		return err
	}
	dir, remove, err := makeWorkDir(o.dir)
	if err != nil {
		return err
	}
	defer remove()
	r := runReport{Machine: describeMachine(), Begun: time.Now(), Warm: o.warm.String(), Time: o.time.String()}
	fmt.Fprintf(out, "%s\n%d rounds, %v warm-up, %v measured\n", r.Machine, o.rounds, o.warm, o.time)
	for round := range o.rounds {
		for _, c := range o.cells {
			for i := range o.kinds {
				k := o.kinds[(i+round)%len(o.kinds)] // nobody is always first
				if ctx.Err() != nil || c.Level != "" && !slices.Contains(k.levels, c.Level) {
					continue
				}
				one := o.measure(k, c, round+1, dir)
				fmt.Fprintln(os.Stderr, one)
				r.Runs = append(r.Runs, one)
			}
		}
	}
	if err := writeJSON(o.json, r); err != nil {
		return err
	}
	writeTables(out, r.Runs)
	return ctx.Err()
}

// measure starts a cluster for one run. A start is tried twice: another program
// may have taken one of its ports.
func (o runOptions) measure(k kind, c cell, round int, dir string) run {
	one := run{cell: c, Engine: k.name, Round: round}
	cluster, err := startCluster(k, dir)
	if err != nil {
		report("try again", err)
		cluster, err = startCluster(k, dir)
	}
	if err != nil {
		one.Error = err.Error()
		return one
	}
	defer cluster.stop()
	load := loadOrder{Clients: c.Clients, Value: c.Value, Level: c.Level, Warm: o.warm, Time: o.time}
	if o.profile != "" {
		name := fmt.Sprintf("%s-%s-%d-%d-round%d.pprof", k.name, strings.ReplaceAll(c.operation(), " ", "-"), c.Value, c.Clients, round)
		load.Profile = filepath.Join(o.profile, name)
	}
	one.Result, err = cluster.load(load)
	switch {
	case err != nil:
		one.Error = err.Error()
	case one.Result.Errors > 0:
		one.Error = fmt.Sprintf("%d calls failed, the first with: %s", one.Result.Errors, one.Result.FirstError)
	}
	return one
}

func (r run) String() string {
	what := fmt.Sprintf("round %d  %-12s %4d B  %4d clients  %-16s", r.Round, r.operation(), r.Value, r.Clients, r.Engine)
	if r.Error != "" {
		return what + "void: " + r.Error
	}
	return fmt.Sprintf("%s%9.0f/s  p50 %7.0f µs  p99 %7.0f µs  %6.1f µs CPU  others %.2f cores",
		what, r.perSecond(), r.Result.P50Micros, r.Result.P99Micros, r.cpuMicros(), r.Result.OtherCores)
}

func (r run) perSecond() float64 { return float64(r.Result.Operations) / r.Result.Seconds }

// cpuMicros is the CPU time of all processes for one operation.
func (r run) cpuMicros() float64 {
	var seconds float64
	for _, s := range r.Result.CPUSeconds {
		seconds += s
	}
	return seconds * 1e6 / float64(max(1, r.Result.Operations))
}

// replicaMiB is the largest resident size of any replica.
func (r run) replicaMiB() float64 {
	replicas := r.Result.PeakBytes[:min(replicaCount, len(r.Result.PeakBytes))]
	if len(replicas) == 0 {
		return 0
	}
	return float64(slices.Max(replicas)) / (1 << 20)
}

func parseRun(arguments []string) (runOptions, error) {
	var o runOptions
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	engines := flags.String("engines", "bare,bare-calls,synod,etcdraft,hashicorp,dragonboat,etcd,synod-http", "engines to compare")
	clients := flags.String("clients", "1,16,64,256,1024", "numbers of closed-loop clients")
	values := flags.String("value", "128,1024", "sizes of a value in bytes")
	writes := flags.Bool("writes", true, "measure writes")
	reads := flags.String("reads", "linearizable,lease", "levels of reads to measure; empty: none")
	flags.IntVar(&o.rounds, "rounds", 3, "repeats of the whole")
	flags.DurationVar(&o.warm, "warm", 1200*time.Millisecond, "time before each measured window")
	flags.DurationVar(&o.time, "time", 5*time.Second, "length of each measured window")
	flags.StringVar(&o.dir, "dir", defaultDir, "where the replicas keep their data: the disk under test")
	flags.StringVar(&o.json, "json", "", "file for every single run; empty: none")
	flags.StringVar(&o.profile, "profile", "", "directory for a CPU profile of the clients' process in each run; empty: none")
	err := flags.Parse(arguments)
	if err != nil {
		return o, err
	}
	if o.kinds, err = parseKinds(*engines); err != nil {
		return o, err
	}
	counts, err := parseNumbers("-clients", *clients)
	if err != nil {
		return o, err
	}
	sizes, err := parseNumbers("-value", *values)
	if err != nil {
		return o, err
	}
	levels, err := parseLevels(*reads)
	if err != nil {
		return o, err
	}
	if *writes {
		levels = append([]readLevel{""}, levels...)
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return o, err
		}
		if o.profile, err = filepath.Abs(o.profile); err != nil {
			return o, err
		}
	}
	o.cells = allCells(levels, sizes, counts)
	return o, nil
}

// allCells measures reads with the first size alone: no engine sends the value.
func allCells(levels []readLevel, sizes, counts []int) []cell {
	var cells []cell
	for _, level := range levels {
		for i, size := range sizes {
			if level != "" && i > 0 {
				break
			}
			for _, count := range counts {
				cells = append(cells, cell{level, size, count})
			}
		}
	}
	return cells
}

// parseKinds replaces an engine that has variants by them.
func parseKinds(list string) ([]kind, error) {
	var found []kind
	for name := range strings.SplitSeq(list, ",") {
		k, err := findKind(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		if k.variants == nil {
			found = append(found, k)
		}
		for _, variant := range k.variants {
			v, err := findKind(variant)
			if err != nil {
				return nil, err
			}
			found = append(found, v)
		}
	}
	return found, nil
}

func parseNumbers(name, list string) ([]int, error) {
	var numbers []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s: %q is no positive number", name, field)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func parseLevels(list string) ([]readLevel, error) {
	var levels []readLevel
	for field := range strings.SplitSeq(list, ",") {
		switch level := readLevel(strings.TrimSpace(field)); level {
		case "":
		case linearizable, lease:
			levels = append(levels, level)
		default:
			return nil, fmt.Errorf("-reads: no level %q: there are %s and %s", level, linearizable, lease)
		}
	}
	return levels, nil
}

func writeJSON(name string, value any) error {
	if name == "" {
		return nil
	}
	encoded, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(encoded, '\n'), 0o644)
}
