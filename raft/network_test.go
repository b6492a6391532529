package raft

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// network is a group of replicas in memory, each with a disk and a state
// machine, and the messages between them. Time passes and messages arrive only
// when a test says so.
type network struct {
	t     testing.TB
	now   Time
	hosts []*host // by ID
	queue []packet
	cut   map[[2]ID]bool // directed
	trace func(format string, args ...any)
	// check runs after every turn of a host.
	check func(h *host)
}

type packet struct {
	from, to ID
	message  Message
}

// host drives one Node as doc.go tells.
type host struct {
	net  *network
	cfg  Config
	id   ID
	node *Node // nil while crashed

	disk    State // what is durable
	pending []pendingSave
	stalled bool // its disk never finishes
	skew    Time // of its clock
	rate    Time // how much its clock is fast, in thousandths
	silent  bool // saves wait for the command "saved"

	machine []string // what the state machine has applied
	base    Index    // the index behind machine
	applied Index
	files   map[Index]snapshotFile
	partial []byte // the snapshot being received
	hold    bool   // a complete snapshot waits for the command "installed"
	held    *SnapshotMeta

	lease      Time
	leaseIndex Index
	reads      []Read
}

type snapshotFile struct {
	meta SnapshotMeta
	data []byte
}

type pendingSave struct {
	number  uint64
	hard    *HardState
	base    *SnapshotMeta
	entries []Entry
	send    []Envelope
}

const testChunk = 4

func testConfig(id ID) Config {
	return Config{ID: id, FullFrameBytes: 1, Rand: rand.New(rand.NewPCG(uint64(id), 7))}
}

// newNetwork starts a group of n voters, and others that wait to be joined.
func newNetwork(t testing.TB, n int, change ...func(*Config)) *network {
	var members []Member
	for id := ID(1); id <= ID(n); id++ {
		members = append(members, Member{ID: id, Voter: true})
	}
	return newNetworkOf(t, members, n, change...)
}

func newNetworkOf(t testing.TB, members []Member, hosts int, change ...func(*Config)) *network {
	w := &network{t: t, cut: map[[2]ID]bool{}, trace: func(string, ...any) {}, check: func(*host) {}}
	for id := ID(1); id <= ID(hosts); id++ {
		c := testConfig(id)
		for _, f := range change {
			f(&c)
		}
		h := &host{net: w, cfg: c, id: id, files: map[Index]snapshotFile{}}
		if slices.ContainsFunc(members, func(m Member) bool { return m.ID == id }) {
			h.disk.Snapshot = Bootstrap(members...)
		}
		w.hosts = append(w.hosts, h)
	}
	for _, h := range w.hosts {
		h.start()
	}
	return w
}

func (w *network) host(id ID) *host { return w.hosts[id-1] }

// start begins a process from the disk.
func (h *host) start() {
	s := h.disk
	s.Entries = slices.Clone(s.Entries)
	node, err := New(h.cfg, s)
	if err != nil {
		h.net.t.Fatalf("replica %d does not start: %v", h.id, err)
	}
	h.node = node
	h.machine, h.base, h.applied = nil, s.Snapshot.Index, s.Snapshot.Index
	if f, ok := h.files[s.Snapshot.Index]; ok {
		h.machine = split(f.data)
	}
	h.turn(nil)
}

func (h *host) clock() Time { return h.skew + h.net.now + h.net.now/1000*h.rate }

// crash ends the process: what is not durable is gone.
func (h *host) crash() {
	h.node, h.pending, h.partial, h.held = nil, nil, nil, nil
	h.lease, h.leaseIndex = 0, 0
}

// turn gives the node one batch of inputs and carries its outputs out.
func (h *host) turn(inputs func(n *Node)) {
	if h.node == nil {
		return
	}
	h.node.Tick(h.clock())
	if inputs != nil {
		inputs(h.node)
	}
	for turns, again := 0, true; again; turns++ {
		if turns > 1000 {
			h.net.t.Fatalf("replica %d does not come to rest: deadline %d, now %d, %+v", h.id, h.node.Deadline(), h.clock(), h.node.Status())
		}
		again = h.carry(h.node.Output())
		again = again || h.node.Deadline() <= h.clock()
	}
	h.net.check(h)
}

// carry carries out in the order of the fields, and reports whether the node
// has been told something that may ask for more.
func (h *host) carry(out Output) (again bool) {
	w := h.net
	if out.Changed {
		s := h.node.Status()
		w.trace("%d: %v of term %d, leader %d, %s", h.id, s.Role, s.Term, s.Leader, show(s.Configuration))
	}
	h.lease, h.leaseIndex = out.Lease, out.LeaseIndex
	w.sendAll(h.id, "now", out.SendNow)
	h.save(out)
	for _, c := range out.Chunks {
		again = true
		h.write(c)
	}
	if len(out.Apply) > 0 {
		w.trace("%d: apply %s", h.id, showEntries(out.Apply))
		h.apply(out.Apply)
		h.node.Applied(h.applied)
		again = true
	}
	for _, r := range out.Reads {
		w.trace("%d: read %d at %d, error %v", h.id, r.Ref, r.Index, r.Err)
	}
	h.reads = append(h.reads, out.Reads...)
	if l := out.Loss; l != nil {
		w.trace("%d: has lost entries %d to %d, says leader %d of term %d", h.id, l.Last+1, l.Acknowledged, l.Leader, l.Term)
	}
	for _, id := range out.PeerLosses {
		w.trace("%d: counts on %d no more", h.id, id)
	}
	for _, r := range out.SendSnapshots {
		h.sendChunk(r)
	}
	return again
}

func (w *network) sendAll(from ID, when string, envelopes []Envelope) {
	for _, e := range envelopes {
		w.trace("%d: %s to %d %s", from, when, e.To, showMessage(e.Message))
		w.send(packet{from, e.To, e.Message})
	}
}

func (w *network) send(p packet) {
	if w.cut[[2]ID{p.from, p.to}] {
		w.trace("%d: lost", p.from)
		return
	}
	w.queue = append(w.queue, p)
}

func (h *host) save(out Output) {
	if out.Save == 0 {
		if len(out.Send) == 0 {
			return
		}
		if len(h.pending) == 0 {
			h.net.sendAll(h.id, "durable,", out.Send)
			return
		}
		last := &h.pending[len(h.pending)-1]
		last.send = append(last.send, out.Send...)
		return
	}
	h.net.trace("%d: save %d:%s", h.id, out.Save, showSave(out))
	h.pending = append(h.pending, pendingSave{out.Save, out.HardState, out.Base, out.Entries, out.Send})
}

// saved makes the oldest n saves durable.
func (h *host) saved(n int) {
	if n == 0 || h.node == nil {
		return
	}
	done := h.pending[:n]
	h.pending = h.pending[n:]
	for _, p := range done {
		h.persist(p)
		h.net.sendAll(h.id, fmt.Sprintf("save %d durable,", p.number), p.send)
	}
	h.turn(func(node *Node) { node.Saved(done[n-1].number) })
}

func (h *host) persist(p pendingSave) {
	d := &h.disk
	if p.hard != nil {
		d.HardState = *p.hard
	}
	if p.base != nil {
		d.Entries = nil
	}
	if len(p.entries) > 0 {
		first := p.entries[0].Index
		keep := slices.IndexFunc(d.Entries, func(e Entry) bool { return e.Index >= first })
		if keep >= 0 {
			d.Entries = d.Entries[:keep:keep]
		}
		if k := len(d.Entries); k > 0 && d.Entries[k-1].Index+1 != first {
			h.net.t.Fatalf("replica %d saves entry %d after %d", h.id, first, d.Entries[k-1].Index)
		}
		d.Entries = append(d.Entries, p.entries...)
	}
}

func (h *host) apply(entries []Entry) {
	for _, e := range entries {
		if e.Index != h.applied+1 {
			h.net.t.Fatalf("replica %d applies %d after %d", h.id, e.Index, h.applied)
		}
		h.applied = e.Index
		if e.Kind == EntryCommand {
			h.machine = append(h.machine, string(e.Data))
		}
	}
}

func split(data []byte) []string {
	if len(data) == 0 {
		return nil
	}
	return strings.Split(string(data), ",")
}

// snapshot takes a snapshot of the state machine.
func (h *host) snapshot() {
	meta, ok := h.node.MetaAt(h.applied)
	if !ok {
		return
	}
	data := []byte(strings.Join(h.machine, ","))
	meta.Size, meta.Checksum = int64(len(data)), crc32.Checksum(data, castagnoli)
	h.files[meta.Index] = snapshotFile{meta, data}
	h.disk.Snapshot = meta
	h.dropSaved(h.node.Status().FirstIndex)
	h.turn(func(n *Node) { n.SnapshotTaken(meta) })
}

// prune removes all snapshots but the newest.
func (h *host) prune() {
	for index := range h.files {
		if index != h.disk.Snapshot.Index {
			delete(h.files, index)
		}
	}
}

// dropSaved forgets saved entries that are compacted, as a log would.
func (h *host) dropSaved(first Index) {
	h.disk.Entries = slices.DeleteFunc(slices.Clone(h.disk.Entries), func(e Entry) bool { return e.Index < first })
}

func (h *host) sendChunk(r SnapshotRequest) {
	f, ok := h.files[r.Index]
	if !ok {
		f, r.Offset = h.files[h.disk.Snapshot.Index], 0
	}
	end := min(r.Offset+int64(h.cfg.chunk()), f.meta.Size)
	data := f.data[min(r.Offset, end):end]
	h.net.sendAll(h.id, "now", []Envelope{{r.To, InstallSnapshot{
		Term: r.Term, Snapshot: f.meta, Offset: r.Offset, Data: data, Checksum: ChunkChecksum(data),
	}}})
}

func (c Config) chunk() int { return c.withDefaults().MaxChunkBytes }

// write writes one chunk of a snapshot and installs it when it is whole.
func (h *host) write(c Chunk) {
	h.net.trace("%d: chunk of snapshot %d at %d, %d bytes, last %v", h.id, c.Snapshot.Index, c.Offset, len(c.Data), c.Last)
	if c.Offset == 0 {
		h.partial = nil
	}
	if int64(len(h.partial)) != c.Offset {
		h.net.t.Fatalf("replica %d: chunk at %d after %d bytes", h.id, c.Offset, len(h.partial))
	}
	h.partial = append(h.partial, c.Data...)
	h.node.ChunkWritten(c.Snapshot.Index, c.Offset+int64(len(c.Data)))
	if !c.Last {
		return
	}
	meta := c.Snapshot
	h.held = &meta
	if !h.hold {
		h.install()
	}
}

// install verifies the received snapshot and restores the state machine.
func (h *host) install() {
	meta, data := *h.held, h.partial
	h.held, h.partial = nil, nil
	if int64(len(data)) != meta.Size || crc32.Checksum(data, castagnoli) != meta.Checksum {
		h.node.SnapshotFailed(meta.Index)
		return
	}
	h.files = map[Index]snapshotFile{meta.Index: {meta, data}}
	h.disk.Snapshot = meta
	h.machine, h.base, h.applied = split(data), meta.Index, meta.Index
	h.node.SnapshotInstalled(meta)
}

// deliver hands over the first queued message that matches, and reports
// whether there was one. None matches everyone.
func (w *network) deliver(from, to ID) bool {
	for i, p := range w.queue {
		if (from == None || p.from == from) && (to == None || p.to == to) {
			w.queue = slices.Delete(w.queue, i, i+1)
			w.hand(p)
			return true
		}
	}
	return false
}

func (w *network) hand(p packet) {
	if p.to == None || p.to > ID(len(w.hosts)) || w.host(p.to).node == nil {
		return
	}
	w.trace("%d: from %d %s", p.to, p.from, showMessage(p.message))
	w.host(p.to).turn(func(n *Node) { n.Step(p.from, p.message) })
}

// stabilize delivers messages and finishes saves until nothing is left. Time
// stands still.
func (w *network) stabilize() {
	for range 100000 {
		if !w.deliver(None, None) && !w.saveAll() {
			return
		}
	}
	w.t.Fatal("the group does not come to rest")
}

func (w *network) saveAll() (some bool) {
	for _, h := range w.hosts {
		if len(h.pending) > 0 && !h.stalled && !h.silent {
			h.saved(len(h.pending))
			some = true
		}
	}
	return some
}

// tick moves the clock to the next deadline within d and lets those act whose
// deadline it is; then works. It ends when d is over.
func (w *network) tick(d Time, work func()) {
	end := w.now + d
	for {
		next := end
		for _, h := range w.hosts {
			if h.node != nil {
				next = min(next, max(h.node.Deadline(), w.now))
			}
		}
		w.now = next
		for _, h := range w.hosts {
			if h.node != nil && h.node.Deadline() <= w.now {
				h.turn(nil)
			}
		}
		work()
		if w.now >= end {
			return
		}
	}
}

// run lets time pass while messages and saves take none.
func (w *network) run(d Time) {
	w.stabilize()
	w.tick(d, w.stabilize)
}

// elect makes id the leader.
func (w *network) elect(id ID) *host {
	w.t.Helper()
	h := w.host(id)
	for range 100 {
		if h.node.Status().Role == Leader {
			return h
		}
		h.turn(func(n *Node) { n.Campaign() })
		w.run(5 * millisecond)
	}
	w.t.Fatalf("replica %d is not elected: %+v", id, h.node.Status())
	return nil
}

// isolate cuts id off from everyone; heal ends all cuts.
func (w *network) isolate(id ID) {
	for _, h := range w.hosts {
		if h.id != id {
			w.cut[[2]ID{id, h.id}], w.cut[[2]ID{h.id, id}] = true, true
		}
	}
	w.queue = slices.DeleteFunc(w.queue, func(p packet) bool { return p.from == id || p.to == id })
}

func (w *network) heal() { clear(w.cut) }

func (h *host) propose(commands ...string) (Index, error) {
	data := make([][]byte, len(commands))
	for i, c := range commands {
		data[i] = []byte(c)
	}
	var first Index
	var err error
	h.turn(func(n *Node) { first, err = n.Propose(data) })
	return first, err
}

func (h *host) status() Status { return h.node.Status() }
