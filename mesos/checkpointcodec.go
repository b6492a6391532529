package mesos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// MaxRecordBytes bounds an encoded Record. What does not fit is refused at its launch.
const MaxRecordBytes = 1 << 20

// recordFormat is the first byte of every record. A later layout has another.
const recordFormat = 1

// ErrMalformedRecord is wrapped by what DecodeRecord says of bytes that are no record.
var ErrMalformedRecord = errors.New("mesos: malformed record")

// The body of a record; its length and checksum are the file's. Times are whole nanoseconds.
//
//	size     field
//	1        format, 1
//	1        kind
//	...      the fields of its kind, in the order of Append
//
// Of fields
//
//	uvarint  a term or sequence
//	varint   a time, a code, a signal
//	16       the id of a container or an update
//	uvarint  length of a text, then the text; resources as Resources.Append has them
//	uvarint  length of a map or list, then its members, a map's by ascending keys
//	1        a state, a reason, a source, a health, a truth

// Append encodes the record at the end of dst and returns the longer slice.
func (r Record) Append(dst []byte) []byte {
	w := recordWriter{append(dst, recordFormat, byte(r.Kind))}
	switch r.Kind {
	case RecordAgent:
		w.agent(r.Agent)
		w.text(r.Boot)
	case RecordTerm:
		w.number(uint64(r.Term))
	case RecordFramework:
		w.framework(r.Framework)
	case RecordTask:
		w.task(r.Task)
	case RecordUpdate:
		w.status(r.Status)
	case RecordAcknowledged:
		w.raw(r.Container[:])
		w.raw(r.Update[:])
	case RecordDone:
		w.raw(r.Container[:])
		w.key(r.Key)
		w.number(uint64(r.Term))
		w.number(r.Sequence)
	case RecordForgotten:
		w.number(uint64(r.Term))
		w.number(r.Sequence)
	case RecordContact:
		w.time(r.Contact)
		w.text(r.Boot)
	}
	return w.dst
}

// DecodeRecord reads what Append has written. Its error wraps ErrMalformedRecord.
func DecodeRecord(data []byte) (Record, error) {
	if len(data) < 2 || len(data) > MaxRecordBytes || data[0] != recordFormat {
		return Record{}, fmt.Errorf("%w: %d bytes that are none of format %d", ErrMalformedRecord, len(data), recordFormat)
	}
	d := recordReader{rest: data[2:]}
	r := Record{Kind: RecordKind(data[1])}
	switch r.Kind {
	case RecordAgent:
		r.Agent, r.Boot = d.agent(), d.text()
	case RecordTerm:
		r.Term = Term(d.number())
	case RecordFramework:
		r.Framework = d.framework()
	case RecordTask:
		r.Task = d.task()
	case RecordUpdate:
		r.Status = d.status()
	case RecordAcknowledged:
		r.Container, r.Update = ContainerID(d.id()), UpdateID(d.id())
	case RecordDone:
		r.Container, r.Key, r.Term, r.Sequence = ContainerID(d.id()), d.key(), Term(d.number()), d.number()
	case RecordForgotten:
		r.Term, r.Sequence = Term(d.number()), d.number()
	case RecordContact:
		r.Contact, r.Boot = d.time(), d.text()
	default:
		d.bad = true
	}
	if d.bad || len(d.rest) > 0 {
		return Record{}, fmt.Errorf("%w: kind %d, %d bytes", ErrMalformedRecord, data[1], len(data))
	}
	return r, nil
}

type recordWriter struct{ dst []byte }

func (w *recordWriter) number(n uint64)      { w.dst = binary.AppendUvarint(w.dst, n) }
func (w *recordWriter) integer(n int)        { w.dst = binary.AppendVarint(w.dst, int64(n)) }
func (w *recordWriter) time(t time.Duration) { w.dst = binary.AppendVarint(w.dst, int64(t)) }
func (w *recordWriter) raw(b []byte)         { w.dst = append(w.dst, b...) }
func (w *recordWriter) byte(b byte)          { w.dst = append(w.dst, b) }

func (w *recordWriter) truth(b bool) {
	if b {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

func (w *recordWriter) text(s string) {
	w.number(uint64(len(s)))
	w.dst = append(w.dst, s...)
}

func (w *recordWriter) labels(m map[string]string) {
	w.number(uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		w.text(k)
		w.text(m[k])
	}
}

func (w *recordWriter) resources(r Resources) { w.text(string(r.Append(nil))) }

func (w *recordWriter) key(k TaskKey) {
	w.text(string(k.Framework))
	w.text(string(k.Task))
}

func (w *recordWriter) agent(a AgentInfo) {
	w.text(string(a.ID))
	w.text(a.Hostname)
	w.text(a.Address)
	w.resources(a.Resources)
	w.labels(a.Attributes)
}

func (w *recordWriter) framework(f FrameworkInfo) {
	w.text(string(f.ID))
	w.text(f.Name)
	w.text(f.User)
	w.text(f.Principal)
	w.text(f.Hostname)
	w.number(uint64(len(f.Roles)))
	for _, role := range f.Roles {
		w.text(role)
	}
	w.time(f.FailoverTimeout)
	w.labels(f.Labels)
}

func (w *recordWriter) task(t Task) {
	w.key(t.Key)
	w.text(t.Name)
	w.text(string(t.Agent))
	w.raw(t.Container[:])
	w.number(uint64(t.Term))
	w.number(t.Sequence)
	w.resources(t.Resources)
	w.text(t.Role)
	w.time(t.KillGrace)
	w.time(t.StopAfter)
	w.labels(t.Labels)
}

func (w *recordWriter) status(s TaskStatus) {
	w.key(s.Task)
	w.text(string(s.Agent))
	w.raw(s.Container[:])
	w.byte(byte(s.State))
	w.byte(byte(s.Reason))
	w.byte(byte(s.Source))
	w.text(s.Message)
	w.raw(s.ID[:])
	w.time(s.Time)
	w.truth(s.HasExit)
	w.integer(s.ExitCode)
	w.integer(s.Signal)
	w.byte(byte(s.Health))
}

type recordReader struct {
	rest []byte
	bad  bool
}

func (d *recordReader) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *recordReader) time() time.Duration {
	n, size := binary.Varint(d.rest)
	if size <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[size:]
	return time.Duration(n)
}

func (d *recordReader) integer() int {
	n := d.time()
	if n > math.MaxInt32 || n < math.MinInt32 {
		d.bad = true
	}
	return int(n)
}

func (d *recordReader) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *recordReader) text() string { return string(d.take(d.number())) }

func (d *recordReader) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *recordReader) truth() bool {
	b := d.byte()
	d.bad = d.bad || b > 1
	return b == 1
}

func (d *recordReader) id() (id [16]byte) {
	copy(id[:], d.take(16))
	return id
}

// count reads how many members follow, each of at least size bytes.
func (d *recordReader) count(size int) int {
	n := d.number()
	if n > uint64(len(d.rest)/size) {
		d.bad, d.rest = true, nil
		return 0
	}
	return int(n)
}

func (d *recordReader) labels() map[string]string {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := d.text()
		m[k] = d.text()
	}
	return m
}

func (d *recordReader) resources() Resources {
	r, err := DecodeResources(d.take(d.number()))
	d.bad = d.bad || err != nil
	return r
}

func (d *recordReader) key() TaskKey {
	return TaskKey{Framework: FrameworkID(d.text()), Task: TaskID(d.text())}
}

func (d *recordReader) agent() AgentInfo {
	return AgentInfo{ID: AgentID(d.text()), Hostname: d.text(), Address: d.text(), Resources: d.resources(), Attributes: d.labels()}
}

func (d *recordReader) framework() FrameworkInfo {
	f := FrameworkInfo{ID: FrameworkID(d.text()), Name: d.text(), User: d.text(), Principal: d.text(), Hostname: d.text()}
	for range d.count(1) {
		f.Roles = append(f.Roles, d.text())
	}
	f.FailoverTimeout, f.Labels = d.time(), d.labels()
	return f
}

func (d *recordReader) task() Task {
	return Task{Key: d.key(), Name: d.text(), Agent: AgentID(d.text()), Container: ContainerID(d.id()),
		Term: Term(d.number()), Sequence: d.number(), Resources: d.resources(), Role: d.text(),
		KillGrace: d.time(), StopAfter: d.time(), Labels: d.labels(), State: Staging}
}

func (d *recordReader) status() TaskStatus {
	return TaskStatus{Task: d.key(), Agent: AgentID(d.text()), Container: ContainerID(d.id()), State: TaskState(d.byte()),
		Reason: Reason(d.byte()), Source: Source(d.byte()), Message: d.text(), ID: UpdateID(d.id()), Time: d.time(),
		HasExit: d.truth(), ExitCode: d.integer(), Signal: d.integer(), Health: Health(d.byte())}
}
