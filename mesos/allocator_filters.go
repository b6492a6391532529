package mesos

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// DefaultRefuse is how long a framework is not offered again what it did not take, unless
// it says otherwise, and MaxRefuse how long at most.
const (
	DefaultRefuse = 5 * time.Second
	MaxRefuse     = 365 * 24 * time.Hour
)

// RefuseFor is what the seconds of a framework's filter mean: DefaultRefuse if they are
// negative or not a number, at most MaxRefuse.
func RefuseFor(seconds float64) time.Duration {
	switch {
	case !(seconds >= 0):
		return DefaultRefuse
	case seconds >= MaxRefuse.Seconds():
		return MaxRefuse
	default:
		return time.Duration(seconds * float64(time.Second))
	}
}

// filter is a framework's that does not want of an agent what is refused, or a part of it.
type filter struct {
	client  *client
	agent   *allocatorAgent
	refused Resources
	until   time.Duration
	made    uint64 // counts the filters made: of two that end together the older goes first
	at      int    // its place in the heap
}

func compareFilters(x, y *filter) int {
	if c := cmp.Compare(x.until, y.until); c != 0 {
		return c
	}
	return cmp.Compare(x.made, y.made)
}

// refuses reports whether a filter of c is against r of the agent.
func (c *client) refuses(agent *allocatorAgent, r Resources) bool {
	return slices.ContainsFunc(c.filters[agent], func(f *filter) bool { return f.refused.Contains(r) })
}

// refuse makes a filter, if c is one that could be offered r.
func (a *Allocator) refuse(c *client, agent *allocatorAgent, r Resources, refuse, now time.Duration) {
	if f := a.frameworks[c.key.framework]; refuse == 0 || f == nil || !f.active || !c.subscribed {
		return
	}
	if refuse < 0 {
		refuse = DefaultRefuse
	}
	a.made++
	n := &filter{client: c, agent: agent, refused: r, until: now + min(refuse, MaxRefuse), made: a.made}
	for _, f := range slices.Clone(c.filters[agent]) {
		if f.refused.Contains(r) && f.until >= n.until {
			return // n would change nothing
		}
		if r.Contains(f.refused) && n.until >= f.until {
			a.dropFilter(f)
		}
	}
	if list := c.filters[agent]; len(list) >= a.config.MaxFiltersPerAgent {
		a.endFilter(slices.MinFunc(list, compareFilters))
	}
	if len(a.filters) >= a.config.MaxFilters {
		a.endFilter(a.filters[0])
	}
	if c.filters == nil {
		c.filters = map[*allocatorAgent][]*filter{}
	}
	c.filters[agent] = append(c.filters[agent], n)
	agent.filtered[c] = struct{}{}
	heap.Push(&a.filters, n)
}

// expire ends the filters whose time has come.
func (a *Allocator) expire(now time.Duration) {
	for len(a.filters) > 0 && a.filters[0].until <= now {
		a.endFilter(a.filters[0])
	}
}

// endFilter drops a filter, so that its agent may have something to offer.
func (a *Allocator) endFilter(f *filter) {
	a.touch(f.agent)
	a.dropFilter(f)
}

func (a *Allocator) dropFilter(f *filter) {
	heap.Remove(&a.filters, f.at)
	list := slices.DeleteFunc(f.client.filters[f.agent], func(x *filter) bool { return x == f })
	if len(list) > 0 {
		f.client.filters[f.agent] = list
		return
	}
	delete(f.client.filters, f.agent)
	delete(f.agent.filtered, f.client)
}

// dropFilters drops those of c against the agent.
func (a *Allocator) dropFilters(c *client, agent *allocatorAgent) {
	for _, f := range slices.Clone(c.filters[agent]) {
		a.dropFilter(f)
	}
}

// clearFilters drops all of c.
func (a *Allocator) clearFilters(c *client) {
	for agent := range c.filters { // any order: all of them go
		a.dropFilters(c, agent)
		a.wake(c)
	}
}

// Next is when the next filter ends, after which Allocate may have something to offer;
// false if there is none.
func (a *Allocator) Next() (at time.Duration, ok bool) {
	if len(a.filters) == 0 {
		return 0, false
	}
	return a.filters[0].until, true
}

// filterHeap has the filter that ends first at 0.
type filterHeap []*filter

func (h filterHeap) Len() int           { return len(h) }
func (h filterHeap) Less(i, j int) bool { return compareFilters(h[i], h[j]) < 0 }
func (h filterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push is of heap.Interface.
func (h *filterHeap) Push(x any) {
	f := x.(*filter)
	f.at = len(*h)
	*h = append(*h, f)
}

// Pop is of heap.Interface.
func (h *filterHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}
