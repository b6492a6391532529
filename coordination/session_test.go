package coordination

import (
	"fmt"
	"io"
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

func TestASessionsTimesAreBroughtIntoBounds(t *testing.T) {
	r := newReplica(t, Limits{})
	for _, c := range []struct{ timeout, linger, gotTimeout, gotLinger int64 }{
		{0, 0, 10_000, 10_000}, {1, 1, 1_000, 500}, {1 << 50, 1 << 50, 3_600_000, 3_600_000}, {5_000, 700, 5_000, 700},
		{5_000, 6_000, 5_000, 5_000},
	} {
		result := r.must(Operation{Kind: OpenSession, Timeout: c.timeout, Linger: c.linger})
		want(t, "session", result.Session,
			SessionInfo{ID: r.index, Timeout: c.gotTimeout, Linger: c.gotLinger, Opened: r.now, Connection: 1})
	}
}

// A stolen id is of no use without the password, and a session that is over of none
// at all: every operation is refused, in a Multi too.
func TestOnlyTheOwnerOfAnOpenSessionActsForIt(t *testing.T) {
	r := newReplica(t, Limits{})
	me := r.open(Operation{})
	thief, never := me, me
	thief.Key[15]++
	never.Session += 100
	for _, o := range []Operation{{Kind: Put, Path: "/a"}, {Kind: Create, Path: "/a"}, {Kind: Delete, Path: "/a"},
		{Kind: Check, Path: "/"}, {Kind: SetACL, Path: "/"}, {Kind: SetQuota, Path: "/"}, {Kind: CloseSession},
		{Kind: Multi, Operations: []Operation{{Kind: Put, Path: "/a"}}}} {
		o.Caller = thief
		want(t, fmt.Sprintf("thief, kind %d", o.Kind), r.do(o).Code, CodeSessionKey)
		o.Caller = never
		want(t, fmt.Sprintf("nobody, kind %d", o.Kind), r.do(o).Code, CodeSession)
	}
	want(t, "paths", r.paths(), "")
	want(t, "close without a session", r.do(Operation{Kind: CloseSession}).Code, CodeSession)
}

// A leader of the past expires nobody: its epoch is not the last claim's.
func TestOnlyTheLastClaimExpiresSessions(t *testing.T) {
	r := newReplica(t, Limits{})
	me := r.open(Operation{})
	expire := func(epoch uint64) Code {
		return r.do(Operation{Kind: ExpireSessions, Epoch: epoch, Sessions: []uint64{me.Session}}).Code
	}
	want(t, "before any claim", expire(0), CodeEpoch)
	old := r.must(Operation{Kind: ClaimSessions}).Index
	last := r.must(Operation{Kind: ClaimSessions}).Index
	want(t, "epoch", r.Epoch(), last)
	want(t, "old", expire(old), CodeEpoch)
	want(t, "open", r.HoldsKey(me.Session, me.Key), true)
	want(t, "last", expire(last), CodeOK)
	want(t, "over", r.HoldsKey(me.Session, me.Key), false)
}

func TestAnExpiryTakesOnOnlyWhatIsDoneInATrice(t *testing.T) {
	r := newReplica(t, Limits{DeleteNodes: 5})
	epoch := r.must(Operation{Kind: ClaimSessions}).Index
	var ids []uint64
	for _, nodes := range []int{7, 2, 0, 3, 1} {
		c := r.open(Operation{})
		ids = append(ids, c.Session)
		for range nodes {
			r.must(Operation{Kind: Create, Path: "/n", Sequential: true, Mode: Ephemeral, Caller: c})
		}
	}
	for _, c := range []struct {
		expired int
		nodes   uint64
	}{{1, 7}, {3, 5}, {1, 1}, {0, 0}} {
		result := r.must(Operation{Kind: ExpireSessions, Epoch: epoch, Sessions: ids})
		want(t, "expired and nodes", [2]int{result.Expired, int(result.Nodes)}, [2]int{c.expired, int(c.nodes)})
		ids = ids[result.Expired:]
	}
	want(t, "sessions left", len(r.SessionsAfter(0, 10)), 0)
	want(t, "over already", r.must(Operation{Kind: ExpireSessions, Epoch: epoch, Sessions: []uint64{3, 4}}).Expired, 2)
}

func TestSessionsStayInOrder(t *testing.T) {
	r := newReplica(t, Limits{})
	pictures := make(map[io.WriterTo]string)
	have := make(map[uint64]bool)
	for i := range 3000 {
		if i%3 == 2 || i > 1500 && i < 2200 {
			for id := range have {
				r.must(Operation{Kind: CloseSession, Caller: Caller{Session: id, Key: testKey}})
				delete(have, id)
				break
			}
		} else {
			have[r.open(Operation{Timeout: int64(5000 + i), Linger: int64(600 + i)}).Session] = true
		}
		if i%500 == 0 || i > 1500 && i < 2200 && i%10 == 0 { // also while chunks are joined
			picture, err := r.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			pictures[picture] = r.snapshot()
		}
	}
	after, count := uint64(0), 0
	for {
		page := r.SessionsAfter(after, 7)
		if len(page) == 0 {
			break
		}
		for _, s := range page {
			if !have[s.ID] || s.ID <= after {
				t.Fatalf("session %d after %d, open: %t", s.ID, after, have[s.ID])
			}
			after, count = s.ID, count+1
		}
	}
	want(t, "count", count, len(have))
	for picture, p := range pictures {
		want(t, "picture later", written(t, picture) == p, true)
		other := newReplica(t, Limits{})
		other.restore(p)
		want(t, "restored", other.snapshot() == p, true)
	}
}

// TestAPictureKeepsItsSessions is for the race detector too.
func TestAPictureKeepsItsSessions(t *testing.T) {
	r := newReplica(t, Limits{})
	var callers []Caller
	for range 300 {
		callers = append(callers, r.open(Operation{}))
		r.createOwned(callers[len(callers)-1], fmt.Sprintf("/e/%d", len(callers)))
	}
	wanted := r.snapshot()
	picture, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() { got <- written(t, picture) }()
	for i, c := range callers {
		r.createOwned(c, fmt.Sprintf("/f/%d", i))
		if i%2 == 0 {
			r.must(Operation{Kind: CloseSession, Caller: c})
		}
		r.open(Operation{})
	}
	want(t, "picture", <-got == wanted, true)
}
