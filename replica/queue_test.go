package replica

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTheQueueIsAHeapThatKnowsItsPlaces pushes, removes anywhere and changes
// keys, against the heap's definition.
func TestTheQueueIsAHeapThatKnowsItsPlaces(t *testing.T) {
	type item struct{ key, pos int }
	rapid.Check(t, func(t *rapid.T) {
		q := queue[*item]{less: func(a, b *item) bool { return a.key < b.key },
			moved: func(p *item, i int) { p.pos = i }}
		var all []*item
		key := rapid.IntRange(0, 50)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch what := rapid.IntRange(0, 3).Draw(t, "what"); {
			case what < 2 || len(all) == 0:
				p := &item{key: key.Draw(t, "key")}
				q.push(p)
				all = append(all, p)
			case what == 2:
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				if q.remove(all[i].pos) != all[i] {
					t.Fatal("removed another item")
				}
				all = slices.Delete(all, i, i+1)
			default:
				p := all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
				p.key = key.Draw(t, "key")
				q.fix(p.pos)
			}
			if q.len() != len(all) {
				t.Fatalf("%d items, want %d", q.len(), len(all))
			}
			for i, p := range q.items {
				if p.pos != i || q.less(p, q.items[max(0, i-1)/2]) {
					t.Fatalf("item %d: key %d, thinks it is at %d, parent has key %d", i, p.key, p.pos, q.items[max(0, i-1)/2].key)
				}
			}
		}
	})
}
