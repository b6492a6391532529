package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

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

// get reads one key on behalf of a caller.
func (s *Server) get(ctx context.Context, caller coordination.Caller, path string, o ReadOptions) (Entry, uint64, error) {
	var node coordination.Node
	var at uint64
	var failed error
	if err := s.backend().View(ctx, o, func(tree *coordination.Tree, index uint64) {
		at = index
		if node, failed = tree.Get("/" + path); failed == nil && !tree.Permits("/"+path, coordination.MayRead, caller) {
			node, failed = coordination.Node{}, coordination.ErrAccess
		}
	}); err != nil {
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

// list reads one page on behalf of a caller, who sees of keys that he may not read only
// that they are there.
func (s *Server) list(ctx context.Context, caller coordination.Caller, path string, o ListOptions) (Listing, error) {
	var page coordination.Page
	var at uint64
	var failed error
	query := coordination.Listing{Path: "/" + path, Recursive: o.Recursive, Limit: o.Limit}
	if o.After != "" {
		query.After = "/" + o.After
	}
	if err := s.backend().View(ctx, o.ReadOptions, func(tree *coordination.Tree, index uint64) {
		at = index
		page, failed = permittedPage(tree, query, caller)
	}); err != nil {
		return Listing{}, err
	}
	if failed != nil {
		return Listing{}, treeError(failed, path)
	}
	return listingOf(path, at, page), nil
}

// permittedPage lists what the caller may see: nothing below a node whose children he may
// not list, and no data of a node that he may not read.
func permittedPage(tree *coordination.Tree, query coordination.Listing, caller coordination.Caller) (coordination.Page, error) {
	if !tree.Permits(query.Path, coordination.MayRead, caller) {
		return coordination.Page{}, coordination.ErrAccess
	}
	page, err := tree.List(query)
	hidden := hiddenAbove(tree, query, caller) // the inside of this node is not shown
	kept := page.Nodes[:0]
	for _, node := range page.Nodes {
		if hidden != "" && strings.HasPrefix(node.Path, hidden) {
			continue
		}
		if !tree.Permits(node.Path, coordination.MayRead, caller) {
			hidden, node.Data = node.Path+"/", nil
		}
		kept = append(kept, node)
	}
	page.Nodes = kept
	return page, err
}

// hiddenAbove returns the path, with a slash, of the first node above the page's beginning
// whose inside the caller may not see: a page may begin within it.
func hiddenAbove(tree *coordination.Tree, query coordination.Listing, caller coordination.Caller) string {
	for i := len(query.Path) + 1; query.Recursive && i < len(query.After); i++ {
		if query.After[i] == '/' && !tree.Permits(query.After[:i], coordination.MayRead, caller) {
			return query.After[:i+1]
		}
	}
	if query.Recursive && query.After != "" && !tree.Permits(query.After, coordination.MayRead, caller) {
		return query.After + "/"
	}
	return ""
}

func listingOf(path string, at uint64, page coordination.Page) Listing {
	listing := Listing{Path: path, Index: at, After: strings.TrimPrefix(page.Next, "/")}
	size := 0
	for i, node := range page.Nodes {
		listing.Entries = append(listing.Entries, entryOf(node))
		if size += len(node.Data); size > pageBytes && i+1 < len(page.Nodes) {
			listing.After = strings.TrimPrefix(node.Path, "/")
			break
		}
	}
	return listing
}

func changeOf(e coordination.Event) Change {
	return Change{Kind: e.Kind.String(), Path: e.Path[1:], Value: e.Data, Version: uint64(e.Version), Index: e.Index}
}

func entryOf(n coordination.Node) Entry {
	return Entry{Path: n.Path[1:], Value: n.Data, Version: uint64(n.Stat.Version), Created: n.Stat.CreateIndex,
		Modified: n.Stat.ModifyIndex, Children: n.Stat.Children, Owner: sessionOf(n.Stat), Mode: modeOf(n.Stat)}
}

// sessionOf is the session that owns a key, 0 if none does.
func sessionOf(s coordination.Stat) uint64 {
	if s.Mode() == coordination.Ephemeral {
		return s.Owner
	}
	return 0
}

// modeOf is how long a key lives, "" for as long as nobody deletes it.
func modeOf(s coordination.Stat) Mode {
	return [...]Mode{coordination.Persistent: "", coordination.Ephemeral: Ephemeral, coordination.Container: Container, coordination.TTL: TTL}[s.Mode()]
}

// write proposes an operation and returns what it has done. The tree's refusal is an
// error too.
func (s *Server) write(ctx context.Context, o coordination.Operation, id RequestID) (Written, error) {
	r, err := s.backend().Propose(ctx, o, id)
	if err != nil {
		return Written{}, err
	}
	if r.Err() != nil {
		return Written{}, refusal(o, r)
	}
	return writtenOf(o, r, r.Index), nil
}

// writtenOf says what an operation has done, at index.
func writtenOf(o coordination.Operation, r coordination.Result, index uint64) Written {
	done := Written{Path: strings.TrimPrefix(o.Path, "/"), Index: index}
	if r.Path != "" {
		done.Path = r.Path[1:]
	}
	if o.Kind == coordination.Delete {
		done.Deleted = int(r.Nodes)
		return done
	}
	done.Version, done.Created, done.Session = uint64(r.Stat.Version), r.Stat.CreateIndex, sessionOf(r.Stat)
	return done
}

// refusal is the error of an operation that the tree has refused.
func refusal(o coordination.Operation, r coordination.Result) *Error {
	e := treeError(r.Err(), strings.TrimPrefix(o.Path, "/"))
	if r.Code == coordination.CodeVersion || r.Code == coordination.CodeExists {
		version := uint64(r.Stat.Version)
		e.Version, e.Why = &version, versionReason(o, r.Stat)
	}
	return e
}

func versionReason(o coordination.Operation, found coordination.Stat) string {
	switch {
	case found.CreateIndex == 0:
		return "the key does not exist"
	case o.Kind == coordination.Create:
		return fmt.Sprintf("it was created at index %d", found.CreateIndex)
	case o.CreateIndex != 0 && o.CreateIndex != found.CreateIndex:
		return fmt.Sprintf("the key created at index %d was expected, this one was created at index %d", o.CreateIndex, found.CreateIndex)
	case o.Version == coordination.Unwritten:
		return fmt.Sprintf("it was expected not to exist, but it has version %d", found.Version)
	}
	return fmt.Sprintf("version %d was expected, it has version %d", o.Version, found.Version)
}

// treeErrors says for people and programs what the tree refused.
var treeErrors = []struct {
	err     error
	code    Code
	message string // %q is the key
	reason  bool   // whether the tree's own words say why
	do      string
}{
	{coordination.ErrNotFound, CodeNotFound, "key %q not found", false, ""},
	{coordination.ErrVersion, CodeConflict, "key %q has another version", false, "read it again and decide anew"},
	{coordination.ErrHasChildren, CodeConflict, "key %q has others below it", false, "delete those first, or all of it with recursive"},
	{coordination.ErrHistoryGone, CodeGone, "the history of %q does not go back that far", false, "list the keys again, then watch from the index of the listing"},
	{coordination.ErrDataTooLarge, CodeTooLarge, "the change of %q is too large", true, ""},
	{coordination.ErrDeleteTooLarge, CodeTooLarge, "the change of %q is too large", true, ""},
	{coordination.ErrQuotaTooLarge, CodeTooLarge, "the quota of %q was not set", true, "set quotas of keys below it first: what they count counts as one"},
	{coordination.ErrTooManyNodes, CodeTreeFull, "there is no room for %q: the tree holds as much as it may", true, "delete keys that are not needed"},
	{coordination.ErrTreeFull, CodeTreeFull, "there is no room for %q: the tree holds as much as it may", true, "delete keys that are not needed"},
	{coordination.ErrSequence, CodeTreeFull, "there is no room for %q", true, "use another parent"},
	{coordination.ErrTooManyEphemerals, CodeTreeFull, "there is no room for %q: its session owns as much as it may", true, "delete some, or open another session"},
	{coordination.ErrExists, CodeExists, "key %q exists", false, "read it, or write it with PUT"},
	{coordination.ErrNoParent, CodeNotFound, "the parent of key %q does not exist", false, "create it first, or leave out need_parent"},
	{coordination.ErrAccess, CodeDenied, "the access list does not let you do that with key %q", false, "show who you are: a password, or a client certificate"},
	{coordination.ErrQuota, CodeQuota, "key %q would exceed a quota", true, "delete what is not needed there, or raise the quota"},
	{coordination.ErrSession, CodeSession, "the session is over: %q was left alone", false, "open another session"},
	{coordination.ErrSessionKey, CodeSession, "the token is not that of the session: %q was left alone", false, "open a session of your own"},
}

func treeError(err error, path string) *Error {
	for _, known := range treeErrors {
		if !errors.Is(err, known.err) {
			continue
		}
		e := &Error{Code: known.code, Message: fmt.Sprintf(known.message, path)}
		if known.reason {
			e.Why = treeReason(err)
		}
		if known.do != "" {
			e.Do = []string{known.do}
		}
		return e
	}
	switch {
	case errors.Is(err, coordination.ErrTooManySessions):
		return &Error{Code: CodeTreeFull, Message: "there are as many sessions as there may be", Do: []string{"close some"}}
	case errors.Is(err, coordination.ErrEpoch):
		return &Error{Code: CodeNoLeader, Message: "nothing was done: the leader changed meanwhile", Do: []string{"try again"}}
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
