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
