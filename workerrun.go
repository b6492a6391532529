package synod

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
)

// workerBatch is how many commands may share one flush.
const workerBatch = 256

// ReplayError tells that a logged event cannot be replayed: by a panic of replay, or
// since it is not what this program writes. A restart would meet it again.
type ReplayError struct {
	Worker string
	Record uint64 // its number in the log, 0 for a snapshot
	Err    error  // *PanicError if replay has panicked
}

// Error says what to do.
func (e *ReplayError) Error() string {
	what := fmt.Sprintf("record %d", e.Record)
	if e.Record == 0 {
		what = "the snapshot"
	}
	return fmt.Sprintf("synod: worker %s cannot replay %s of its log; mend replay, the log is untouched: %v", e.Worker, what, e.Err)
}

// Unwrap is the panic, or what JSON says.
func (e *ReplayError) Unwrap() error { return e.Err }

func (e *ReplayError) final() {}

// workerState is what one run of a worker has in memory.
type workerState[S any] struct {
	state S
	seen  remembered
	next  uint64 // number of the next record
	bytes int    // of records since the snapshot
}

// run is one life of the worker: all it knows it has from the log.
func (w *Worker[S, C, E]) run(ctx context.Context) error {
	w.starts.Add(1)
	m, err := w.restore()
	if err != nil {
		return err
	}
	w.once.Do(func() { close(w.ready) })
	for {
		if err := w.batch(ctx, m); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if m.bytes >= w.config.SnapshotBytes {
			if err := w.snapshot(m); err != nil {
				return err
			}
		}
	}
}

// batch handles what waits, has it flushed once, and answers. What was handled before a
// panic is flushed and answered as well.
func (w *Worker[S, C, E]) batch(ctx context.Context, m *workerState[S]) (err error) {
	var calls []*workerCall[S, C]
	first := m.next
	var records [][]byte
	defer func() {
		if failed := w.flush(first, records, calls); failed != nil {
			err = failed
		}
	}()
	for len(records) < workerBatch {
		c := w.take(ctx, len(calls) == 0)
		if c == nil {
			return nil
		}
		if c.view != nil && len(records) > 0 {
			w.again = c // it sees only what is durable
			return nil
		}
		w.again = c
		record, err := w.work(m, c)
		w.again = nil
		switch {
		case record != nil:
			records, calls = append(records, record), append(calls, c)
		case len(records) > 0 && err == nil: // it may be a repetition of what is not durable yet
			calls = append(calls, c)
		default:
			c.done <- err
		}
		if len(records) == 0 {
			return nil
		}
	}
	return nil
}

// take returns the next call, nil if there is none or none is to be waited for.
func (w *Worker[S, C, E]) take(ctx context.Context, wait bool) *workerCall[S, C] {
	if c := w.again; c != nil {
		return c
	}
	if !wait {
		select {
		case c := <-w.queue:
			return c
		default:
			return nil
		}
	}
	select {
	case c := <-w.queue:
		return c
	case <-ctx.Done():
		return nil
	}
}

// work handles one call. The record, if there is one, is to be logged before the answer.
func (w *Worker[S, C, E]) work(m *workerState[S], c *workerCall[S, C]) ([]byte, error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err // nobody waits, and nothing was done
	}
	if c.view != nil {
		c.view(m.state)
		return nil, nil
	}
	if m.seen.has(c.id) {
		return nil, nil
	}
	if w.log.store.Full() {
		return nil, ErrDiskFull
	}
	events, err := w.handle(m.state, c.command)
	if err != nil {
		return nil, err
	}
	record, err := encodeWorkerRecord(c.id, events)
	if err != nil {
		return nil, fmt.Errorf("synod: worker %s: events: %w", w.config.Name, err)
	}
	if len(record) > w.log.store.MaxRecordBytes() {
		return nil, ErrTooLarge
	}
	if err := w.enter(m, record); err != nil {
		return nil, err
	}
	w.events.Add(int64(len(events)))
	return record, nil
}

// enter changes the state by a record as it is read back later.
func (w *Worker[S, C, E]) enter(m *workerState[S], record []byte) error {
	var r workerRecord
	if err := json.Unmarshal(record, &r); err != nil {
		return err
	}
	events := make([]E, len(r.Events))
	for i, raw := range r.Events {
		if err := json.Unmarshal(raw, &events[i]); err != nil {
			return err
		}
	}
	for _, e := range events {
		w.replay(&m.state, e)
	}
	m.seen.add(r.ID)
	m.next++
	m.bytes += len(record)
	return nil
}

// flush makes records durable and answers their calls.
func (w *Worker[S, C, E]) flush(first uint64, records [][]byte, calls []*workerCall[S, C]) error {
	err := w.log.append(first, records)
	for _, c := range calls {
		if err == nil {
			c.done <- nil
		} else {
			c.done <- fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
	}
	return err
}

// restore makes the state from the newest snapshot and the records after it.
func (w *Worker[S, C, E]) restore() (m *workerState[S], err error) {
	m = &workerState[S]{next: 1, seen: newRemembered(w.config.MaxRemembered)}
	if err := json.Unmarshal(w.first, &m.state); err != nil {
		return nil, err
	}
	defer func() {
		if v := recover(); v != nil {
			err = &ReplayError{Worker: w.config.Name, Record: m.next, Err: &PanicError{Value: v, Stack: debug.Stack()}}
		}
	}()
	var events int64
	picture, found, err := w.log.newest()
	if err != nil {
		return nil, err
	}
	if found {
		var state S
		if err := json.Unmarshal(picture.State, &state); err != nil {
			return nil, &ReplayError{Worker: w.config.Name, Err: err}
		}
		m.state, m.next, events = state, picture.Record+1, picture.Events
		for _, id := range picture.IDs {
			m.seen.add(id)
		}
	}
	err = w.log.replay(m.next, func(record []byte) error {
		var r workerRecord
		if err := json.Unmarshal(record, &r); err != nil {
			return &ReplayError{Worker: w.config.Name, Record: m.next, Err: err}
		}
		if err := w.enter(m, record); err != nil {
			return &ReplayError{Worker: w.config.Name, Record: m.next, Err: err}
		}
		w.replayed.Add(int64(len(r.Events)))
		events += int64(len(r.Events))
		return nil
	})
	w.events.Store(events)
	return m, err
}

// snapshot saves the state, so that the records before it need not be kept.
func (w *Worker[S, C, E]) snapshot(m *workerState[S]) error {
	state, err := json.Marshal(m.state)
	if err != nil {
		return fmt.Errorf("synod: worker %s: state: %w", w.config.Name, err)
	}
	m.bytes = 0
	return w.log.save(workerPicture{Record: m.next - 1, Events: w.events.Load(), IDs: m.seen.all(), State: state})
}
