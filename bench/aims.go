package main

import (
	"fmt"
	"io"
	"math"
)

// An aim is a promise that Synod in process shall keep against the best peer, or
// the ceiling, of the same run.
type aim struct {
	cell
	what  string
	value float64
	limit float64
	below bool // value shall be at most, not at least, limit
}

// wantedRatios are writes per second over the best peer's, by clients.
var wantedRatios = map[int]float64{16: 2.5, 64: 2, 256: 1.5, 1024: 1.3}

const (
	wantedMedianRatio  = 0.7
	wantedCPUMicros    = 22
	wantedBareShare    = 0.7
	wantedReads        = 200_000
	wantedLeaseReads   = 1_000_000
	aimedClientsForCPU = 256

	// The engines of ours cost the same rounds and flushes: more apart than this
	// is a defect of one of them.
	wantedOfTwin    = 0.9
	wantedCPUOfTwin = 1.1
)

// aims lists what the rows say about the promises. Those about a cell that was
// not measured are left out.
func aims(rows []row) []aim {
	var all []aim
	var reads = map[readLevel]aim{}
	for _, r := range rows {
		if r.ofTwin > 0 {
			all = append(all, aimsOfTwin(r)...)
		}
		if r.engine != "synod" || r.rounds == 0 {
			continue
		}
		if r.Level == "" {
			all = append(all, aimsOfWrites(r, rows)...)
			continue
		}
		limit := float64(wantedReads)
		if r.Level == lease {
			limit = wantedLeaseReads
		}
		if r.perSecond > reads[r.Level].value {
			reads[r.Level] = aim{cell: r.cell, what: "reads/s at their best", value: r.perSecond, limit: limit}
		}
	}
	for _, level := range []readLevel{linearizable, lease} {
		if a, measured := reads[level]; measured {
			all = append(all, a)
		}
	}
	return all
}

// aimsOfWrites are the aims of one write cell.
func aimsOfWrites(r row, rows []row) []aim {
	var all []aim
	medianOfPeers, p99OfPeers := bestLatencies(r, rows)
	if limit, wanted := wantedRatios[r.Clients]; wanted && r.ofBestPeer > 0 {
		all = append(all, aim{cell: r.cell, what: "writes/s over the best peer's", value: r.ofBestPeer, limit: limit})
	}
	if r.Clients == 1 && !math.IsInf(medianOfPeers, 1) {
		all = append(all, aim{cell: r.cell, what: "p50 over the best peer's", value: r.p50Micros / medianOfPeers, limit: wantedMedianRatio, below: true})
	}
	if r.Clients == aimedClientsForCPU {
		all = append(all, aim{cell: r.cell, what: "CPU µs a write", value: r.cpuMicros, limit: wantedCPUMicros, below: true})
		if !math.IsInf(p99OfPeers, 1) {
			all = append(all, aim{cell: r.cell, what: "p99 over the best peer's", value: r.p99Micros / p99OfPeers, limit: 1, below: true})
		}
	}
	if r.ofBare > 0 {
		all = append(all, aim{cell: r.cell, what: "writes/s over the bare path's", value: r.ofBare, limit: wantedBareShare})
	}
	return all
}

// aimsOfTwin are what an engine shall have of the one that it shall equal.
func aimsOfTwin(r row) []aim {
	return []aim{
		{cell: r.cell, what: r.engine + "'s rate over Raft's", value: r.ofTwin, limit: wantedOfTwin},
		{cell: r.cell, what: r.engine + "'s CPU over Raft's", value: r.cpuOfTwin, limit: wantedCPUOfTwin, below: true},
	}
}

// bestLatencies are the lowest p50 and p99 of any peer in the cell and class of r.
func bestLatencies(r row, rows []row) (p50, p99 float64) {
	p50, p99 = math.Inf(1), math.Inf(1)
	for _, other := range rows {
		if other.cell == r.cell && other.class == r.class && !other.ours && other.rounds > 0 {
			p50, p99 = min(p50, other.p50Micros), min(p99, other.p99Micros)
		}
	}
	return p50, p99
}

func (a aim) met() bool {
	if a.below {
		return a.value <= a.limit
	}
	return a.value >= a.limit
}

func writeAims(out io.Writer, rows []row) {
	all := aims(rows)
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(out, "\n### Aims of synod in process\n\n")
	for _, a := range all {
		verdict, bound := "missed", "at least"
		if a.met() {
			verdict = "met   "
		}
		if a.below {
			bound = "at most"
		}
		fmt.Fprintf(out, "- %s %s, %d B, %d clients: %s: %.4g, wanted %s %.4g\n",
			verdict, a.operation(), a.Value, a.Clients, a.what, a.value, bound, a.limit)
	}
}
