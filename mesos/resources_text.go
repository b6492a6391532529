package mesos

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseResources reads what people write: resources separated by semicolons, each a name, a
// colon and a scalar, ranges in brackets or a set in braces. A role in parentheses after
// the name is whom it is reserved for.
//
//	cpus:4;mem:1024;ports:[31000-31999,33000-33001];disks:{a,b};cpus(web):0.5
//
// Scalars have at most three decimals. What is there twice is added. The error matches
// [ErrResources].
func ParseResources(text string) (Resources, error) {
	var list []Resource
	for field := range strings.SplitSeq(text, ";") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		if len(list) == MaxResourceParts {
			return Resources{}, fmt.Errorf("%w: more than %d parts", ErrResources, MaxResourceParts)
		}
		r, err := parseResource(field)
		if err != nil {
			return Resources{}, err
		}
		list = append(list, r)
	}
	return NewResources(list...)
}

func parseResource(field string) (Resource, error) {
	bad := fmt.Errorf("%w: %s", ErrResources, quoteShort(field))
	name, value, ok := strings.Cut(field, ":")
	if !ok {
		return Resource{}, fmt.Errorf("%w has no colon", bad)
	}
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	r := Resource{Name: name}
	if head, role, reserved := strings.Cut(name, "("); reserved {
		role, ok = strings.CutSuffix(role, ")")
		if r.Name, r.Role = strings.TrimSpace(head), strings.TrimSpace(role); !ok || r.Role == "" {
			return Resource{}, fmt.Errorf("%w has no role in its parentheses", bad)
		}
	}
	switch inner, kind := unwrap(value); kind {
	case RangesKind:
		r.Kind = RangesKind
		r.Ranges, ok = parseRanges(inner)
	case SetKind:
		r.Kind = SetKind
		r.Set, ok = splitList(inner)
	default:
		r.Scalar, ok = parseMilli(value)
	}
	if !ok {
		return Resource{}, fmt.Errorf("%w has the value %s", bad, quoteShort(value))
	}
	return r, nil
}

// unwrap tells by its brackets which kind of value it is.
func unwrap(value string) (inner string, kind Kind) {
	if len(value) < 2 {
		return value, ScalarKind
	}
	switch inner = value[1 : len(value)-1]; {
	case value[0] == '[' && value[len(value)-1] == ']':
		return inner, RangesKind
	case value[0] == '{' && value[len(value)-1] == '}':
		return inner, SetKind
	default:
		return value, ScalarKind
	}
}

// splitList is false for more than MaxResourceParts.
func splitList(inner string) ([]string, bool) {
	if strings.TrimSpace(inner) == "" {
		return nil, true
	}
	list := strings.SplitN(inner, ",", MaxResourceParts+1)
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list, len(list) <= MaxResourceParts
}

func parseRanges(inner string) ([]Range, bool) {
	list, ok := splitList(inner)
	if !ok {
		return nil, false
	}
	var ranges []Range
	for _, x := range list {
		first, last, ok := strings.Cut(x, "-")
		begin, err := strconv.ParseUint(strings.TrimSpace(first), 10, 64)
		end, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 64)
		if !ok || err != nil || err2 != nil {
			return nil, false
		}
		ranges = append(ranges, Range{begin, end})
	}
	return ranges, true
}

func parseMilli(text string) (Milli, bool) {
	whole, decimals, point := strings.Cut(text, ".")
	if len(decimals) > 3 || point && decimals == "" {
		return 0, false
	}
	units, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || units > uint64(MaxMilli)/1000 {
		return 0, false
	}
	thousandths, err := strconv.ParseUint((decimals + "000")[:3], 10, 63)
	if err != nil || units*1000+thousandths > math.MaxInt64 {
		return 0, false
	}
	return Milli(units*1000 + thousandths), true
}

// String is r in the form that ParseResources reads, which gives back the same if r has no
// more than MaxResourceParts.
func (r Resources) String() string {
	var b strings.Builder
	for i := range r.all {
		if i > 0 {
			b.WriteByte(';')
		}
		r.all[i].write(&b)
	}
	return b.String()
}

func (r *Resource) write(b *strings.Builder) {
	b.WriteString(r.Name)
	if r.Role != "" {
		b.WriteString("(" + r.Role + ")")
	}
	b.WriteByte(':')
	switch r.Kind {
	case ScalarKind:
		b.WriteString(r.Scalar.String())
	case RangesKind:
		for i, x := range r.Ranges {
			fmt.Fprintf(b, "%c%d-%d", "[,"[min(i, 1)], x.Begin, x.End)
		}
		b.WriteByte(']')
	default:
		b.WriteString("{" + strings.Join(r.Set, ",") + "}")
	}
}
