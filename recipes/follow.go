package recipes

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
)

// follow calls f with the places of a queue, now and after changes, until ctx ends or f returns an
// error. A change is told after settle, together with all others until then.
func follow(ctx context.Context, r reader, path string, settle time.Duration, f func([]place) error) error {
	path, err := trimmed(path)
	if err != nil {
		return err
	}
	list, index, err := places(ctx, r, path, api.ReadOptions{})
	if err != nil {
		return err
	}
	b := &board{path: path, changed: make(chan struct{}, 1)}
	b.set(list)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.follow(ctx, r, index) }()
	defer cancel()
	for {
		if err := f(b.list()); err != nil {
			cancel()
			<-ended
			return err
		}
		select {
		case <-b.changed:
			rest(ctx, settle)
		case err := <-ended:
			return err
		}
	}
}

// board holds the places of a queue as a watch tells of them. It is safe for concurrent use.
type board struct {
	path    string
	changed chan struct{} // has room for one

	mu     sync.Mutex
	places map[string]place
	// heldBack are changes of an index that is not complete: nobody may see a part of it.
	heldBack []api.Change
}

// follow keeps the board up to date from an index on.
func (b *board) follow(ctx context.Context, r reader, index uint64) error {
	for {
		err := watch(ctx, r, b.path, api.WatchOptions{Children: true, From: index + 1}, func(c api.Change) error {
			b.apply(c)
			return nil
		})
		if api.CodeOf(err) != api.CodeGone {
			return err
		}
		var list []place
		err = insist(ctx, func(ctx context.Context) (err error) {
			list, index, err = places(ctx, r, b.path, api.ReadOptions{})
			return err
		})
		if err != nil {
			return err
		}
		b.set(list)
	}
}

func (b *board) set(list []place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heldBack = nil
	b.places = make(map[string]place, len(list))
	for _, p := range list {
		b.places[p.key] = p
	}
	b.raise()
}

// apply takes note of a change once all of its index have come, as far as the reader knows that.
func (b *board) apply(c api.Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heldBack = append(b.heldBack, c); c.More {
		return
	}
	concerned := false
	for _, c := range b.heldBack {
		if !isPlace(c.Path, b.path) {
			continue
		}
		concerned = true
		switch c.Kind {
		case "created":
			b.places[c.Path] = place{c.Path, c.Index, c.Value}
		case "deleted":
			delete(b.places, c.Path)
		}
	}
	if b.heldBack = nil; concerned {
		b.raise()
	}
}

func (b *board) raise() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// list is the places in order. What was raised before is answered with it.
func (b *board) list() []place {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.changed:
	default:
	}
	list := make([]place, 0, len(b.places))
	for _, p := range b.places {
		list = append(list, p)
	}
	slices.SortFunc(list, byToken)
	return list
}
