package api

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/coordination"
)

// dispatcher wakes those who watch the tree, and only those whom a change concerns: it
// reads each change once for all of them. It runs while there are any. Safe for
// concurrent use.
type dispatcher struct {
	backend  func() Backend
	stopping <-chan struct{}

	// at is the log index up to which everybody concerned has been woken.
	at atomic.Uint64

	mu       sync.Mutex
	running  bool
	interest coordination.Watchers
	watchers map[uint64]waker // by id
	last     uint64           // the highest id given
}

// waker is told the index of a change that concerns it, or, if it is not known how many
// it has missed, 0. It must not block and must not call the dispatcher.
type waker interface{ wake(index uint64) }

// join returns an id for one who is going to watch.
func (d *dispatcher) join(who waker) (id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watchers == nil {
		d.watchers = map[uint64]waker{}
	}
	d.last++
	d.watchers[d.last] = who
	return d.last
}

// leave takes back the id, after its last watch was removed.
func (d *dispatcher) leave(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.watchers, id)
}

// add notes a watch. Whatever concerns it and has an index beyond at wakes its owner;
// what is older the owner must look for itself.
func (d *dispatcher) add(ctx context.Context, id uint64, watch coordination.Watch) (at uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.running {
		if err := d.start(ctx); err != nil {
			return 0, err
		}
	}
	d.interest.Add(id, watch)
	return d.at.Load(), nil
}

func (d *dispatcher) remove(id uint64, watch coordination.Watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interest.Remove(id, watch)
}

// start lets it run from what this node has applied.
func (d *dispatcher) start(ctx context.Context) error {
	if err := d.backend().View(ctx, ReadOptions{Level: Stale}, func(_ *coordination.Tree, index uint64) { d.at.Store(index) }); err != nil {
		return err
	}
	d.running = true
	go d.run()
	return nil
}

// viewPause is how long it waits when the tree cannot be looked at, as while it is
// rebuilt from the log.
const viewPause = 20 * time.Millisecond

func (d *dispatcher) run() {
	for {
		wake := d.backend().Changed()
		page, err := d.page()
		switch {
		case err != nil && !errors.Is(err, coordination.ErrHistoryGone):
			wake = nil
		case d.pass(page, err != nil):
			continue
		case d.rest():
			return
		}
		var again <-chan time.Time
		if wake == nil {
			again = time.After(viewPause)
		}
		select {
		case <-wake:
		case <-again:
		case <-d.stopping:
			return
		}
	}
}

// page reads what has changed since at.
func (d *dispatcher) page() (page coordination.Events, err error) {
	after, failed := d.at.Load(), error(nil)
	everything := coordination.Watch{Path: coordination.Root, Scope: coordination.OnTree, Limit: changesPage}
	err = d.backend().View(context.Background(), ReadOptions{Level: Stale}, func(tree *coordination.Tree, index uint64) {
		if page, failed = tree.EventsSince(after, everything); !page.More {
			page.Next = max(after, index)
		}
	})
	return page, errors.Join(err, failed)
}

// pass wakes those whom a page concerns, or everybody if some were missed. It reports
// whether more is to be read at once.
func (d *dispatcher) pass(page coordination.Events, missed bool) (more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if missed {
		for _, who := range d.watchers {
			who.wake(0)
		}
	}
	for _, e := range page.Events {
		d.interest.Interested(e, func(id uint64) { d.watchers[id].wake(e.Index) })
	}
	d.at.Store(page.Next)
	return page.More
}

// rest ends it if nobody watches any more.
func (d *dispatcher) rest() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = len(d.watchers) > 0
	return !d.running
}

// changesPage is how many changes are read at a time, give or take those of one index.
const changesPage = 256
