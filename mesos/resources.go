package mesos

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Milli is a scalar in thousandths: 1500 is 1.5. Sums and differences of it are exact,
// which those of a float64 are not.
type Milli int64

// One and MaxMilli are the scalar 1 and the largest there is.
const (
	One      Milli = 1000
	MaxMilli Milli = math.MaxInt64
)

// MilliOf rounds a scalar of the Mesos API to the nearest thousandth. It is false for what
// is no amount: negative, not a number, or more than MaxMilli.
func MilliOf(f float64) (Milli, bool) {
	thousandths := math.Round(f * 1000)
	if !(f >= 0 && thousandths < float64(MaxMilli)) {
		return 0, false
	}
	return Milli(thousandths), true
}

// String is the scalar as a decimal, as ParseResources reads it.
func (m Milli) String() string {
	sign, u := "", uint64(m)
	if m < 0 {
		sign, u = "-", -u
	}
	if u%1000 == 0 {
		return fmt.Sprintf("%s%d", sign, u/1000)
	}
	return strings.TrimRight(fmt.Sprintf("%s%d.%03d", sign, u/1000, u%1000), "0")
}

// Kind is how a resource is counted.
type Kind uint8

// The kinds, with the numbers of the Mesos API.
const (
	ScalarKind Kind = 0
	RangesKind Kind = 1
	SetKind    Kind = 2
)

// Range is the numbers from Begin to End, both among them.
type Range struct{ Begin, End uint64 }

// Resource is so much of one thing, reserved for a role or not. Of Scalar, Ranges and Set
// only the one of its Kind is looked at.
type Resource struct {
	Name string
	// Role is whom it is reserved for: nobody if empty or "*".
	Role   string
	Kind   Kind
	Scalar Milli
	Ranges []Range
	Set    []string
}

// MaxResourceParts bounds what NewResources, ParseResources and DecodeResources take: each
// scalar, range and member of a set is a part. Add has no bound of its own.
const MaxResourceParts = 4096

// ErrResources is matched by what is wrong with resources from outside.
var ErrResources = errors.New("mesos: bad resources")

// Resources is what an agent has, an offer holds or a task takes. It is a value: no method
// changes it, and the zero value is nothing.
type Resources struct {
	// all is ordered by key and has each key once, nothing that is empty, ranges in
	// ascending order with gaps between them, sets in ascending order without doubles.
	all []Resource
}

// NewResources adds up the list. The error matches [ErrResources].
func NewResources(list ...Resource) (Resources, error) {
	parts := 0
	for i := range list {
		if err := list[i].check(); err != nil {
			return Resources{}, err
		}
		if parts += max(list[i].parts(), 1); parts > MaxResourceParts {
			return Resources{}, fmt.Errorf("%w: more than %d parts", ErrResources, MaxResourceParts)
		}
	}
	sorted := make([]Resource, len(list))
	for i, r := range list {
		sorted[i] = r.normal()
	}
	slices.SortStableFunc(sorted, compareKeys)
	var out []Resource
	for _, r := range sorted {
		switch last := len(out) - 1; {
		case r.empty():
		case last >= 0 && compareKeys(out[last], r) == 0:
			out[last] = union(out[last], r)
		default:
			out = append(out, r)
		}
	}
	return Resources{all: out}, nil
}

// List is what r is made of, ordered by name, role and kind. It is the caller's, but for
// the slices in it, which must not be changed.
func (r Resources) List() []Resource { return slices.Clone(r.all) }

// Empty reports whether r is nothing.
func (r Resources) Empty() bool { return len(r.all) == 0 }

// Scalar is how much of a scalar there is over all roles, at most MaxMilli.
func (r Resources) Scalar(name string) Milli {
	var sum Milli
	for i := range r.all {
		if r.all[i].Name == name && r.all[i].Kind == ScalarKind {
			sum = addMilli(sum, r.all[i].Scalar)
		}
	}
	return sum
}

// For is what a framework of the role may be offered: what is not reserved, and what is
// reserved for it.
func (r Resources) For(role string) Resources {
	role = bareRole(role)
	return r.filter(func(x *Resource) bool { return x.Role == "" || x.Role == role })
}

// filter keeps what keep says; without a copy if that is all.
func (r Resources) filter(keep func(*Resource) bool) Resources {
	n := 0
	for i := range r.all {
		if keep(&r.all[i]) {
			n++
		}
	}
	if n == len(r.all) {
		return r
	}
	if n == 0 {
		return Resources{}
	}
	out := make([]Resource, 0, n)
	for i := range r.all {
		if keep(&r.all[i]) {
			out = append(out, r.all[i])
		}
	}
	return Resources{all: out}
}

func compareKeys(a, b Resource) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	if c := strings.Compare(a.Role, b.Role); c != 0 {
		return c
	}
	return cmp.Compare(a.Kind, b.Kind)
}

// bareRole is the role of what is reserved for role: "*" stands for no reservation.
func bareRole(role string) string {
	if role == "*" {
		return ""
	}
	return role
}

func (r *Resource) empty() bool { return r.parts() == 0 }

func (r *Resource) parts() int {
	switch r.Kind {
	case ScalarKind:
		if r.Scalar > 0 {
			return 1
		}
		return 0
	case RangesKind:
		return len(r.Ranges)
	default:
		return len(r.Set)
	}
}

func (r *Resource) check() error {
	if !isWord(r.Name) {
		return fmt.Errorf("%w: name %s", ErrResources, quoteShort(r.Name))
	}
	if r.Role != "" && !isWord(r.Role) {
		return fmt.Errorf("%w: role %s of %s", ErrResources, quoteShort(r.Role), r.Name)
	}
	switch r.Kind {
	case ScalarKind:
		if r.Scalar < 0 {
			return fmt.Errorf("%w: %s is %v", ErrResources, r.Name, r.Scalar)
		}
	case RangesKind:
		for _, x := range r.Ranges {
			if x.Begin > x.End {
				return fmt.Errorf("%w: %s has the range %d-%d", ErrResources, r.Name, x.Begin, x.End)
			}
		}
	case SetKind:
		for _, x := range r.Set {
			if !isWord(x) {
				return fmt.Errorf("%w: %s has the member %s", ErrResources, r.Name, quoteShort(x))
			}
		}
	default:
		return fmt.Errorf("%w: %s is of kind %d", ErrResources, r.Name, r.Kind)
	}
	return nil
}

// normal is r as Resources has it, with slices of its own.
func (r Resource) normal() Resource {
	out := Resource{Name: r.Name, Role: bareRole(r.Role), Kind: r.Kind}
	switch r.Kind {
	case ScalarKind:
		out.Scalar = r.Scalar
	case RangesKind:
		out.Ranges = joinRanges(slices.Clone(r.Ranges))
	case SetKind:
		out.Set = slices.Clone(r.Set)
		slices.Sort(out.Set)
		out.Set = slices.Compact(out.Set)
	}
	return out
}

// isWord reports whether s may be a name, a role or a member of a set: 1 to MaxNameBytes
// of printable ASCII without spaces and without what the text form is made of.
func isWord(s string) bool {
	if s == "" || len(s) > MaxNameBytes {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte(";:,()[]{}", s[i]) >= 0 {
			return false
		}
	}
	return true
}

// quoteShort is for messages.
func quoteShort(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	return fmt.Sprintf("%q", s)
}
