package replica

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
)

// Restore replaces everything by what a snapshot holds and ends a failure or a
// quarantine. Readers wait until it is done.
//
// The sessions are read and verified before anything is changed: an error that
// matches [ErrCorrupt] or [ErrOldSnapshot] alone leaves the replica as it was.
// If the machine's part turns out bad when the machine has already begun to
// read it, the replica stops with a [*StoppedError], and another Restore may
// follow; call [VerifySnapshot] before to avoid that.
//
// A snapshot older than what has been applied is refused with ErrOldSnapshot,
// unless the replica has stopped.
func (r *Replica) Restore(from io.Reader) error {
	s := snapshotReader{r: bufio.NewReaderSize(newChunkReader(from), chunkBytes)}
	header, sessions, requests := s.tables()
	if s.err != nil {
		return s.err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if applied := r.applied.Load(); r.stopped == nil && header.Index < applied {
		return fmt.Errorf("%w: %d, applied %d", ErrOldSnapshot, header.Index, applied)
	}
	if err := r.restoreMachine(s.r, header); err != nil {
		r.stopped = nil // the new reason is the one that counts
		r.stop(ErrFailed, fmt.Errorf("restore snapshot at index %d: %w", header.Index, err))
		return r.stopped
	}
	r.stopped = nil
	r.config.Limits = header.Limits
	r.digest = header.Digest
	r.now.Store(header.LogTime)
	r.skew.Store(header.Limits.RequestSkew.Milliseconds())
	r.history = history{max: r.config.DigestHistory}
	r.sessions, r.requests = sessions, requests
	r.applied.Store(header.Index)
	return nil
}

func (r *Replica) restoreMachine(from io.Reader, h SnapshotHeader) (err error) {
	defer catch(&err)
	if err := r.machine.Restore(from); err != nil {
		return err
	}
	// The machine may have left bytes unread; they must be good all the same.
	if _, err := io.Copy(io.Discard, from); err != nil {
		return err
	}
	if got := machineDigest(r.machine); got != h.MachineDigest {
		return fmt.Errorf("%w: the restored state machine has digest %016x, should have %016x",
			ErrCorrupt, got, h.MachineDigest)
	}
	return nil
}

func newPanicError(value any) *PanicError {
	return &PanicError{Value: value, Stack: debug.Stack()}
}

// snapshotReader reads the parts of a snapshot. After the first error it reads
// nothing and returns zeros.
type snapshotReader struct {
	r   io.Reader
	err error
}

func (s *snapshotReader) corrupt(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
}

func (s *snapshotReader) read(p []byte) {
	if s.err != nil {
		return
	}
	if _, err := io.ReadFull(s.r, p); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.corrupt("cut off")
	} else if err != nil {
		s.err = err
	}
}

func (s *snapshotReader) number() uint64 {
	var b [8]byte
	s.read(b[:])
	if s.err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(b[:])
}

// bytes reads a length and as many bytes. It allocates as they come in, so that
// a wrong length costs nothing.
func (s *snapshotReader) bytes() []byte {
	n := s.number()
	if n > maxReplyLength {
		s.corrupt("a reply of %d bytes", n)
	}
	if s.err != nil || n == 0 {
		return nil
	}
	if n <= chunkBytes {
		p := make([]byte, n)
		s.read(p)
		return p
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, s.r, int64(n)); errors.Is(err, io.EOF) {
		s.corrupt("cut off")
	} else if err != nil {
		s.err = err
	}
	return b.Bytes()
}

func (s *snapshotReader) header() SnapshotHeader {
	var magic [len(snapshotMagic)]byte
	s.read(magic[:])
	if s.err == nil && string(magic[:]) != snapshotMagic {
		s.corrupt("not a snapshot of version %d: begins with %q", snapshotMagic[7], magic[:])
	}
	h := SnapshotHeader{
		Index: s.number(), LogTime: int64(s.number()), Digest: s.number(), MachineDigest: s.number(),
		Sessions: s.number(), Requests: s.number(), Forgotten: s.number(),
	}
	var limits [limitCount]int64
	for i := range limits {
		limits[i] = int64(s.number())
	}
	h.Limits = limitsOf(limits)
	s.checkHeader(h)
	return h
}

func (s *snapshotReader) checkHeader(h SnapshotHeader) {
	if s.err != nil {
		return
	}
	if err := h.Limits.check(); err != nil {
		s.corrupt("%v", err)
	}
	if !validTime(h.LogTime) || h.Forgotten > maxSpans {
		s.corrupt("log time %d, %d forgotten spans", h.LogTime, h.Forgotten)
	}
	if h.Sessions > uint64(h.Limits.Sessions) || h.Requests > uint64(h.Limits.Requests) {
		s.corrupt("%d sessions and %d requests", h.Sessions, h.Requests)
	}
}

func validTime(t int64) bool { return t >= 0 && t <= MaxTime }

// tables reads all that precedes the machine's bytes.
func (s *snapshotReader) tables() (SnapshotHeader, *sessions, *requests) {
	h := s.header()
	sessions, requests := newSessions(h.Limits), newRequests(h.Limits)
	for last, n := uint64(0), h.Sessions; n > 0 && s.err == nil; n-- {
		c := s.session(h)
		if s.err == nil && (c.id <= last || c.id > h.Index) {
			s.corrupt("session %d after %d, at index %d", c.id, last, h.Index)
		}
		last = c.id
		sessions.add(c)
	}
	var last RequestID
	for n := h.Requests; n > 0 && s.err == nil; n-- {
		q := s.request()
		if s.err == nil && n < h.Requests && q.id.Compare(last) <= 0 {
			s.corrupt("request %s after %s", q.id, last)
		}
		last = q.id
		requests.add(q)
	}
	for n := h.Forgotten; n > 0 && s.err == nil; n-- {
		requests.forgotten = append(requests.forgotten, span{int64(s.number()), int64(s.number())})
	}
	if s.err == nil && !requests.forgotten.valid() {
		s.corrupt("forgotten spans %v", requests.forgotten)
	}
	return h, sessions, requests
}

func (s *snapshotReader) session(h SnapshotHeader) *session {
	c := &session{id: s.number(), timeout: int64(s.number()), active: int64(s.number()), floor: s.number()}
	if !validTime(c.timeout) || !validTime(c.active) || c.floor == 0 {
		s.corrupt("session %d: timeout %d, active %d, floor %d", c.id, c.timeout, c.active, c.floor)
	}
	for n := s.number(); n > 0 && s.err == nil; n-- {
		sequence, index, value := s.number(), s.number(), s.bytes()
		ahead := sequence - c.floor
		if ahead < uint64(len(c.replies)) || ahead >= uint64(h.Limits.SessionWindow) {
			s.corrupt("session %d: reply to sequence number %d, floor %d", c.id, sequence, c.floor)
		}
		if s.err == nil {
			c.keep(ahead, index, value)
		}
	}
	return c
}

func (s *snapshotReader) request() *request {
	q := &request{}
	s.read(q.id[:])
	q.index, q.until = s.number(), int64(s.number())
	if q.until < 0 || q.until > 2*limitMax[8]+MaxTime {
		s.corrupt("request %s is kept until %d", q.id, q.until)
	}
	q.value = s.bytes()
	return q
}
