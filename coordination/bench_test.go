package coordination

import (
	"fmt"
	"io"
	"testing"
)

func fill(b *testing.B, nodes int) (*replica, []string) {
	r := newReplica(b, Limits{})
	paths := make([]string, nodes)
	for i := range paths {
		paths[i] = fmt.Sprintf("/bench/%03d/key-%07d", i/1000, i*7919%nodes)
		r.put(paths[i], "value")
	}
	return r, paths
}

// BenchmarkPut varies the size of the tree; 128 bytes a node. "created" makes
// and deletes a node by turns.
func BenchmarkPut(b *testing.B) {
	for _, nodes := range []int{100, 10_000, 500_000} {
		r, paths := fill(b, nodes)
		data := make([]byte, 128)
		var command []byte
		apply := func(o Operation) {
			command = o.Append(command[:0])
			r.index++
			if result := r.Apply(r.index, 1, command); result[0] != 0 {
				b.Fatalf("code %d", result[0])
			}
		}
		b.Run(fmt.Sprintf("changed/nodes=%d", nodes), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				apply(Operation{Kind: Put, Path: paths[i*7%nodes], Data: data})
			}
		})
		b.Run(fmt.Sprintf("created/nodes=%d", nodes), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				o := Operation{Kind: Put, Path: paths[i/2*7%nodes] + "x", Data: data}
				if i%2 == 1 {
					o.Kind, o.Data = Delete, nil
				}
				apply(o)
			}
		})
	}
}

// BenchmarkPutAfterSnapshot takes a snapshot every 1000 puts: the first change
// of each node after one copies it.
func BenchmarkPutAfterSnapshot(b *testing.B) {
	r, paths := fill(b, 100_000)
	var command []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%1000 == 0 {
			_, _ = r.Snapshot()
		}
		command = Operation{Kind: Put, Path: paths[i*7%len(paths)], Data: []byte("value")}.Append(command[:0])
		r.index++
		r.Apply(r.index, 1, command)
	}
}

// BenchmarkSession opens and closes a session that takes a lock, among as many others.
func BenchmarkSession(b *testing.B) {
	for _, open := range []int{0, 10_000, 99_000} {
		r := newReplica(b, Limits{})
		for range open {
			r.open(Operation{})
		}
		var command []byte
		apply := func(o Operation) {
			command = o.Append(command[:0])
			r.index++
			if result := r.Apply(r.index, 1, command); result[0]&^resultExtras != 0 {
				b.Fatalf("code %d", result[0])
			}
		}
		b.Run(fmt.Sprintf("open=%d", open), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				apply(Operation{Kind: OpenSession, Caller: Caller{Key: testKey}})
				me := Caller{Session: r.index, Key: testKey}
				apply(Operation{Kind: Create, Path: "/lock/", Sequential: true, Mode: Ephemeral, MakeParents: true, Caller: me})
				apply(Operation{Kind: CloseSession, Caller: me})
			}
		})
	}
}

// BenchmarkExpiry expires 1,000 of 10,000 sessions with one node each, in one
// operation: how long a write may have to wait for it.
func BenchmarkExpiry(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		r := newReplica(b, Limits{})
		for range 10_000 {
			me := r.open(Operation{})
			r.must(Operation{Kind: Create, Path: "/members/", Sequential: true, Mode: Ephemeral, MakeParents: true, Caller: me})
		}
		epoch := r.must(Operation{Kind: ClaimSessions}).Index
		o := Operation{Kind: ExpireSessions, Epoch: epoch}
		for _, s := range r.SessionsAfter(0, 1000) {
			o.Sessions = append(o.Sessions, s.ID)
		}
		b.StartTimer()
		if result := r.must(o); result.Expired != 1000 {
			b.Fatalf("expired %d", result.Expired)
		}
	}
}

// BenchmarkMulti varies the number of puts, and whether the last one is refused.
func BenchmarkMulti(b *testing.B) {
	r, paths := fill(b, 10_000)
	for _, size := range []int{2, 100} {
		for _, refused := range []bool{false, true} {
			b.Run(fmt.Sprintf("puts=%d/refused=%t", size, refused), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					o := Operation{Kind: Multi, Operations: make([]Operation, size)}
					for j := range size {
						o.Operations[j] = Operation{Kind: Put, Path: paths[(i*size+j)*7%len(paths)], Data: []byte("value")}
					}
					if refused {
						o.Operations[size-1].Version = Unwritten
					}
					r.do(o)
				}
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, nodes := range []int{100, 500_000} {
		r, paths := fill(b, nodes)
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := r.Get(paths[i*7%nodes]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSnapshot measures the pause ("taken"), the whole ("written") and
// the way back ("restored") with half a million nodes.
func BenchmarkSnapshot(b *testing.B) {
	r, _ := fill(b, 500_000)
	b.Run("taken", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = r.Snapshot()
		}
	})
	b.Run("restored", func(b *testing.B) {
		whole := r.snapshot()
		b.SetBytes(int64(len(whole)))
		for b.Loop() {
			other := newReplica(b, Limits{})
			other.restore(whole)
		}
	})
	b.Run("written", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			picture, _ := r.Snapshot()
			n, err := picture.WriteTo(io.Discard)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(n)
		}
	})
}
