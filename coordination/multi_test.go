package coordination

import "testing"

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
