package raft

import (
	"fmt"
	"testing"
)

// loop is three replicas that exchange Outputs in memory; disks and state
// machines take no time. It measures the core alone.
type loop struct {
	nodes [3]*Node
	now   Time
}

func newLoop(b *testing.B) *loop {
	l := &loop{}
	var members []Member
	for id := ID(1); id <= 3; id++ {
		members = append(members, Member{ID: id, Voter: true})
	}
	for i := range l.nodes {
		c := testConfig(ID(i + 1))
		c.TrailingEntries = 1
		node, err := New(c, State{Snapshot: Bootstrap(members...)})
		if err != nil {
			b.Fatal(err)
		}
		l.nodes[i] = node
		node.Tick(0)
	}
	l.now = l.nodes[0].cfg.Lease
	for _, n := range l.nodes {
		n.Tick(l.now)
	}
	l.nodes[0].Campaign()
	for l.nodes[0].Status().Role != Leader {
		l.round()
	}
	return l
}

// round lets every replica act once.
func (l *loop) round() {
	for i := range l.nodes {
		l.act(i)
	}
}

func (l *loop) act(i int) {
	n := l.nodes[i]
	n.Tick(l.now)
	out := n.Output()
	for _, e := range out.SendNow {
		l.nodes[e.To-1].Step(ID(i+1), e.Message)
	}
	for _, e := range out.Send {
		l.nodes[e.To-1].Step(ID(i+1), e.Message)
	}
	if out.Save > 0 {
		n.Saved(out.Save)
	}
	if k := len(out.Apply); k > 0 {
		n.Applied(out.Apply[k-1].Index)
	}
}

// compact drops the log, as a host does after a snapshot.
func (l *loop) compact() {
	for _, n := range l.nodes {
		if meta, ok := n.MetaAt(n.applied); ok {
			n.SnapshotTaken(meta)
		}
	}
}

// BenchmarkReplicate is the cost of one entry of 128 bytes on all three replicas
// together, by how many are proposed in a batch.
func BenchmarkReplicate(b *testing.B) {
	for _, batch := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			l := newLoop(b)
			commands := make([][]byte, batch)
			for i := range commands {
				commands[i] = make([]byte, 128)
			}
			b.ReportAllocs()
			proposed := 0
			for b.Loop() {
				if _, err := l.nodes[0].Propose(commands); err != nil {
					b.Fatal(err)
				}
				last := l.nodes[0].log.last()
				for l.nodes[0].applied < last {
					l.round()
				}
				if proposed += batch; proposed%16384 < batch {
					l.compact()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/entry")
		})
	}
}

// BenchmarkReadIndex is the cost of a linearizable read on all three replicas
// together, by how many share a round.
func BenchmarkReadIndex(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			l := newLoop(b)
			for l.nodes[0].commit == 0 {
				l.round()
			}
			b.ReportAllocs()
			for b.Loop() {
				for ref := range batch {
					if err := l.nodes[0].ReadIndex(uint64(ref)); err != nil {
						b.Fatal(err)
					}
				}
				for l.nodes[0].lead.reads.count() > 0 {
					l.round()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/read")
		})
	}
}

// BenchmarkEntriesData is the flat form of 64 entries of 144 bytes.
func BenchmarkEntriesData(b *testing.B) {
	var list []Entry
	for i := range 64 {
		list = append(list, Entry{Term: 1, Index: Index(i + 1), Data: make([]byte, 144)})
	}
	data := AppendEntriesData(nil, list)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			data = AppendEntriesData(data[:0], list)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeEntries(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
