package master

import (
	"context"
	"sync"
	"time"

	"github.com/synod-go/synod/mesos"
)

// views keeps the last view and lets people wait for the next.
type views struct {
	mu     sync.Mutex
	view   *mesos.MasterView
	good   time.Duration // until when it is recent, and no other one is made
	coming chan struct{} // closed when the one that was asked for is there; nil if none was
}

// Between two views there is twenty times as long as one takes, but no less and no more than
// these: one that took long because the machine was busy must not keep readers waiting.
const (
	minViewPause = 10 * time.Millisecond
	maxViewPause = 500 * time.Millisecond
	viewShare    = 20
)

// Recent is the Handle's.
func (l *Leading) Recent() (*mesos.MasterView, error) {
	v := &l.views
	v.mu.Lock()
	last, good := v.view, v.good
	v.mu.Unlock()
	if last != nil && l.handle.cfg.Clock() < good {
		return last, nil
	}
	return l.View(context.Background())
}

// View is the Handle's.
func (l *Leading) View(ctx context.Context) (*mesos.MasterView, error) {
	v := &l.views
	v.mu.Lock()
	if v.coming == nil {
		v.coming = make(chan struct{})
		time.AfterFunc(v.good-l.handle.cfg.Clock(), func() { l.tell(wantView{}) })
	}
	coming := v.coming
	v.mu.Unlock()
	select {
	case <-coming:
	case <-l.done:
		return nil, l.handle.notLeading()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.view, nil
}

// makeView is called inside the actor.
func (l *leader) makeView() {
	began := l.cfg.Clock()
	view := l.core.View()
	now := l.cfg.Clock()
	l.handle.metrics.views.Add(1)
	v := &l.lead.views
	v.mu.Lock()
	defer v.mu.Unlock()
	v.view, v.good = view, now+min(max(minViewPause, viewShare*(now-began)), maxViewPause)
	if v.coming != nil {
		close(v.coming)
		v.coming = nil
	}
}

// ring keeps the last happenings.
type ring struct {
	most int

	mu    sync.Mutex
	kept  []Happening // the one with Sequence n at (n-1)%most
	next  uint64      // how many there were
	grown chan struct{}
}

func (r *ring) add(term mesos.Term, now time.Time, happened []mesos.Happening) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range happened {
		at := int(r.next % uint64(r.most))
		r.next++
		h := Happening{Sequence: r.next, Term: term, Time: now, Happening: h}
		if at == len(r.kept) {
			r.kept = append(r.kept, h)
		} else {
			r.kept[at] = h
		}
	}
	close(r.grown)
	r.grown = make(chan struct{})
}

// after returns what came after a sequence number, or what tells when there is some.
func (r *ring) after(sequence uint64, limit int) ([]Happening, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := max(sequence, r.next-uint64(len(r.kept)))
	if first >= r.next {
		return nil, r.grown
	}
	some := make([]Happening, 0, min(int(r.next-first), limit))
	for ; first < r.next && len(some) < limit; first++ {
		some = append(some, r.kept[first%uint64(r.most)])
	}
	return some, nil
}

// Happenings is the Handle's.
func (l *Leading) Happenings(ctx context.Context, after uint64, limit int) ([]Happening, error) {
	for {
		some, grown := l.ring.after(after, max(limit, 1))
		if len(some) > 0 {
			return some, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.done:
			return nil, l.handle.notLeading()
		}
	}
}

// HappenedAfter returns what has happened after a sequence number, at most limit, and waits for
// nothing.
func (l *Leading) HappenedAfter(after uint64, limit int) []Happening {
	some, _ := l.ring.after(after, max(limit, 1))
	return some
}
