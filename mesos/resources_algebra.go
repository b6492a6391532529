package mesos

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// Add is both together. Scalars are summed up to MaxMilli; ranges and sets are united, so
// what both have is there once.
func (r Resources) Add(o Resources) Resources { return merge(r, o, union) }

// Sub is what is left of r without o. It is false, and the rest nothing, if r does not
// contain o.
func (r Resources) Sub(o Resources) (rest Resources, ok bool) {
	if !r.Contains(o) {
		return Resources{}, false
	}
	return r.without(o), true
}

// Contains reports whether r has all of o. What is reserved for a role contains only what
// is reserved for the same.
func (r Resources) Contains(o Resources) bool {
	i := 0
	for j := range o.all {
		for i < len(r.all) && compareKeys(r.all[i], o.all[j]) < 0 {
			i++
		}
		if i == len(r.all) || compareKeys(r.all[i], o.all[j]) != 0 || !r.all[i].contains(&o.all[j]) {
			return false
		}
	}
	return true
}

// Equal reports whether both are the same.
func (r Resources) Equal(o Resources) bool {
	return slices.EqualFunc(r.all, o.all, func(x, y Resource) bool {
		return compareKeys(x, y) == 0 && x.Scalar == y.Scalar && slices.Equal(x.Ranges, y.Ranges) && slices.Equal(x.Set, y.Set)
	})
}

// without is r less what of o it has.
func (r Resources) without(o Resources) Resources { return merge(r, o, difference) }

// common is what both have.
func (r Resources) common(o Resources) Resources { return merge(r, o, intersection) }

// withoutAnyRole is r less o, of which it does not matter whom it is reserved for: what
// nobody has reserved goes first, then the roles in their order.
func (r Resources) withoutAnyRole(o Resources) Resources {
	for i := range o.all {
		left := o.all[i]
		for j := range r.all {
			if r.all[j].Name != left.Name || r.all[j].Kind != left.Kind {
				continue
			}
			left.Role = r.all[j].Role
			taken := intersection(r.all[j], left)
			left = difference(left, taken)
			r = r.keep(j, difference(r.all[j], taken))
		}
	}
	return r.filter(func(x *Resource) bool { return !x.empty() })
}

// keep is r with x at i.
func (r Resources) keep(i int, x Resource) Resources {
	all := slices.Clone(r.all)
	all[i] = x
	return Resources{all: all}
}

// merge applies f to what each has of a key, which is empty if one has nothing.
func merge(r, o Resources, f func(x, y Resource) Resource) Resources {
	out := make([]Resource, 0, max(len(r.all), len(o.all)))
	i, j := 0, 0
	for i < len(r.all) || j < len(o.all) {
		var x, y Resource
		c := -1
		if i == len(r.all) {
			c = 1
		} else if j < len(o.all) {
			c = compareKeys(r.all[i], o.all[j])
		}
		if c <= 0 {
			x = r.all[i]
			i++
		}
		if c >= 0 {
			y = o.all[j]
			j++
		}
		if c < 0 {
			y = Resource{Name: x.Name, Role: x.Role, Kind: x.Kind}
		} else if c > 0 {
			x = Resource{Name: y.Name, Role: y.Role, Kind: y.Kind}
		}
		if z := f(x, y); !z.empty() {
			out = append(out, z)
		}
	}
	if len(out) == 0 {
		return Resources{}
	}
	return Resources{all: out}
}

// union, difference and intersection are of two resources of the same key.
func union(x, y Resource) Resource {
	x.Scalar = addMilli(x.Scalar, y.Scalar)
	if len(y.Ranges) > 0 {
		x.Ranges = joinRanges(slices.Concat(x.Ranges, y.Ranges))
	}
	if len(y.Set) > 0 {
		x.Set = slices.Concat(x.Set, y.Set)
		slices.Sort(x.Set)
		x.Set = slices.Compact(x.Set)
	}
	return x
}

func difference(x, y Resource) Resource {
	x.Scalar = max(x.Scalar-y.Scalar, 0)
	if len(y.Ranges) > 0 {
		x.Ranges = cutRanges(x.Ranges, y.Ranges)
	}
	if len(y.Set) > 0 {
		x.Set = selectWords(x.Set, y.Set, false)
	}
	return x
}

func intersection(x, y Resource) Resource {
	x.Scalar = min(x.Scalar, y.Scalar)
	if x.Kind == RangesKind {
		x.Ranges = cutRanges(x.Ranges, cutRanges(x.Ranges, y.Ranges))
	}
	if x.Kind == SetKind {
		x.Set = selectWords(x.Set, y.Set, true)
	}
	return x
}

func (r *Resource) contains(o *Resource) bool {
	if r.Scalar < o.Scalar {
		return false
	}
	for _, x := range o.Ranges {
		i := sort.Search(len(r.Ranges), func(i int) bool { return r.Ranges[i].End >= x.Begin })
		if i == len(r.Ranges) || r.Ranges[i].Begin > x.Begin || r.Ranges[i].End < x.End {
			return false
		}
	}
	for _, x := range o.Set {
		if _, ok := slices.BinarySearch(r.Set, x); !ok {
			return false
		}
	}
	return true
}

func addMilli(a, b Milli) Milli {
	if a > MaxMilli-b {
		return MaxMilli
	}
	return a + b
}

// joinRanges orders the ranges and joins those that touch, in place.
func joinRanges(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.Begin, b.Begin) })
	var out = ranges[:0]
	for _, x := range ranges {
		if last := len(out) - 1; last >= 0 && (out[last].End == math.MaxUint64 || x.Begin <= out[last].End+1) {
			out[last].End = max(out[last].End, x.End)
			continue
		}
		out = append(out, x)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// cutRanges is a without b, both as joinRanges makes them.
func cutRanges(a, b []Range) []Range {
	var out []Range
	for _, x := range a {
		for len(b) > 0 && b[0].End < x.Begin {
			b = b[1:]
		}
		whole := false // nothing is left of x
		for i := 0; i < len(b) && b[i].Begin <= x.End; i++ {
			if b[i].Begin > x.Begin {
				out = append(out, Range{x.Begin, b[i].Begin - 1})
			}
			if whole = b[i].End >= x.End; whole {
				break
			}
			x.Begin = b[i].End + 1
		}
		if !whole {
			out = append(out, x)
		}
	}
	return out
}

// selectWords is those of a that b has, or has not. Both are in ascending order.
func selectWords(a, b []string, has bool) []string {
	var out []string
	for _, x := range a {
		if _, ok := slices.BinarySearch(b, x); ok == has {
			out = append(out, x)
		}
	}
	return out
}
