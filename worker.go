package synod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/storage"
)

// WorkerConfig of a Worker. Only Name is required.
type WorkerConfig struct {
	// Name of the worker: as Config.Name. A directory belongs to one name for ever.
	Name string
	// Dir is where its events are. Empty keeps them in memory: they survive a panic, and
	// no more. One process at a time may have a directory open (storage.ErrLocked).
	Dir string
	// Intensity, Period and Backoff are as in Supervision: how often it may fail.
	Intensity int
	Period    time.Duration
	Backoff   Backoff
	// MaxRemembered is how many commands' ids are remembered: of one that is repeated
	// after so many others it is not known any more that it was done. Default 10,000.
	MaxRemembered int
	// SnapshotBytes of events since the last snapshot make the next one. Default 4 MiB.
	SnapshotBytes int
	// Event is as in Supervision. Optional.
	Event func(SupervisionEvent)

	fs           storage.FS // for tests, and segmentBytes too
	segmentBytes int64
}

func (c WorkerConfig) withDefaults() (WorkerConfig, error) {
	setDefault(&c.MaxRemembered, 10_000)
	setDefault(&c.SnapshotBytes, 4<<20)
	switch {
	case !nodeName.MatchString(c.Name):
		return c, fmt.Errorf("synod: WorkerConfig.Name %q: want 1 to 63 of a-z, 0-9, - and dot", c.Name)
	case c.MaxRemembered < 0 || c.SnapshotBytes < 0:
		return c, fmt.Errorf("synod: WorkerConfig has MaxRemembered %d and SnapshotBytes %d", c.MaxRemembered, c.SnapshotBytes)
	}
	return c, nil
}

// MaxWorkerID is how long the id of a command may be, in bytes.
const MaxWorkerID = 256

// ErrCommandID tells that a command has no id, or one that is too long.
var ErrCommandID = fmt.Errorf("synod: the id of a worker's command has 1 to %d bytes", MaxWorkerID)

// Worker is a function that outlives its failures: what it has decided is on disk as
// events before anybody is told, and after a crash its state is made from them again.
// S is its state, C a command, E an event; all travel as JSON.
//
// It runs on one goroutine, under a supervisor: a panic in handle undoes the command, the
// state is replayed, and the command is tried again, as long as WorkerConfig.Intensity
// lasts; then the worker ends with *EscalationError. After kill -9 the next OpenWorker
// goes on with all that was acknowledged. A command whose events are logged is not
// handled a second time, in this process or a later one; what else handle has done to the
// world before a crash, it may do again.
//
// It is safe for concurrent use; commands are handled one after the other.
type Worker[S, C, E any] struct {
	config WorkerConfig
	replay func(*S, E)
	handle func(S, C) ([]E, error)
	first  []byte // the state before all events

	log   *workerLog
	tree  *Supervised
	queue chan *workerCall[S, C]
	again *workerCall[S, C] // what was handled when the worker failed
	ready chan struct{}
	once  sync.Once
	// ended is closed when the log is closed too.
	ended chan struct{}

	starts, replayed, events atomic.Int64
}

// workerCall is a command or, with view, a look at the state.
type workerCall[S, C any] struct {
	ctx     context.Context
	id      string
	command C
	view    func(S)
	done    chan error // has room for one
}

// WorkerStatus is what a worker has been through in this process.
type WorkerStatus struct {
	Restarts int // after failures
	Replayed int // events, by all starts
	Events   int // logged in the life of the directory
}

// OpenWorker starts a worker and waits until its events are replayed. replay changes the
// state by one event; it must be deterministic and not keep the pointer. handle decides what
// events a command has, none if it likes; it must not change the state. If it returns an
// error, nothing is logged and Do returns that error.
//
// A panic in replay of what is logged cannot be mended by a restart: the error, here or
// of Do, wraps *ReplayError.
func OpenWorker[S, C, E any](ctx context.Context, c WorkerConfig, initial S, replay func(*S, E), handle func(S, C) ([]E, error)) (*Worker[S, C, E], error) {
	first, err := json.Marshal(initial)
	if err == nil {
		err = json.Unmarshal(first, new(S))
	}
	if err != nil {
		return nil, fmt.Errorf("synod: the initial state does not survive JSON: %w", err)
	}
	if c, err = c.withDefaults(); err != nil {
		return nil, err
	}
	w := &Worker[S, C, E]{config: c, replay: replay, handle: handle, first: first,
		queue: make(chan *workerCall[S, C]), ready: make(chan struct{}), ended: make(chan struct{})}
	if w.log, err = openWorkerLog(c); err != nil {
		return nil, err
	}
	w.tree, err = Supervise(context.WithoutCancel(ctx), Supervision{Name: c.Name, Intensity: c.Intensity, Period: c.Period, Backoff: c.Backoff,
		Event: c.Event, Children: []Child{{ID: "worker", Run: w.run}}})
	if err != nil {
		return nil, errors.Join(err, w.log.close())
	}
	go w.end()
	select {
	case <-w.ready:
		return w, nil
	case <-w.ended:
		return nil, w.stopped()
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), w.Close())
	}
}

// end closes the log after the worker.
func (w *Worker[S, C, E]) end() {
	<-w.tree.Done()
	_ = w.log.close() // what was acknowledged is durable
	close(w.ended)
}

// Do handles a command and returns nil when its events are on disk. id names the command
// for ever: one that was done, by whatever process, is not done again, and Do returns nil.
//
// An error of handle comes as it is, and nothing was done. So it is with ErrTooLarge,
// ErrDiskFull, ErrStopped after Close, *EscalationError, and ctx's error if ctx ends before
// the worker takes the command; if it ends later the error is ErrUnknownOutcome, as it is when the log
// cannot be written: repeat the command with its id.
func (w *Worker[S, C, E]) Do(ctx context.Context, id string, command C) error {
	if id == "" || len(id) > MaxWorkerID {
		return ErrCommandID
	}
	return w.ask(&workerCall[S, C]{ctx: ctx, id: id, command: command, done: make(chan error, 1)})
}

// View calls f with the state, in which is all that was acknowledged and nothing that is
// not on disk. f must neither change nor keep it, runs on the worker's goroutine and may be
// called twice if it panics, which is a failure of the worker. Errors as Do's.
func (w *Worker[S, C, E]) View(ctx context.Context, f func(S)) error {
	return w.ask(&workerCall[S, C]{ctx: ctx, view: f, done: make(chan error, 1)})
}

func (w *Worker[S, C, E]) ask(c *workerCall[S, C]) error {
	select {
	case w.queue <- c:
	case <-w.tree.Done():
		return w.stopped()
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	select {
	case err := <-c.done:
		return err
	case <-w.tree.Done():
	case <-c.ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, c.ctx.Err())
	}
	select {
	case err := <-c.done:
		return err
	default: // whoever takes a call and logs it answers before it ends
		return w.stopped()
	}
}

func (w *Worker[S, C, E]) stopped() error {
	if err := w.tree.Err(); err != nil {
		return err
	}
	return ErrStopped
}

// Status tells what the worker has been through.
func (w *Worker[S, C, E]) Status() WorkerStatus {
	return WorkerStatus{Restarts: int(max(w.starts.Load()-1, 0)), Replayed: int(w.replayed.Load()), Events: int(w.events.Load())}
}

// Done is closed when the worker has ended: by Close, or by too many failures.
func (w *Worker[S, C, E]) Done() <-chan struct{} { return w.ended }

// Err is nil until Done, and after Close; otherwise the *EscalationError.
func (w *Worker[S, C, E]) Err() error { return w.tree.Err() }

// Close ends the worker after the command that it handles, closes its log and returns Err.
func (w *Worker[S, C, E]) Close() error {
	w.tree.stop()
	<-w.ended
	return w.tree.Err()
}
