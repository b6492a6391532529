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
	var quotas []Quota
	for _, n := range all {
		m.checkNode(t, tree, n)
	}
	for _, path := range slices.Sorted(maps.Keys(m.nodes)) {
		if n := m.nodes[path]; n.quota != [2]int64{} {
			used := m.used(path)
			quotas = append(quotas, Quota{path, n.quota[0], n.quota[1], used[0], used[1]})
		}
	}
	if got := tree.Quotas(); !slices.Equal(got, quotas) {
		t.Fatalf("got quotas %+v, want %+v", got, quotas)
	}
	m.checkSessions(t, tree)
}

func (m *model) checkNode(t *rapid.T, tree *Tree, n Node) {
	s, w := n.Stat, m.nodes[n.Path]
	acl, version, err := tree.Access(n.Path)
	got := modelNode{string(n.Data), s.Version, s.CreateIndex, s.ModifyIndex, s.ChildrenCreated, s.ChildrenIndex,
		s.ModifyTime, s.Mode(), 0, 0, acl, s.ACLVersion, w.quota}
	switch got.mode {
	case Ephemeral:
		got.session = s.Owner
	case TTL:
		got.ttl = int64(s.Owner & uint64(MaxTTL))
	}
	if !reflect.DeepEqual(got, w) || s.Children != len(m.children(n.Path)) || s.DataBytes != len(w.data) ||
		err != nil || version != s.ACLVersion {
		t.Fatalf("%s: got %+v, %d children, %v, want %+v, %d", n.Path, got, s.Children, err, w, len(m.children(n.Path)))
	}
	if direct, err := tree.Get(n.Path); err != nil || direct.Stat != s {
		t.Fatalf("%s: listed %+v, got %+v, %v", n.Path, s, direct.Stat, err)
	}
}

func (m *model) checkSessions(t *rapid.T, tree *Tree) {
	var all []SessionInfo
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		s := m.sessions[id]
		s.Ephemerals = len(m.owned(id))
		all = append(all, s)
		if got := tree.Ephemerals(id, 1000); !slices.Equal(got, m.owned(id)) {
			t.Fatalf("session %d owns %q, want %q", id, got, m.owned(id))
		}
		if !tree.HoldsKey(id, m.keys[id]) || tree.HoldsKey(id, SessionKey{99}) {
			t.Fatalf("session %d: key is not known, or any is", id)
		}
	}
	if got := tree.SessionsAfter(0, 1000); !slices.Equal(got, all) || tree.Status().Sessions != len(all) || tree.Epoch() != m.claimed {
		t.Fatalf("got sessions %+v, claimed at %d, want %+v, %d", got, tree.Epoch(), all, m.claimed)
	}
	at, ok := tree.NextTTL()
	if due := m.due(); ok != (len(due) > 0) || ok && at != m.deadline(due[0]) {
		t.Fatalf("next TTL at %d, %t, want %q", at, ok, due)
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
	limits := Limits{Nodes: 9, DataBytes: 5, DeleteNodes: 2, Sessions: 3, SessionEphemerals: 1, MultiOperations: 5}
	codes := make(map[Code]int)
	rapid.Check(t, func(rt *rapid.T) {
		lived, restarted := newReplica(t, limits), newReplica(t, limits)
		want := newModel(lived.limits)
		copied, watched := map[string]string{"/": "0 "}, uint64(0)
		var pictures []string
		for range rapid.SampledFrom([]int{5, 20, 90, 250}).Draw(rt, "operations") {
			switch rapid.IntRange(0, 12).Draw(rt, "what else") {
			case 0:
				restarted.restore(restarted.snapshot())
			case 1:
				pictures = append(pictures, lived.snapshot())
			}
			o := want.draw(rt)
			out := want.apply(lived.index+1, lived.now+1, o)
			codes[out.code]++
			a, b := lived.do(o), restarted.do(o)
			if !reflect.DeepEqual(a, b) || outcomeOf(a) != out {
				rt.Fatalf("%d: %+v: got %+v and %+v, want %+v", lived.index, o, a, b, out)
			}
			at := a.Path
			if at == "" {
				at = o.Path
			}
			if stat, _ := lived.Exists(at); a.Code == CodeOK && o.Kind != Delete && a.Stat != stat {
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
		if lived.Digest() != restarted.Digest() || lived.snapshot() != restarted.snapshot() || lived.Status() != restarted.Status() {
			rt.Fatal("digests, snapshots or figures differ")
		}
		for _, p := range pictures {
			newReplica(t, limits).restore(p)
		}
	})
	t.Log(codes)
	if testing.Short() {
		return // too few operations to meet every code
	}
	for c := CodeOK; c <= CodeQuotaTooLarge; c++ {
		// Tests of their own have those that need giants; CodeMulti is only in parts.
		apart := []Code{CodeTreeFull, CodeSequence, CodeMulti}
		if codes[c] == 0 && !slices.Contains(apart, c) {
			t.Errorf("code %d never occurred: the test shows less than it says", c)
		}
	}
}

var (
	ann    = Principal{"digest", "ann:x"}
	anyone = Principal{"world", "anyone"}
)

var drawnACLs = []ACL{nil, nil, nil, nil, nil, nil, nil, {{MayAll, anyone}}, {{MayRead | MayCreate, anyone}, {MayAll, ann}},
	{{MayAll, Principal{"ip", "10.0.0.0/8"}}}, {{MayAll, Principal{"auth", ""}}}, {}, {{MayAll, Principal{"nonsense", "x"}}}}

var drawnPrincipals = [][]Principal{nil, {ann}, {{"ip", "10.1.2.3"}}, {{"ip", "11.1.2.3"}, ann}, {{"super", "root"}}}

// draw draws an operation that has a fair chance to be carried out.
func (m *model) draw(t *rapid.T) Operation {
	o := m.drawKind(t)
	if o.Kind == Multi {
		for range rapid.IntRange(0, 6).Draw(t, "parts") {
			o.Operations = append(o.Operations, m.drawOne(t))
		}
	}
	if o.Kind < OpenSession || o.Kind == CloseSession {
		o.Caller = m.drawCaller(t)
		o.Caller.Principals = rapid.SampledFrom(drawnPrincipals).Draw(t, "principals")
	}
	if o.Kind == ExpireSessions || o.Kind == Reap || o.Kind == AttachSessions {
		o.Epoch = m.claimed
		if rapid.IntRange(0, 4).Draw(t, "old") == 0 {
			o.Epoch++
		}
	}
	return o
}

func (m *model) drawKind(t *rapid.T) Operation {
	switch rapid.IntRange(0, 25).Draw(t, "kind") { // small numbers are drawn more often
	case 25:
		o := Operation{Kind: AttachSessions}
		for range rapid.IntRange(0, 3).Draw(t, "attached") {
			o.Sessions = append(o.Sessions, m.drawCaller(t).Session)
			o.Connections = append(o.Connections, rapid.Uint64Range(0, 4).Draw(t, "connection"))
		}
		return o
	case 24, 23:
		return Operation{Kind: OpenSession, Caller: Caller{Key: testKey}}
	case 22:
		return Operation{Kind: CloseSession}
	case 21:
		return Operation{Kind: ClaimSessions}
	case 20, 19, 18:
		o := Operation{Kind: ExpireSessions}
		for range rapid.IntRange(0, 3).Draw(t, "expired") {
			o.Sessions = append(o.Sessions, m.drawCaller(t).Session)
		}
		return o
	case 17:
		return Operation{Kind: Reap}
	case 16, 15, 14, 13, 12:
		return Operation{Kind: Multi}
	default:
		return m.drawOne(t)
	}
}

// drawCaller mostly draws one with an open session.
func (m *model) drawCaller(t *rapid.T) Caller {
	ids := slices.Sorted(maps.Keys(m.sessions))
	switch n := rapid.IntRange(0, 29).Draw(t, "caller"); {
	case n > 25 || n < 29 && len(ids) == 0:
		return Caller{}
	case n == 25:
		return Caller{Session: m.index + 1, Key: testKey} // is over, or never was
	case n == 24:
		return Caller{Session: ids[0], Key: SessionKey{8}}
	default:
		return Caller{Session: rapid.SampledFrom(ids).Draw(t, "session"), Key: testKey}
	}
}

// drawOne draws an operation on a node.
func (m *model) drawOne(t *rapid.T) Operation {
	o := Operation{Path: m.drawPath(t),
		Kind: rapid.SampledFrom([]OperationKind{Create, Put, Create, Delete, Create, Put, Check, SetACL, SetQuota}).Draw(t, "kind")}
	if n := m.nodes[o.Path]; o.Kind < Create || o.Kind == Check || o.Kind == SetACL {
		o.Version = rapid.SampledFrom([]int64{AnyVersion, AnyVersion, AnyVersion, AnyVersion, 1, 2}).Draw(t, "version")
		o.CreateIndex = rapid.SampledFrom([]uint64{0, 0, 0, 0, n.create, n.create, n.create + 1}).Draw(t, "create index")
	}
	switch o.Kind {
	case Put:
		if o.Version == 2 {
			o.Version = Unwritten
		}
		o.Data = []byte(rapid.StringMatching("[xyz]{0,6}").Draw(t, "data"))
	case Delete:
		o.Recursive = rapid.Bool().Draw(t, "recursive")
	case Create:
		m.drawCreate(t, &o)
	case SetACL:
		o.ACL = rapid.SampledFrom(drawnACLs).Draw(t, "acl")
	case SetQuota:
		o.QuotaNodes = rapid.Int64Range(0, 4).Draw(t, "nodes")
		o.QuotaBytes = rapid.Int64Range(0, 8).Draw(t, "bytes")
	}
	return o
}

// drawPath draws one near what there is.
func (m *model) drawPath(t *rapid.T) string {
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "b!", "c"}), 0, 2).Draw(t, "names")
	base := "/"
	if rapid.Bool().Draw(t, "near") {
		base = rapid.SampledFrom(slices.Sorted(maps.Keys(m.nodes))).Draw(t, "base")
	}
	if len(names) == 0 {
		return base
	}
	return strings.TrimSuffix(base, "/") + "/" + strings.Join(names, "/")
}

func (m *model) drawCreate(t *rapid.T, o *Operation) {
	o.Data = []byte(rapid.StringMatching("[xyz]{0,6}").Draw(t, "data"))
	o.Mode = rapid.SampledFrom([]Mode{Ephemeral, Ephemeral, Persistent, Container, TTL}).Draw(t, "mode")
	o.Sequential = rapid.IntRange(0, 3).Draw(t, "sequential") == 0
	o.MakeParents = rapid.Bool().Draw(t, "make parents")
	o.ACL = rapid.SampledFrom(drawnACLs).Draw(t, "acl")
	if o.Mode == TTL {
		o.TTL = rapid.Int64Range(1, 20).Draw(t, "ttl")
	}
	if o.Sequential && rapid.Bool().Draw(t, "digits alone") {
		o.Path += "/" // after the root an empty name comes to be
	}
}
