package master

import (
	"context"
	"io"
	"sync"
)

// queue is what waits for one reader. The zero value is empty and open.
type queue[T any] struct {
	mu     sync.Mutex
	items  []T
	bytes  int
	ended  bool
	ending bool          // it ends when what is there was taken
	ready  chan struct{} // made and closed for one who waits
	tell   func()
}

// put appends items and returns how many bytes wait now.
func (q *queue[T]) put(bytes int, items ...T) int {
	q.mu.Lock()
	if q.ended || q.ending {
		q.mu.Unlock()
		return 0
	}
	first := len(q.items) == 0
	q.items = append(q.items, items...)
	q.bytes += bytes
	total, tell := q.bytes, q.tell
	q.wake()
	q.mu.Unlock()
	if first && tell != nil {
		tell()
	}
	return total
}

// wake lets go of who waits.
func (q *queue[T]) wake() {
	if q.ready != nil {
		close(q.ready)
		q.ready = nil
	}
}

// take returns what is there, and io.EOF if nothing comes any more.
func (q *queue[T]) take() (items []T, bytes int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.takeLocked()
}

func (q *queue[T]) takeLocked() (items []T, bytes int, err error) {
	if q.ended || q.ending && len(q.items) == 0 {
		return nil, 0, io.EOF
	}
	items, bytes = q.items, q.bytes
	q.items, q.bytes = nil, 0
	return items, bytes, nil
}

// next waits until something is there.
func (q *queue[T]) next(ctx context.Context) (items []T, bytes int, err error) {
	for {
		q.mu.Lock()
		items, bytes, err = q.takeLocked()
		if len(items) > 0 || err != nil {
			q.mu.Unlock()
			return items, bytes, err
		}
		if q.ready == nil {
			q.ready = make(chan struct{})
		}
		ready := q.ready
		q.mu.Unlock()
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

func (q *queue[T]) onReady(f func()) {
	q.mu.Lock()
	q.tell = f
	waits := len(q.items) > 0 || q.ended
	q.mu.Unlock()
	if waits {
		f()
	}
}

// end drops what waits, and returns how many bytes that was.
func (q *queue[T]) end() int {
	q.mu.Lock()
	bytes, was, tell := q.bytes, q.ended, q.tell
	q.ended, q.items, q.bytes = true, nil, 0
	q.wake()
	q.mu.Unlock()
	if !was && tell != nil {
		tell()
	}
	return bytes
}

// finish ends it after what waits.
func (q *queue[T]) finish() {
	q.mu.Lock()
	q.ending = true
	tell := q.tell
	q.wake()
	q.mu.Unlock()
	if tell != nil {
		tell()
	}
}

func (q *queue[T]) over() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended
}
