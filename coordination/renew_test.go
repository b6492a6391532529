package coordination

import (
	"bytes"
	"errors"
	"testing"
)

func TestARenewedTreeHasNoSessionsAndNoHistory(t *testing.T) {
	tree, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	do := func(index uint64, o Operation) Result {
		r, err := DecodeResult(tree.Apply(index, 1000, o.Append(nil)))
		if err != nil || r.Code != CodeOK {
			t.Fatalf("operation %d: %+v, %v", index, r, err)
		}
		return r
	}
	do(1, Operation{Kind: Put, Path: "/kept", Data: []byte("x")})
	key := SessionKey{1}
	do(2, Operation{Kind: OpenSession, Caller: Caller{Key: key}})
	do(3, Operation{Kind: Create, Path: "/gone", Mode: Ephemeral, Caller: Caller{Session: 2, Key: key}})
	tree.Renew(1000, 2000)

	s := tree.Status()
	if s.Sessions != 0 || s.Nodes != 2 || s.Events != 0 || s.OldestIndex != 1000 {
		t.Errorf("%+v: want the root and /kept, no session, no event", s)
	}
	if _, err := tree.EventsSince(3, Watch{Path: Root}); !errors.Is(err, ErrHistoryGone) {
		t.Errorf("a watch of the old cluster goes on: %v", err)
	}
	picture, err := tree.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	if _, err := picture.WriteTo(&content); err != nil {
		t.Fatal(err)
	}
	again, _ := New(Config{})
	if err := again.Restore(&content); err != nil || again.Digest() != tree.Digest() {
		t.Errorf("its snapshot is another tree: %v", err)
	}
}

// A session's id and a fencing token are the index of what has made them.
func TestSessionsAndTokensOfARenewedTreeAreBeyondAllOfTheOldOne(t *testing.T) {
	tree, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	lock := func(index uint64) (session, token uint64) {
		key := SessionKey{1}
		for i, o := range []Operation{{Kind: OpenSession, Caller: Caller{Key: key}},
			{Kind: Create, Path: "/lock", Mode: Ephemeral, Caller: Caller{Session: index, Key: key}}} {
			if r, err := DecodeResult(tree.Apply(index+uint64(i), 1000, o.Append(nil))); err != nil || r.Code != CodeOK {
				t.Fatalf("operation %d at %d: %+v, %v", i, index, r, err)
			}
		}
		n, err := tree.Get("/lock")
		if err != nil {
			t.Fatal(err)
		}
		return n.Stat.Owner, n.Stat.CreateIndex
	}
	session, token := lock(1)
	tree.Renew(1000, 2000)
	if next, fresh := lock(1001); session != 1 || token != 2 || next != 1001 || fresh != 1002 {
		t.Errorf("session %d and token %d, and %d and %d in the new cluster: want 1, 2, 1001, 1002", session, token, next, fresh)
	}
}
