package synod

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/synod-go/synod/storage"
)

// workerGroup and workerRecordType are the numbers of a worker's records in its log.
const (
	workerGroup      storage.Group = 1
	workerRecordType uint8         = 1
)

// workerSegmentBytes is small: a worker's log is written by itself alone.
const workerSegmentBytes = 8 << 20

// workerRecord is a command that was handled, as JSON.
type workerRecord struct {
	ID     string            `json:"id"`
	Events []json.RawMessage `json:"events,omitempty"`
}

// workerPicture is a snapshot, as JSON: all up to Record.
type workerPicture struct {
	Record uint64          `json:"record"`
	Events int64           `json:"events"`
	IDs    []string        `json:"ids"`
	State  json.RawMessage `json:"state"`
}

func encodeWorkerRecord[E any](id string, events []E) ([]byte, error) {
	r := workerRecord{ID: id}
	for _, e := range events {
		data, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		r.Events = append(r.Events, data)
	}
	return json.Marshal(r)
}

// workerLog is the log of one worker in a directory of its own.
type workerLog struct {
	name  string
	store *storage.Store
}

// logError is a failure of the log, after which only another opening helps.
type logError struct{ err error }

func (e *logError) Error() string { return e.err.Error() }
func (e *logError) Unwrap() error { return e.err }
func (e *logError) final()        {}

func openWorkerLog(c WorkerConfig) (*workerLog, error) {
	options := storage.Options{FS: c.fs, Node: c.Name, SegmentBytes: c.segmentBytes}
	setDefault(&options.SegmentBytes, workerSegmentBytes)
	dir := c.Dir
	if dir == "" {
		dir, options.SegmentBytes = "worker", memorySegmentBytes
		if options.FS == nil {
			options.FS = storage.NewMemory(1)
		}
	}
	store, err := storage.Open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("synod: worker %s: open %s: %w", c.Name, dir, err)
	}
	return &workerLog{name: c.Name, store: store}, nil
}

func (l *workerLog) close() error { return l.store.Close() }

func (l *workerLog) fail(what string, err error) error {
	return &logError{fmt.Errorf("synod: worker %s: %s: %w", l.name, what, err)}
}

// append makes records durable, of which the first has that number.
func (l *workerLog) append(first uint64, records [][]byte) error {
	if len(records) == 0 {
		return nil
	}
	all := make([]storage.Record, len(records))
	for i, data := range records {
		all[i] = storage.Record{Group: workerGroup, Type: workerRecordType, Index: first + uint64(i), Data: data}
	}
	durable := make(chan error, 1)
	l.store.Append(all, func(err error) { durable <- err })
	if err := <-durable; err != nil {
		return l.fail("write the log", err)
	}
	return nil
}

// newest reads the newest snapshot.
func (l *workerLog) newest() (p workerPicture, found bool, err error) {
	meta, found, err := l.store.NewestSnapshot(workerGroup, math.MaxUint64)
	switch {
	case err != nil:
		return p, false, l.fail("find a snapshot", err)
	case !found && l.store.Released(workerGroup) > 0:
		return p, false, l.fail("find a snapshot", storage.ErrNotFound)
	case !found:
		return p, false, nil
	case meta.Index < l.store.Released(workerGroup):
		return p, false, l.fail(fmt.Sprintf("find a snapshot of record %d", l.store.Released(workerGroup)), storage.ErrNotFound)
	}
	r, err := l.store.OpenSnapshot(workerGroup, meta.Index)
	if err != nil {
		return p, false, l.fail("open a snapshot", err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return p, false, l.fail("read a snapshot", err)
	}
	return p, true, nil
}

// replay calls f with the records from number first on, none of which may be missing.
func (l *workerLog) replay(first uint64, f func(record []byte) error) error {
	next := first
	var stopped error
	err := l.store.Replay(workerGroup, func(r storage.Record) error {
		switch {
		case r.Index < next:
			return nil // a snapshot has it
		case r.Index > next:
			stopped = l.fail("replay", fmt.Errorf("record %d is missing", next))
		default:
			stopped = f(bytes.Clone(r.Data))
		}
		next++
		return stopped
	})
	if stopped == nil && err != nil {
		return l.fail("replay", err)
	}
	return stopped
}

// save makes a snapshot durable and then lets go of the records that it covers.
func (l *workerLog) save(p workerPicture) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	w, err := l.store.CreateSnapshot(storage.SnapshotMeta{Group: workerGroup, Index: p.Record, Term: 1})
	if err != nil {
		return l.fail("create a snapshot", err)
	}
	if _, err = w.Write(data); err == nil {
		_, err = w.Commit()
	}
	if err != nil {
		w.Abort()
		return l.fail("write a snapshot", err)
	}
	l.store.Release(workerGroup, p.Record)
	return nil
}

// remembered are the ids of the last commands, at most so many.
type remembered struct {
	most int
	ids  map[string]struct{}
	ring []string
	next int // of a full ring: the oldest
}

func newRemembered(most int) remembered {
	return remembered{most: most, ids: map[string]struct{}{}}
}

func (r *remembered) has(id string) bool {
	_, ok := r.ids[id]
	return ok
}

func (r *remembered) add(id string) {
	if r.has(id) {
		return
	}
	r.ids[id] = struct{}{}
	if len(r.ring) < r.most {
		r.ring = append(r.ring, id)
		return
	}
	delete(r.ids, r.ring[r.next])
	r.ring[r.next] = id
	r.next = (r.next + 1) % len(r.ring)
}

// all returns the ids, the oldest first.
func (r *remembered) all() []string {
	return append(append([]string{}, r.ring[r.next:]...), r.ring[:r.next]...)
}
