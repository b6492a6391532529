package api

import (
	"context"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/sessions"
)

// Metrics are taken when asked for: nothing is counted in between.
func (n *node) Metrics() []Metric {
	list := []Metric{{"synod_info", "The node and its cluster; the value is 1.", "gauge",
		[]Label{{"node", n.node.Name()}, {"cluster", n.node.Cluster()}, {"go", runtime.Version()}}, 1}}
	list = append(list, n.groupsMetrics()...)
	if keeper := n.group.Sessions(); keeper != nil {
		list = append(list, sessionMetrics(keeper.Metrics())...)
	}
	list = append(list, logMetrics(n.node.Storage())...)
	alive := 0
	for _, m := range n.node.Members() {
		if m.State == "alive" {
			alive++
		}
	}
	list = append(list, Metric{"synod_members_alive", "Nodes that gossip sees.", "gauge", nil, float64(alive)})
	if tls := n.node.Secrets().TLS; tls != nil {
		list = append(list, Metric{"synod_certificate_seconds", "How long the certificate is valid.", "gauge", nil, time.Until(tls.Until).Seconds()})
	}
	return append(list, processMetrics()...)
}

// groupsMetrics are those of all groups that are founded, each name's together as the text format wants it.
func (n *node) groupsMetrics() (list []Metric) {
	for _, group := range n.node.Groups() {
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout) // of its own: one that is silent hides no other
		g, err := group.Status(ctx)
		cancel()
		if err == nil && len(g.Members) > 0 {
			list = append(list, groupMetrics(g)...)
			list = append(list, peerMetrics(g)...)
		}
		quarantined := 0.0
		if g.Quarantined != "" { // known also when the group answers nothing more
			quarantined = 1
		}
		list = append(list, Metric{"synod_group_quarantined", "1 if the state differs from the peers'.", "gauge",
			[]Label{{"group", g.Name}, {"engine", string(group.Engine())}}, quarantined})
	}
	slices.SortStableFunc(list, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func sessionMetrics(m sessions.Metrics) []Metric {
	return []Metric{
		{"synod_sessions", "Sessions that this node counts as the leader; 0 on others.", "gauge", nil, float64(m.Sessions)},
		{"synod_session_signs_total", "Signs of life of this node's clients that were answered.", "counter", nil, float64(m.Signs)},
		{"synod_sessions_expired_total", "Sessions that this node has ended for their silence.", "counter", nil, float64(m.Expired)},
	}
}

func groupMetrics(g synod.GroupStatus) []Metric {
	labels := []Label{{"group", g.Name}, {"engine", string(g.Engine)}}
	is := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	gauge := func(name, help string, value float64) Metric {
		return Metric{"synod_group_" + name, help, "gauge", labels, value}
	}
	return []Metric{
		gauge("term", "Raft's term, or the highest ballot of Paxos as one number: it grows with each attempt to lead.", float64(g.Term)),
		gauge("has_leader", "1 if a leader is known.", is(g.Leader != "")),
		gauge("is_leader", "1 on the leader.", is(g.Role == "leader")),
		gauge("commit_index", "Commit index.", float64(g.Commit)),
		gauge("applied_index", "Applied index.", float64(g.Applied)),
		gauge("snapshot_index", "Index of the newest snapshot.", float64(g.Snapshot)),
		gauge("log_bytes", "Bytes of log in memory.", float64(g.LogBytes)),
		gauge("stalled", "1 while the disk does not answer.", is(g.Stalled)),
	}
}

// peerMetrics exist on the leader only.
func peerMetrics(g synod.GroupStatus) []Metric {
	if g.Role != "leader" {
		return nil
	}
	var behind []Metric
	for _, m := range g.Members {
		if m.Self {
			continue
		}
		labels := []Label{{"group", g.Name}, {"engine", string(g.Engine)}, {"peer", m.Name}}
		behind = append(behind, Metric{"synod_group_peer_behind", "Entries that the peer lacks, on the leader.", "gauge", labels, float64(g.Last - min(m.Match, g.Last))})
	}
	return behind
}

// logMetrics are about the write-ahead log that all groups of the node share.
func logMetrics(s synod.StorageStats) []Metric {
	full := 0.0
	if s.Full {
		full = 1
	}
	list := []Metric{
		{"synod_log_appended_bytes_total", "Bytes written to the log, with padding.", "counter", nil, float64(s.AppendedBytes)},
		{"synod_log_pending_bytes", "Bytes that wait for the disk or are being written.", "gauge", nil, float64(s.PendingBytes)},
		{"synod_log_full", "1 while writes are refused because the disk or the log is full.", "gauge", nil, full},
		{"synod_log_disk_free_bytes", "Free bytes on the log's device.", "gauge", nil, float64(s.FreeBytes)},
	}
	const name, help = "synod_log_flush_seconds", "How long the log's writes took until they were durable."
	bucket := func(upTo string, count uint64) Metric {
		return Metric{name + "_bucket", help, "histogram", []Label{{"le", upTo}}, float64(count)}
	}
	for _, b := range s.FlushBuckets {
		list = append(list, bucket(strconv.FormatFloat(b.UpTo.Seconds(), 'g', -1, 64), b.Count))
	}
	return append(list, bucket("+Inf", s.Flushes),
		Metric{name + "_sum", help, "histogram", nil, s.FlushTotal.Seconds()},
		Metric{name + "_count", help, "histogram", nil, float64(s.Flushes)})
}

func processMetrics() []Metric {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	metrics.Read(samples)
	value := func(i int) float64 { return float64(samples[i].Value.Uint64()) }
	return []Metric{
		{"synod_memory_heap_bytes", "Memory of live and not yet swept objects.", "gauge", nil, value(0)},
		{"synod_goroutines", "Goroutines.", "gauge", nil, value(1)},
	}
}
