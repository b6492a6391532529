package coordination

import (
	"fmt"
	"slices"
	"sort"
)

// EventKind says what happened to a node.
type EventKind uint8

const (
	// Created: the node was created, by a Create or Put or as a parent of others.
	Created EventKind = 1
	// Changed: a Put wrote its data.
	Changed EventKind = 2
	// Deleted: the node is gone.
	Deleted EventKind = 3
)

// String is the kind in lower case, as the HTTP API says it.
func (k EventKind) String() string {
	switch k {
	case Created:
		return "created"
	case Changed:
		return "changed"
	case Deleted:
		return "deleted"
	default:
		return fmt.Sprintf("EventKind(%d)", uint8(k))
	}
}

// Event is one change of one node. Whoever carries out all events on a copy of
// the tree has the tree, but for access lists, quotas and sessions, whose changes are
// no events.
type Event struct {
	Kind EventKind
	// Index is that of the operation. Several events may have one index, in the order
	// in which it happened: a Created comes after that of the parent, a Deleted before
	// it.
	Index uint64
	// Time is log time in Unix milliseconds.
	Time int64
	Path string
	// Version is the node's after the event, for Deleted the last one. It is 0
	// for a node that was made as a parent of others.
	Version int64
	// Data is the node's new data; nil for Deleted. It is shared: nobody may
	// change it.
	Data []byte
}

func (e *Event) size() int64 { return int64(len(e.Path) + len(e.Data) + eventOverhead) }

const eventOverhead = 128

// history holds the latest events in blocks. A block is only ever appended to,
// so that a snapshot shares it by remembering its length.
type history struct {
	blocks [][]Event
	first  int // index in blocks[0] of the oldest event kept
	count  int
	bytes  int64
	tail   int64 // bytes of the last block
	// floor is the index of the last event dropped: whoever has seen all up to
	// it has missed nothing.
	floor uint64
	last  uint64 // index of the last event, dropped or not
	total uint64 // of events ever
}

// A block has at most blockEvents events, and no further one once it has blockBytes: what
// is dropped of it stays in memory until all of it is.
const (
	blockEvents       = 256
	blockBytes  int64 = 1 << 20
)

func (h *history) add(e Event) {
	n := len(h.blocks)
	if n == 0 || len(h.blocks[n-1]) == blockEvents || h.tail >= blockBytes {
		h.blocks = append(h.blocks, make([]Event, 0, blockEvents))
		h.tail = 0
		n++
	}
	h.blocks[n-1] = append(h.blocks[n-1], e)
	h.count++
	h.total++
	h.bytes += e.size()
	h.tail += e.size()
	h.last = e.Index
}

// trim drops the oldest events beyond the bounds.
func (h *history) trim(l Limits) {
	for h.count > l.HistoryEvents || h.bytes > l.HistoryBytes {
		e := &h.blocks[0][h.first]
		h.floor = e.Index
		h.bytes -= e.size()
		h.count--
		h.first++
		if h.first == len(h.blocks[0]) {
			h.blocks[0] = nil // lets go of the memory
			h.blocks, h.first = h.blocks[1:], 0
		}
	}
}

// picture returns a history that does not change any more.
func (h *history) picture() history {
	p := *h
	p.blocks = slices.Clone(h.blocks)
	return p
}

// after calls f for the kept events with a higher index, in order, until f
// returns false.
func (h *history) after(index uint64, f func(*Event) bool) {
	i := sort.Search(len(h.blocks), func(i int) bool {
		return h.blocks[i][len(h.blocks[i])-1].Index > index
	})
	for ; i < len(h.blocks); i++ {
		block := h.blocks[i]
		if i == 0 {
			block = block[h.first:]
		}
		skip := sort.Search(len(block), func(j int) bool { return block[j].Index > index })
		for j := skip; j < len(block); j++ {
			if !f(&block[j]) {
				return
			}
		}
	}
}

// Scope is which events a [Watch] wants.
type Scope uint8

const (
	// OnNode wants those of the node itself.
	OnNode Scope = 0
	// OnTree wants also those of everything below it.
	OnTree Scope = 1
	// OnChildren wants the creation and deletion of direct children, and the deletion
	// of the node itself.
	OnChildren Scope = 2
)

// Watch says which events are wanted.
type Watch struct {
	// Path is the node to watch; it need not exist.
	Path string
	// Scope says which events around it.
	Scope Scope
	// Limit ends a page once it holds as many events; it may become longer,
	// since events with one index are never parted. Default 1000.
	Limit int
}

// Matches reports whether w wants e.
func (w Watch) Matches(e Event) bool {
	switch w.Scope {
	case OnTree:
		return under(e.Path, w.Path)
	case OnChildren:
		if e.Kind == Changed || e.Path == Root {
			return false
		}
		parent, _ := split(e.Path)
		return parent == w.Path || e.Kind == Deleted && e.Path == w.Path
	default:
		return e.Path == w.Path
	}
}

// Events is one page of events.
type Events struct {
	Events []Event
	// Next is the index to go on from: everything up to it has been looked at.
	Next uint64
	// More tells that there are further events to be looked at right away; a
	// page with More may be empty.
	More bool
}

// EventsSince returns the events with an index higher than after. A watcher
// begins with the index at which it read the tree, goes on with the Next of
// each page, and may do so on another replica or after a reconnect without
// missing or repeating an event. If the events are no longer known it gets an
// error that matches [ErrHistoryGone].
func (t *Tree) EventsSince(after uint64, w Watch) (Events, error) {
	if err := CheckPath(w.Path); err != nil {
		return Events{}, err
	}
	if after < t.history.floor {
		return Events{}, fmt.Errorf("%w: asked for what follows index %d, known is what follows %d",
			ErrHistoryGone, after, t.history.floor)
	}
	if w.Limit <= 0 {
		w.Limit = defaultPage
	}
	page := Events{Next: max(after, t.applied)}
	scanned, last := 0, after
	t.history.after(after, func(e *Event) bool {
		full := len(page.Events) >= w.Limit || scanned >= maxScan
		if full && e.Index != last {
			page.Next, page.More = last, true
			return false
		}
		if w.Matches(*e) {
			page.Events = append(page.Events, *e)
		}
		scanned, last = scanned+1, e.Index
		return true
	})
	return page, nil
}

// maxScan bounds how many events one call looks at, and so how long it keeps
// others waiting.
const maxScan = 8192

// OldestIndex is the lowest index that [Tree.EventsSince] can go on from.
func (t *Tree) OldestIndex() uint64 { return t.history.floor }

// LastIndex is the index of the last event.
func (t *Tree) LastIndex() uint64 { return t.history.last }
