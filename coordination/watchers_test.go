package coordination

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWatchersFindsThoseThatMatch(t *testing.T) {
	type entry struct {
		id    uint64
		watch Watch
	}
	paths := []string{"/", "/a", "/ab", "/a/b", "/a/b/c", "/a/bc", "/a/b/c/d", "/b"}
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		var w Watchers
		var entries []entry
		for step := range 150 {
			e := entry{random.Uint64N(6), Watch{Path: paths[random.IntN(len(paths))], Scope: Scope(random.IntN(3))}}
			i := slices.Index(entries, e)
			switch {
			case random.IntN(3) == 0:
				w.Remove(e.id, e.watch)
				if i >= 0 {
					entries = slices.Delete(entries, i, i+1)
				}
			default:
				w.Add(e.id, e.watch)
				if i < 0 {
					entries = append(entries, e)
				}
			}
			event := Event{Kind: EventKind(1 + random.IntN(3)), Path: paths[random.IntN(len(paths))]}
			var got, want []uint64
			w.Interested(event, func(id uint64) { got = append(got, id) })
			for _, e := range entries {
				if e.watch.Matches(event) && !slices.Contains(want, e.id) {
					want = append(want, e.id)
				}
			}
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %v %s is for %v, want %v", seed, step, event.Kind, event.Path, got, want)
			}
		}
		for _, e := range entries {
			w.Remove(e.id, e.watch)
		}
		if len(w.nodes)+len(w.children)+len(w.trees) > 0 {
			t.Fatalf("seed %d: paths that nobody watches are kept: %v %v %v", seed, w.nodes, w.children, w.trees)
		}
	}
}

func TestWhoWantsAnEventMayTakeItsWatchBack(t *testing.T) {
	var w Watchers
	watch := Watch{Path: "/a", Scope: OnTree}
	for id := range uint64(10) {
		w.Add(id, watch)
	}
	var got []uint64
	w.Interested(Event{Kind: Changed, Path: "/a/b"}, func(id uint64) {
		got = append(got, id)
		w.Remove(id, watch)
		w.Add(id+100, watch)
	})
	if len(got) != 10 {
		t.Fatalf("%v", got)
	}
}

// BenchmarkWatchers is an event with 100 watchers among 10,000 that watch other nodes.
func BenchmarkWatchers(b *testing.B) {
	var w Watchers
	for id := range uint64(10_000) {
		w.Add(id, Watch{Path: fmt.Sprintf("/n/%d", id%100), Scope: Scope(id % 3)})
	}
	for b.Loop() {
		n := 0
		w.Interested(Event{Kind: Changed, Path: "/n/7"}, func(uint64) { n++ })
		if n == 0 {
			b.Fatal("nobody")
		}
	}
}
