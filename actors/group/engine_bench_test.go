package group_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/actors/paxosnode"
	"github.com/synod-go/synod/actors/raftnode"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// engineTrio is three engines without actors, disk or network: what a turn costs.
type engineTrio struct {
	engines [3]group.Engine
	saves   [3]uint64
	records int // bytes in records, of all three
	leader  int
	now     consensus.Time
	command []byte
}

func newEngineTrio(b *testing.B, p group.Protocol, value int) *engineTrio {
	store, err := storage.Open("data", storage.Options{FS: storage.NewMemory(1), Node: "n1", SegmentBytes: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	command := replica.Envelope{Kind: replica.KindPlain, Command: make([]byte, value)}.Append(nil)
	t := &engineTrio{command: command, now: 1}
	var founders []consensus.Member
	for i := range t.engines {
		founders = append(founders, consensus.Member{ID: consensus.ID(i + 1), Voter: true})
	}
	for i := range t.engines {
		r := p.Recover(group.Config{ID: consensus.ID(i + 1), Group: 1, Store: store, SnapshotBytes: 64 << 20, MaxChunkBytes: 1 << 20})
		if err := r.Add(r.Bootstrap(founders)); err != nil {
			b.Fatal(err)
		}
		if t.engines[i], _, err = r.Engine(consensus.SnapshotMeta{}, 0); err != nil {
			b.Fatal(err)
		}
	}
	for range 200 {
		t.now += consensus.Time(50 * time.Millisecond)
		for i, e := range t.engines {
			if t.turn(b, i, nil); e.Role() == consensus.Leader {
				t.leader = i
				return t
			}
		}
	}
	b.Fatal("nobody leads")
	return nil
}

// turn gives engine i one turn with messages, and each receiver of what that
// sends one with the answer; every save is durable at once.
func (t *engineTrio) turn(b *testing.B, i int, messages []proto.Message) {
	e := t.engines[i]
	e.Saved(t.saves[i])
	e.Tick(t.now)
	for _, m := range messages {
		if err := e.Receive(m); err != nil {
			b.Fatal(err)
		}
	}
	for range 4 {
		out := e.Output()
		t.saves[i] = max(t.saves[i], out.Save)
		for _, r := range out.Records {
			t.records += len(r.Data)
		}
		if n := len(out.Apply); n > 0 {
			e.Applied(out.Apply[n-1].Index)
		}
		sent := append(append([]group.Envelope(nil), out.SendNow...), out.Send...)
		for _, envelope := range sent {
			t.turn(b, int(envelope.To-1), []proto.Message{overWire(b, envelope.Message)})
		}
		e.Saved(t.saves[i])
		if len(sent) == 0 && out.Save == 0 {
			return
		}
	}
}

// overWire returns m as it arrives.
func overWire(b *testing.B, m proto.Message) proto.Message {
	data, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	to := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(data, to); err != nil {
		b.Fatal(err)
	}
	return to
}

// BenchmarkAgreement varies the engine, the size of a command and how many
// commands share a turn. One operation is one turn with its commands, on all three replicas.
func BenchmarkAgreement(b *testing.B) {
	for _, value := range []int{128, 1024} {
		for _, batch := range []int{1, 16, 256} {
			for name, p := range map[string]group.Protocol{"raft": raftnode.New(raftnode.Config{}), "paxos": paxosnode.New(paxosnode.Config{})} {
				b.Run(fmt.Sprintf("%dB/%d/%s", value, batch, name), func(b *testing.B) { benchmarkAgreement(b, p, value, batch) })
			}
		}
	}
}

func benchmarkAgreement(b *testing.B, p group.Protocol, value, batch int) {
	t := newEngineTrio(b, p, value)
	commands := make([][]byte, batch)
	b.ReportAllocs()
	begun := t.records
	for n := 0; b.Loop(); n += batch {
		for i := range commands {
			commands[i] = append([]byte(nil), t.command...)
		}
		if _, _, err := t.engines[t.leader].Propose(commands); err != nil {
			b.Fatal(err)
		}
		t.turn(b, t.leader, nil)
		if n/batch%1024 == 0 {
			for _, e := range t.engines {
				if meta, ok := e.MetaAt(e.Status().Applied); ok {
					e.SnapshotTaken(meta)
				}
			}
		}
	}
	b.ReportMetric(float64(t.records-begun)/float64(b.N*batch), "record-B/command")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/command")
}
