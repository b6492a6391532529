package coordination

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func (r *replica) snapshot() string {
	r.t.Helper()
	picture, err := r.Snapshot()
	if err != nil {
		r.t.Fatal(err)
	}
	return written(r.t, picture)
}

func written(t testing.TB, picture io.WriterTo) string {
	t.Helper()
	var b strings.Builder
	n, err := picture.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo returned %d, %v; wrote %d bytes", n, err, b.Len())
	}
	return b.String()
}

func (r *replica) restore(snapshot string) {
	r.t.Helper()
	if err := r.Restore(strings.NewReader(snapshot)); err != nil {
		r.t.Fatal(err)
	}
	r.index = r.applied
}

func busyTree(t testing.TB) *replica {
	r := newReplica(t, Limits{HistoryEvents: 50})
	r.put("/", "root")
	for i := range 40 {
		r.put(fmt.Sprintf("/a/%d/%d", i%4, i), strings.Repeat("x", i))
		r.put(fmt.Sprintf("/b-%d", i), "")
	}
	r.delete("/a/2")
	return r
}

func TestARestoredTreeIsTheSame(t *testing.T) {
	r := busyTree(t)
	whole := r.snapshot()
	other := newReplica(t, Limits{Nodes: 2}) // the snapshot's limits count
	if err := other.Restore(iotest.OneByteReader(strings.NewReader(whole))); err != nil {
		t.Fatal(err)
	}
	want(t, "digest", other.Digest(), r.Digest())
	want(t, "status", other.Status(), r.Status())
	want(t, "paths", other.paths(), r.paths())
	want(t, "snapshot of it", other.snapshot() == whole, true)
	other.index, other.now = r.index, r.now
	for _, side := range []*replica{r, other} {
		side.put("/a/9/9", "later")
		side.delete("/b-3")
	}
	want(t, "digest later", other.Digest(), r.Digest())
	want(t, "snapshot later", other.snapshot() == r.snapshot(), true)
}

func TestAPictureStaysWhileTheTreeChanges(t *testing.T) {
	r := busyTree(t)
	wanted := r.snapshot()
	var pictures []io.WriterTo
	for range 3 {
		picture, err := r.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		pictures = append(pictures, picture)
	}
	var group sync.WaitGroup
	for _, picture := range pictures {
		group.Go(func() {
			if got := written(t, picture); got != wanted {
				t.Errorf("the picture changed: %d bytes, want %d", len(got), len(wanted))
			}
		})
	}
	for i := range 500 {
		r.put(fmt.Sprintf("/a/%d/%d", i%4, i%60), fmt.Sprint(i))
		r.put(fmt.Sprintf("/new/%d", i), "")
		if i%5 == 0 {
			r.do(Operation{Kind: Delete, Path: fmt.Sprintf("/b-%d", i/5)})
			r.do(Operation{Kind: Delete, Path: fmt.Sprintf("/a/%d", i%4), Recursive: true})
		}
	}
	group.Wait()
}

func TestEveryDamageToASnapshotIsFound(t *testing.T) {
	r := busyTree(t)
	whole := []byte(r.snapshot())
	other := newReplica(t, Limits{})
	other.put("/mine", "x")
	before := other.snapshot()
	try := func(what string, data []byte) {
		t.Helper()
		if err := other.Restore(bytes.NewReader(data)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%s: got %v", what, err)
		}
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		try(fmt.Sprintf("bit flipped in byte %d of %d", i, len(whole)), damaged)
		try(fmt.Sprintf("%d of %d bytes", i, len(whole)), whole[:i])
	}
	want(t, "tree after all that", other.snapshot() == before, true)
	broken := errors.New("broken pipe")
	err := other.Restore(iotest.ErrReader(broken))
	want(t, "reader's error", errors.Is(err, broken), true)
}

func TestAFailedWriteIsReported(t *testing.T) {
	picture, err := busyTree(t).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	if _, err := picture.WriteTo(failingWriter{full}); !errors.Is(err, full) {
		t.Fatalf("got %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestTheDigestTellsWhatDiffers(t *testing.T) {
	run := func(l Limits, operations ...Operation) uint64 {
		r := newReplica(t, l)
		for _, o := range operations {
			r.do(o)
		}
		r.applied = 0 // counts too, and is no matter here
		return r.Digest()
	}
	a := Operation{Kind: Put, Path: "/a", Data: []byte("x")}
	b := Operation{Kind: Put, Path: "/b", Data: []byte("x")}
	wanted := run(Limits{}, a, b)
	want(t, "the same again", run(Limits{}, a, b), wanted)
	data := b
	data.Data = []byte("y")
	for name, got := range map[string]uint64{"data": run(Limits{}, a, data), "order": run(Limits{}, b, a),
		"version": run(Limits{}, a, a, b), "limits": run(Limits{Nodes: 7}, a, b),
		"history":     run(Limits{}, a, b, Operation{Kind: Delete, Path: "/b"}, b),
		"access list": run(Limits{}, a, b, Operation{Kind: SetACL, Path: "/b", ACL: ACL{{MayAll, anyone}}}),
		"quota":       run(Limits{}, a, b, Operation{Kind: SetQuota, Path: "/b", QuotaNodes: 3}),
		"session":     run(Limits{}, a, b, Operation{Kind: OpenSession}), "claim": run(Limits{}, a, b, Operation{Kind: ClaimSessions})} {
		if got == wanted {
			t.Errorf("another %s: the digest is the same", name)
		}
	}
}

func TestLargeDataTravelsInASnapshot(t *testing.T) {
	r := newReplica(t, Limits{})
	large := strings.Repeat("0123456789", 50_000)
	r.put("/large", large)
	whole := r.snapshot()
	other := newReplica(t, Limits{})
	other.restore(whole)
	n, err := other.Get("/large")
	want(t, "error", err, nil)
	want(t, "data", string(n.Data) == large, true)
	want(t, "digest", other.Digest(), r.Digest())
	for _, n := range []int{100, 70_000, 400_000, 600_000} {
		if err := other.Restore(strings.NewReader(whole[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: got %v", n, len(whole), err)
		}
	}
}

// Whoever makes up a snapshot can make its checksum and digest right too.
func TestASnapshotOfAnImpossibleTreeIsRefused(t *testing.T) {
	for name, damage := range map[string]func(r *replica, me Caller){
		"owner unknown":     func(r *replica, me Caller) { r.nodes["/e"].stat.Owner = 999 },
		"owner of the root": func(r *replica, me Caller) { r.root.stat.Owner = me.Session },
		"no such mode":      func(r *replica, me Caller) { r.nodes["/p"].stat.Owner = ContainerOwner + 1 },
		"TTL of nothing":    func(r *replica, me Caller) { r.nodes["/p"].stat.Owner = TTLOwner },
		"child of an ephemeral": func(r *replica, me Caller) {
			r.put("/e2/x", "")
			r.nodes["/e2"].stat.Owner = me.Session
			r.account(r.nodes["/e2"])
		},
		"too many ephemerals":   func(r *replica, me Caller) { r.createOwned(me, "/e3") },
		"too many sessions":     func(r *replica, me Caller) { r.limits.Sessions = 1 },
		"session twice":         func(r *replica, me Caller) { r.sessions.chunks[0].sessions[1].id = me.Session },
		"session of the future": func(r *replica, me Caller) { r.sessions.chunks[0].sessions[1].id = 1000 },
		"timeout":               func(r *replica, me Caller) { r.sessions.chunks[0].sessions[1].timeout = MaxTimeout + 1 },
		"linger":                func(r *replica, me Caller) { r.sessions.chunks[0].sessions[1].linger = MaxTimeout },
		"claim of the future":   func(r *replica, me Caller) { r.claimed = 1000 },
		"list that makes no sense": func(r *replica, me Caller) {
			r.nodes["/p"].rules = r.share(rules{acl: ACL{{MayAll, Principal{"magic", "x"}}}})
		},
	} {
		r := newReplica(t, Limits{SessionEphemerals: 2})
		me := r.open(Operation{})
		r.open(Operation{})
		r.createOwned(me, "/e")
		r.put("/p", "")
		damage(r, me)
		r.digest = 0
		for _, n := range r.nodes {
			n.sum = n.digest()
			r.digest += n.sum
		}
		r.sessions.from(0, func(s *session) bool { r.digest += s.digest(); return true })
		if name == "too many ephemerals" {
			r.limits.SessionEphemerals = 1
		}
		if err := newReplica(t, Limits{}).Restore(strings.NewReader(r.snapshot())); !errors.Is(err, ErrCorrupt) || strings.Contains(err.Error(), "digest") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
