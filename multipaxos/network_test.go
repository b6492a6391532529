package multipaxos

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// network is a group of replicas in memory, each with a disk and a state machine,
// and the messages between them. Time passes and messages arrive only when a test
// says so.
type network struct {
	t       testing.TB
	now     Time
	drivers []*driver // by ID
	queue   []letter
	late    []letter       // set aside, to arrive later
	cut     map[[2]ID]bool // directed
	trace   func(format string, args ...any)
	alarms  []Alarm
}

type letter struct {
	from, to ID
	message  Message
}

// driver drives one Node as doc.go tells. Its disk is the records of a Writer.
type driver struct {
	net  *network
	cfg  Config
	id   ID
	node *Node // nil while crashed

	disk    []Record // what is durable
	writer  Writer
	pending []saveUnderWay
	stalled bool // its disk never finishes
	held    bool // saves wait for the command "saved"

	machine []string // what the state machine has applied
	applied Index
	file    SnapshotMeta // the newest snapshot
	data    []byte
	partial []byte // the snapshot being received

	lease Time
	reads []Read
}

func testConfig(id ID) Config {
	return Config{ID: id, FullFrameBytes: 1, Rand: rand.New(rand.NewPCG(uint64(id), 7))}
}

func voters(n int) (members []Member) {
	for id := ID(1); id <= ID(n); id++ {
		members = append(members, Member{ID: id, Voter: true})
	}
	return members
}

// newNetwork starts a group of members, and hosts without a place in it up to
// the number hosts.
func newNetwork(t testing.TB, members []Member, hosts int, change ...func(*Config)) *network {
	w := &network{t: t, cut: map[[2]ID]bool{}, trace: func(string, ...any) {}}
	for id := ID(1); id <= ID(max(hosts, len(members))); id++ {
		c := testConfig(id)
		for _, f := range change {
			f(&c)
		}
		d := &driver{net: w, cfg: c, id: id}
		if slices.ContainsFunc(members, func(m Member) bool { return m.ID == id }) {
			d.disk = []Record{BootstrapRecord(members)}
		}
		w.drivers = append(w.drivers, d)
	}
	for _, d := range w.drivers {
		d.start()
	}
	return w
}

func (w *network) at(id ID) *driver { return w.drivers[id-1] }

// start begins a process from the disk. The newest snapshot of a replica without a
// state machine is what its records say.
func (d *driver) start() {
	t := d.net.t
	var r Recovery
	for _, record := range d.disk {
		if err := r.Add(record); err != nil {
			t.Fatalf("replica %d: record: %v", d.id, err)
		}
	}
	meta := d.file
	if meta.Index < r.Base().Index {
		meta = r.Base()
	}
	state, err := r.State(meta, 0)
	if err != nil {
		t.Fatalf("replica %d: state: %v", d.id, err)
	}
	d.writer = Writer{High: r.High, MaxRecordBytes: 200}
	if d.node, err = New(d.cfg, state); err != nil {
		t.Fatalf("replica %d does not start: %v", d.id, err)
	}
	d.machine, d.applied = split(d.data), meta.Index
	d.turn(nil)
}

// crash ends the process: what is not durable is gone.
func (d *driver) crash() { d.node, d.pending, d.partial, d.lease = nil, nil, nil, 0 }

// turn gives the node one batch of inputs and carries its outputs out.
func (d *driver) turn(inputs func(n *Node)) {
	if d.node == nil {
		return
	}
	d.node.Tick(d.net.now)
	if inputs != nil {
		inputs(d.node)
	}
	for turns, again := 0, true; again; turns++ {
		if turns > 1000 {
			d.net.t.Fatalf("replica %d does not come to rest: deadline %d, now %d, %+v", d.id, d.node.Deadline(), d.net.now, d.node.Status())
		}
		again = d.carry(d.node.Output())
		again = again || d.node.Deadline() <= d.net.now
	}
}

// carry carries out in the order of the fields, and reports whether the node
// has been told something that may ask for more.
func (d *driver) carry(out Output) (again bool) {
	w := d.net
	if out.Changed {
		s := d.node.Status()
		w.trace("%d: %v, ballot %s, leader %d, %s", d.id, s.Role, FormatBallot(s.Term), s.Leader, show(s.Configuration))
	}
	d.lease = out.Lease
	w.sendAll(d.id, "now", out.SendNow)
	d.save(out)
	for _, c := range out.Chunks {
		d.write(c)
		again = true
	}
	if len(out.Apply) > 0 {
		w.trace("%d: apply %s", d.id, showEntries(out.Apply))
		d.apply(out.Apply)
		again = true
	}
	for _, r := range out.Reads {
		w.trace("%d: read %d at %d, error %v", d.id, r.Ref, r.Index, r.Err)
	}
	d.reads = append(d.reads, out.Reads...)
	d.report(out)
	for _, r := range out.SendSnapshots {
		d.sendChunk(r)
	}
	return again
}

func (d *driver) report(out Output) {
	w := d.net
	if l := out.Loss; l != nil {
		w.trace("%d: has lost its vote in slot %d, says leader %d of %s", d.id, l.Acknowledged, l.Leader, FormatBallot(l.Term))
	}
	for _, id := range out.PeerLosses {
		w.trace("%d: counts on %d no more", d.id, id)
	}
	for _, a := range out.Alarms {
		w.trace("%d: ALARM %d, slot %d, %s: %s", d.id, a.From, a.Index, FormatBallot(a.Ballot), a.What)
	}
	w.alarms = append(w.alarms, out.Alarms...)
}

func (w *network) sendAll(from ID, when string, envelopes []Envelope) {
	for _, e := range envelopes {
		w.trace("%d: %s to %d %s", from, when, e.To, showMessage(e.Message))
		if w.cut[[2]ID{from, e.To}] {
			w.trace("%d: lost", from)
			continue
		}
		w.queue = append(w.queue, letter{from, e.To, e.Message})
	}
}

func (d *driver) save(out Output) {
	switch {
	case out.Save != 0:
		d.net.trace("%d: save %d: %s", d.id, out.Save, showSave(out))
		d.pending = append(d.pending, saveUnderWay{number: out.Save, records: d.writer.Records(&out), send: out.Send})
	case len(d.pending) > 0:
		last := &d.pending[len(d.pending)-1]
		last.send = append(last.send, out.Send...)
	default:
		d.net.sendAll(d.id, "durable,", out.Send)
	}
}

// saved makes the oldest n saves durable.
func (d *driver) saved(n int) {
	if n == 0 || d.node == nil {
		return
	}
	done := d.pending[:n]
	d.pending = d.pending[n:]
	for _, p := range done {
		d.disk = append(d.disk, p.records...)
		d.net.sendAll(d.id, fmt.Sprintf("save %d durable,", p.number), p.send)
	}
	d.turn(func(node *Node) { node.Saved(done[n-1].number) })
}

func (d *driver) apply(entries []Entry) {
	if d.node.witness() { // it has no state that could have a gap
		d.applied = entries[0].Index - 1
	}
	for _, e := range entries {
		if e.Index != d.applied+1 {
			d.net.t.Fatalf("replica %d applies %d after %d", d.id, e.Index, d.applied)
		}
		d.applied = e.Index
		if e.Kind == EntryCommand {
			d.machine = append(d.machine, string(e.Data))
		}
	}
	d.node.Applied(d.applied)
}

func split(data []byte) []string {
	if len(data) == 0 {
		return nil
	}
	return strings.Split(string(data), ",")
}

// snapshot takes a snapshot of the state machine.
func (d *driver) snapshot() {
	meta, ok := d.node.MetaAt(d.applied)
	if !ok {
		return
	}
	data := []byte(strings.Join(d.machine, ","))
	meta.Size, meta.Checksum = int64(len(data)), crc32.Checksum(data, castagnoli)
	d.file, d.data = meta, data
	d.turn(func(n *Node) { n.SnapshotTaken(meta) })
}

func (d *driver) sendChunk(r SnapshotRequest) {
	if d.file.Index == 0 {
		return
	}
	if r.Index != d.file.Index {
		r.Offset = 0
	}
	end := min(r.Offset+int64(d.cfg.withDefaults().MaxChunkBytes), d.file.Size)
	data := d.data[min(r.Offset, end):end]
	d.net.sendAll(d.id, "now", []Envelope{{r.To, InstallSnapshot{
		Snapshot: d.file, Offset: r.Offset, Data: data, Checksum: ChunkChecksum(data),
	}}})
}

// write writes one chunk of a snapshot and installs it when it is whole.
func (d *driver) write(c Chunk) {
	d.net.trace("%d: chunk of snapshot %d at %d, %d bytes, last %v", d.id, c.Snapshot.Index, c.Offset, len(c.Data), c.Last)
	if c.Offset == 0 {
		d.partial = nil
	}
	if int64(len(d.partial)) != c.Offset {
		d.net.t.Fatalf("replica %d: chunk at %d after %d bytes", d.id, c.Offset, len(d.partial))
	}
	d.partial = append(d.partial, c.Data...)
	d.node.ChunkWritten(c.Snapshot.Index, c.Offset+int64(len(c.Data)))
	if !c.Last {
		return
	}
	if int64(len(d.partial)) != c.Snapshot.Size || crc32.Checksum(d.partial, castagnoli) != c.Snapshot.Checksum {
		d.node.SnapshotFailed(c.Snapshot.Index)
		return
	}
	d.file, d.data, d.partial = c.Snapshot, d.partial, nil
	d.machine, d.applied = split(d.data), c.Snapshot.Index
	d.node.SnapshotInstalled(c.Snapshot)
}

func (l letter) matches(from, to ID) bool {
	return (from == None || l.from == from) && (to == None || l.to == to)
}

// deliver hands over the first message under way.
func (w *network) deliver() bool {
	if len(w.queue) == 0 {
		return false
	}
	l := w.queue[0]
	w.queue = w.queue[1:]
	w.hand(l)
	return true
}

func (w *network) hand(l letter) {
	if l.to == None || l.to > ID(len(w.drivers)) || w.at(l.to).node == nil {
		return
	}
	w.trace("%d: from %d %s", l.to, l.from, showMessage(l.message))
	w.at(l.to).turn(func(n *Node) { n.Step(l.from, l.message) })
}

// stabilize delivers messages and finishes saves until nothing is left. Time
// stands still.
func (w *network) stabilize() {
	for range 100000 {
		if !w.deliver() && !w.saveAll() {
			return
		}
	}
	w.t.Fatal("the group does not come to rest")
}

func (w *network) saveAll() (some bool) {
	for _, d := range w.drivers {
		if len(d.pending) > 0 && !d.stalled && !d.held {
			d.saved(len(d.pending))
			some = true
		}
	}
	return some
}

// tick moves the clock to the next deadline within d and lets those act whose
// deadline it is; then works. It ends when d is over.
func (w *network) tick(d Time, work func()) {
	for end := w.now + d; ; {
		next := end
		for _, d := range w.drivers {
			if d.node != nil {
				next = min(next, max(d.node.Deadline(), w.now))
			}
		}
		w.now = next
		for _, d := range w.drivers {
			if d.node != nil && d.node.Deadline() <= w.now {
				d.turn(nil)
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
func (w *network) elect(id ID) *driver {
	w.t.Helper()
	d := w.at(id)
	for range 100 {
		if d.node.Role() == Leader {
			return d
		}
		d.turn(func(n *Node) { n.Campaign() })
		w.run(5 * millisecond)
	}
	w.t.Fatalf("replica %d is not elected: %+v", id, d.node.Status())
	return nil
}

// isolate cuts id off from everyone; heal ends all cuts.
func (w *network) isolate(id ID) {
	for _, d := range w.drivers {
		if d.id != id {
			w.cut[[2]ID{id, d.id}], w.cut[[2]ID{d.id, id}] = true, true
		}
	}
	w.queue = slices.DeleteFunc(w.queue, func(l letter) bool { return l.from == id || l.to == id })
}

func (w *network) heal() { clear(w.cut) }

func (d *driver) propose(commands ...string) (first Index, err error) {
	data := make([][]byte, len(commands))
	for i, c := range commands {
		data[i] = []byte(c)
	}
	d.turn(func(n *Node) { first, err = n.Propose(data) })
	return first, err
}
