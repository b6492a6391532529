package coordination

import (
	"fmt"
	"testing"
)

// The suffix is how many children the parent has had, whoever they were; cversion
// is 2*ChildrenCreated - Children (1.5, "Tree").
func TestASequentialNameCountsAllChildrenThereWere(t *testing.T) {
	r := newReplica(t, Limits{})
	sequential := func(path string) Result {
		return r.must(Operation{Kind: Create, Path: path, Sequential: true, MakeParents: true})
	}
	want(t, "below a new parent", sequential("/q/n-").Path, "/q/n-0000000000")
	r.put("/q", "") // now it stays without children
	r.put("/q/other", "")
	want(t, "after another child", sequential("/q/n-").Path, "/q/n-0000000002")
	r.delete("/q/n-0000000002")
	r.delete("/q/other")
	want(t, "after deletions", sequential("/q/").Path, "/q/0000000003")
	stat := mustStat(r, "/q")
	want(t, "cversion", 2*int(stat.ChildrenCreated)-stat.Children, 6)
	want(t, "below the root", sequential("/n").Path, "/n0000000001")

	sequential("/gone/n-")
	r.delete("/gone/n-0000000000")
	want(t, "a parent that vanished begins anew", sequential("/gone/n-").Path, "/gone/n-0000000000")
}

// A signed number of 32 bits would turn negative: ten digits would no longer sort.
func TestASequenceEndsInsteadOfWrapping(t *testing.T) {
	r := newReplica(t, Limits{})
	r.put("/q", "")
	q := r.nodes["/q"]
	q.stat.ChildrenCreated = MaxSequence
	r.account(q)
	o := Operation{Kind: Create, Path: "/q/n-", Sequential: true}
	want(t, "the last", r.must(o).Path, "/q/n-2147483647")
	want(t, "behind it", r.do(o).Code, CodeSequence)
	o.Sequential = false
	want(t, "without a number", r.do(o).Code, CodeOK)
}

// What ephemeralOwner says (1.5, "Tree"), and how the rest of Stat maps.
func TestTheOwnerTellsHowLongANodeLives(t *testing.T) {
	r := newReplica(t, Limits{})
	me := r.open(Operation{})
	for _, c := range []struct {
		mode  Mode
		ttl   int64
		owner int64
	}{{Persistent, 0, 0}, {Ephemeral, 0, int64(me.Session)}, {Container, 0, -1 << 63}, {TTL, 77, -1<<56 + 77}, {TTL, MaxTTL, -1<<56 + MaxTTL}} {
		result := r.must(Operation{Kind: Create, Path: "/n", Sequential: true, Mode: c.mode, TTL: c.ttl, Caller: me})
		want(t, "owner", int64(result.Stat.Owner), c.owner)
		want(t, "mode", result.Stat.Mode(), c.mode)
		want(t, "czxid, mzxid, pzxid", [3]uint64{result.Stat.CreateIndex, result.Stat.ModifyIndex, result.Stat.ChildrenIndex},
			[3]uint64{r.index, r.index, r.index})
		want(t, "dataVersion and aversion", [2]int64{result.Stat.Version - 1, result.Stat.ACLVersion}, [2]int64{0, 0})
	}
	for name, o := range map[string]Operation{"TTL without one": {Mode: TTL}, "TTL of another": {TTL: 5}} {
		o.Kind, o.Path = Create, "/x"
		want(t, name, r.do(o).Code, CodeMalformed)
	}
}

func TestEphemeralNodesHaveNoChildren(t *testing.T) { // -108 in ZooKeeper
	r := newReplica(t, Limits{})
	me := r.open(Operation{})
	r.createOwned(me, "/e")
	for _, o := range []Operation{{Kind: Create, Path: "/e/x"}, {Kind: Put, Path: "/e/x"}, {Kind: Put, Path: "/e/x/y"},
		{Kind: Create, Path: "/e/x/y", MakeParents: true}, {Kind: Create, Path: "/e/", Sequential: true}} {
		want(t, fmt.Sprintf("%+v", o), r.do(o).Code, CodeEphemeralParent)
	}
	want(t, "without a session", r.do(Operation{Kind: Create, Path: "/x", Mode: Ephemeral}).Code, CodeSession)
	want(t, "put by another", r.put("/e", "x").Stat.Owner, me.Session)
	want(t, "deleted by another", r.delete("/e").Nodes, 1)
	want(t, "owned", len(r.Ephemerals(me.Session, 9)), 0)
}

func TestACreateNeedsAParentAndAnEmptyPlace(t *testing.T) {
	r := newReplica(t, Limits{})
	want(t, "no parent", r.do(Operation{Kind: Create, Path: "/a/b"}).Code, CodeNoParent)
	want(t, "with parents", r.must(Operation{Kind: Create, Path: "/a/b", MakeParents: true}).Nodes, 2)
	there := r.do(Operation{Kind: Create, Path: "/a/b"})
	want(t, "there is one", there.Code, CodeExists)
	want(t, "its Stat", there.Stat, mustStat(r, "/a/b"))
	want(t, "the root", r.do(Operation{Kind: Create, Path: "/"}).Code, CodeExists)
	for _, path := range []string{"", "x", "/a/", "//"} {
		want(t, path, r.do(Operation{Kind: Create, Path: path}).Code, CodeInvalidPath)
		if path != "/a/" {
			want(t, path, r.do(Operation{Kind: Create, Path: path, Sequential: true}).Code, CodeInvalidPath)
		}
	}
}

func TestAContainerGoesWithItsLastChildButNotBeforeItsFirst(t *testing.T) {
	r := newReplica(t, Limits{})
	r.must(Operation{Kind: Create, Path: "/box", Mode: Container})
	r.put("/other", "")
	want(t, "empty from the start", r.paths(), "/box /other")
	r.put("/box/a", "")
	r.put("/box/b", "")
	r.put("/box", "written") // does not keep it
	r.delete("/box/a")
	want(t, "with a child", r.paths(), "/box /box/b /other")
	want(t, "nodes", r.delete("/box/b").Nodes, 2)
	want(t, "gone", r.paths(), "/other")
}

func TestNodesAreReapedWhenTheirTimeHasCome(t *testing.T) {
	r := newReplica(t, Limits{DeleteNodes: 2})
	epoch := r.must(Operation{Kind: ClaimSessions}).Index
	reap := func(now int64) uint64 {
		r.now = now - 1
		return r.must(Operation{Kind: Reap, Epoch: epoch}).Nodes
	}
	_, ok := r.NextTTL()
	want(t, "nothing to reap", ok, false)
	for i, path := range []string{"/late", "/a", "/b", "/c", "/parent", "/made/x"} {
		r.now = 1000 - 1
		ttl := int64(100)
		if i == 0 {
			ttl = 500
		}
		r.must(Operation{Kind: Create, Path: path, Mode: TTL, TTL: ttl, MakeParents: true})
	}
	r.put("/parent/child", "")
	r.now = 1050 - 1
	r.put("/c", "again")
	at, _ := r.NextTTL()
	want(t, "next", at, 1100)
	want(t, "too early", reap(1099), 0)
	want(t, "two at most", reap(1100), 2)
	want(t, "paths", r.paths(), "/c /late /made /made/x /parent /parent/child")
	want(t, "with its parent", reap(1100), 2)
	want(t, "written later", reap(1149), 0)
	want(t, "its time", reap(1150), 1)
	r.delete("/parent/child")
	at, _ = r.NextTTL()
	want(t, "overdue without its child", at, 1100)
	want(t, "reaped", reap(1151), 1)
	want(t, "left", r.paths(), "/late")
	want(t, "by another", r.do(Operation{Kind: Reap, Epoch: epoch + 1}).Code, CodeEpoch)
}
