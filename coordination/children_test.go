package coordination

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestChildrenStaySorted works on one large set of children with epochs that
// change, against a map.
func TestChildrenStaySorted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var c children
		have := make(map[string]bool)
		epoch, size := uint64(0), rapid.SampledFrom([]int{50, 2000}).Draw(rt, "names")
		ascending := rapid.Bool().Draw(rt, "ascending")
		var old []string
		var shared children
		for i := range rapid.IntRange(1, 1500).Draw(rt, "steps") {
			k := (i*7919 + 13) % size
			if ascending {
				k = i
			}
			name := fmt.Sprintf("%05d", k)
			switch {
			case i%400 == 200:
				shared, old = children{chunks: slices.Clone(c.chunks), count: c.count}, names(&c)
				epoch++
			case !have[name]:
				c.insert(&node{name: name}, epoch)
				have[name] = true
			case i%3 == 0:
				c.replace(&node{name: name, epoch: epoch}, epoch)
			default:
				c.remove(name, epoch)
				delete(have, name)
			}
		}
		if got, want := names(&c), slices.Sorted(maps.Keys(have)); !slices.Equal(got, want) || c.count != len(want) {
			rt.Fatalf("got %d names, count %d, want %d", len(got), c.count, len(want))
		}
		if !slices.Equal(names(&shared), old) {
			rt.Fatal("a shared set changed")
		}
	})
}

func names(c *children) (all []string) {
	c.from("", func(n *node) bool { all = append(all, n.name); return true })
	return all
}
