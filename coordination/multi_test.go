package coordination

import (
	"fmt"
	"strings"
	"testing"
)

func TestARefusedMultiLeavesNoTrace(t *testing.T) {
	r := newReplica(t, Limits{})
	me := r.open(Operation{})
	r.put("/a/b/c", "one")
	r.must(Operation{Kind: Create, Path: "/box", Mode: Container})
	r.createOwned(me, "/box/mine")
	r.must(Operation{Kind: Create, Path: "/old", Mode: TTL, TTL: 5})
	r.must(Operation{Kind: SetQuota, Path: "/a", QuotaNodes: 10, QuotaBytes: 100})
	good := []Operation{
		{Kind: Put, Path: "/a/b/c", Data: []byte("two")},
		{Kind: Put, Path: "/x/y/z", Data: []byte("new")},
		{Kind: Create, Path: "/x/n-", Sequential: true, Mode: Ephemeral},
		{Kind: Delete, Path: "/box/mine"},
		{Kind: Delete, Path: "/a", Recursive: true},
		{Kind: Create, Path: "/a/b", MakeParents: true},
		{Kind: Delete, Path: "/old"},
		{Kind: SetACL, Path: "/x", ACL: ACL{{MayRead | MayWrite, Principal{"world", "anyone"}}}},
		{Kind: Put, Path: "/x", Data: []byte("x")},
	}
	before, digest, status, quotas := r.snapshot(), r.digest, r.Status(), r.Quotas()
	failing := append(append([]Operation(nil), good...), Operation{Kind: Check, Path: "/none"}, good[0])
	result := r.do(Operation{Kind: Multi, Operations: failing, Caller: me})
	want(t, "code", result.Code, CodeNotFound)
	want(t, "failed", result.Failed, len(good))
	for i, part := range result.Results {
		code := CodeOK
		if i == len(good) {
			code = CodeNotFound
		} else if i > len(good) {
			code = CodeMulti
		}
		want(t, "part", part.Code, code)
	}
	want(t, "digest", r.digest, digest)
	same(t, "status", r.Status(), status)
	same(t, "quotas", r.Quotas(), quotas)
	same(t, "owned", r.Ephemerals(me.Session, 9), []string{"/box/mine"})
	r.applied = r.index - 1
	want(t, "snapshot", r.snapshot() == before, true)
	r.applied = r.index

	result = r.must(Operation{Kind: Multi, Operations: good, Caller: me})
	want(t, "numbered", result.Results[2].Path, "/x/n-0000000001")
	want(t, "paths", r.paths(), "/a /a/b /x /x/n-0000000001 /x/y /x/y/z")
	other := newReplica(t, Limits{})
	other.restore(r.snapshot())
	want(t, "restored", other.Digest(), r.Digest())
}

func TestLaterOperationsOfAMultiSeeEarlierOnes(t *testing.T) {
	r := newReplica(t, Limits{})
	result := r.must(Operation{Kind: Multi, Operations: []Operation{
		{Kind: Create, Path: "/a"}, {Kind: Create, Path: "/a/n", Sequential: true}, {Kind: Create, Path: "/a/n", Sequential: true},
		{Kind: Put, Path: "/a", Version: 1, Data: []byte("x")}, {Kind: Check, Path: "/a", Version: 2},
		{Kind: Delete, Path: "/a/n0000000000"}, {Kind: Put, Path: "/a", Version: 2}}})
	want(t, "paths", r.paths(), "/a /a/n0000000001")
	var told []string
	for _, part := range result.Results {
		told = append(told, fmt.Sprintf("%d %q v%d of %d", part.Nodes, part.Path, part.Stat.Version, part.Index))
	}
	want(t, "results", strings.Join(told, ", "), `1 "/a" v1 of 1, 1 "/a/n0000000000" v1 of 1, 1 "/a/n0000000001" v1 of 1, `+
		`1 "" v2 of 1, 0 "" v2 of 1, 1 "" v1 of 1, 1 "" v3 of 1`)
	want(t, "one index, events in order", story(r.since(0, Watch{Path: "/", Scope: OnTree}).Events), `1:created /a v1 ""
1:created /a/n0000000000 v1 ""
1:created /a/n0000000001 v1 ""
1:changed /a v2 "x"
1:deleted /a/n0000000000 v1 ""
1:changed /a v3 ""`)
	want(t, "an empty one", r.must(Operation{Kind: Multi}).Nodes, 0)
}

// The fencing token of a lock guards what is written under it.
func TestACheckTellsANodeFromItsSuccessor(t *testing.T) {
	r := newReplica(t, Limits{})
	token := r.put("/lock", "").Stat.CreateIndex
	guarded := Operation{Kind: Multi, Operations: []Operation{{Kind: Check, Path: "/lock", CreateIndex: token}, {Kind: Put, Path: "/target"}}}
	r.must(guarded)
	r.delete("/lock")
	want(t, "gone", r.do(guarded).Code, CodeNotFound)
	r.put("/lock", "")
	result := r.do(guarded)
	want(t, "another's", result.Code, CodeVersion)
	want(t, "Stat", result.Results[0].Stat, mustStat(r, "/lock"))
	want(t, "version of the target", mustStat(r, "/target").Version, 1)
	for _, kind := range []OperationKind{Put, Delete, SetACL} {
		want(t, "old token", r.do(Operation{Kind: kind, Path: "/lock", CreateIndex: token}).Code, CodeVersion)
		want(t, "no node", r.do(Operation{Kind: Put, Path: "/none", CreateIndex: token}).Code, CodeVersion)
	}
}

func TestTheSizeOfAMultiIsBounded(t *testing.T) {
	r := newReplica(t, Limits{MultiOperations: 3, DeleteNodes: 4})
	for _, path := range []string{"/a/1", "/a/2", "/b/1", "/b/2", "/c"} {
		r.put(path, "")
	}
	put := Operation{Kind: Put, Path: "/x"}
	want(t, "operations", r.do(Operation{Kind: Multi, Operations: []Operation{put, put, put, put}}).Code, CodeMultiTooLarge)
	a, b, c := Operation{Kind: Delete, Path: "/a", Recursive: true}, Operation{Kind: Delete, Path: "/b", Recursive: true}, Operation{Kind: Delete, Path: "/c"}
	result := r.do(Operation{Kind: Multi, Operations: []Operation{a, b}})
	want(t, "deletions together", [2]int{int(result.Code), result.Failed}, [2]int{int(CodeDeleteTooLarge), 1})
	want(t, "fewer", r.must(Operation{Kind: Multi, Operations: []Operation{a, c, put}}).Nodes, 5)
	want(t, "path", r.do(Operation{Kind: Multi, Operations: []Operation{{Kind: Put, Path: "a"}}}).Code, CodeInvalidPath)
}

// A node that a snapshot shares is cloned inside a Multi too, and stays as it was when
// that is taken back.
func TestARefusedMultiLeavesPicturesAlone(t *testing.T) {
	r := busyTree(t)
	wanted := r.snapshot()
	picture, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	r.do(Operation{Kind: Multi, Operations: []Operation{{Kind: Put, Path: "/a/0/0", Data: []byte("y")}, {Kind: Delete, Path: "/a/1", Recursive: true},
		{Kind: Put, Path: "/a/1/1"}, {Kind: Delete, Path: "/b-1"}, {Kind: Put, Path: "/b-1/c"}, {Kind: Check, Path: "/none"}}})
	want(t, "picture", written(t, picture) == wanted, true)
	r.put("/a/1/1", "later")
	want(t, "node", mustStat(r, "/a/1/1").Version, 2)
}
