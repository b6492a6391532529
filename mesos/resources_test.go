package mesos

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func resources(t testing.TB, text string) Resources {
	t.Helper()
	r, err := ParseResources(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTextIsReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		" ; ":                          "",
		"cpus:4;mem:1024":              "cpus:4;mem:1024",
		"mem:1024 ; cpus : 0.5;":       "cpus:0.5;mem:1024",
		"cpus:1.001;cpus:1.9":          "cpus:2.901",
		"cpus(*):2;cpus:1":             "cpus:3",
		"cpus( web ):2;cpus:1":         "cpus:1;cpus(web):2",
		"cpus:0;ports:[];disks:{}":     "",
		"ports:[5-9,1-2,3-4,8-12]":     "ports:[1-12]",
		"ports:[5-6, 1 - 2]":           "ports:[1-2,5-6]",
		"disks:{b, a,b}":               "disks:{a,b}",
		"disks:3;disks:{a}":            "disks:3;disks:{a}", // two things of one name
		"x:[0-18446744073709551615]":   "x:[0-18446744073709551615]",
		"cpus:9223372036854775.807":    "cpus:9223372036854775.807",
		"cpus:9223372036854775;cpus:9": "cpus:9223372036854775.807",
		"cpus(eng/web):1;zones:{eu-1}": "cpus(eng/web):1;zones:{eu-1}",
	} {
		if got := resources(t, text).String(); got != want {
			t.Errorf("%q was read as %q, want %q", text, got, want)
		}
	}
}

func TestBadTextIsRefused(t *testing.T) {
	long := strings.Repeat("x", MaxNameBytes+1)
	for _, text := range []string{"cpus", "cpus:", ":1", "cpus:x", "cpus:-1", "cpus:+1", "cpus:1e3", "cpus:0x1", "cpus:NaN", "cpus:1.", "cpus:.5",
		"cpus:1.0001", "cpus:1.-1", "cpus:1.2.3", "cpus:9223372036854775.808", "cpus:18446744073709552", "cpus:99999999999999999999", "cpus:1 2", "c pus:1", "cpüs:1",
		"cpus():1", "cpus(a:1", "cpus(a)b:1", "cpus)a(:1", "cpus(a b):1", "(a):1", "ports:[1-]", "ports:[1]", "ports:[2-1]", "ports:[-1-2]", "ports:[1-2,]",
		"ports:[1-2", "ports:1-2]", "ports:[1-18446744073709551616]", "disks:{a,}", "disks:{a;b}", "disks:{a b}", "disks:{{a}}", "disks:{a", "[", "a:[", "a:}",
		long + ":1", "cpus(" + long + "):1", "disks:{" + long + "}",
		strings.Repeat("a:1;", MaxResourceParts+1), "a:[" + strings.Repeat("1-1,", MaxResourceParts) + "2-2]", "a:{" + strings.Repeat("a,", MaxResourceParts) + "a}",
		"a:1;a:[" + strings.Repeat("1-1,", MaxResourceParts-1) + "2-2]",
	} {
		if r, err := ParseResources(text); !errors.Is(err, ErrResources) || !r.Empty() || len(err.Error()) > 500 {
			t.Errorf("%.60q was read as %.60q, %v", text, r.String(), err)
		}
	}
}

func TestScalarsOfTheAPIAreRounded(t *testing.T) {
	for f, want := range map[float64]Milli{0: 0, 0.1 + 0.2: 300, 0.0004: 0, 0.0006: 1, 1e15: 1e18} {
		if got, ok := MilliOf(f); got != want || !ok {
			t.Errorf("MilliOf(%v) is %v, %v, want %v", f, got, ok, want)
		}
	}
	for _, f := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1), 1e16} {
		if got, ok := MilliOf(f); ok {
			t.Errorf("MilliOf(%v) is %v", f, got)
		}
	}
	if got := Milli(math.MinInt64).String(); got != "-9223372036854775.808" {
		t.Error(got)
	}
}

func TestWhatAFrameworkMayBeOffered(t *testing.T) {
	r := resources(t, "cpus:1;cpus(a):2;cpus(b):4;ports(b):[1-2];disks:{x}")
	for role, want := range map[string]string{"a": "cpus:1;cpus(a):2;disks:{x}", "*": "cpus:1;disks:{x}", "": "cpus:1;disks:{x}", "c": "cpus:1;disks:{x}"} {
		if got := r.For(role).String(); got != want {
			t.Errorf("%s may be offered %s, want %s", role, got, want)
		}
	}
	if got := r.Scalar("cpus"); got != 7*One {
		t.Errorf("%v cpus over all roles, want 7", got)
	}
	if got := r.Scalar("ports") + r.Scalar("mem"); got != 0 {
		t.Errorf("ranges were counted as a scalar: %v", got)
	}
	if got := resources(t, "cpus:9223372036854775;cpus(a):9223372036854775").Scalar("cpus"); got != MaxMilli {
		t.Errorf("a sum beyond all is %v, want %v", got, MaxMilli)
	}
}

func TestReservedAndFreeAreNotTheSame(t *testing.T) {
	reserved, free := resources(t, "cpus(a):2"), resources(t, "cpus:2")
	if reserved.Contains(free) || free.Contains(reserved) || free.Equal(reserved) {
		t.Error("one contains the other")
	}
	if rest, ok := free.Sub(reserved); ok || !rest.Empty() {
		t.Errorf("took one from the other, leaving %v", rest)
	}
}

func TestContains(t *testing.T) {
	for _, c := range []struct {
		r, o string
		want bool
	}{
		{"cpus:1;mem:2", "mem:2", true}, {"cpus:1", "cpus:1.001", false}, {"cpus:1", "mem:1", false}, {"mem:1", "cpus:1", false},
		{"p:[3-5,7-9]", "p:[3-3,5-5,8-9]", true}, {"p:[3-5,7-9]", "p:[2-3]", false}, {"p:[3-5,7-9]", "p:[5-6]", false},
		{"p:[3-5,7-9]", "p:[5-7]", false}, {"p:[3-5,7-9]", "p:[9-10]", false}, {"p:[3-5,7-9]", "p:[10-11]", false},
		{"s:{a,b}", "s:{b}", true}, {"s:{a,b}", "s:{b,c}", false}, {"x:1", "x:{a}", false},
	} {
		if got := resources(t, c.r).Contains(resources(t, c.o)); got != c.want {
			t.Errorf("%s contains %s: %v", c.r, c.o, got)
		}
	}
}

// What is in excess comes off whatever the role.
func TestWithoutAnyRole(t *testing.T) {
	for _, c := range [][3]string{
		{"cpus:1;cpus(a):2;cpus(b):3", "cpus(c):4", "cpus(b):2"},
		{"cpus(b):3;mem:1", "cpus:2;cpus(c):9;mem:2", ""},
		{"ports:[1-4];ports(a):[5-8];s(a):{x,y}", "ports(b):[3-6];s:{y,z}", "ports:[1-2];ports(a):[7-8];s(a):{x}"},
	} {
		if got := resources(t, c[0]).withoutAnyRole(resources(t, c[1])).String(); got != c[2] {
			t.Errorf("%s without %s is %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// model is resources as plain counts: of thousandths, numbers and members.
type model map[string]int

func modelOf(r Resources) model {
	m := model{}
	for _, x := range r.List() {
		key := fmt.Sprintf("%s(%s)%d", x.Name, x.Role, x.Kind)
		if x.Kind == ScalarKind {
			m[key] = int(x.Scalar)
		}
		for _, span := range x.Ranges {
			for n := span.Begin; ; n++ {
				m[fmt.Sprintf("%s %d", key, n)] = 1
				if n == span.End {
					break
				}
			}
		}
		for _, member := range x.Set {
			m[key+" "+member] = 1
		}
	}
	return m
}

// equal reports whether m is r, of which everything must be in its normal form.
func (m model) equal(r Resources) bool {
	o := modelOf(r)
	for key := range m {
		if m[key] != o[key] {
			return false
		}
	}
	again, err := NewResources(r.List()...)
	return err == nil && again.Equal(r) && len(o) <= len(m)
}

func genResource(t *rapid.T) Resource {
	r := Resource{Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"), Role: rapid.SampledFrom([]string{"", "*", "r", "s"}).Draw(t, "role")}
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		r.Scalar = Milli(rapid.IntRange(0, 5).Draw(t, "scalar"))
	case 1:
		r.Kind = RangesKind
		for range rapid.IntRange(0, 4).Draw(t, "ranges") {
			low := rapid.SampledFrom([]uint64{0, 5, math.MaxUint64 - 9}).Draw(t, "low")
			begin := rapid.Uint64Range(0, 9).Draw(t, "begin")
			r.Ranges = append(r.Ranges, Range{low + begin, low + rapid.Uint64Range(begin, 9).Draw(t, "end")})
		}
	default:
		r.Kind = SetKind
		r.Set = rapid.SliceOfN(rapid.SampledFrom([]string{"x", "y", "z"}), 0, 4).Draw(t, "set")
	}
	return r
}

var genResources = rapid.Custom(func(t *rapid.T) Resources {
	r, err := NewResources(rapid.SliceOfN(rapid.Custom(genResource), 0, 6).Draw(t, "list")...)
	if err != nil {
		t.Fatal(err)
	}
	return r
})

// combined is the model of f for each key of both.
func combined(r, o Resources, f func(x, y int, scalar bool) int) model {
	m, n := modelOf(r), modelOf(o)
	out := model{}
	for _, keys := range []model{m, n} {
		for key := range keys {
			if count := f(m[key], n[key], !strings.Contains(key, " ")); count > 0 {
				out[key] = count
			}
		}
	}
	return out
}

func TestTheAlgebraIsThatOfCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, o := genResources.Draw(t, "r"), genResources.Draw(t, "o")
		before := [2]string{r.String(), o.String()}
		for _, c := range []struct {
			name string
			got  Resources
			want model
		}{
			{"Add", r.Add(o), combined(r, o, func(x, y int, scalar bool) int {
				if scalar {
					return x + y
				}
				return max(x, y)
			})},
			{"without", r.without(o), combined(r, o, func(x, y int, _ bool) int { return x - y })},
			{"common", r.common(o), combined(r, o, func(x, y int, _ bool) int { return min(x, y) })},
		} {
			if !c.want.equal(c.got) {
				t.Fatalf("%v %s %v is %v, want %v", r, c.name, o, c.got, c.want)
			}
		}
		lacks := combined(r, o, func(x, y int, _ bool) int { return y - x })
		rest, ok := r.Sub(o)
		if contains := len(lacks) == 0; r.Contains(o) != contains || ok != contains || ok && !rest.Equal(r.without(o)) || !ok && !rest.Empty() {
			t.Fatalf("%v contains %v: %v, Sub %v %v, lacks %v", r, o, r.Contains(o), rest, ok, lacks)
		}
		if equal := len(lacks) == 0 && len(combined(o, r, func(x, y int, _ bool) int { return y - x })) == 0; r.Equal(o) != equal {
			t.Fatalf("%v equals %v: %v", r, o, !equal)
		}
		if after := [2]string{r.String(), o.String()}; after != before {
			t.Fatalf("%v became %v", before, after)
		}
	})
}

func TestBothFormsGiveBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genResources.Draw(t, "r")
		got, err := ParseResources(r.String())
		if err != nil || !got.Equal(r) {
			t.Fatalf("%v was read as %v, %v", r, got, err)
		}
		encoded := r.Append([]byte("before"))[len("before"):]
		if got, err = DecodeResources(encoded); err != nil || !got.Equal(r) {
			t.Fatalf("%v was decoded as %v, %v", r, got, err)
		}
		for n := range encoded {
			if cut, err := DecodeResources(encoded[:n]); !errors.Is(err, ErrResources) {
				t.Fatalf("%d of %d bytes of %v were read as %v", n, len(encoded), r, cut)
			}
		}
	})
}

func TestAListIsNotSharedWithItsMaker(t *testing.T) {
	list := []Resource{{Name: "p", Kind: RangesKind, Ranges: []Range{{5, 6}, {1, 2}}}, {Name: "s", Kind: SetKind, Set: []string{"b", "a"}}}
	r, err := NewResources(list...)
	if err != nil {
		t.Fatal(err)
	}
	list[0].Ranges[0], list[1].Set[0] = Range{}, "x"
	list = r.List()
	list[0].Name = "q"
	if got := r.String(); got != "p:[1-2,5-6];s:{a,b}" {
		t.Error(got)
	}
}

func TestTheEncodingIsWhatItsTableSays(t *testing.T) {
	r := resources(t, "s(r):{a,bc};p:[3-4,260-260];cpus:0.2")
	want := "\x03" + "\x04cpus\x00\x00\xc8\x01" + "\x01p\x00\x01\x02\x03\x01\x80\x02\x00" + "\x01s\x01r\x02\x02\x01a\x02bc"
	if got := string(r.Append(nil)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOnlyTheOneEncodingIsRead(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":              "",
		"a rest":               "\x00\x00",
		"long count":           "\x80\x00",
		"many":                 "\xff\xff\x03" + strings.Repeat("\x01a\x00\x00\x01", 100),
		"zero":                 "\x01\x01a\x00\x00\x00",
		"twice":                "\x02\x01a\x00\x00\x01\x01a\x00\x00\x01",
		"order":                "\x02\x01b\x00\x00\x01\x01a\x00\x00\x01",
		"star":                 "\x01\x01a\x01*\x00\x01",
		"kind":                 "\x01\x01a\x00\x02\x01",
		"empty name":           "\x01\x00\x00\x00\x01",
		"bad name":             "\x01\x01;\x00\x00\x01",
		"below zero":           "\x01\x01a\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"ranges that touch":    "\x01\x01a\x00\x01\x02\x01\x00\x01\x00",
		"ranges that turn":     "\x01\x01a\x00\x01\x01\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"members out of order": "\x01\x01a\x00\x03\x02\x01b\x01a",
		"many members":         "\x01\x01a\x00\x03\xff\x7f\x01b\x01a",
	} {
		if r, err := DecodeResources([]byte(data)); !errors.Is(err, ErrResources) {
			t.Errorf("%s: %q was read as %v", name, data, r)
		}
	}
}

func FuzzParseResources(f *testing.F) {
	for _, text := range []string{"cpus:4;mem:1024;ports:[31000-31999,33000-33001];disks:{a,b}", "cpus(web):0.5;cpus:1", "a:[", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseResources(text)
		if err != nil {
			return
		}
		again, err := ParseResources(r.String())
		if err != nil || !again.Equal(r) {
			t.Fatalf("%q is %q, which is read as %q, %v", text, r, again, err)
		}
		decoded, err := DecodeResources(r.Append(nil))
		if err != nil || !decoded.Equal(r) || !r.Contains(decoded) || !slices.Equal(decoded.Append(nil), r.Append(nil)) {
			t.Fatalf("%q was decoded as %q, %v", r, decoded, err)
		}
	})
}

func FuzzDecodeResources(f *testing.F) {
	for _, text := range []string{"cpus:4;mem:1024;ports:[31000-31999,33000-33001];disks:{a,b}", "cpus(web):0.5;cpus:1", ""} {
		f.Add(resources(f, text).Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeResources(data)
		if err != nil {
			return
		}
		if got := r.Append(nil); !slices.Equal(got, data) {
			t.Fatalf("%q is %q, which is written as %q", data, r, got)
		}
		again, err := ParseResources(r.String())
		if err != nil || !again.Equal(r) {
			t.Fatalf("%q was read as %q, %v", r, again, err)
		}
	})
}
