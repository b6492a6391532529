package coordination

import (
	"strings"
	"testing"
)

func TestAQuotaBoundsWhatStandsBelowIt(t *testing.T) {
	r := newReplica(t, Limits{})
	r.put("/q", "12")
	r.put("/q/sub/x", "345")
	r.put("/q/sub", "")
	want(t, "missing", r.do(Operation{Kind: SetQuota, Path: "/none", QuotaNodes: 1}).Code, CodeNotFound)
	r.must(Operation{Kind: SetQuota, Path: "/q", QuotaNodes: 4, QuotaBytes: 9})
	r.must(Operation{Kind: SetQuota, Path: "/q/sub", QuotaBytes: 3})
	same(t, "quotas", r.Quotas(), []Quota{{"/q", 4, 9, 3, 5}, {"/q/sub", 0, 3, 2, 3}})

	want(t, "bytes of the inner one", r.do(Operation{Kind: Put, Path: "/q/sub/x", Data: []byte("3456")}).Code, CodeQuota)
	want(t, "as many bytes", r.do(Operation{Kind: Put, Path: "/q/sub/x", Data: []byte("abc")}).Code, CodeOK)
	want(t, "bytes of the outer one", r.do(Operation{Kind: Put, Path: "/q", Data: []byte("1234567")}).Code, CodeQuota)
	want(t, "nodes with a parent", r.do(Operation{Kind: Put, Path: "/q/y/z"}).Code, CodeQuota)
	want(t, "a node", r.do(Operation{Kind: Create, Path: "/q/y"}).Code, CodeOK)
	want(t, "one more", r.do(Operation{Kind: Create, Path: "/q/z"}).Code, CodeQuota)
	multi := r.do(Operation{Kind: Multi, Operations: []Operation{{Kind: Delete, Path: "/q/y"}, {Kind: Put, Path: "/q/1"}, {Kind: Put, Path: "/q/2"}}})
	want(t, "inside a Multi", [2]int{int(multi.Code), multi.Failed}, [2]int{int(CodeQuota), 2})
	want(t, "elsewhere", r.do(Operation{Kind: Put, Path: "/qq", Data: []byte(strings.Repeat("x", 99))}).Code, CodeOK)

	r.must(Operation{Kind: SetQuota, Path: "/q", QuotaNodes: 1, QuotaBytes: 1})
	want(t, "under excess less data", r.do(Operation{Kind: Put, Path: "/q", Data: []byte("1")}).Code, CodeOK)
	want(t, "under excess a deletion", r.do(Operation{Kind: Delete, Path: "/q/y"}).Code, CodeOK)
	same(t, "quotas in excess", r.Quotas(), []Quota{{"/q", 1, 1, 3, 4}, {"/q/sub", 0, 3, 2, 3}})
	other := newReplica(t, Limits{})
	other.restore(r.snapshot())
	same(t, "restored", other.Quotas(), r.Quotas())

	r.delete("/q/sub")
	r.must(Operation{Kind: SetQuota, Path: "/q"})
	same(t, "gone with its node, and taken away", r.Quotas(), []Quota(nil))
	want(t, "free again", r.do(Operation{Kind: Put, Path: "/q/a/b/c", Data: []byte("12345")}).Code, CodeOK)
}

func TestAQuotaIsRefusedWhereTooManyNodesWouldHaveToBeCounted(t *testing.T) {
	r := newReplica(t, Limits{DeleteNodes: 4})
	for _, path := range []string{"/a/1", "/a/2", "/a/3", "/b/x/1", "/b/x/2", "/b/x/3", "/b/y/1"} {
		r.put(path, "1")
	}
	set := func(path string) Code { return r.do(Operation{Kind: SetQuota, Path: path, QuotaNodes: 99}).Code }
	want(t, "seven, and five others", set("/b"), CodeQuotaTooLarge)
	same(t, "quotas", r.Quotas(), []Quota(nil))
	want(t, "none needs no count", r.do(Operation{Kind: SetQuota, Path: "/b"}).Code, CodeOK)
	want(t, "four", set("/a"), CodeOK)
	want(t, "seven, but two around a counted one", set("/b"), CodeOK)
	want(t, "the tree", set("/"), CodeOK)
	same(t, "all", r.Quotas(), []Quota{{"/", 99, 0, 12, 7}, {"/a", 99, 0, 4, 3}, {"/b", 99, 0, 7, 4}})

	r.put("/b/x/4", "1")
	r.put("/b/x/5", "1")
	want(t, "six, but three around them within a quota", set("/b/x"), CodeOK)
	r.put("/b/x/6", "1")
	other := newReplica(t, Limits{})
	other.restore(r.snapshot())
	same(t, "all", r.Quotas(), []Quota{{"/", 99, 0, 15, 10}, {"/a", 99, 0, 4, 3}, {"/b", 99, 0, 10, 7}, {"/b/x", 99, 0, 7, 6}})
	same(t, "restored", other.Quotas(), r.Quotas())
	want(t, "another bound needs no count", set("/b/x"), CodeOK)
}
