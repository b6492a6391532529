package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

var errEnough = errors.New("enough")

// watched runs a watch of a session until n changes have come, and returns them.
func watched(t *testing.T, s *Session, path string, o WatchOptions, n int) (got []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := s.Watch(ctx, path, o, func(c Change) error {
		got = append(got, fmt.Sprintf("%d %s %s %s", c.Index, c.Kind, c.Path, c.Value))
		if len(got) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("the watch of %q ended with %v after %q, want %d changes", path, err, got, n)
	}
	return got
}

func TestASessionsWatchesSeeWhatTheirScopeSays(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	c := newTestClient(t, addr)
	s := openSession(t, c, SessionOptions{}) // index 1
	for _, path := range []string{"a", "a/x", "a/x/y", "a/x", "b"} {
		f.put(t, path, []byte("v"))
	}
	if _, err := c.Delete(t.Context(), "a", WriteOptions{Recursive: true}); err != nil { // index 7
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path    string
		options WatchOptions
		want    []string
	}{
		"node":     {"a", WatchOptions{From: 1}, []string{"2 created a v", "7 deleted a "}},
		"children": {"a", WatchOptions{From: 1, Children: true}, []string{"3 created a/x v", "7 deleted a/x ", "7 deleted a "}},
		"tree": {"a/x", WatchOptions{From: 1, Recursive: true},
			[]string{"3 created a/x v", "4 created a/x/y v", "5 changed a/x v", "7 deleted a/x/y ", "7 deleted a/x "}},
		"from the middle": {"", WatchOptions{From: 6, Recursive: true}, []string{"6 created b v", "7 deleted a/x/y ", "7 deleted a/x ", "7 deleted a "}},
	} {
		if got := watched(t, s, test.path, test.options, len(test.want)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestAWatchOfOnceEndsAfterAllChangesOfOneIndex(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	c := newTestClient(t, addr)
	s := openSession(t, c, SessionOptions{}) // index 1
	f.put(t, "d/x", nil)
	f.put(t, "d/y", nil)
	for name, watch := range map[string]func(context.Context, string, WatchOptions, func(Change) error) error{"session": s.Watch, "stream": c.Watch} {
		var got []string
		err := watch(t.Context(), "d", WatchOptions{From: 1, Once: true, Recursive: true}, func(c Change) error {
			got = append(got, c.Path)
			return nil
		})
		if err != nil || !slices.Equal(got, []string{"d", "d/x"}) {
			t.Errorf("%s: %q, %v; want d and d/x, and no error", name, got, err)
		}
	}
}

// cut cuts a session's connection.
func cut(s *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil {
		s.link.conn.Close()
	}
}

func TestASessionsWatchMissesNothingOverReconnects(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, first := serve(t, Config{Backend: f})
	_, second := serve(t, Config{Backend: f})
	s := openSession(t, newTestClient(t, first, second), SessionOptions{}) // index 1
	const n = 200
	go func() {
		for i := range n {
			f.put(t, fmt.Sprintf("d%d/x", i), []byte("v")) // two changes at one index
		}
	}()
	seen := 0
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := s.Watch(ctx, "", WatchOptions{From: 2, Recursive: true}, func(c Change) error {
		if want := fmt.Sprintf("d%d%s", seen/2, []string{"", "/x"}[seen%2]); c.Path != want || c.Index != uint64(seen/2+2) {
			return fmt.Errorf("change %d is %d %s, want %s", seen, c.Index, c.Path, want)
		}
		if seen++; seen == 2*n {
			return errEnough
		}
		if seen%7 == 0 {
			cut(s)
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("%v after %d changes", err, seen)
	}
}

func TestAnAnswerDoesNotOvertakeTheWatchesOfItsSession(t *testing.T) {
	cluster := serveLocal(t, 3)
	c := newTestClient(t, cluster.addrs...)
	s := openSession(t, c, SessionOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := make(chan struct{})
	var once sync.Once
	go func() {
		_ = s.Watch(ctx, "a", WatchOptions{From: s.ID()}, func(c Change) error { // until ctx ends
			once.Do(func() { close(started) })
			return nil
		})
	}()
	if _, err := c.Put(ctx, "a", nil, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	<-started
	for i := range 100 {
		if i%2 == 1 {
			if _, err := c.Put(ctx, "a", nil, WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			entry, _, err := s.Get(ctx, "a", ReadOptions{})
			s.checkTold(t, entry.Modified, err)
			continue
		}
		done, err := s.Put(ctx, "a", nil, WriteOptions{})
		s.checkTold(t, done.Index, err)
	}
}

// checkTold fails unless the only watch has been told what came up to index, or is being told.
func (s *Session) checkTold(t *testing.T, index uint64, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watches {
		if max(w.after, w.at) < index || len(w.queue) > 0 && !w.busy {
			t.Errorf("an answer shows index %d, the watch has come to %d, %d changes wait", index, max(w.after, w.at), len(w.queue))
		}
	}
}

func TestAWatchWhoseFunctionIsSlowKeepsItsSessionAlive(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	s := openSession(t, newTestClient(t, addr), SessionOptions{Timeout: time.Second})
	const n = 3 * maxQueued
	go func() {
		for range n {
			f.put(t, "a", nil)
		}
	}()
	seen, signs := uint64(0), uint64(0)
	err := s.Watch(t.Context(), "a", WatchOptions{From: 2}, func(c Change) error {
		if seen++; c.Version != seen {
			return fmt.Errorf("change %d has version %d", seen, c.Version)
		}
		if seen == 1 { // the function stands still until the session has shown itself some more
			signs = s.confirmedSigns() + 4
			await(t, s, "more signs of life", func() bool { return s.confirmedSigns() >= signs })
		}
		if seen == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("%v after %d changes, want %d", err, seen, n)
	}
}

func TestAWatchOfASessionIsToldThatItsHistoryIsGone(t *testing.T) {
	f := newFake(t, coordination.Config{Limits: coordination.Limits{HistoryEvents: 3}})
	_, addr := serve(t, Config{Backend: f})
	s := openSession(t, newTestClient(t, addr), SessionOptions{})
	for range 10 {
		f.put(t, "a", nil)
	}
	err := s.Watch(t.Context(), "a", WatchOptions{From: 2}, func(Change) error { return nil })
	if CodeOf(err) != CodeGone {
		t.Fatalf("got %v, want %s", err, CodeGone)
	}
	if err := s.Err(); err != nil {
		t.Errorf("the session ended too: %v", err)
	}
}

// An idle session's watch must not lose its place while the history passes by.
func TestAQuietWatchOfASessionMovesOn(t *testing.T) {
	f := newFake(t, coordination.Config{Limits: coordination.Limits{HistoryEvents: 50}})
	_, addr := serve(t, Config{Backend: f})
	s := openSession(t, newTestClient(t, addr), SessionOptions{Timeout: time.Second})
	result := make(chan string, 1)
	go func() {
		var got []string
		err := s.Watch(t.Context(), "a", WatchOptions{Once: true}, func(c Change) error {
			got = append(got, c.Kind)
			return nil
		})
		result <- fmt.Sprint(strings.Join(got, " "), err)
	}()
	await(t, s, "the watch", func() bool { return s.position() > 0 })
	for range 5 {
		for range 20 {
			f.put(t, "other", nil)
		}
		at := f.at
		await(t, s, "the watch moves on", func() bool { return s.position() >= at })
		cut(s)
	}
	f.put(t, "a", nil)
	if got := <-result; got != "created<nil>" {
		t.Errorf("got %s, want created", got)
	}
}

// position is how far the only watch has come.
func (s *Session) position() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watches {
		return w.after
	}
	return 0
}

// A node may have said how far its watches are before it has taken note of another one.
func TestAWatchThatTheNodeHasNotAcknowledgedIsNotMovedOn(t *testing.T) {
	c := newTestClient(t, deadAddress(t))
	s, err := c.newSession(openedJSON{Session: 1, Timeout: "1h", Linger: "1h"}, newPassword())
	if err != nil {
		t.Fatal(err)
	}
	s.alarm, s.until = time.AfterFunc(time.Hour, s.ring), clock()+time.Hour
	link := &sessionLink{}
	w := &sessionWatcher{number: 1, after: 3, known: true}
	s.link, s.watches[1] = link, w
	s.onAlive(link, nodeLine{Alive: new(uint64(1)), Index: 10})
	if w.after != 3 {
		t.Errorf("the watch is at %d, want 3: the node did not know of it", w.after)
	}
	number := uint64(1)
	s.onWatchLine(link, nodeLine{Watching: &number, Index: 3})
	s.onAlive(link, nodeLine{Alive: new(uint64(2)), Index: 10})
	if w.after != 10 {
		t.Errorf("the watch is at %d, want 10", w.after)
	}
}

func TestASessionHasNoMoreWatchesThanANodeTakes(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	s := openSession(t, newTestClient(t, addr), SessionOptions{})
	connected(t, s)
	s.mu.Lock()
	s.watching = maxSessionWatches
	s.mu.Unlock()
	err := s.Watch(t.Context(), "a", WatchOptions{}, func(Change) error { return nil })
	if CodeOf(err) != CodeOverloaded {
		t.Errorf("one watch too many ended with %v, want %s", err, CodeOverloaded)
	}
	if s.Err() != nil || !s.Connected() {
		t.Error("it has cost the session its connection")
	}
}
