package mesos

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// amount is a scalar summed over agents: 128 bits, which no number of them overflows.
type amount struct {
	name      string
	high, low uint64
}

// float may be fused with whatever uses it: the product is exact.
func (a *amount) float() float64 { return math.Ldexp(float64(a.high), 64) + float64(a.low) }

// tally is scalars over all roles, summed over agents, ordered by name, none of them 0.
type tally []amount

// add counts r in, sub counts it out.
func (t *tally) add(r Resources) {
	for i := range r.all {
		if x := &r.all[i]; x.Kind == ScalarKind {
			a := t.at(x.Name)
			var carry uint64
			a.low, carry = bits.Add64(a.low, uint64(x.Scalar), 0)
			a.high += carry
		}
	}
}

func (t *tally) sub(r Resources) {
	for i := range r.all {
		if x := &r.all[i]; x.Kind == ScalarKind {
			a := t.at(x.Name)
			var borrow uint64
			a.low, borrow = bits.Sub64(a.low, uint64(x.Scalar), 0)
			if a.high < borrow {
				panic(fmt.Sprintf("mesos: %v %s were counted out of %v", x.Scalar, x.Name, *t))
			}
			a.high -= borrow
		}
	}
	*t = slices.DeleteFunc(*t, func(a amount) bool { return a.high == 0 && a.low == 0 })
}

// at is the amount of that name, made if it is not there.
func (t *tally) at(name string) *amount {
	i, ok := slices.BinarySearchFunc(*t, name, func(a amount, name string) int { return strings.Compare(a.name, name) })
	if !ok {
		*t = slices.Insert(*t, i, amount{name: name})
	}
	return &(*t)[i]
}

// room is how much of limit t leaves, at least 0 and at most MaxMilli.
func (t tally) room(name string, limit Milli) Milli {
	for i := range t {
		if a := &t[i]; a.name == name {
			if a.high > 0 || a.low >= uint64(limit) {
				return 0
			}
			return limit - Milli(a.low)
		}
	}
	return limit
}

// share is the dominant share of t in total (DRF section 4): the largest fraction that it
// has of anything. What total has nothing of does not count.
func (t tally) share(total tally) float64 {
	share := 0.0
	i := 0
	for j := range t {
		for i < len(total) && total[i].name < t[j].name {
			i++
		}
		if i < len(total) && total[i].name == t[j].name {
			share = max(share, t[j].float()/total[i].float())
		}
	}
	return share
}

// contender is who stands in a sorter: a role, or a framework in one of its roles.
type contender struct {
	name   string
	used   tally // allocated to it, on all agents
	weight Milli
	share  float64 // the dominant share over the weight, as of the sorter's last look
	at     int     // the place in its sorter, if listed
	listed bool
}

func (c *contender) look(total tally) { c.share = c.used.share(total) * 1000 / float64(c.weight) }

func compareContenders(a, b *contender) int {
	if c := cmp.Compare(a.share, b.share); c != 0 {
		return c
	}
	return strings.Compare(a.name, b.name)
}

// contending is a type that has a contender in it.
type contending interface{ contend() *contender }

// sorter has those who want offers, the lowest share first and equals by name.
type sorter[T contending] struct {
	list []T
	// total is the version of the cluster's total that the shares were computed with.
	total uint64
}

func (s *sorter[T]) insert(x T, total tally) {
	c := x.contend()
	c.look(total)
	c.at, c.listed = len(s.list), true
	s.list = append(s.list, x)
	s.sift(c.at)
}

func (s *sorter[T]) remove(x T) {
	c := x.contend()
	s.list = slices.Delete(s.list, c.at, c.at+1)
	c.listed = false
	for i := c.at; i < len(s.list); i++ {
		s.list[i].contend().at = i
	}
}

// update puts x where it belongs after its usage or weight has changed.
func (s *sorter[T]) update(x T, total tally) {
	c := x.contend()
	if c.listed {
		c.look(total)
		s.sift(c.at)
	}
}

// sift moves the one at i to its place among the others, which are in order.
func (s *sorter[T]) sift(i int) {
	less := func(i, j int) bool { return compareContenders(s.list[i].contend(), s.list[j].contend()) < 0 }
	for ; i > 0 && less(i, i-1); i-- {
		s.swap(i, i-1)
	}
	for ; i+1 < len(s.list) && less(i+1, i); i++ {
		s.swap(i, i+1)
	}
}

func (s *sorter[T]) swap(i, j int) {
	s.list[i], s.list[j] = s.list[j], s.list[i]
	s.list[i].contend().at, s.list[j].contend().at = i, j
}

// sorted is the list, which is in order by the total of that version.
func (s *sorter[T]) sorted(total tally, version uint64) []T {
	if s.total == version {
		return s.list
	}
	s.total = version
	for _, x := range s.list {
		x.contend().look(total)
	}
	slices.SortFunc(s.list, func(a, b T) int { return compareContenders(a.contend(), b.contend()) })
	for i, x := range s.list {
		x.contend().at = i
	}
	return s.list
}
