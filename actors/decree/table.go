package decree

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/synod-go/synod/storage"
)

// The records of a role's group.
//
//	type  index      data
//	1     0 (state)  the acceptors: 1 byte founded, then founding.Set.Encode
//	2     sequence   what a Table keeps of a decree: 1 byte length of the name, the name, the row
//	3     0 (state)  the proposer's reserved round, u64 little-endian
//
// The newest record of type 2 of a decree counts. sequence is 1, 2, 3 … of the group.
const (
	RecordSet   uint8 = 1
	RecordRow   uint8 = 2
	RecordRound uint8 = 3
)

const (
	// rowOverhead is what a row takes beside its name and data, about: 16 bytes
	// in a record, the rest in memory.
	rowOverhead = 128
	// minGarbage is how much of the log may be superseded before it is compacted.
	minGarbage = 1 << 20
	// chunkBytes of rows are rewritten at a time.
	chunkBytes = 256 << 10
)

// Limits bound a Table.
type Limits struct {
	Rows  int // decrees
	Bytes int // of their names and data, with 128 bytes a row
}

// Table is what a role keeps of each decree: in memory, and in the log, which it
// compacts by writing what is old but counts once more and then releasing what
// is older. It belongs to one actor.
type Table struct {
	log    *Log
	limits Limits
	rows   map[string]row
	bytes  int    // of rows, with the overhead
	seq    uint64 // of the newest record
	logged int    // bytes appended since the last compaction began

	target uint64   // a compaction rewrites what is up to here; 0: none runs
	queue  []string // what it has still to look at
	busy   atomic.Bool
}

type row struct {
	data []byte
	at   uint64 // sequence of its newest record
}

// NewTable makes an empty one, to be filled by Load.
func NewTable(log *Log, limits Limits) *Table {
	return &Table{log: log, limits: limits, rows: make(map[string]row)}
}

// Load takes a RecordRow, in the order of the log.
func (t *Table) Load(r storage.Record) error {
	name, data, err := DecodeRow(r.Data)
	if err != nil {
		return err
	}
	if r.Index <= t.seq {
		return fmt.Errorf("decree: row %d of %q after row %d", r.Index, name, t.seq)
	}
	t.set(name, slices.Clone(data), r.Index)
	return nil
}

// DecodeRow reads a RecordRow: the decree's name, and what a role keeps of it.
func DecodeRow(record []byte) (name string, row []byte, err error) {
	if len(record) < 2 || record[0] == 0 || len(record) < 1+int(record[0]) {
		return "", nil, fmt.Errorf("decree: a row of %d bytes is cut off", len(record))
	}
	end := 1 + int(record[0])
	return string(record[1:end]), record[end:], nil
}

func (t *Table) set(name string, data []byte, at uint64) {
	if old, ok := t.rows[name]; ok {
		t.bytes -= size(name, old.data)
	}
	t.rows[name] = row{data, at}
	t.bytes += size(name, data)
	t.logged += size(name, data)
	t.seq = at
}

func size(name string, data []byte) int { return rowOverhead + len(name) + len(data) }

// Get returns what is kept of a decree. It must not be changed.
func (t *Table) Get(name string) (data []byte, ok bool) {
	r, ok := t.rows[name]
	return r.data, ok
}

// Names returns the decrees of which something is kept, sorted.
func (t *Table) Names() []string { return slices.Sorted(maps.Keys(t.rows)) }

// Len returns how many they are.
func (t *Table) Len() int { return len(t.rows) }

// Room reports whether a row of so many bytes may be put: the limits allow it, and
// the disk is not nearly full. What is no larger than the row that it replaces
// always may.
func (t *Table) Room(name string, bytes int) bool {
	old, known := t.rows[name]
	if known && bytes <= len(old.data) {
		return true
	}
	grow := bytes - len(old.data)
	if !known {
		grow += rowOverhead + len(name)
	}
	return (known || len(t.rows) < t.limits.Rows) && t.bytes+grow <= t.limits.Bytes && !t.log.Full()
}

// Put sets a row and returns the record to be saved.
func (t *Table) Put(name string, data []byte) storage.Record {
	t.set(name, data, t.seq+1)
	return t.record(name, data)
}

func (t *Table) record(name string, data []byte) storage.Record {
	encoded := make([]byte, 0, 1+len(name)+len(data))
	encoded = append(encoded, byte(len(name)))
	encoded = append(append(encoded, name...), data...)
	return storage.Record{Type: RecordRow, Index: t.seq, Data: encoded}
}

// Compact does the next part of a compaction, if one runs or is due: at the end of
// each turn of the actor, after the turn's own Save. A crash at any point leaves
// each row's newest record: older ones go only when the newer are durable.
func (t *Table) Compact() {
	switch {
	case t.busy.Load():
		return // the part before is not durable
	case t.target != 0 && len(t.queue) == 0:
		t.log.release(t.target)
		t.target = 0
		return
	case t.target == 0 && t.logged < 2*t.bytes+minGarbage:
		return
	case t.target == 0:
		t.target, t.logged, t.queue = t.seq, 0, t.Names()
	}
	var records []storage.Record
	for bytes := 0; len(t.queue) > 0 && bytes < chunkBytes; t.queue = t.queue[1:] {
		name := t.queue[0]
		if r := t.rows[name]; r.at <= t.target {
			records = append(records, t.Put(name, r.data))
			bytes += size(name, r.data)
		}
	}
	t.busy.Store(true)
	t.log.Save(records, func() { t.busy.Store(false) })
}
