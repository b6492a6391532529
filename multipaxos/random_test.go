package multipaxos

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run only this seed of the random test")
	seedsFlag = flag.Uint64("seeds", 12, "how many seeds the random test runs")
	traceTo   = flag.Uint64("watch", 0, "print also the messages of this replica")
	traceFlag = flag.Bool("say", false, "print what happens")
)

// world is a small group in virtual time: messages are lost, repeated, delayed and
// reordered, links are cut, replicas crash and lose what was not yet durable, the
// group changes its members. The simulator proper is internal/sim; this one is for
// the core alone, and quick.
type world struct {
	t      *testing.T
	seed   uint64
	rand   *rand.Rand
	now    Time
	nodes  map[ID]*host
	ids    []ID
	queue  []packet
	chosen []Entry // by slot, as first applied anywhere
	acked  map[string]bool
	cut    map[[2]ID]bool
	calm   bool
	next   int
}

type packet struct {
	at       Time
	from, to ID
	m        Message
	order    int
}

type saveUnderWay struct {
	number  uint64
	records []Record
	send    []Envelope
	at      Time
}

// host is one replica with its disk and its state machine, a list.
type host struct {
	id      ID
	node    *Node
	writer  Writer
	disk    []Record
	snap    SnapshotMeta
	snapped []byte  // the state in the snapshot, encoded
	state   []Entry // what is applied
	saves   []saveUnderWay
	down    Time
	pending map[Index]Entry // proposed here: what a caller waits for
	recv    []byte
}

func newWorld(t *testing.T, seed uint64, voters int) *world {
	w := &world{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 1)), nodes: map[ID]*host{}, acked: map[string]bool{}, cut: map[[2]ID]bool{}, now: 1e9}
	var members []Member
	for i := 1; i <= voters; i++ {
		members = append(members, Member{ID: ID(i), Voter: true})
	}
	for i := 1; i <= voters; i++ {
		w.add(ID(i), []Record{BootstrapRecord(members)})
	}
	return w
}

func (w *world) add(id ID, disk []Record) {
	h := &host{id: id, disk: disk}
	w.nodes[id] = h
	w.ids = append(w.ids, id)
	w.start(h)
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %d ms: %s\nRun go test ./multipaxos -run Random -seed=%d -say -v", w.seed, w.now/1e6, fmt.Sprintf(format, args...), w.seed)
}

func (w *world) logf(format string, args ...any) {
	if *traceFlag {
		w.t.Logf("%d: %s", w.now/1e6, fmt.Sprintf(format, args...))
	}
}

// start recovers a replica from its disk.
func (w *world) start(h *host) {
	var r Recovery
	for _, record := range h.disk {
		if err := r.Add(record); err != nil {
			w.fatalf("record: %v", err)
		}
	}
	state, err := r.State(h.snap, 0)
	if err != nil {
		w.fatalf("state of %d: %v", h.id, err)
	}
	h.writer = Writer{High: r.High, MaxRecordBytes: 400}
	h.node, err = New(Config{ID: h.id, MaxAcceptBytes: 600, FullFrameBytes: 200, MaxChunkBytes: 512, TrailingEntries: 8,
		Window: 64, MaxApplyBytes: 500, PromoteWithin: 8, Rand: rand.New(rand.NewPCG(w.seed, uint64(h.id)+uint64(w.now)))}, state)
	if err != nil {
		w.fatalf("start of %d: %v", h.id, err)
	}
	h.state = decodeState(h.snapped)
	h.saves, h.pending, h.down, h.recv = nil, map[Index]Entry{}, 0, nil
	w.turn(h)
}

func (w *world) crash(h *host) {
	w.logf("crash %d", h.id)
	h.node, h.saves = nil, nil
	h.down = w.now + Time(w.rand.IntN(600))*1e6
}

// turn gives the replica the clock and carries its output out.
func (w *world) turn(h *host) {
	h.node.Tick(w.now)
	out := h.node.Output()
	if *traceFlag && out.Changed {
		s := h.node.Status()
		w.logf("%d: %v ballot %s leader %d epoch %d chosen %d", h.id, s.Role, FormatBallot(s.Term), s.Leader, s.Configuration.Epoch, s.Commit)
	}
	if out.Loss != nil {
		w.fatalf("%d accuses itself of a loss: %+v", h.id, *out.Loss)
	}
	for _, a := range out.Alarms {
		w.fatalf("%d raises an alarm: %+v", h.id, a)
	}
	w.sendAll(h.id, out.SendNow)
	if out.Save > 0 {
		h.saves = append(h.saves, saveUnderWay{out.Save, h.writer.Records(&out), out.Send, w.now + Time(w.rand.IntN(4))*1e6})
	} else if len(out.Send) > 0 {
		if len(h.saves) > 0 {
			last := &h.saves[len(h.saves)-1]
			last.send = append(slices.Clone(last.send), out.Send...)
		} else {
			w.sendAll(h.id, out.Send)
		}
	}
	for _, c := range out.Chunks {
		w.chunk(h, c)
	}
	w.apply(h, out.Apply)
	for _, r := range out.SendSnapshots {
		w.sendChunk(h, r)
	}
}

func (w *world) sendChunk(h *host, r SnapshotRequest) {
	body := h.snapped
	at := min(int(r.Offset), len(body))
	if r.Index != h.snap.Index {
		at = 0
	}
	data := body[at:min(len(body), at+512)]
	w.send(h.id, r.To, InstallSnapshot{Snapshot: h.snap, Offset: int64(at), Data: data, Checksum: ChunkChecksum(data)})
}

func encodeState(entries []Entry) (b []byte) {
	for _, e := range entries {
		b = append(b, fmt.Sprintf("%d,%d,%d,%x;", e.Term, e.Index, e.Kind, e.Data)...)
	}
	return b
}

func decodeState(data []byte) (entries []Entry) {
	for part := range bytes.SplitSeq(data, []byte(";")) {
		if len(part) == 0 {
			continue
		}
		var e Entry
		f := bytes.SplitN(part, []byte(","), 4)
		fmt.Sscan(string(f[0]), &e.Term)
		fmt.Sscan(string(f[1]), &e.Index)
		fmt.Sscan(string(f[2]), &e.Kind)
		if len(f[3]) > 0 {
			e.Data, _ = hex.DecodeString(string(f[3]))
		}
		entries = append(entries, e)
	}
	return entries
}

func (w *world) chunk(h *host, c Chunk) {
	h.recv = append(h.recv[:c.Offset:c.Offset], c.Data...)
	if !c.Last {
		h.node.ChunkWritten(c.Snapshot.Index, c.Offset+int64(len(c.Data)))
		return
	}
	state := decodeState(h.recv)
	if Index(len(h.state)) >= c.Snapshot.Index {
		h.node.SnapshotFailed(c.Snapshot.Index)
		return
	}
	w.logf("%d installs snapshot %d", h.id, c.Snapshot.Index)
	h.state, h.snapped, h.snap = state, slices.Clone(h.recv), c.Snapshot
	h.node.SnapshotInstalled(c.Snapshot)
}

func sameState(a, b Entry) bool {
	return a.Index == b.Index && a.Kind == b.Kind && bytes.Equal(a.Data, b.Data)
}

func (w *world) apply(h *host, entries []Entry) {
	for _, e := range entries {
		if e.Index != Index(len(h.state))+1 {
			w.fatalf("%d applies slot %d after %d", h.id, e.Index, len(h.state))
		}
		if int(e.Index) <= len(w.chosen) && !sameState(w.chosen[e.Index-1], e) {
			w.fatalf("slot %d: %d applies %+v, another applied %+v", e.Index, h.id, e, w.chosen[e.Index-1])
		}
		if int(e.Index) == len(w.chosen)+1 {
			w.chosen = append(w.chosen, e)
		}
		h.state = append(h.state, e)
		if p, ok := h.pending[e.Index]; ok {
			delete(h.pending, e.Index)
			if p.Term == e.Term {
				if !bytes.Equal(p.Data, e.Data) {
					w.fatalf("slot %d: %d proposed %q and %q is chosen with its ballot", e.Index, h.id, p.Data, e.Data)
				}
				w.acked[string(e.Data)] = true
			}
		}
	}
	h.node.Applied(Index(len(h.state)))
	if Index(len(h.state)) > h.snap.Index+40 && w.rand.IntN(4) == 0 {
		if meta, ok := h.node.MetaAt(Index(len(h.state))); ok {
			h.snapped = encodeState(h.state)
			meta.Size = int64(len(h.snapped))
			meta.Checksum = uint32(meta.Size)
			h.snap = meta
			h.node.SnapshotTaken(meta)
		}
	}
}

func (w *world) sendAll(from ID, envelopes []Envelope) {
	for _, e := range envelopes {
		w.send(from, e.To, e.Message)
	}
}

func (w *world) send(from, to ID, m Message) {
	if w.cut[[2]ID{from, to}] || !w.calm && w.rand.IntN(50) == 0 {
		return
	}
	copies := 1
	if !w.calm && w.rand.IntN(30) == 0 {
		copies = 2
	}
	for range copies {
		delay := Time(w.rand.IntN(3)+1) * 1e6
		if !w.calm && w.rand.IntN(40) == 0 {
			delay += Time(w.rand.IntN(400)) * 1e6
		}
		w.next++
		w.queue = append(w.queue, packet{w.now + delay, from, to, m, w.next})
	}
}

// step advances the clock by a millisecond.
func (w *world) step() {
	w.now += 1e6
	for _, id := range w.ids {
		h := w.nodes[id]
		if h.node == nil {
			if w.now >= h.down {
				w.start(h)
			}
			continue
		}
		work := false
		for len(h.saves) > 0 && h.saves[0].at <= w.now {
			s := h.saves[0]
			h.saves = h.saves[1:]
			h.disk = append(h.disk, s.records...)
			w.sendAll(id, s.send)
			h.node.Saved(s.number)
			work = true
		}
		if work || h.node.Deadline() <= w.now {
			w.turn(h)
		}
	}
	var due []packet
	w.queue = slices.DeleteFunc(w.queue, func(p packet) bool {
		if p.at > w.now {
			return false
		}
		due = append(due, p)
		return true
	})
	for _, p := range due {
		if *traceTo != 0 && (p.to == ID(*traceTo) || p.from == ID(*traceTo)) {
			w.logf("%d to %d: %T %+v", p.from, p.to, p.m, p.m)
		}
		if h := w.nodes[p.to]; h != nil && h.node != nil && !w.cut[[2]ID{p.from, p.to}] {
			h.node.Tick(w.now)
			h.node.Step(p.from, p.m)
			w.turn(h)
		}
	}
}

func (w *world) leader() *host {
	var best *host
	for _, id := range w.ids {
		if h := w.nodes[id]; h.node != nil && h.node.Role() == Leader && (best == nil || h.node.Term() > best.node.Term()) {
			best = h
		}
	}
	return best
}

func (w *world) propose(h *host, count int) {
	var commands [][]byte
	for range count {
		w.next++
		commands = append(commands, []byte(fmt.Sprintf("c%d", w.next)))
	}
	first, err := h.node.Propose(commands)
	if err != nil {
		return
	}
	for i, c := range commands {
		at := first + Index(i)
		h.pending[at] = Entry{Term: h.node.Term(), Index: at, Data: c}
	}
	w.turn(h)
}

func (w *world) mischief() {
	h := w.nodes[w.ids[w.rand.IntN(len(w.ids))]]
	switch w.rand.IntN(12) {
	case 0, 1:
		if h.node != nil {
			w.crash(h)
		}
	case 2, 3, 4:
		a, b := w.ids[w.rand.IntN(len(w.ids))], w.ids[w.rand.IntN(len(w.ids))]
		w.logf("cut %d to %d", a, b)
		w.cut[[2]ID{a, b}] = true
		if w.rand.IntN(2) == 0 {
			w.cut[[2]ID{b, a}] = true
		}
	case 5, 6, 7:
		clear(w.cut)
	case 8:
		if l := w.leader(); l != nil {
			err := l.node.TransferLeadership(ID(w.rand.IntN(len(w.ids) + 1)))
			w.logf("transfer from %d: %v", l.id, err)
			w.turn(l)
		}
	case 9, 10:
		w.change()
	}
}

func (w *world) change() {
	l := w.leader()
	if l == nil {
		return
	}
	c := l.node.Configuration()
	members := slices.Clone(c.Members)
	switch {
	case w.rand.IntN(2) == 0 && len(w.ids) < 8:
		id := ID(100 + len(w.ids))
		m := Member{ID: id, Promote: true}
		if victim := members[w.rand.IntN(len(members))]; victim.Voter && w.rand.IntN(2) == 0 {
			m.Replaces = victim.ID
		}
		members = append(members, m)
		if _, err := l.node.ChangeMembership(members, c.Version); err == nil {
			w.logf("add %d replacing %d", id, m.Replaces)
			w.add(id, nil)
		}
	case len(members) > 3:
		k := w.rand.IntN(len(members))
		_, err := l.node.ChangeMembership(slices.Delete(members, k, k+1), c.Version)
		w.logf("remove: %v", err)
	}
	w.turn(l)
}

func (w *world) run() {
	for i := range 20000 {
		w.step()
		if i%7 == 0 {
			if l := w.leader(); l != nil && w.rand.IntN(2) == 0 {
				w.propose(l, 1+w.rand.IntN(4))
			}
		}
		if i%293 == 0 {
			w.mischief()
		}
	}
	w.settle()
}

// settle ends the faults: the group must lead, and everybody who belongs to it must
// catch up.
func (w *world) settle() {
	w.calm = true
	clear(w.cut)
	for range 4000 {
		w.step()
	}
	l := w.leader()
	if l == nil {
		for _, id := range w.ids {
			if h := w.nodes[id]; h.node != nil {
				w.t.Logf("%d: %+v", id, h.node.Status())
			}
		}
		w.fatalf("nobody leads four seconds after the faults")
	}
	for _, id := range w.ids {
		if h := w.nodes[id]; h.node != nil { // those that a lost reply left without a turn
			w.turn(h)
		}
	}
	applied := len(l.state)
	w.propose(l, 3)
	for range 2000 {
		w.step()
	}
	if len(l.state) < applied+3 {
		w.fatalf("three commands are not applied in two seconds: %+v", l.node.Status())
	}
	for _, m := range l.node.Configuration().Members {
		if h := w.nodes[m.ID]; len(h.state) < applied+3 {
			w.fatalf("%d has applied %d of %d: %+v\nleader %+v", m.ID, len(h.state), len(l.state), h.node.Status(), l.node.Status())
		}
	}
	have := map[string]int{}
	for _, e := range l.state {
		have[string(e.Data)]++
	}
	for c := range w.acked {
		if have[c] != 1 {
			w.fatalf("acknowledged command %s is in the log %d times", c, have[c])
		}
	}
}

func TestRandom(t *testing.T) {
	first, last := uint64(1), *seedsFlag
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	slots, acked := 0, 0
	for seed := first; seed <= last; seed++ {
		w := newWorld(t, seed, []int{1, 3, 5}[seed%3])
		w.run()
		slots, acked = slots+len(w.chosen), acked+len(w.acked)
	}
	t.Logf("%d slots chosen, %d commands acknowledged", slots, acked)
}
