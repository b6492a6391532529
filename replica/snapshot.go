package replica

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// SnapshotHeader tells what a snapshot holds.
type SnapshotHeader struct {
	// Index is the last index applied.
	Index uint64
	// LogTime is in Unix milliseconds.
	LogTime int64
	// Digest is the replica's digest at Index.
	Digest uint64
	// MachineDigest is what the machine said if it is a [Digester], else 0.
	MachineDigest uint64
	Limits        Limits
	// Sessions and Requests count what follows the header.
	Sessions, Requests uint64
	// Forgotten counts the spans of time whose request ids are no longer kept.
	Forgotten uint64
}

// Snapshot is a picture of a replica at one index. The same state gives the
// same bytes on every replica. The bytes, inside checksummed chunks:
//
//	size  field
//	8     "synodR" and the version, 2
//	144   the header: Index, LogTime, Digest, MachineDigest, Sessions, Requests,
//	      Forgotten, Limits; 8 bytes each
//	..    sessions by id: id, timeout, active, floor, count of replies;
//	      each reply by sequence number: sequence, index, length, value
//	..    requests by id: id, index, until, length, value
//	..    forgotten spans in order: from, to
//	rest  the state machine's own bytes
type Snapshot struct {
	SnapshotHeader
	sessions []*session
	requests []*request
	spans    spans
	machine  io.WriterTo
}

const (
	snapshotMagic  = "synodR\x00\x02"
	maxReplyLength = math.MaxInt32
)

// Snapshot takes a picture of the replica. It is quick; call WriteTo on the
// picture once, on any goroutine, while Apply goes on. The error is a
// [*StoppedError] or wraps the machine's.
func (r *Replica) Snapshot() (*Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil {
		return nil, r.stopped
	}
	s := &Snapshot{SnapshotHeader: SnapshotHeader{
		Index: r.applied.Load(), LogTime: r.now.Load(), Digest: r.digest,
		MachineDigest: machineDigest(r.machine), Limits: r.config.Limits,
		Sessions: uint64(len(r.sessions.byID)), Requests: uint64(len(r.requests.byID)),
		Forgotten: uint64(len(r.requests.forgotten)),
	}}
	var err error
	if s.machine, err = snapshotMachine(r.machine); err != nil {
		return nil, fmt.Errorf("replica: snapshot at index %d: %w", s.Index, err)
	}
	s.sessions, s.requests, s.spans = r.sessions.picture(), r.requests.picture(), slices.Clone(r.requests.forgotten)
	return s, nil
}

func machineDigest(m StateMachine) uint64 {
	if d, ok := m.(Digester); ok {
		return d.Digest()
	}
	return 0
}

func snapshotMachine(m StateMachine) (w io.WriterTo, err error) {
	defer catch(&err)
	w, err = m.Snapshot()
	if err == nil && w == nil {
		return nil, errors.New("the state machine returned neither a picture nor an error")
	}
	return w, err
}

// WriteTo writes the snapshot. Call it once.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	chunks := newChunkWriter(w)
	err := s.write(chunks)
	if err == nil {
		err = chunks.finish()
	}
	if err != nil {
		err = fmt.Errorf("replica: write snapshot at index %d: %w", s.Index, err)
	}
	return chunks.written, err
}

func (s *Snapshot) write(w io.Writer) (err error) {
	defer catch(&err)
	slices.SortFunc(s.sessions, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	slices.SortFunc(s.requests, func(a, b *request) int { return a.id.Compare(b.id) })
	buf := s.appendTo([]byte(snapshotMagic))
	for _, c := range s.sessions {
		buf = flushFull(w, c.appendTo(buf), &err)
	}
	for _, q := range s.requests {
		buf = flushFull(w, q.appendTo(buf), &err)
	}
	for _, x := range s.spans {
		buf = appendNumbers(buf, uint64(x.from), uint64(x.to))
	}
	if _, failed := w.Write(buf); err != nil || failed != nil {
		return cmp.Or(err, failed)
	}
	_, err = s.machine.WriteTo(w)
	return err
}

// flushFull writes buf if it has grown large. The first error stays.
func flushFull(w io.Writer, buf []byte, err *error) []byte {
	if len(buf) < chunkBytes {
		return buf
	}
	if *err == nil {
		_, *err = w.Write(buf)
	}
	return buf[:0]
}

func appendNumbers(dst []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

func (h *SnapshotHeader) appendTo(dst []byte) []byte {
	dst = appendNumbers(dst, h.Index, uint64(h.LogTime), h.Digest, h.MachineDigest,
		h.Sessions, h.Requests, h.Forgotten)
	for _, v := range h.Limits.values() {
		dst = appendNumbers(dst, uint64(v))
	}
	return dst
}

func (s *session) appendTo(dst []byte) []byte {
	done := 0
	for i := range s.replies {
		if s.replies[i].done {
			done++
		}
	}
	dst = appendNumbers(dst, s.id, uint64(s.timeout), uint64(s.active), s.floor, uint64(done))
	for i, p := range s.replies {
		if p.done {
			dst = appendNumbers(dst, s.floor+uint64(i), p.index, uint64(len(p.value)))
			dst = append(dst, p.value...)
		}
	}
	return dst
}

func (q *request) appendTo(dst []byte) []byte {
	dst = appendNumbers(append(dst, q.id[:]...), q.index, uint64(q.until), uint64(len(q.value)))
	return append(dst, q.value...)
}

// ReadSnapshotHeader reads the beginning of a snapshot and verifies it. Errors
// match [ErrCorrupt] or wrap the reader's.
func ReadSnapshotHeader(r io.Reader) (SnapshotHeader, error) {
	s := snapshotReader{r: newChunkReader(r)}
	h := s.header()
	return h, s.err
}

// VerifySnapshot reads a snapshot to its end and verifies every byte of it, but
// not what the bytes mean to the state machine. Errors are as for
// [ReadSnapshotHeader].
func VerifySnapshot(r io.Reader) (SnapshotHeader, error) {
	s := snapshotReader{r: bufio.NewReader(newChunkReader(r))}
	h, _, _ := s.tables()
	if s.err == nil {
		_, s.err = io.Copy(io.Discard, s.r)
	}
	return h, s.err
}

// catch turns a panic of the state machine into an error.
func catch(err *error) {
	if v := recover(); v != nil {
		*err = newPanicError(v)
	}
}
