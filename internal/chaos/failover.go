package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Measure repeats a fault of the leader as often as config.Cycles says and
// measures the time from the fault to the acknowledgement of a write that began
// after it. The clients of the workload go on meanwhile, and the
// history is judged like that of any other run.
//
// The fault is [KillLeader], [PauseLeader] or, with separate networks,
// [IsolateLeader]. A leader that is cut off still answers clients, as it would
// from the other side of a broken switch, so the client does not ask it.
func Measure(ctx context.Context, config RunConfig, fault FaultKind) (Report, error) {
	r, err := begin(ctx, config)
	if err != nil {
		return Report{}, err
	}
	probe := NewHTTP(config.Cluster.Host.Dial)
	defer probe.Close()
	void := 0
	var waits []time.Duration
	for n := 0; len(waits) < r.config.Cycles; n++ {
		if r.config.Limit > 0 && time.Since(r.report.Time) > r.config.Limit {
			break
		}
		struck, wait, err := r.drill(ctx, probe, fault, n)
		if err != nil {
			r.fail("drill %d: %v", n, err)
			break
		}
		if s := r.crowd.between(struck, struck.Add(wait)); void < maxVoid && s.tooMuch() {
			void++
			r.logf("drill %d says nothing: %v", n, s)
			continue
		}
		waits = append(waits, wait)
	}
	r.report.Failover = NewDrill(fault, waits)
	r.report.Failover.Void = void
	return r.finish(ctx)
}

// maxVoid is how many drills are repeated because others had the machine meanwhile.
const maxVoid = 5

// drill harms the leader once, measures from then on, and waits until all is well again.
func (r *Run) drill(ctx context.Context, probe *HTTP, fault FaultKind, n int) (struck time.Time, wait time.Duration, err error) {
	if r.report.Cycles%epochCycles == epochCycles-1 {
		r.workload.NextEpoch()
	}
	r.report.Cycles++
	before, err := r.awaitWrites(ctx, r.config.Floor)
	if err != nil {
		return struck, 0, err
	}
	r.report.Before += before
	leader, err := r.cluster.WaitLeader(ctx, recoverLimit)
	if err != nil {
		return struck, 0, err
	}
	start := r.writes()
	struck = time.Now()
	heal, err := r.strike(fault, leader)
	if err != nil {
		return struck, 0, err
	}
	err = r.probe(ctx, probe, leader, n)
	wait = time.Since(struck)
	r.logf("drill %d: %s, %s led, acknowledged again after %v", n, fault, r.cluster.Nodes[leader].Name, wait.Round(time.Millisecond))
	if err := errors.Join(err, heal()); err != nil {
		return struck, 0, err
	}
	r.report.Faults[fault]++
	r.report.During += r.writes() - start
	after, err := r.awaitWrites(ctx, r.config.Floor)
	r.report.After += after
	if err != nil {
		return struck, 0, err
	}
	// The next drill begins with a cluster at rest.
	return struck, wait, r.cluster.WaitHealthy(ctx, recoverLimit)
}

// strike harms the leader and returns how to undo it. It returns as soon as the
// fault is there.
func (r *Run) strike(fault FaultKind, leader int) (heal func() error, err error) {
	switch fault {
	case KillLeader:
		r.cluster.Kill(leader)
		return func() error { return r.cluster.Start(leader) }, nil
	case PauseLeader:
		r.cluster.Pause(leader)
		return func() error { r.cluster.Resume(leader); return nil }, nil
	case IsolateLeader:
		if err := r.cluster.Network.Apply(r.rules(fault, leader)); err != nil {
			return nil, err
		}
		return func() error { return r.cluster.Network.Apply(nil) }, nil
	}
	return nil, fmt.Errorf("chaos: no drill for %s", fault)
}

// prober is the client number of the writes that measure.
const prober = 1001

// probeTimeout is how long the measuring client waits for one node before it
// tries the next with the same request id.
const probeTimeout = 250 * time.Millisecond

// probe writes one key until some node acknowledges it. It does not know which node leads; it does not ask
// the node that was harmed, whose clients are told or notice for themselves.
func (r *Run) probe(ctx context.Context, http *HTTP, harmed, n int) error {
	c := client{workload: r.workload, number: prober, random: r.random()}
	value := fmt.Sprintf("%d.%d", prober, n)
	o := Operation{Client: prober, Kind: Put, Key: "chaos/probe/" + value, Value: value, Request: c.requestID()}
	node := (harmed + 1 + n%2) % len(r.cluster.Nodes)
	o.Call = r.recorder.Now()
	err := poll(recoverLimit, func() error {
		if ctx.Err() != nil {
			return fatal{ctx.Err()}
		}
		if node == harmed {
			node = (node + 1) % len(r.cluster.Nodes)
		}
		o.Tries++
		o.Node = r.cluster.Nodes[node].Name
		attempt, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		http.Do(attempt, r.cluster.Nodes[node].API, &o)
		if node = (node + 1) % len(r.cluster.Nodes); o.Outcome != Done {
			return fmt.Errorf("chaos: the probe was not acknowledged: %v", &o)
		}
		return nil
	})
	o.Return = r.recorder.Now()
	if err != nil {
		o.Outcome = Unknown
	}
	r.recorder.Add(o)
	return err
}
