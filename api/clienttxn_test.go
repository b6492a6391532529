package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synod-go/synod/coordination"
)

func TestATransactionThatIsReadIsTheOneThatWasWritten(t *testing.T) {
	three := uint64(3)
	want := []TxnOperation{
		{Op: "check", Path: "locks/a", Created: 1042},
		{Op: "put", Path: "colour", Value: []byte("blue"), Version: &three},
		{Op: "create", Path: "log/", Value: []byte{0xff}, Mode: TTL, TTL: 90 * time.Second, Sequential: true, NeedParent: true,
			ACL: ACL{{Scheme: "world", ID: "anyone", Permissions: "r"}}},
		{Op: "delete", Path: "old", Recursive: true},
	}
	var wire txnJSON
	for _, o := range want {
		wire.Operations = append(wire.Operations, o.wire())
	}
	data, err := json.Marshal(wire)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseTxn(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back, -want +got:\n%s", diff)
	}
	for _, bad := range []string{"", "{}", `{"operations":[]}`, `{"operations":[{"op":"burn","path":"a"}]}`, `{"operations":[{"op":"put","path":"a","colour":1}]}`} {
		if _, err := ParseTxn([]byte(bad)); CodeOf(err) != CodeRequest {
			t.Errorf("%s: %v, want %s", bad, err, CodeRequest)
		}
	}
}

func TestAClientWatchesChildrenAndOnce(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	client := newTestClient(t, addr)
	for _, key := range []string{"box", "box/a", "box/a/deep", "box/b"} {
		if _, err := client.Put(t.Context(), key, nil, WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Put(t.Context(), "box/a", []byte("changed"), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	done, err := client.Delete(t.Context(), "box/a", WriteOptions{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	err = client.Watch(t.Context(), "box", WatchOptions{Children: true, From: 1}, func(c Change) error {
		seen = append(seen, c.Kind+" "+c.Path)
		if c.Index == done.Index {
			return errNoAnswer
		}
		return nil
	})
	if diff := cmp.Diff([]string{"created box/a", "created box/b", "deleted box/a"}, seen); diff != "" || err != errNoAnswer {
		t.Errorf("children, %v, -want +got:\n%s", err, diff)
	}
	seen = nil
	err = client.Watch(t.Context(), "box", WatchOptions{Recursive: true, Once: true, From: done.Index}, func(c Change) error {
		seen = append(seen, c.Kind+" "+c.Path)
		return nil
	})
	if diff := cmp.Diff([]string{"deleted box/a/deep", "deleted box/a"}, seen); diff != "" || err != nil {
		t.Errorf("once, %v, -want +got:\n%s", err, diff)
	}
	err = client.Watch(t.Context(), "box", WatchOptions{Recursive: true, Children: true}, func(Change) error { return nil })
	if CodeOf(err) != CodeRequest {
		t.Errorf("children and recursive: %v, want %s", err, CodeRequest)
	}
}
