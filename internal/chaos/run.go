package chaos

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Verdicts of a run. A void run did too little to be evidence.
const (
	verdictPass = "pass"
	verdictFail = "fail"
	verdictVoid = "void"
)

// RunConfig is one run of a campaign.
type RunConfig struct {
	Name    string
	Commit  string
	Seed    uint64
	Mix     []Choice
	Cycles  int
	Limit   time.Duration // no new cycle begins after it; 0: none
	Floor   int           // acknowledged writes between two faults, default 25
	Cluster ClusterConfig
	Pause   time.Duration // see WorkloadConfig
	Logf    func(format string, args ...any)
}

// Run is one life of a cluster: clients, faults, verdict.
type Run struct {
	config   RunConfig
	cluster  *Cluster
	recorder *Recorder
	workload *Workload
	report   Report
	recovers []time.Duration
	// leaderships are the times from partial cuts to leaders that reach a majority.
	leaderships []time.Duration
	failures    []string
	void        []string
	crowd       *crowd
	excused     int // waits that were too long while something else had the machine
}

// epochCycles is how many faults the clients stay on the same registers.
const epochCycles = 8

// Execute starts a cluster, carries out the plan of the seed and judges what the
// clients saw. The error says that the harness itself failed; what the cluster
// did wrong is in the report.
func Execute(ctx context.Context, config RunConfig) (Report, error) {
	r, err := begin(ctx, config)
	if err != nil {
		return Report{}, err
	}
	plan := MakePlan(r.config.Seed, r.config.Mix, r.config.Cycles)
	for _, fault := range plan {
		if r.config.Limit > 0 && time.Since(r.report.Time) > r.config.Limit {
			break
		}
		if err := r.cycle(ctx, fault, r.inject); err != nil {
			r.fail("cycle %d (%v): %v", r.report.Cycles, fault, err)
			break
		}
	}
	return r.finish(ctx)
}

// begin starts the cluster and its clients.
func begin(ctx context.Context, config RunConfig) (*Run, error) {
	config.Floor = cmp.Or(config.Floor, 25)
	if config.Logf == nil {
		config.Logf = func(string, ...any) {}
	}
	r := &Run{config: config, recorder: NewRecorder(), crowd: watchCrowd(ctx, config.Cluster.Dir)}
	r.report = Report{
		Name: config.Name, Engine: cmp.Or(config.Cluster.Engine, engineRaft), Commit: config.Commit, Seed: config.Seed, Nodes: config.Cluster.Nodes, Disk: config.Cluster.Disk,
		Time: time.Now(), Faults: make(map[FaultKind]int),
	}
	var err error
	if r.cluster, err = StartCluster(ctx, config.Cluster); err != nil {
		return nil, err
	}
	r.logf("%s: seed %d, %d nodes ready after %v", config.Name, config.Seed, config.Cluster.Nodes, r.recorder.Now().Round(time.Millisecond))
	workload := WorkloadConfig{Seed: config.Seed, Prefix: "chaos", Pause: config.Pause, Dial: config.Cluster.Host.Dial}
	for _, node := range r.cluster.Nodes {
		workload.Addresses = append(workload.Addresses, node.API)
		workload.Names = append(workload.Names, node.Name)
	}
	r.workload = StartWorkload(ctx, workload, r.recorder)
	return r, nil
}

func (r *Run) logf(format string, args ...any) { r.config.Logf(format, args...) }

// excuse reports whether a wait that was too long says nothing, as something else had the machine. That holds for a few.
func (r *Run) excuse(from, to time.Time, format string, args ...any) bool {
	s := r.crowd.between(from, to)
	if !s.tooMuch() || r.excused == maxVoid {
		return false
	}
	r.excused++
	r.logf("void "+format+", while %v", append(args, s)...)
	return true
}

// random is a source for what the harness itself draws besides the plan.
func (r *Run) random() *rand.Rand {
	return rand.New(rand.NewPCG(r.config.Seed, uint64(r.recorder.Now())))
}

func (r *Run) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.logf("FAIL %s", text)
	r.failures = append(r.failures, text)
}

// cycle waits until the cluster works, harms it, and waits until it works again.
func (r *Run) cycle(ctx context.Context, f Fault, inject func(context.Context, Fault) error) error {
	if r.report.Cycles%epochCycles == epochCycles-1 {
		r.workload.NextEpoch()
	}
	r.report.Cycles++
	before, err := r.awaitWrites(ctx, r.config.Floor)
	r.report.Before += before
	if err != nil {
		return fmt.Errorf("before the fault: %w", err)
	}
	start := r.writes()
	if err := inject(ctx, f); err != nil {
		return err
	}
	r.report.During += r.writes() - start
	r.report.Faults[f.Kind]++
	healed := r.recorder.Now()
	after, err := r.awaitWrites(ctx, r.config.Floor)
	r.report.After += after
	r.recovers = append(r.recovers, r.recorder.Now()-healed)
	if err != nil {
		return fmt.Errorf("after the fault: %w", err)
	}
	return r.cluster.Unplanned()
}

func (r *Run) writes() int {
	counts, _ := r.recorder.Counts()
	return counts.Writes
}

// awaitWrites waits until more writes have been acknowledged.
func (r *Run) awaitWrites(ctx context.Context, more int) (int, error) {
	start := r.writes()
	deadline := time.After(recoverLimit)
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		counts, changed := r.recorder.Counts()
		if counts.Writes-start >= more {
			return counts.Writes - start, nil
		}
		if err := r.cluster.Unplanned(); err != nil {
			return counts.Writes - start, err
		}
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-deadline:
			return counts.Writes - start, fmt.Errorf("chaos: only %d writes acknowledged in %v", counts.Writes-start, recoverLimit)
		}
	}
}

// finish stops the clients, looks at the final state, judges and cleans up.
func (r *Run) finish(ctx context.Context) (Report, error) {
	defer r.cluster.Close()
	r.workload.Stop()
	final, err := r.finalState(ctx)
	if err != nil {
		r.fail("final state: %v", err)
	}
	r.report.MaxRSS = r.cluster.MaxRSS()
	r.report.Seconds = time.Since(r.report.Time).Seconds()
	drill := NewDrill("", r.recovers)
	r.report.RecoverMedian, r.report.RecoverMax = drill.Median, drill.Max
	if len(r.leaderships) > 0 {
		r.report.Leadership = NewDrill("", r.leaderships)
	}
	history := r.recorder.History()
	r.count(history)
	if err == nil {
		r.witness(history, final)
	}
	if err := r.porcupine(ctx, history); err != nil {
		return r.report, err
	}
	r.validity()
	r.report.Reasons = append(slices.Clone(r.failures), r.void...)
	switch {
	case len(r.failures) > 0:
		r.report.Verdict = verdictFail
	case len(r.void) > 0:
		r.report.Verdict = verdictVoid
	default:
		r.report.Verdict = verdictPass
	}
	return r.report, nil
}

// finalState makes a last write, waits until all nodes have applied the same and
// compares what they hold.
func (r *Run) finalState(ctx context.Context) (Final, error) {
	leader, err := r.cluster.WaitLeader(ctx, recoverLimit)
	if err != nil {
		return Final{}, err
	}
	if err := r.lastWrite(ctx, leader); err != nil {
		return Final{}, err
	}
	if err := r.cluster.WaitHealthy(ctx, recoverLimit); err != nil {
		return Final{}, err
	}
	statuses, err := r.cluster.WaitEqual(ctx, recoverLimit)
	if err != nil {
		return Final{}, err
	}
	r.report.Version = statuses[0].Version
	var final Final
	err = poll(recoverLimit, func() (err error) {
		final, err = r.compareTrees(ctx)
		return err
	})
	r.report.EqualNodes, r.report.FinalKeys = err == nil, len(final.Entries)
	return final, err
}

// compareTrees lists all nodes at one index. A write whose client has given up may
// still be applied while they are listed; then they are listed again.
func (r *Run) compareTrees(ctx context.Context) (Final, error) {
	var first Final
	for n, node := range r.cluster.Nodes {
		if node.Roles == acceptorAlone {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, recoverLimit)
		final, err := r.cluster.HTTP.List(limited, node.API, "chaos", LevelSequential)
		cancel()
		switch {
		case err != nil:
			return Final{}, fmt.Errorf("list of %s: %w", node.Name, err)
		case n == 0:
			first = final
		case final.Index != first.Index:
			return Final{}, fmt.Errorf("%s was listed at index %d, %s at %d", r.cluster.Nodes[0].Name, first.Index, node.Name, final.Index)
		case !slices.Equal(first.Entries, final.Entries):
			return Final{}, fatal{fmt.Errorf("%s and %s hold different trees at index %d: %s",
				r.cluster.Nodes[0].Name, node.Name, first.Index, difference(first.Entries, final.Entries))}
		}
	}
	return first, nil
}

// difference shows the first place where two listings differ.
func difference(a, b []Entry) string {
	for n := range min(len(a), len(b)) {
		if a[n] != b[n] {
			return fmt.Sprintf("%+v, %+v", a[n], b[n])
		}
	}
	return fmt.Sprintf("%d keys, %d keys", len(a), len(b))
}

// lastWriter is the client number of the write that ends a run.
const lastWriter = 1000

func (r *Run) lastWrite(ctx context.Context, leader int) error {
	return poll(recoverLimit, func() error {
		serial := fmt.Sprintf("%d.%d", lastWriter, r.recorder.Now())
		o := Operation{Client: lastWriter, Kind: Put, Key: "chaos/last/" + serial, Value: serial, Node: r.cluster.Nodes[leader].Name, Tries: 1}
		limited, cancel := context.WithTimeout(ctx, requestLimit)
		defer cancel()
		o.Call = r.recorder.Now()
		r.cluster.HTTP.Do(limited, r.cluster.Nodes[leader].API, &o)
		o.Return = r.recorder.Now()
		r.recorder.Add(o)
		if o.Outcome != Done {
			return fmt.Errorf("chaos: the last write was not acknowledged: %v", &o)
		}
		return nil
	})
}

func (r *Run) count(history []Operation) {
	for i := range history {
		o := &history[i]
		switch {
		case o.Outcome == Done:
			r.report.Acknowledged++
			if o.effect() {
				r.report.Writes++
			}
		case o.Outcome == Refused:
			r.report.Refused++
		default:
			r.report.Unknown++
		}
		if o.write() && o.Request != "" && o.Tries > 1 {
			r.report.Retried++
		}
	}
}

func (r *Run) witness(history []Operation, final Final) {
	r.report.Witnessed = len(history)
	for _, v := range Witness(history, final) {
		r.fail("%v", v)
		switch v.Class {
		case LostWrite:
			r.report.LostWrites++
		case StaleRead:
			r.report.StaleReads++
		case Duplicate:
			r.report.DoubleApplies++
		case Disorder:
			r.report.Disorders++
		default:
			r.report.Phantoms++
		}
	}
}

// porcupine judges the registers of each epoch as one slice.
func (r *Run) porcupine(ctx context.Context, history []Operation) error {
	slicesByEpoch := make(map[string][]Operation)
	var epochs []string
	for _, o := range history {
		epoch, ok := epochOf(o.Key)
		if !ok {
			continue
		}
		if _, seen := slicesByEpoch[epoch]; !seen {
			epochs = append(epochs, epoch)
		}
		slicesByEpoch[epoch] = append(slicesByEpoch[epoch], o)
	}
	r.report.Porcupine = "Ok"
	for _, epoch := range epochs {
		verdict, err := Linearizable(ctx, slicesByEpoch[epoch], Judge{})
		if err != nil {
			return err
		}
		r.report.Slices++
		r.report.PorcupineOps += verdict.Operations
		if verdict.Result != "Ok" {
			r.report.Porcupine = verdict.Result
			r.fail("porcupine: registers of epoch %s (%d operations): %s %s", epoch, verdict.Operations, verdict.Result, verdict.Reason)
		}
	}
	return nil
}

// epochOf returns the epoch of a register's key.
func epochOf(key string) (string, bool) {
	_, rest, ok := strings.Cut(key, "/register/")
	if !ok {
		return "", false
	}
	epoch, _, ok := strings.Cut(rest, "/")
	return epoch, ok
}

// validity lists why the run proves nothing: too few acknowledged writes before,
// during and after the faults, or faults that did not fire.
func (r *Run) validity() {
	planned := r.config.Cycles
	if r.config.Limit > 0 {
		planned = r.report.Cycles
	}
	fired, available := 0, 0
	for kind, count := range r.report.Faults {
		fired += count
		if !kind.stopsWrites() {
			available += count
		}
	}
	if fired < planned || fired == 0 {
		r.void = append(r.void, fmt.Sprintf("%d of %d planned faults fired", fired, planned))
	}
	for _, phase := range []struct {
		name        string
		count, want int
	}{
		{"before", r.report.Before, r.config.Floor * fired},
		{"during", r.report.During, available}, // on average one, however short they are
		{"after", r.report.After, r.config.Floor * fired},
	} {
		if phase.count < phase.want {
			r.void = append(r.void, fmt.Sprintf("only %d writes acknowledged %s faults, want %d", phase.count, phase.name, phase.want))
		}
	}
}
