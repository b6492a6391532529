package recipes

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

// world is a tree of keys in memory that can be told to fail: what the recipes see of a
// cluster, in one process and with a clock that a test can step.
type world struct {
	mu      sync.Mutex
	index   uint64
	keys    map[string]*key
	changes []api.Change
	floor   uint64 // changes up to here are forgotten
	changed chan struct{}
	results map[api.RequestID]result
	made    int // keys ever
	lists   int
	page    int // entries of a listing's page; 0: 1000

	faults sync.Mutex
	// fault says what becomes of an operation: "create", "delete", "commit", "get", "list", "watch", or
	// "told" for what comes between two changes of a watch.
	fault func(op, path string) fault
}

type key struct {
	value   []byte
	mode    api.Mode
	owner   *member
	created uint64
}

type result struct {
	at  uint64
	err error
}

// fault is what becomes of an operation. The zero value is nothing bad.
type fault struct {
	err  error         // what the caller is told
	done bool          // it was done all the same
	late time.Duration // it is done after this time, and the caller is told then
	hang bool          // the caller hears nothing, and it is done after late
	// before is called first, without locks.
	before func()
}

func newWorld() *world {
	return &world{keys: map[string]*key{}, changed: make(chan struct{}), results: map[api.RequestID]result{}}
}

// failing sets what says which operations fail; calls of it do not overlap.
func (w *world) failing(f func(op, path string) fault) {
	w.faults.Lock()
	defer w.faults.Unlock()
	w.fault = f
}

func (w *world) look(op, path string) fault {
	w.faults.Lock()
	defer w.faults.Unlock()
	if w.fault == nil {
		return fault{}
	}
	return w.fault(op, path)
}

func failure(code api.Code) error { return &api.Error{Code: code, Message: "it was to fail"} }

// member is a session, and its client's process.
type member struct {
	*world
	lost  chan struct{}
	ended bool // as the cluster sees it
}

func (w *world) session() *member { return &member{world: w, lost: make(chan struct{})} }

func (m *member) Lost() <-chan struct{} { return m.lost }

func (m *member) Err() error {
	select {
	case <-m.lost:
		return failure(api.CodeSession)
	default:
		return nil
	}
}

// expire ends the session in the cluster: its client has not noticed yet.
func (m *member) expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	m.index++
	for path, k := range m.keys {
		if k.owner == m {
			m.drop(path)
		}
	}
	m.wake()
}

// over reports whether the session has ended in the cluster.
func (m *member) over() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended
}

// end is what a client does that has not been confirmed for too long, and then the cluster.
func (m *member) end() {
	if !closed(m.lost) {
		close(m.lost)
	}
	m.expire()
}

// the caller holds mu
func (w *world) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// drop deletes a key, and the container above it if it was the last one there; the caller holds mu.
func (w *world) drop(path string) {
	delete(w.keys, path)
	w.changes = append(w.changes, api.Change{Kind: "deleted", Path: path, Index: w.index})
	parent := path[:max(0, strings.LastIndex(path, "/"))]
	if k := w.keys[parent]; k != nil && k.mode == api.Container && len(w.below(parent)) == 0 {
		w.drop(parent)
	}
}

func (w *world) below(path string) (names []string) {
	for name := range w.keys {
		if rest, is := strings.CutPrefix(name, path+"/"); is && !strings.Contains(rest, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// write carries out apply as one entry of the log, once for each id.
func (w *world) write(ctx context.Context, op, path string, id api.RequestID, apply func() error) (uint64, error) {
	f := w.look(op, path)
	if f.before != nil {
		f.before()
	}
	if f.err != nil && !f.done {
		return 0, f.err
	}
	do := func() (uint64, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if r, is := w.results[id]; is && id != (api.RequestID{}) {
			return r.at, r.err
		}
		w.index++
		err := apply()
		w.results[id] = result{w.index, err}
		w.wake()
		return w.index, err
	}
	switch {
	case f.hang:
		time.AfterFunc(f.late, func() { do() })
		<-ctx.Done()
		return 0, failure(api.CodeUnknown)
	case f.late > 0:
		time.Sleep(f.late)
	}
	at, err := do()
	if f.err != nil {
		return 0, f.err
	}
	if err != nil {
		return 0, err
	}
	return at, nil
}

// the caller holds mu
func (w *world) create(path string, value []byte, mode api.Mode, owner *member, needParent bool) error {
	parent := path[:max(0, strings.LastIndex(path, "/"))]
	switch {
	case w.keys[path] != nil:
		return failure(api.CodeExists)
	case needParent && parent != "" && w.keys[parent] == nil:
		return failure(api.CodeNotFound)
	}
	if parent != "" && w.keys[parent] == nil {
		if err := w.create(parent, nil, api.Persistent, nil, false); err != nil {
			return err
		}
	}
	w.made++
	w.keys[path] = &key{value: value, mode: mode, owner: owner, created: w.index}
	w.changes = append(w.changes, api.Change{Kind: "created", Path: path, Value: value, Index: w.index})
	return nil
}

func (w *world) remove(path string) error {
	if w.keys[path] == nil {
		return failure(api.CodeNotFound)
	}
	for _, child := range w.below(path) {
		w.drop(child)
	}
	if w.keys[path] != nil {
		w.drop(path)
	}
	return nil
}

func (w *world) Create(ctx context.Context, path string, value []byte, o api.CreateOptions) (api.Written, error) {
	at, err := w.write(ctx, "create", path, o.RequestID, func() error { return w.create(path, value, o.Mode, nil, o.NeedParent) })
	return api.Written{Path: path, Index: at}, err
}

func (w *world) Delete(ctx context.Context, path string, o api.WriteOptions) (api.Written, error) {
	at, err := w.write(ctx, "delete", path, o.RequestID, func() error { return w.remove(path) })
	return api.Written{Path: path, Index: at}, err
}

func (m *member) Create(ctx context.Context, path string, value []byte, o api.CreateOptions) (api.Written, error) {
	at, err := m.write(ctx, "create", path, o.RequestID, func() error {
		if m.ended {
			return failure(api.CodeSession)
		}
		owner := m
		if o.Mode != api.Ephemeral {
			owner = nil
		}
		return m.create(path, value, o.Mode, owner, o.NeedParent)
	})
	return api.Written{Path: path, Index: at}, err
}

func (m *member) Delete(ctx context.Context, path string, o api.WriteOptions) (api.Written, error) {
	at, err := m.write(ctx, "delete", path, o.RequestID, func() error {
		if m.ended {
			return failure(api.CodeSession)
		}
		return m.remove(path)
	})
	return api.Written{Path: path, Index: at}, err
}

func (m *member) Commit(ctx context.Context, operations []api.TxnOperation, id api.RequestID) (api.Committed, error) {
	at, err := m.write(ctx, "commit", "", id, func() error {
		if m.ended {
			return failure(api.CodeSession)
		}
		return m.commit(operations)
	})
	return api.Committed{Index: at}, err
}

func (w *world) Commit(ctx context.Context, operations []api.TxnOperation, id api.RequestID) (api.Committed, error) {
	at, err := w.write(ctx, "commit", "", id, func() error { return w.commit(operations) })
	return api.Committed{Index: at}, err
}

// the caller holds mu
func (w *world) commit(operations []api.TxnOperation) error {
	deleted := map[string]bool{}
	for _, o := range operations {
		k := w.keys[o.Path]
		switch {
		case o.Op == "create" && k != nil && !deleted[o.Path]:
			return failure(api.CodeExists)
		case o.Op != "create" && k == nil:
			return failure(api.CodeNotFound)
		case o.Created != 0 && k.created != o.Created:
			return failure(api.CodeConflict)
		}
		deleted[o.Path] = o.Op == "delete"
	}
	for _, o := range operations {
		switch o.Op {
		case "create":
			if err := w.create(o.Path, o.Value, o.Mode, nil, o.NeedParent); err != nil {
				return err
			}
		case "delete":
			w.drop(o.Path)
		}
	}
	return nil
}

func (w *world) reading(op, path string) error {
	f := w.look(op, path)
	if f.before != nil {
		f.before()
	}
	return f.err
}

func (w *world) Get(_ context.Context, path string, o api.ReadOptions) (api.Entry, uint64, error) {
	if err := w.reading("get", path); err != nil {
		return api.Entry{}, 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.keys[path]
	if k == nil {
		return api.Entry{}, w.index, failure(api.CodeNotFound)
	}
	return api.Entry{Path: path, Value: k.value, Created: k.created}, w.index, nil
}

func (w *world) List(_ context.Context, path string, o api.ListOptions) (api.Listing, error) {
	if err := w.reading("list", path); err != nil {
		return api.Listing{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lists++
	if w.keys[path] == nil {
		return api.Listing{}, failure(api.CodeNotFound)
	}
	page := api.Listing{Path: path, Index: w.index}
	limit := o.Limit
	if w.page > 0 {
		limit = w.page
	}
	for _, name := range w.below(path) {
		if name <= o.After {
			continue
		}
		if len(page.Entries) == limit {
			page.After = page.Entries[limit-1].Path
			break
		}
		page.Entries = append(page.Entries, api.Entry{Path: name, Value: w.keys[name].value, Created: w.keys[name].created})
	}
	return page, nil
}

func (w *world) Watch(ctx context.Context, path string, o api.WatchOptions, f func(api.Change) error) error {
	for from := o.From; ; {
		if err := w.reading("watch", path); err != nil {
			return err
		}
		w.mu.Lock()
		changed, floor, changes := w.changed, w.floor, w.changes
		from = max(from, 1)
		w.mu.Unlock()
		if from <= floor {
			return failure(api.CodeGone)
		}
		wanted := slices.DeleteFunc(slices.Clone(changes), func(c api.Change) bool {
			child := strings.HasPrefix(c.Path, path+"/") && c.Kind != "changed"
			return c.Index < from || c.Path != path && !(o.Children && child)
		})
		for i, c := range wanted {
			c.More = i+1 < len(wanted) && wanted[i+1].Index == c.Index
			if err := f(c); err != nil {
				return err
			}
			if told := w.look("told", c.Path); told.before != nil {
				told.before()
			}
		}
		if n := len(changes); n > 0 {
			from = max(from, changes[n-1].Index+1)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// forget drops the history.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.floor = w.index
}

// deleteByHand is what somebody does who should not.
func (w *world) deleteByHand(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	if err := w.remove(path); err != nil {
		panic(path + " is not there")
	}
	w.wake()
}

// queue is the keys below path, without the path.
func (w *world) queue(path string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.below(path)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// acquired runs a call of lock by itself.
type acquired struct {
	held *Held
	err  error
}

func locking(ctx context.Context, s session, path string) <-chan acquired {
	c := make(chan acquired, 1)
	go func() {
		h, err := lock(ctx, s, path, nil)
		c <- acquired{h, err}
	}()
	return c
}

func mustLock(t *testing.T, s session, path string) *Held {
	t.Helper()
	h, err := lock(t.Context(), s, path, nil)
	if err != nil {
		t.Fatalf("lock %s: %v", path, err)
	}
	return h
}

func mustRelease(t *testing.T, h *Held) {
	t.Helper()
	if err := h.Release(t.Context()); err != nil {
		t.Fatalf("release %s: %v", h.Path(), err)
	}
}
