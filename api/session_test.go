package api

import (
	"context"
	"errors"
	"testing"
	"time"
)

func openSession(t testing.TB, c *Client, o SessionOptions) *Session {
	t.Helper()
	s, err := c.OpenSession(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx)
	})
	return s
}

// awaitDeleted waits until a key is deleted, by watching it.
func awaitDeleted(t testing.TB, c *Client, path string, from uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	seen := errors.New("seen")
	err := c.Watch(ctx, path, WatchOptions{From: from}, func(c Change) error {
		if c.Kind == "deleted" {
			return seen
		}
		return nil
	})
	if !errors.Is(err, seen) {
		t.Fatalf("%q was not deleted: %v", path, err)
	}
}

func TestAnEphemeralKeyEndsWithItsSession(t *testing.T) {
	c := newTestClient(t, serveLocal(t, 3).addrs...)
	s := openSession(t, c, SessionOptions{})
	made, err := s.Create(t.Context(), "lock/me", []byte("x"), CreateOptions{Mode: Ephemeral, Sequential: true})
	if err != nil {
		t.Fatal(err)
	}
	entry, _, err := s.Get(t.Context(), made.Path, ReadOptions{})
	if err != nil || entry.Owner != s.ID() || entry.Created != made.Index || entry.Mode != Ephemeral || made.Session != s.ID() {
		t.Fatalf("made %+v, read %+v, %v", made, entry, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitDeleted(t, c, made.Path, made.Index)
	if _, err := s.Put(t.Context(), "a", nil, WriteOptions{}); CodeOf(err) != CodeSession {
		t.Errorf("a write in a closed session: %v, want %s", err, CodeSession)
	}
}
