package coordination

import (
	"fmt"
	"strings"
	"testing"
)

var testKey = SessionKey{1, 2, 3}

// open opens a session and returns who its client is.
func (r *replica) open(o Operation) Caller {
	r.t.Helper()
	o.Kind, o.Caller.Key = OpenSession, testKey
	return Caller{Session: r.must(o).Session.ID, Key: testKey}
}

func (r *replica) createOwned(c Caller, path string) Result {
	r.t.Helper()
	return r.must(Operation{Kind: Create, Path: path, Mode: Ephemeral, MakeParents: true, Caller: c})
}

func TestASessionEndsWithItsNodesAtOneIndex(t *testing.T) {
	r := newReplica(t, Limits{})
	one, two := r.open(Operation{}), r.open(Operation{})
	r.put("/s", "")
	for _, path := range []string{"/s/b", "/s/a", "/lone/x", "/s/c"} {
		r.createOwned(one, path)
	}
	r.createOwned(two, "/s/d")
	want(t, "owner", mustStat(r, "/s/a").Owner, one.Session)
	same(t, "owned", r.Ephemerals(one.Session, 3), []string{"/lone/x", "/s/a", "/s/b"})
	info, _ := r.Session(one.Session)
	want(t, "count", info.Ephemerals, 4)
	result := r.must(Operation{Kind: CloseSession, Caller: one})
	want(t, "nodes", result.Nodes, 5)
	want(t, "left", r.paths(), "/s /s/d")
	events := r.since(result.Index-1, Watch{Path: "/", Scope: OnTree}).Events
	want(t, "events", strings.ReplaceAll(story(events), fmt.Sprint(result.Index, ":"), ""), `deleted /lone/x v1 ""
deleted /lone v0 ""
deleted /s/a v1 ""
deleted /s/b v1 ""
deleted /s/c v1 ""`)
	_, open := r.Session(one.Session)
	want(t, "open", open, false)
	want(t, "again", r.do(Operation{Kind: CloseSession, Caller: one}).Code, CodeSession)
	want(t, "put of a session that is over", r.do(Operation{Kind: Put, Path: "/s", Caller: one}).Code, CodeSession)
}

func mustStat(r *replica, path string) Stat {
	r.t.Helper()
	stat, err := r.Exists(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return stat
}
