package decree

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/storage"
)

// Log is one actor's part of the node's log: a group of its own. Save and Rest are
// called by the actor alone.
type Log struct {
	store *storage.Store
	group storage.Group
	fail  func(error)
	under atomic.Int64 // saves whose end has not been dealt with
}

// NewLog makes the part of group. fail is told when a save has failed: the node
// must end, since nobody knows what its disk holds (A5).
func NewLog(store *storage.Store, group storage.Group, fail func(error)) *Log {
	return &Log{store: store, group: group, fail: fail}
}

// Save appends records and calls then when they and all earlier ones are durable,
// on the log's goroutine; with nothing to wait for, at once. If the save fails, then
// is never called.
func (l *Log) Save(records []storage.Record, then func()) {
	if len(records) == 0 && l.under.Load() == 0 {
		then()
		return
	}
	for i := range records {
		records[i].Group = l.group
	}
	l.under.Add(1)
	l.store.Append(records, func(err error) {
		if err != nil {
			l.fail(fmt.Errorf("decree: save: %w", err))
			return // under stays: nothing leaves any more
		}
		then()
		l.under.Add(-1)
	})
}

// Replay calls f for each record of the group: see storage.Store.Replay.
func (l *Log) Replay(f func(storage.Record) error) error { return l.store.Replay(l.group, f) }

// maxPending is how many bytes may wait for the disk. It is a part of what the log
// takes before it fails for good (storage.Options.MaxPendingBytes), and all roles of
// a node share it.
const maxPending = 64 << 20

// Behind reports that the disk does not keep up, with so many bytes more that have
// not been given to Save: what would add to them is to be lost, and is asked again.
func (l *Log) Behind(more int) bool { return l.store.Pending()+int64(more) > maxPending }

// Full reports that nothing new is to be taken.
func (l *Log) Full() bool { return l.store.Full() }

func (l *Log) release(index uint64) { l.store.Release(l.group, index) }

// Rest waits until nothing of an actor's former instance is under way: it may have
// been a vote that its answer follows, and must not be forgotten. It is for the
// start after a panic, and waits for one flush.
func (l *Log) Rest(limit time.Duration) error {
	flushed := make(chan error, 1)
	l.store.Append(nil, func(err error) { flushed <- err })
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-flushed:
		return err
	case <-timer.C:
		return fmt.Errorf("decree: the log has not come to rest within %v", limit)
	}
}
