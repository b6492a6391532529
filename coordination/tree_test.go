package coordination

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// replica drives a tree as package replica would, one index after the other.
type replica struct {
	*Tree
	t     testing.TB
	index uint64
	now   int64
}

func newReplica(t testing.TB, l Limits) *replica {
	t.Helper()
	tree, err := New(Config{Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	return &replica{Tree: tree, t: t, now: 1_700_000_000_000}
}

func (r *replica) do(o Operation) Result {
	r.t.Helper()
	r.index++
	r.now++
	result, err := DecodeResult(r.Apply(r.index, r.now, o.Append(nil)))
	if err != nil {
		r.t.Fatalf("%+v: %v", o, err)
	}
	if result.Index != r.index {
		r.t.Fatalf("%+v: index %d, want %d", o, result.Index, r.index)
	}
	return result
}

func (r *replica) put(path, data string) Result {
	r.t.Helper()
	return r.must(Operation{Kind: Put, Path: path, Data: []byte(data)})
}

func (r *replica) delete(path string) Result {
	r.t.Helper()
	return r.must(Operation{Kind: Delete, Path: path, Recursive: true})
}

func (r *replica) must(o Operation) Result {
	r.t.Helper()
	result := r.do(o)
	if err := result.Err(); err != nil {
		r.t.Fatalf("%+v: %v", o, err)
	}
	return result
}

// paths lists everything.
func (r *replica) paths() string {
	r.t.Helper()
	page, err := r.List(Listing{Path: Root, Recursive: true, Limit: 1 << 30})
	if err != nil {
		r.t.Fatal(err)
	}
	return pathsOf(page.Nodes)
}

func pathsOf(nodes []Node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.Path)
	}
	return strings.Join(all, " ")
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// same is want for what cannot be compared with ==.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %+v, want %+v", what, got, want)
	}
}

func TestPutCreatesWithItsParentsAndThenChanges(t *testing.T) {
	r := newReplica(t, Limits{})
	created := r.put("/a/b", "one")
	same(t, "created", created, Result{Index: 1, Nodes: 2, Stat: Stat{CreateIndex: 1, ModifyIndex: 1, ChildrenIndex: 1,
		CreateTime: r.now, ModifyTime: r.now, Version: 1, DataBytes: 3}})
	first := r.now
	changed := r.put("/a/b", "three")
	same(t, "changed", changed, Result{Index: 2, Nodes: 1, Stat: Stat{CreateIndex: 1, ModifyIndex: 2, ChildrenIndex: 1,
		CreateTime: first, ModifyTime: r.now, Version: 2, DataBytes: 5}})
	n, err := r.Get("/a/b")
	want(t, "error", err, nil)
	want(t, "data", string(n.Data), "three")
	want(t, "stat", n.Stat, changed.Stat)
	parent, err := r.Exists("/a")
	want(t, "error", err, nil)
	want(t, "parent", parent, Stat{CreateIndex: 1, ModifyIndex: 1, ChildrenIndex: 1, CreateTime: first,
		ModifyTime: first, ChildrenCreated: 1, Children: 1})
	want(t, "parent written", r.put("/a", "x").Stat.Version, 1)
	want(t, "root written", r.put("/", "x").Stat.Version, 1)
}

func TestAnOperationTakesPlaceOnlyAtTheExpectedVersion(t *testing.T) {
	r := newReplica(t, Limits{})
	r.put("/a", "")
	r.put("/a", "")
	r.put("/made/child", "")
	for _, c := range []struct {
		path    string
		version int64
		code    Code
	}{
		{"/a", 2, CodeOK}, {"/a", 1, CodeVersion}, {"/a", 3, CodeVersion}, {"/a", Unwritten, CodeVersion},
		{"/a", AnyVersion, CodeOK}, {"/new", Unwritten, CodeOK}, {"/new", 1, CodeVersion}, {"/new", AnyVersion, CodeOK},
		{"/made", Unwritten, CodeOK}, {"/made", 1, CodeVersion},
	} {
		for _, kind := range []OperationKind{Put, Delete} {
			if kind == Delete && c.version == Unwritten {
				continue
			}
			fork := newReplica(t, Limits{})
			fork.restore(r.snapshot())
			code := c.code
			if kind == Delete && c.path == "/new" {
				code = CodeNotFound
			}
			before := fork.paths()
			got := fork.do(Operation{Kind: kind, Path: c.path, Version: c.version, Recursive: kind == Delete})
			want(t, fmt.Sprintf("kind %d, %+v", kind, c), got.Code, code)
			if code != CodeOK {
				want(t, "after a refusal", fork.paths(), before)
				now, _ := fork.Exists(c.path)
				want(t, "Stat of the refusal", got.Stat, now)
			}
		}
	}
}

func TestDeleteTakesChildrenOnlyWhenTold(t *testing.T) {
	r := newReplica(t, Limits{})
	for _, path := range []string{"/a", "/a/b", "/a/b/c", "/a/d", "/ab"} {
		r.put(path, "x")
	}
	want(t, "with children", r.do(Operation{Kind: Delete, Path: "/a"}).Code, CodeHasChildren)
	want(t, "missing", r.do(Operation{Kind: Delete, Path: "/x"}).Code, CodeNotFound)
	want(t, "root", r.do(Operation{Kind: Delete, Path: "/", Recursive: true}).Code, CodeRoot)
	want(t, "nothing happened", r.paths(), "/a /a/b /a/b/c /a/d /ab")
	got := r.delete("/a/b")
	want(t, "nodes", got.Nodes, 2)
	want(t, "last version", got.Stat.Version, 1)
	want(t, "left", r.paths(), "/a /a/d /ab")
	_, err := r.Get("/a/b/c")
	want(t, "below", errors.Is(err, ErrNotFound), true)
	stat, _ := r.Exists("/a")
	want(t, "parent's cversion parts", [2]uint64{stat.ChildrenCreated, uint64(stat.Children)}, [2]uint64{2, 1})
	want(t, "parent's pzxid", stat.ChildrenIndex, r.index)
}

func TestParentsMadeImplicitlyGoWithTheirLastChild(t *testing.T) {
	r := newReplica(t, Limits{})
	r.put("/a/b/c/d", "x")
	r.put("/a/b/e", "x")
	r.delete("/a/b/c/d")
	want(t, "with a sibling", r.paths(), "/a /a/b /a/b/e")
	r.put("/a", "mine")
	want(t, "nodes deleted", r.delete("/a/b/e").Nodes, 2)
	want(t, "a written parent", r.paths(), "/a")
	r.delete("/a")
	empty := newReplica(t, Limits{}).Status()
	got := r.Status()
	want(t, "nodes and bytes", [2]int64{int64(got.Nodes), got.Bytes}, [2]int64{int64(empty.Nodes), empty.Bytes})
}

func TestLimitsRefuseAndChangeNothing(t *testing.T) {
	check := func(name string, l Limits, prepare func(*replica), o Operation, code Code) {
		t.Run(name, func(t *testing.T) {
			r := newReplica(t, l)
			prepare(r)
			before, events := r.paths(), r.Status()
			want(t, "code", r.do(o).Code, code)
			want(t, "paths", r.paths(), before)
			want(t, "status", r.Status(), events)
		})
	}
	three := func(r *replica) { r.put("/a", "x"); r.put("/b", "x") }
	check("nodes", Limits{Nodes: 3}, three, Operation{Kind: Put, Path: "/c"}, CodeTooManyNodes)
	check("nodes with parents", Limits{Nodes: 4}, three, Operation{Kind: Put, Path: "/c/d"}, CodeTooManyNodes)
	check("no new node", Limits{Nodes: 2}, func(*replica) {}, Operation{Kind: Delete, Path: "/a"}, CodeNotFound)
	full := int64(3*nodeOverhead + len("/") + 2*len("/ax"))
	check("bytes", Limits{TreeBytes: full}, three, Operation{Kind: Put, Path: "/a", Data: []byte("xy")}, CodeTreeFull)
	check("bytes of a new node", Limits{TreeBytes: full + nodeOverhead}, three, Operation{Kind: Put, Path: "/c"}, CodeTreeFull)
	check("data", Limits{DataBytes: 3}, three, Operation{Kind: Put, Path: "/a", Data: []byte("long")}, CodeDataTooLarge)
	check("delete", Limits{DeleteNodes: 2}, func(r *replica) { r.put("/a/b", ""); r.put("/a/c", "") },
		Operation{Kind: Delete, Path: "/a", Recursive: true}, CodeDeleteTooLarge)
	check("path", Limits{}, three, Operation{Kind: Put, Path: "/a//b"}, CodeInvalidPath)
	r := newReplica(t, Limits{Nodes: 3, TreeBytes: full, DataBytes: 1, DeleteNodes: 1})
	three(r)
	r.put("/a", "y") // all of them just reached
	r.delete("/b")
	r.put("/b", "z")
}

func TestPaths(t *testing.T) {
	long := strings.Repeat("x", MaxNameBytes)
	deep := strings.Repeat("/d", MaxDepth)
	for _, good := range []string{"/", "/a", "/a/b.c", "/...", "/.a", "/ä/日本", "/ space", "/" + long, deep} {
		if err := CheckPath(good); err != nil {
			t.Errorf("%.40q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a", "//", "/a/", "/a//b", "/.", "/..", "/a/../b", "/a\x00", "/a\x1f", "/\x7f",
		"/\u0085", "/\ue000", "/\uffff", "/\ufffd", "/\xff", "/a\xc3", "/" + long + "x", deep + "/d",
		strings.Repeat("/"+long, 5)} {
		if err := CheckPath(bad); !errors.Is(err, ErrInvalidPath) {
			t.Errorf("%.40q: got %v", bad, err)
		}
		r := newReplica(t, Limits{})
		if code := r.do(Operation{Kind: Put, Path: bad}).Code; code == CodeOK || r.Status().Nodes != 1 {
			t.Errorf("%.40q was put: code %d", bad, code)
		}
		for what, err := range map[string]error{"Get": second(r.Get(bad)), "List": second(r.List(Listing{Path: bad})),
			"EventsSince": second(r.EventsSince(0, Watch{Path: bad}))} {
			if !errors.Is(err, ErrInvalidPath) {
				t.Errorf("%s(%.40q): got %v", what, bad, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestListingsComeInSortedPages(t *testing.T) {
	r := newReplica(t, Limits{})
	var children, all []string
	for i := range 300 {
		child := fmt.Sprintf("/dir/%c-%03d", 'a'+i%3, i*7%300)
		children = append(children, child)
		all = append(all, child)
		r.put(child, "x")
		if i%10 == 0 {
			all = append(all, child+"/sub")
			r.put(child+"/sub", "x")
		}
	}
	r.put("/dir!", "x") // sorts before /dir/... as bytes, but is not below it
	byComponent := func(a, b string) int {
		return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
	}
	slices.SortFunc(children, byComponent)
	slices.SortFunc(all, byComponent)
	for _, limit := range []int{1, 7, 150, 300, 1000} {
		for _, recursive := range []bool{false, true} {
			wanted := children
			if recursive {
				wanted = all
			}
			var got []string
			l := Listing{Path: "/dir", Recursive: recursive, Limit: limit}
			for {
				page, err := r.List(l)
				want(t, "error", err, nil)
				if len(page.Nodes) > limit {
					t.Fatalf("a page of %d nodes, want at most %d", len(page.Nodes), limit)
				}
				for _, n := range page.Nodes {
					got = append(got, n.Path)
				}
				if l.After = page.Next; l.After == "" {
					break
				}
			}
			if !slices.Equal(got, wanted) {
				t.Fatalf("limit %d, recursive %t: got %d paths, want %d", limit, recursive, len(got), len(wanted))
			}
		}
	}
}

func TestAListingGoesOnAfterANodeThatIsGone(t *testing.T) {
	r := newReplica(t, Limits{})
	for _, path := range []string{"/a/1", "/a/2/x", "/a/2/y", "/a/3"} {
		r.put(path, "")
	}
	r.delete("/a/2")
	for _, recursive := range []bool{false, true} {
		page, err := r.List(Listing{Path: "/a", After: "/a/2/x", Recursive: recursive})
		want(t, "error", err, nil)
		want(t, "rest", pathsOf(page.Nodes), "/a/3")
	}
	for _, after := range []string{"/a", "/b", "/ab", "a", "/a/"} {
		if _, err := r.List(Listing{Path: "/a", After: after}); !errors.Is(err, ErrInvalidPath) {
			t.Errorf("after %q: got %v", after, err)
		}
	}
	_, err := r.List(Listing{Path: "/none"})
	want(t, "no such node", errors.Is(err, ErrNotFound), true)
}

func TestApplyKeepsNoPartOfTheCommand(t *testing.T) {
	r := newReplica(t, Limits{})
	command := Operation{Kind: Put, Path: "/a", Data: []byte("data")}.Append(nil)
	r.Apply(1, 1, command)
	clear(command)
	n, err := r.Get("/a")
	want(t, "error", err, nil)
	want(t, "data", string(n.Data), "data")
	page, _ := r.EventsSince(0, Watch{Path: "/a"})
	want(t, "event", string(page.Events[0].Data), "data")
}

func TestNotifyTellsOfChangesOnly(t *testing.T) {
	r := newReplica(t, Limits{})
	var told []uint64
	r.Notify(func(index uint64) { told = append(told, index) })
	r.put("/a", "")
	r.do(Operation{Kind: Delete, Path: "/none"})
	r.delete("/a")
	want(t, "told", fmt.Sprint(told), "[1 3]")
	want(t, "last", r.LastIndex(), 3)
	r.restore(r.snapshot())
	want(t, "told of the restore", fmt.Sprint(told), "[1 3 3]")
}

func TestConfigIsChecked(t *testing.T) {
	for name, l := range map[string]Limits{"Nodes": {Nodes: -1}, "DataBytes": {DataBytes: maxDataBytes + 1}} {
		if _, err := New(Config{Limits: l}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEachCodeHasItsError(t *testing.T) {
	seen := make(map[string]Code)
	for c := CodeMalformed; c <= CodeQuotaTooLarge+1; c++ {
		err := c.Err()
		if err == nil {
			t.Fatalf("code %d has no error", c)
		}
		if other, ok := seen[err.Error()]; ok {
			t.Fatalf("codes %d and %d share %q", other, c, err)
		}
		seen[err.Error()] = c
	}
}
