package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod/coordination"
)

// Tree is the coordination tree of a node, with what watches need besides. It is
// made before the node, whose group takes its state machine from New.
type Tree struct {
	config  coordination.Config
	changed signal
}

// NewTree returns a Tree; it fails when the limits in c are out of range.
func NewTree(c coordination.Config) (*Tree, error) {
	if _, err := coordination.New(c); err != nil {
		return nil, err
	}
	return &Tree{config: c}, nil
}

// New returns the state machine in its first state.
func (t *Tree) New() *coordination.Tree {
	tree, err := coordination.New(t.config)
	if err != nil { // NewTree has checked it
		panic(fmt.Sprintf("api: tree limits changed: %v", err))
	}
	tree.Notify(func(uint64) { t.changed.raise() })
	return tree
}

// viewer runs f with the tree, which stands still, at the index given to f.
type viewer func(ctx context.Context, o ReadOptions, f func(tree *coordination.Tree, index uint64)) error

func (t *Tree) get(ctx context.Context, view viewer, path string, o ReadOptions) (Entry, uint64, error) {
	var node coordination.Node
	var at uint64
	var failed error
	if err := view(ctx, o, func(tree *coordination.Tree, index uint64) { node, failed = tree.Get("/" + path); at = index }); err != nil {
		return Entry{}, 0, err
	}
	if failed != nil {
		return Entry{}, at, treeError(failed, path)
	}
	return entryOf(node), at, nil
}

// pageBytes bounds the values in one page of a listing: a longer page ends
// early and says where to go on.
const pageBytes = 4 << 20

func (t *Tree) list(ctx context.Context, view viewer, path string, o ListOptions) (Listing, error) {
	var page coordination.Page
	var at uint64
	var failed error
	query := coordination.Listing{Path: "/" + path, Recursive: o.Recursive, Limit: o.Limit}
	if o.After != "" {
		query.After = "/" + o.After
	}
	if err := view(ctx, o.ReadOptions, func(tree *coordination.Tree, index uint64) { page, failed = tree.List(query); at = index }); err != nil {
		return Listing{}, err
	}
	if failed != nil {
		return Listing{}, treeError(failed, path)
	}
	listing := Listing{Path: path, Index: at, After: strings.TrimPrefix(page.Next, "/")}
	size := 0
	for i, node := range page.Nodes {
		listing.Entries = append(listing.Entries, entryOf(node))
		if size += len(node.Data); size > pageBytes && i+1 < len(page.Nodes) {
			listing.After = strings.TrimPrefix(node.Path, "/")
			break
		}
	}
	return listing, nil
}

// lookAgain is how long a watch that was woken for nothing sleeps before it
// looks again, so that a thousand watches do not each look at every write.
const lookAgain = 5 * time.Millisecond

// changesPage is how many changes one call brings at most, give or take those
// of one index.
const changesPage = 256

func (t *Tree) changes(ctx context.Context, view viewer, path string, recursive bool, after uint64) (Changes, error) {
	watch := coordination.Watch{Path: "/" + path, Scope: scopeOf(recursive), Limit: changesPage}
	for {
		wake := t.changed.wait()
		var page coordination.Events
		var failed error
		err := view(ctx, ReadOptions{Level: Stale}, func(tree *coordination.Tree, _ uint64) { page, failed = tree.EventsSince(after, watch) })
		switch {
		case ctx.Err() != nil:
			return Changes{Index: after}, nil
		case err != nil:
			return Changes{}, err
		case failed != nil:
			return Changes{}, treeError(failed, path)
		case len(page.Events) > 0:
			return changesOf(page), nil
		}
		after = page.Next
		if !page.More && !sleep(ctx, wake) {
			return Changes{Index: after}, nil
		}
	}
}

// sleep waits until woken, and a little more; false: ctx has ended.
func sleep(ctx context.Context, wake <-chan struct{}) bool {
	select {
	case <-wake:
	case <-ctx.Done():
		return false
	}
	select {
	case <-time.After(lookAgain):
		return true
	case <-ctx.Done():
		return false
	}
}

func changesOf(page coordination.Events) Changes {
	changes := Changes{Index: page.Next, Changes: make([]Change, len(page.Events))}
	for i, e := range page.Events {
		changes.Changes[i] = Change{Kind: e.Kind.String(), Path: e.Path[1:], Value: e.Data, Version: uint64(e.Version), Index: e.Index}
	}
	return changes
}

func entryOf(n coordination.Node) Entry {
	return Entry{Path: n.Path[1:], Value: n.Data, Version: uint64(n.Stat.Version), Created: n.Stat.CreateIndex,
		Modified: n.Stat.ModifyIndex, Children: n.Stat.Children}
}

// operation is the tree's command for a write.
func operation(kind coordination.OperationKind, w Write) ([]byte, error) {
	o := coordination.Operation{Kind: kind, Path: "/" + w.Path, Data: w.Value, Recursive: w.Recursive}
	switch {
	case w.Version == nil:
	case *w.Version > 0:
		o.Version = int64(*w.Version)
	case kind == coordination.Delete:
		return nil, badRequest("a key that must not exist cannot be deleted", "version=0 was given")
	default:
		o.Version = coordination.Unwritten
	}
	return o.Append(nil), nil
}

// written turns what the tree said about a write into the answer.
func written(kind coordination.OperationKind, w Write, result []byte) (Written, error) {
	r, err := coordination.DecodeResult(result)
	if err != nil {
		return Written{}, fmt.Errorf("api: result of a write: %w", err)
	}
	if err := r.Err(); err != nil {
		e := treeError(err, w.Path)
		if r.Code == coordination.CodeVersion {
			version := uint64(r.Stat.Version)
			e.Version, e.Why = &version, versionReason(w, r.Stat)
		}
		return Written{}, e
	}
	done := Written{Path: w.Path, Index: r.Index}
	if kind == coordination.Delete {
		done.Deleted = int(r.Nodes)
	} else {
		done.Version = uint64(r.Stat.Version)
	}
	return done, nil
}

func versionReason(w Write, found coordination.Stat) string {
	if found.CreateIndex == 0 {
		return fmt.Sprintf("version %d was expected, but the key does not exist", *w.Version)
	}
	if *w.Version == 0 {
		return fmt.Sprintf("it was expected not to exist, but it has version %d", found.Version)
	}
	return fmt.Sprintf("version %d was expected, it has version %d", *w.Version, found.Version)
}

// treeError says for people and programs what the tree refused.
func treeError(err error, path string) *Error {
	switch {
	case errors.Is(err, coordination.ErrNotFound):
		return &Error{Code: CodeNotFound, Message: fmt.Sprintf("key %q not found", path)}
	case errors.Is(err, coordination.ErrVersion):
		return &Error{Code: CodeConflict, Message: fmt.Sprintf("key %q has another version", path),
			Do: []string{"read it again and decide anew"}}
	case errors.Is(err, coordination.ErrHasChildren):
		return &Error{Code: CodeConflict, Message: fmt.Sprintf("key %q has others below it", path),
			Do: []string{"delete those first, or all of it with recursive"}}
	case errors.Is(err, coordination.ErrHistoryGone):
		return &Error{Code: CodeGone, Message: fmt.Sprintf("the history of %q does not go back that far", path),
			Do: []string{"list the keys again, then watch from the index of the listing"}}
	case errors.Is(err, coordination.ErrDataTooLarge), errors.Is(err, coordination.ErrDeleteTooLarge):
		return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("the change of %q is too large", path), Why: treeReason(err)}
	case errors.Is(err, coordination.ErrTooManyNodes), errors.Is(err, coordination.ErrTreeFull):
		return &Error{Code: CodeTreeFull, Message: "the tree holds as much as it may", Why: treeReason(err), Do: []string{"delete keys that are not needed"}}
	}
	return badRequest(fmt.Sprintf("the key %.100q does not allow that", path), treeReason(err))
}

func treeReason(err error) string { return strings.TrimPrefix(err.Error(), "coordination: ") }

// signal wakes all who wait for the next change. Raising it costs next to
// nothing when nobody waits.
type signal struct {
	mu sync.Mutex
	ch chan struct{} // nil: nobody waits
}

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

func scopeOf(recursive bool) coordination.Scope {
	if recursive {
		return coordination.OnTree
	}
	return coordination.OnNode
}
