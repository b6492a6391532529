package raft

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// world is a network in which everything that can happen does, by a seed, with
// the invariants of Figure 3 and of this package checked after every turn.
type world struct {
	*network
	rng     *rand.Rand
	seed    uint64
	history history
	steps   int
	trouble int // per thousand steps
	late    []packet
	eager   bool // to hand leadership over
	events  map[string]int
}

// history is what has happened in the world, seen by nobody in it.
type history struct {
	leaders   map[Term]ID
	votes     map[[2]uint64]ID // by term and voter: votes that have left
	committed map[Index]Entry
	last      Index // the last committed
	asked     map[uint64]Index
	refs      uint64
	readAt    map[ID]int
	terms     map[ID]Term
	commits   map[ID]Index
	elected   map[Term]bool
}

func newWorld(t testing.TB, seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	voters := 1 + rng.IntN(5)
	small := func(c *Config) {
		c.Rand = rand.New(rand.NewPCG(seed, uint64(c.ID)))
		c.MaxAppendBytes = 1 + rng.IntN(200)
		c.MaxInflightBytes = 1 + rng.IntN(500)
		c.FullFrameBytes = 1 + rng.IntN(150)
		c.MaxApplyBytes = 1 + rng.IntN(200)
		c.MaxChunkBytes = testChunk
		c.TrailingEntries = 1 + rng.IntN(4)
		c.CatchUpBytes = 1 + rng.IntN(4000)
		c.PromoteWithin = 1 + rng.IntN(3)
	}
	w := &world{network: newNetwork(t, voters, small), rng: rng, seed: seed, events: map[string]int{}, trouble: 1 + rng.IntN(40)}
	for id := ID(voters + 1); id <= ID(voters+2); id++ {
		c := testConfig(id)
		small(&c)
		h := &host{net: w.network, cfg: c, id: id, files: map[Index]snapshotFile{}}
		w.hosts = append(w.hosts, h)
		h.start()
	}
	for _, h := range w.hosts {
		h.silent = true
		h.skew = Time(rng.Int64N(int64(1000 * millisecond)))
		h.rate = Time(rng.IntN(81) - 40)
	}
	w.history = history{
		leaders: map[Term]ID{}, votes: map[[2]uint64]ID{}, committed: map[Index]Entry{},
		asked: map[uint64]Index{}, readAt: map[ID]int{}, terms: map[ID]Term{}, commits: map[ID]Index{},
		elected: map[Term]bool{},
	}
	w.network.check = w.inspect
	w.eager = rng.IntN(4) == 0
	return w
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, step %d: %s", w.seed, w.steps, fmt.Sprintf(format, args...))
}

func (w *world) any() *host { return w.hosts[w.rng.IntN(len(w.hosts))] }

func (w *world) leader() *host {
	var best *host
	for _, h := range w.hosts {
		if h.node != nil && h.status().Role == Leader && (best == nil || h.status().Term > best.status().Term) {
			best = h
		}
	}
	return best
}

// step does one thing at random.
func (w *world) step() {
	w.steps++
	h := w.any()
	if l := w.leader(); l != nil && w.rng.IntN(2) == 0 {
		h = l
	}
	switch k := w.rng.IntN(1000); {
	case k < w.trouble:
		w.makeTrouble(h, w.rng.IntN(1000))
	case k < 650:
		w.deliverAny()
	case k < 860:
		h = w.any()
		if len(h.pending) > 0 && !h.stalled {
			h.saved(1 + w.rng.IntN(len(h.pending)))
		}
	case k < 960:
		w.pass(Time(w.rng.Int64N(int64(12 * millisecond))))
	case k < 970 && w.eager:
		w.transferAny(h)
	case k < 985:
		w.proposeAny(h)
	default:
		w.readAny(w.any())
	}
	w.inspectVotes()
}

func (w *world) pass(d Time) {
	w.now += d
	for _, h := range w.hosts {
		h.turn(nil)
	}
}

func (w *world) deliverAny() {
	if len(w.late) > 0 && w.rng.IntN(100) == 0 {
		i := w.rng.IntN(len(w.late))
		w.hand(w.late[i])
		w.late = slices.Delete(w.late, i, i+1)
		return
	}
	if len(w.queue) == 0 {
		return
	}
	i := 0
	if w.rng.IntN(4) == 0 {
		i = w.rng.IntN(len(w.queue))
	}
	p := w.queue[i]
	if passesOverPromises(p.message) && w.rng.IntN(4) != 0 { // it comes late
		w.queue = slices.Delete(w.queue, i, i+1)
		w.late = append(w.late, p)
		return
	}
	if w.rng.IntN(50) != 0 { // else it comes again
		w.queue = slices.Delete(w.queue, i, i+1)
	}
	if w.rng.IntN(60) != 0 { // else it is lost
		w.hand(p)
	}
}

// passesOverPromises reports whether m belongs to a transfer: when it comes late
// the leader may long have its lease again.
func passesOverPromises(m Message) bool {
	switch m := m.(type) {
	case TimeoutNow:
		return true
	case RequestVote:
		return m.Transfer
	}
	return false
}

func (w *world) proposeAny(h *host) {
	if h.node == nil {
		return
	}
	var commands []string
	for range 1 + w.rng.IntN(4) {
		commands = append(commands, strconv.Itoa(w.rng.IntN(1e6)))
	}
	if _, err := h.propose(commands...); err == nil {
		w.events["proposed"]++
	}
}

func (w *world) readAny(h *host) {
	w.history.refs++
	ref := w.history.refs
	w.history.asked[ref] = w.history.last
	h.turn(func(n *Node) {
		if n.ReadIndex(ref) != nil {
			delete(w.history.asked, ref)
		}
	})
}

// makeTrouble does what goes wrong, or is administered.
func (w *world) makeTrouble(h *host, k int) {
	switch {
	case k < 100:
		w.crash(h)
	case k < 300:
		w.restartAll()
	case k < 370:
		w.isolate(h.id)
		for _, other := range w.hosts {
			other.turn(func(n *Node) { n.PeerLost(h.id) })
		}
	case k < 400:
		w.cut[[2]ID{h.id, w.any().id}] = true
	case k < 560:
		w.heal()
	case k < 620 && h.node != nil:
		w.transferAny(h)
	case k < 780 && h.node != nil:
		w.changeAny(h)
	case k < 880 && h.node != nil:
		if h.applied > h.disk.Snapshot.Index && len(h.pending) == 0 {
			h.snapshot()
			if w.rng.IntN(2) == 0 {
				h.prune()
			}
			w.events["snapshot"]++
		}
	case k < 910:
		h.turn(func(n *Node) { n.Campaign() })
	case k < 930:
		h.stalled = !h.stalled
	case k < 940:
		w.pass(Time(w.rng.Int64N(int64(900 * millisecond))))
	}
}

func (w *world) transferAny(h *host) {
	h.turn(func(n *Node) {
		if n.TransferLeadership(ID(w.rng.IntN(len(w.hosts)+1))) == nil && n.role == Leader {
			w.events["transfer"]++
		}
	})
}

func (w *world) changeAny(h *host) {
	c := h.status().Configuration
	var members []Member
	for _, other := range w.hosts {
		m := Member{ID: other.id, Priority: int32(w.rng.IntN(2))}
		switch w.rng.IntN(5) {
		case 0:
			continue
		case 1:
			m.Promote = true
		default:
			m.Voter = true
		}
		members = append(members, m)
	}
	if len(w.hosts) > 2 && w.rng.IntN(3) == 0 && len(members) > 1 && members[0].Promote {
		members[0].Replaces = members[1].ID
	}
	h.turn(func(n *Node) {
		if _, err := n.ChangeMembership(members, c.Version); err == nil {
			w.events["change"]++
		}
	})
}

// crash loses what is not durable, but for a part of what was being written.
func (w *world) crash(h *host) {
	if h.node == nil {
		return
	}
	w.events["crash"]++
	for _, p := range h.pending[:w.rng.IntN(len(h.pending)+1)] {
		h.persist(p)
	}
	for _, r := range w.pendingReads(h) {
		delete(w.history.asked, r)
	}
	h.crash()
	w.history.terms[h.id], w.history.commits[h.id] = 0, 0
}

func (w *world) pendingReads(h *host) (refs []uint64) {
	for _, r := range slices.Concat(h.node.forwards.asked, h.node.forwards.waiting) {
		refs = append(refs, r.ref)
	}
	if l := h.node.lead; l != nil {
		for _, r := range slices.Concat(l.reads.asked, l.reads.waiting) {
			if r.from == h.id {
				refs = append(refs, r.ref)
			}
		}
	}
	return refs
}

func (w *world) restartAll() {
	for _, h := range w.hosts {
		if h.node == nil {
			h.start()
		}
	}
}

// settle heals everything and checks that the group works again: one leader,
// equal state (R14).
func (w *world) settle() {
	w.heal()
	w.restartAll()
	for _, h := range w.hosts {
		h.stalled, h.silent = false, false
		h.cfg.DiskStall = 0
	}
	// Within 20 election timeouts of the slowest.
	for range 2 * 20 * 2 * 30 {
		w.pass(10 * millisecond)
		w.network.stabilize()
		w.inspectVotes()
	}
	l := w.leader()
	if l == nil {
		w.fail("no leader after the world has healed: %s", w.describe())
	}
	if _, err := l.propose("end"); err != nil {
		w.fail("leader refuses: %v; %s", err, w.describe())
	}
	for range 30 {
		w.network.stabilize()
		w.pass(10 * millisecond)
	}
	w.network.stabilize()
	for _, m := range l.status().Configuration.Members {
		h := w.host(m.ID)
		if !slices.Equal(h.machine, l.machine) || len(l.machine) == 0 || l.machine[len(l.machine)-1] != "end" {
			w.fail("replica %d differs from leader %d: %s", h.id, l.id, w.describe())
		}
	}
	if c := l.status().Configuration; c.Joint() || c.Version > l.status().Commit {
		w.fail("the change of the membership is not finished: %s", w.describe())
	}
}

func (w *world) describe() (s string) {
	for _, h := range w.hosts {
		if h.node != nil {
			s += fmt.Sprintf("\n%+v applied %d", h.status(), len(h.machine))
		}
	}
	return s
}

func runWorld(t testing.TB, seed uint64, steps int) *world {
	w := newWorld(t, seed)
	for range steps {
		w.step()
	}
	w.settle()
	return w
}

// TestRandomWorldsKeepTheInvariants runs seeded worlds. RAFT_SEED replays one,
// RAFT_SEEDS sets how many.
func TestRandomWorldsKeepTheInvariants(t *testing.T) {
	first, count := uint64(1), uint64(150)
	if s := os.Getenv("RAFT_SEED"); s != "" {
		first, _ = strconv.ParseUint(s, 10, 64)
		count = 1
	}
	if s := os.Getenv("RAFT_SEEDS"); s != "" {
		count, _ = strconv.ParseUint(s, 10, 64)
	}
	total := map[string]int{}
	for seed := first; seed < first+count; seed++ {
		for k, v := range runWorld(t, seed, 8000).events {
			total[k] += v
		}
	}
	t.Log(total)
	if count < 100 {
		return
	}
	for _, k := range []string{"elected", "proposed", "read", "lease", "crash", "change", "snapshot"} {
		if total[k] < int(count) {
			t.Errorf("%s happened only %d times in %d worlds", k, total[k], count)
		}
	}
}
