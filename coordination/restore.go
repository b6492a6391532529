package coordination

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Restore replaces the tree by the one a snapshot holds. It changes nothing
// before it has read and verified all of it. Errors match [ErrCorrupt] or are
// the reader's. It may read beyond the end of the snapshot.
func (t *Tree) Restore(r io.Reader) error {
	d := &restorer{r: bufio.NewReaderSize(r, 64<<10)}
	restored := d.tree()
	if d.err != nil {
		return d.err
	}
	restored.notify = t.notify
	*t = *restored
	if t.notify != nil {
		t.notify(t.applied)
	}
	return nil
}

// restorer reads the parts of a snapshot. After the first error it reads
// nothing and returns zeros.
type restorer struct {
	r   *bufio.Reader
	sum uint32
	err error
}

// snapshotSizes are what the header says about the rest.
type snapshotSizes struct {
	nodes, events, sessions uint64
	digest                  uint64
}

func (d *restorer) tree() *Tree {
	t, sizes := d.header()
	if d.err != nil {
		return nil
	}
	for n := sizes.sessions; n > 0 && d.err == nil; n-- {
		d.session(t)
	}
	d.nodes(t, sizes.nodes)
	for n := sizes.events; n > 0 && d.err == nil; n-- {
		d.event(t)
	}
	if sum := d.sum; binary.BigEndian.Uint32(d.read(4)) != sum {
		d.corrupt("wrong checksum")
	}
	if d.err == nil && t.Digest() != sizes.digest {
		d.corrupt("the tree has digest %016x, should have %016x", t.Digest(), sizes.digest)
	}
	return t
}

func (d *restorer) corrupt(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
}

func (d *restorer) fail(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		d.corrupt("cut off")
	} else if d.err == nil {
		d.err = fmt.Errorf("coordination: read snapshot: %w", err)
	}
}

// read returns the next n bytes, or n zeros after an error. What is large it
// allocates as it comes in, so that a wrong length costs little; that takes up to
// twice the room, for good, and so is not done with values of the default size.
func (d *restorer) read(n int) []byte {
	const small = 1 << 20
	p := make([]byte, min(n, small))
	if d.err == nil && n <= small {
		if _, err := io.ReadFull(d.r, p); err != nil {
			clear(p)
			d.fail(err)
		}
	} else if d.err == nil {
		var b bytes.Buffer
		if _, err := io.CopyN(&b, d.r, int64(n)); err != nil {
			d.fail(err)
		} else {
			p = b.Bytes()
		}
	}
	d.sum = crc32.Update(d.sum, castagnoli, p)
	return p
}

// ReadByte is for binary.ReadUvarint.
func (d *restorer) ReadByte() (byte, error) {
	b, err := d.r.ReadByte()
	if err != nil {
		d.fail(err)
		return 0, err
	}
	d.sum = crc32.Update(d.sum, castagnoli, []byte{b})
	return b, nil
}

func (d *restorer) number() uint64 {
	if d.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(d)
	if err != nil {
		d.corrupt("%v", err) // unless ReadByte has failed
		return 0
	}
	return v
}

// size reads a number that must not exceed limit.
func (d *restorer) size(what string, limit uint64) int {
	n := d.number()
	if n > limit {
		d.corrupt("%s %d, at most %d", what, n, limit)
		return 0
	}
	return int(n)
}

func (d *restorer) header() (*Tree, snapshotSizes) {
	if magic := d.read(len(snapshotMagic)); d.err == nil && string(magic) != snapshotMagic {
		d.corrupt("not a snapshot of version %d: begins with %q", snapshotMagic[7], magic)
	}
	var values [limitCount]int64
	for i := range values {
		values[i] = int64(d.number())
	}
	limits := limitsOf(values)
	if err := limits.check(); d.err == nil && err != nil {
		d.corrupt("%v", err)
	}
	t := newTree(limits)
	t.applied = d.number()
	s := snapshotSizes{nodes: d.number(), events: d.number()}
	t.history.floor, t.history.last = d.number(), d.number()
	total := d.number()
	t.claimed, s.sessions = d.number(), d.number()
	s.digest = binary.BigEndian.Uint64(d.read(8))
	if s.nodes == 0 || s.nodes > uint64(limits.Nodes) || s.events > uint64(limits.HistoryEvents) || s.events > total {
		d.corrupt("%d nodes and %d of %d events", s.nodes, s.events, total)
	}
	if s.sessions > uint64(limits.Sessions) || t.claimed > t.applied {
		d.corrupt("%d sessions, claimed at index %d, applied %d", s.sessions, t.claimed, t.applied)
	}
	t.history.total = total - s.events
	return t, s
}

// nodes reads all nodes and links each to its parent, the last one read that is
// one level higher.
func (d *restorer) nodes(t *Tree, count uint64) {
	above := make([]*node, 0, MaxDepth+1)
	expected := make(map[*node]int) // children, of the nodes in above
	for i := uint64(0); i < count && d.err == nil; i++ {
		depth := d.size("depth", MaxDepth)
		if i == 0 && depth != 0 || i > 0 && (depth == 0 || depth > len(above)) {
			d.corrupt("a node of depth %d below one of %d", depth, len(above)-1)
			return
		}
		d.leave(t, above[min(depth, len(above)):], expected)
		above = above[:depth]
		n, children := d.node(t, above)
		if d.err != nil {
			return
		}
		above, expected[n] = append(above, n), children
	}
	d.leave(t, above, expected)
}

// leave finishes nodes all of whose children have been read.
func (d *restorer) leave(t *Tree, nodes []*node, expected map[*node]int) {
	for _, n := range nodes {
		if n.children.count != expected[n] {
			d.corrupt("%s has %d children, should have %d", n.path, n.children.count, expected[n])
		}
		delete(expected, n)
		t.account(n)
	}
}

// node reads one node and returns also how many children it should have.
func (d *restorer) node(t *Tree, above []*node) (*node, int) {
	name := string(d.read(d.size("length of a name", MaxNameBytes)))
	stat := d.stat(t.limits)
	r := d.rules(t)
	data := d.read(stat.DataBytes)
	n := t.root
	if len(above) > 0 {
		n = d.child(t, above[len(above)-1], name)
	}
	if d.err != nil || !d.owner(t, n, stat.Owner) {
		return nil, 0
	}
	if n == t.root {
		t.leave(n) // to come in again as it is to be
	}
	children := stat.Children
	stat.Children, stat.DataBytes = 0, 0
	n.stat, n.rules = stat, r
	if len(data) > 0 {
		n.data, n.dataSum = data, crc32.Checksum(data, castagnoli)
	}
	t.enter(n)
	return n, children
}

// owner checks who owns a node: nobody, a session that is there and has room, or what
// says how long the node lives.
func (d *restorer) owner(t *Tree, n *node, owner uint64) bool {
	ok := owner == 0 || n != t.root && (owner == ContainerOwner || owner > TTLOwner && owner <= TTLOwner+uint64(MaxTTL))
	if s := t.sessions.get(owner); s != nil && n != t.root {
		ok = len(s.paths) < t.limits.SessionEphemerals
	}
	if !ok {
		d.corrupt("%s belongs to %016x", n.path, owner)
	}
	return ok
}

func (d *restorer) rules(t *Tree) *rules {
	size := d.size("rules", maxRulesBytes)
	if size == 0 {
		return nil
	}
	r, ok := decodeRules(d.read(size))
	if !ok {
		d.corrupt("rules that make no sense")
		return nil
	}
	return t.share(r)
}

func (d *restorer) session(t *Tree) {
	s := &session{id: d.number(), timeout: int64(d.number()), linger: int64(d.number()), opened: int64(d.number()), connection: d.number()}
	unbound := d.number()
	s.unbound = unbound == 1
	copy(s.key[:], d.read(len(s.key)))
	if d.err != nil {
		return
	}
	if s.id == 0 || s.id >= ContainerOwner || s.id > t.applied || s.id <= t.sessions.newest() ||
		s.timeout < MinTimeout || s.timeout > MaxTimeout || s.linger < MinLinger || s.linger > s.timeout || s.connection == 0 || unbound > 1 {
		d.corrupt("session %d with timeout %d, linger %d and connection %d", s.id, s.timeout, s.linger, s.connection)
		return
	}
	t.sessions.add(s, t.epoch)
	t.digest += s.digest()
}

// child makes an empty node below parent.
func (d *restorer) child(t *Tree, parent *node, name string) *node {
	if parent.ephemeral() {
		d.corrupt("below %s, which is ephemeral", parent.path)
		return nil
	}
	if reason := checkName(name); reason != "" {
		d.corrupt("below %s: %s", parent.path, reason)
		return nil
	}
	if chunks := parent.children.chunks; len(chunks) > 0 {
		last := chunks[len(chunks)-1]
		if before := last.nodes[len(last.nodes)-1].name; before >= name {
			d.corrupt("below %s: %q after %q", parent.path, name, before)
			return nil
		}
	}
	path := parent.path + "/" + name
	if parent == t.root {
		path = "/" + name
	}
	if len(path) > MaxPathBytes {
		d.corrupt("path of %d bytes", len(path))
		return nil
	}
	_, name = split(path)
	n := newNode(path, name, 0, 0, t.epoch)
	parent.children.insert(n, t.epoch)
	return n
}

func (d *restorer) stat(l Limits) Stat {
	return Stat{
		CreateIndex: d.number(), ModifyIndex: d.number(), ChildrenIndex: d.number(),
		CreateTime: int64(d.number()), ModifyTime: int64(d.number()),
		Version: int64(d.number()), ChildrenCreated: d.number(), Owner: d.number(),
		Children:  d.size("children", uint64(l.Nodes)),
		DataBytes: d.size("data", uint64(l.DataBytes)),
	}
}

func (d *restorer) event(t *Tree) {
	e := Event{Kind: EventKind(d.size("kind of event", uint64(Deleted))), Index: d.number(), Time: int64(d.number())}
	e.Path = string(d.read(d.size("length of a path", MaxPathBytes)))
	e.Version = int64(d.number())
	if data := d.read(d.size("data of an event", uint64(t.limits.DataBytes))); len(data) > 0 {
		e.Data = data
	}
	h := &t.history
	if d.err == nil && (e.Kind == 0 || e.Index < h.floor || e.Index > h.last || e.Index < h.newest() || CheckPath(e.Path) != nil) {
		d.corrupt("event %d at index %d about %q", e.Kind, e.Index, e.Path)
	}
	if d.err == nil {
		last := h.last
		h.add(e)
		h.last = last
	}
}

// newest is the index of the latest event kept, or 0.
func (h *history) newest() uint64 {
	if h.count == 0 {
		return 0
	}
	block := h.blocks[len(h.blocks)-1]
	return block[len(block)-1].Index
}
