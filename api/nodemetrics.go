package api

import (
	"context"
	"runtime"
	"runtime/metrics"

	"github.com/synod-go/synod"
)

// Metrics are taken when asked for: nothing is counted in between.
func (n *node) Metrics() []Metric {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	list := []Metric{{"synod_info", "The node and its cluster; the value is 1.", "gauge",
		[]Label{{"node", n.node.Name()}, {"cluster", n.node.Cluster()}, {"go", runtime.Version()}}, 1}}
	if g, err := n.group.Status(ctx); err == nil {
		list = append(list, groupMetrics(g)...)
		list = append(list, peerMetrics(g)...)
	}
	alive := 0
	for _, m := range n.node.Members() {
		if m.State == "alive" {
			alive++
		}
	}
	list = append(list, Metric{"synod_members_alive", "Nodes that gossip sees.", "gauge", nil, float64(alive)})
	return append(list, processMetrics()...)
}

func groupMetrics(g synod.GroupStatus) []Metric {
	labels := []Label{{"group", g.Name}}
	is := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	gauge := func(name, help string, value float64) Metric { return Metric{name, help, "gauge", labels, value} }
	return []Metric{
		gauge("synod_raft_term", "Current term.", float64(g.Term)),
		gauge("synod_raft_has_leader", "1 if a leader is known.", is(g.Leader != "")),
		gauge("synod_raft_is_leader", "1 on the leader.", is(g.Role == "leader")),
		gauge("synod_raft_has_lease", "1 while lease reads need no round.", is(g.Lease)),
		gauge("synod_raft_commit_index", "Commit index.", float64(g.Commit)),
		gauge("synod_raft_applied_index", "Applied index.", float64(g.Applied)),
		gauge("synod_raft_first_index", "First log index in memory.", float64(g.First)),
		gauge("synod_raft_last_index", "Last log index.", float64(g.Last)),
		gauge("synod_raft_snapshot_index", "Index of the newest snapshot.", float64(g.Snapshot)),
		gauge("synod_raft_log_bytes", "Bytes of log in memory.", float64(g.LogBytes)),
		gauge("synod_raft_configuration_version", "Log index of the configuration.", float64(g.ConfigVersion)),
		gauge("synod_raft_stalled", "1 while the disk does not answer.", is(g.Stalled)),
		gauge("synod_raft_quarantined", "1 if the state differs from the peers'.", is(g.Quarantined != "")),
	}
}

// peerMetrics exist on the leader only.
func peerMetrics(g synod.GroupStatus) []Metric {
	if g.Role != "leader" {
		return nil
	}
	var behind, active []Metric
	for _, m := range g.Members {
		if m.Self {
			continue
		}
		labels := []Label{{"group", g.Name}, {"peer", m.Name}}
		behind = append(behind, Metric{"synod_raft_peer_behind", "Entries that the peer lacks, on the leader.", "gauge", labels, float64(g.Last - min(m.Match, g.Last))})
		up := 0.0
		if m.Active {
			up = 1
		}
		active = append(active, Metric{"synod_raft_peer_active", "1 if the peer answers the leader.", "gauge", labels, up})
	}
	return append(behind, active...)
}

func processMetrics() []Metric {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(samples)
	value := func(i int) float64 { return float64(samples[i].Value.Uint64()) }
	return []Metric{
		{"synod_memory_mapped_bytes", "Memory that the runtime has taken from the system.", "gauge", nil, value(0)},
		{"synod_memory_heap_bytes", "Memory of live and not yet swept objects.", "gauge", nil, value(1)},
		{"synod_goroutines", "Goroutines.", "gauge", nil, value(2)},
	}
}
