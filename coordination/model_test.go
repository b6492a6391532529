package coordination

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// model is the tree in the plainest words: a map of paths.
type model struct {
	nodes  map[string]modelNode
	limits Limits
}

type modelNode struct {
	data             string
	version          int64
	create, modify   uint64
	created, changed uint64 // children
}

func (m *model) children(path string) (names []string) {
	prefix := strings.TrimSuffix(path, "/") + "/"
	for other := range m.nodes {
		if rest, ok := strings.CutPrefix(other, prefix); ok && rest != "" && !strings.Contains(rest, "/") {
			names = append(names, other)
		}
	}
	return names
}

func (m *model) below(path string) (paths []string) {
	for other := range m.nodes {
		if strings.HasPrefix(other, strings.TrimSuffix(path, "/")+"/") && other != path {
			paths = append(paths, other)
		}
	}
	return paths
}

func parentOf(path string) string { return path[:max(1, strings.LastIndex(path, "/"))] }

func (m *model) apply(index uint64, o Operation) Code {
	n, exists := m.nodes[o.Path]
	if o.Kind == Put {
		return m.put(index, o, n, exists)
	}
	switch {
	case !exists:
		return CodeNotFound
	case o.Path == "/":
		return CodeRoot
	case o.Version != AnyVersion && o.Version != n.version:
		return CodeVersion
	case len(m.children(o.Path)) > 0 && !o.Recursive:
		return CodeHasChildren
	case len(m.below(o.Path))+1 > m.limits.DeleteNodes:
		return CodeDeleteTooLarge
	}
	for _, path := range m.below(o.Path) {
		delete(m.nodes, path)
	}
	for path := o.Path; ; path = parentOf(path) {
		delete(m.nodes, path)
		parent := m.nodes[parentOf(path)]
		parent.changed = index
		m.nodes[parentOf(path)] = parent
		if parentOf(path) == "/" || parent.version > 0 || len(m.children(parentOf(path))) > 0 {
			return CodeOK
		}
	}
}

func (m *model) put(index uint64, o Operation, n modelNode, exists bool) Code {
	var missing []string
	for path := o.Path; ; path = parentOf(path) {
		if _, ok := m.nodes[path]; ok {
			break
		}
		missing = append(missing, path)
	}
	switch {
	case o.Version == Unwritten && n.version != 0 || o.Version > 0 && n.version != o.Version:
		return CodeVersion
	case len(o.Data) > m.limits.DataBytes:
		return CodeDataTooLarge
	case len(m.nodes)+len(missing) > m.limits.Nodes:
		return CodeTooManyNodes
	}
	for _, path := range slices.Backward(missing) {
		m.nodes[path] = modelNode{create: index, changed: index, modify: index}
		parent := m.nodes[parentOf(path)]
		parent.created++
		parent.changed = index
		m.nodes[parentOf(path)] = parent
	}
	n = m.nodes[o.Path]
	n.data, n.modify = string(o.Data), index
	n.version++
	m.nodes[o.Path] = n
	return CodeOK
}

// check compares everything that can be read.
func (m *model) check(t *rapid.T, tree *Tree) {
	page, err := tree.List(Listing{Path: "/", Recursive: true, Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	root, _ := tree.Get("/")
	all := append([]Node{root}, page.Nodes...)
	paths := slices.SortedFunc(maps.Keys(m.nodes), func(a, b string) int {
		return slices.Compare(strings.Split(strings.TrimSuffix(a, "/"), "/"), strings.Split(strings.TrimSuffix(b, "/"), "/"))
	})
	if got := strings.Fields(pathsOf(all)); !slices.Equal(got, paths) {
		t.Fatalf("got %q, want %q", got, paths)
	}
	for _, n := range all {
		s, w := n.Stat, m.nodes[n.Path]
		got := modelNode{string(n.Data), s.Version, s.CreateIndex, s.ModifyIndex, s.ChildrenCreated, s.ChildrenIndex}
		if got != w || s.Children != len(m.children(n.Path)) || s.DataBytes != len(w.data) {
			t.Fatalf("%s: got %+v, %d children, want %+v, %d", n.Path, got, s.Children, w, len(m.children(n.Path)))
		}
		if direct, err := tree.Get(n.Path); err != nil || direct.Stat != s {
			t.Fatalf("%s: listed %+v, got %+v, %v", n.Path, s, direct.Stat, err)
		}
	}
}

// follow carries out events on a copy of the tree, as a watcher would.
func follow(t *rapid.T, copied map[string]string, events []Event) {
	for _, e := range events {
		_, exists := copied[e.Path]
		if exists != (e.Kind != Created) {
			t.Fatalf("%s %s at %d, but it existed before: %t", e.Kind, e.Path, e.Index, exists)
		}
		if _, ok := copied[parentOf(e.Path)]; !ok {
			t.Fatalf("%s %s at %d, which has no parent", e.Kind, e.Path, e.Index)
		}
		if e.Kind == Deleted {
			delete(copied, e.Path)
		} else {
			copied[e.Path] = fmt.Sprintf("%d %s", e.Version, e.Data)
		}
	}
}

// TestTreeAgreesWithTheModel draws operations, and takes snapshots in between:
// one tree lives through all of it, another is restored now and then.
func TestTreeAgreesWithTheModel(t *testing.T) {
	limits := Limits{Nodes: 25, DataBytes: 5, DeleteNodes: 3}
	codes := make(map[Code]int)
	rapid.Check(t, func(rt *rapid.T) {
		lived, restarted := newReplica(t, limits), newReplica(t, limits)
		want := model{nodes: map[string]modelNode{"/": {}}, limits: limits}
		copied, watched := map[string]string{"/": "0 "}, uint64(0)
		var pictures []string
		for range rapid.IntRange(1, 100).Draw(rt, "operations") {
			switch rapid.IntRange(0, 12).Draw(rt, "what else") {
			case 0:
				restarted.restore(restarted.snapshot())
			case 1:
				pictures = append(pictures, lived.snapshot())
			}
			o := drawOperation(rt)
			code := want.apply(lived.index+1, o)
			codes[code]++
			a, b := lived.do(o), restarted.do(o)
			if !reflect.DeepEqual(a, b) || a.Code != code {
				rt.Fatalf("%d: %+v: got %+v and %+v, want code %d", lived.index, o, a, b, code)
			}
			if stat, _ := lived.Exists(o.Path); a.Code == CodeOK && o.Kind == Put && a.Stat != stat {
				rt.Fatalf("%d: %+v: result %+v, node %+v", lived.index, o, a.Stat, stat)
			}
			if rapid.IntRange(0, 3).Draw(rt, "watch") == 0 {
				page := restarted.since(watched, Watch{Path: "/", Scope: OnTree, Limit: 3})
				follow(rt, copied, page.Events)
				watched = page.Next
			}
			want.check(rt, lived.Tree)
		}
		follow(rt, copied, lived.since(watched, Watch{Path: "/", Scope: OnTree, Limit: 1 << 20}).Events)
		for path, n := range want.nodes {
			if copied[path] != fmt.Sprintf("%d %s", n.version, n.data) || len(copied) != len(want.nodes) {
				rt.Fatalf("the watcher has %q, want %+v", copied, want.nodes)
			}
		}
		want.check(rt, restarted.Tree)
		if lived.Digest() != restarted.Digest() || lived.snapshot() != restarted.snapshot() {
			rt.Fatal("digests or snapshots differ")
		}
		for _, p := range pictures {
			newReplica(t, limits).restore(p)
		}
	})
	t.Log(codes)
	if testing.Short() {
		return // too few operations to meet every code
	}
	for _, c := range []Code{CodeOK, CodeNotFound, CodeVersion, CodeHasChildren, CodeDataTooLarge, CodeTooManyNodes,
		CodeDeleteTooLarge, CodeRoot} {
		if codes[c] == 0 {
			t.Errorf("code %d never occurred: the test shows less than it says", c)
		}
	}
}

func drawOperation(t *rapid.T) Operation {
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "b!", "c"}), 0, 4).Draw(t, "path")
	o := Operation{Kind: Put, Path: "/" + strings.Join(names, "/"),
		Version: rapid.SampledFrom([]int64{AnyVersion, AnyVersion, AnyVersion, 1, 2, Unwritten}).Draw(t, "version")}
	if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
		o.Kind, o.Version = Delete, max(0, o.Version)
		o.Recursive = rapid.Bool().Draw(t, "recursive")
		return o
	}
	o.Data = []byte(rapid.StringMatching("[xyz]{0,6}").Draw(t, "data"))
	return o
}

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
