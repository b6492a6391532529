package coordination

import (
	"bufio"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
)

// A snapshot's bytes; equal trees give equal bytes. Numbers are unsigned
// varints unless a size is given.
//
//	8 bytes  "synodT" and the version, 2
//	..       the Limits; the index applied; counts of nodes and of events;
//	         the history's floor, last index and total; index of the last claim of
//	         the sessions; count of sessions
//	8 bytes  digest of the tree, big endian
//	..       sessions, by id: id, timeout, linger, time of opening, connection, 1 if unbound, 16 bytes of key
//	..       nodes, each before its children, these by name: depth (of the root
//	         0), length of the name, name, the Stat's fields but ACLVersion, length
//	         of the rules, rules, data
//	..       events, oldest first: kind, index, time, length of the path, path,
//	         version, length of the data, data
//	4 bytes  CRC32C of all before, big endian
const snapshotMagic = "synodT\x00\x02"

// picture is a tree as it was when Snapshot was called.
type picture struct {
	limits   Limits
	root     *node
	applied  uint64
	nodes    int
	digest   uint64
	history  history
	claimed  uint64
	sessions sessions
}

// Snapshot returns a picture of the present tree, whose WriteTo may run later
// on another goroutine while the tree changes. It takes constant time, apart
// from one slice header for each 256 events or MiB of them and one pointer for each
// chunk of sessions: nodes are shared with the picture until they change and are only
// then copied.
func (t *Tree) Snapshot() (io.WriterTo, error) {
	p := &picture{limits: t.limits, root: t.root, applied: t.applied, nodes: len(t.nodes), digest: t.Digest(),
		history: t.history.picture(), claimed: t.claimed, sessions: t.sessions.picture()}
	t.epoch++
	return p, nil
}

// WriteTo writes the snapshot.
func (p *picture) WriteTo(w io.Writer) (int64, error) {
	e := &encoder{w: bufio.NewWriterSize(w, 64<<10), sum: crc32.New(castagnoli)}
	e.header(p)
	p.sessions.from(0, func(s *session) bool {
		e.session(s)
		return e.err == nil
	})
	e.node(p.root, 0)
	p.history.after(0, func(event *Event) bool {
		e.event(event)
		return e.err == nil
	})
	e.buf = binary.BigEndian.AppendUint32(e.buf, e.sum.Sum32())
	e.flush()
	if e.err == nil {
		e.err = e.w.Flush()
	}
	return e.written, e.err
}

// encoder writes the parts of a snapshot. After the first error it writes
// nothing.
type encoder struct {
	w       *bufio.Writer
	sum     hash.Hash32
	buf     []byte // of the part at hand
	written int64
	err     error
}

func (e *encoder) flush() { e.write(e.buf); e.buf = e.buf[:0] }

func (e *encoder) write(p []byte) {
	if e.err != nil {
		return
	}
	e.sum.Write(p)
	n, err := e.w.Write(p)
	e.written += int64(n)
	e.err = err
}

func (e *encoder) numbers(numbers ...uint64) {
	for _, n := range numbers {
		e.buf = binary.AppendUvarint(e.buf, n)
	}
}

func (e *encoder) header(p *picture) {
	e.buf = append(e.buf, snapshotMagic...)
	for _, v := range p.limits.values() {
		e.numbers(uint64(v))
	}
	h := &p.history
	e.numbers(p.applied, uint64(p.nodes), uint64(h.count), h.floor, h.last, h.total,
		p.claimed, uint64(p.sessions.count))
	e.buf = binary.BigEndian.AppendUint64(e.buf, p.digest)
	e.flush()
}

func (e *encoder) session(s *session) {
	e.numbers(s.id, uint64(s.timeout), uint64(s.linger), uint64(s.opened), s.connection, bit(s.unbound))
	e.buf = append(e.buf, s.key[:]...)
	e.flush()
}

func (e *encoder) node(n *node, depth uint64) {
	e.numbers(depth, uint64(len(n.name)))
	e.buf = append(e.buf, n.name...)
	s := n.fullStat()
	e.buf = s.appendTo(e.buf)
	e.numbers(uint64(n.rules.size()))
	if n.rules != nil {
		e.buf = n.rules.appendTo(e.buf)
	}
	e.flush()
	e.write(n.data)
	n.children.from("", func(c *node) bool {
		e.node(c, depth+1)
		return e.err == nil
	})
}

func (e *encoder) event(v *Event) {
	e.numbers(uint64(v.Kind), v.Index, uint64(v.Time), uint64(len(v.Path)))
	e.buf = append(e.buf, v.Path...)
	e.numbers(uint64(v.Version), uint64(len(v.Data)))
	e.flush()
	e.write(v.Data)
}
