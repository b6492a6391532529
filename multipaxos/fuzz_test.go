package multipaxos

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/synod-go/synod/consensus"
)

// script turns bytes into inputs of a node: whatever a peer, a host or a clock
// could do. Half of the numbers are those that the node would expect.
type script struct {
	rest []byte
	node *Node // nil before it has started
	last Ballot
}

func (s *script) byte() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

func (s *script) flag() bool { return s.byte()%2 == 1 }

// number is mostly small, and sometimes as large as it gets.
func (s *script) number() uint64 {
	switch b := s.byte(); {
	case b < 250:
		return uint64(b % 12)
	case b == 250:
		return math.MaxUint64
	case b == 251:
		return 1 << 62
	case b == 252:
		return 1 << 63
	default:
		var eight [8]byte
		copy(eight[:], s.rest)
		s.rest = s.rest[min(8, len(s.rest)):]
		return binary.LittleEndian.Uint64(eight[:])
	}
}

func (s *script) bytes() []byte {
	n := min(int(s.byte()%16), len(s.rest))
	b := s.rest[:n:n]
	s.rest = s.rest[n:]
	return b
}

// ballot is mostly one of the node or one that a member of the first epochs could
// have.
func (s *script) ballot() Ballot {
	b := s.byte()
	switch {
	case b >= 250:
		s.last = Ballot(s.number())
	case s.node == nil || b < 60:
		s.last = ballot(uint32(b%3+1), uint32(s.byte()%5), int(b/3%4))
	case b < 150:
		s.last = max(s.node.ballot, s.node.following)
	case b < 200:
		s.last = s.node.promised
	default:
		n := s.node
		s.last = ballot(n.epoch(), Round(max(n.promised, n.following))+uint32(b%2), int(b/2%4))
	}
	return s.last
}

// slot is mostly near the node's chosen prefix.
func (s *script) slot() Index {
	switch b := s.byte(); {
	case s.node == nil || b < 50:
		return Index(s.number())
	default:
		return s.node.chosen + Index(b%6)
	}
}

func (s *script) entries() (list []Entry) {
	first, term := s.slot(), s.ballot()
	for i := range s.byte() % 5 {
		e := Entry{Term: term, Index: first + Index(i), Kind: EntryKind(s.byte() % 41 / 10), Data: s.bytes()}
		if e.Kind == EntrySeal && s.flag() {
			e.Data = consensus.EncodeConfiguration(s.configuration())
		}
		if s.byte() == 255 {
			e.Index++
		}
		list = append(list, e)
	}
	return list
}

func (s *script) runs() (list []Run) {
	for range s.byte() % 4 {
		list = append(list, Run{Ballot: s.ballot(), Chosen: s.byte() > 200, Entries: s.entries()})
	}
	return list
}

func (s *script) configuration() Configuration {
	return Configuration{Version: s.slot(), Epoch: s.epoch(), Members: s.members()}
}

func (s *script) members() (list []Member) {
	for id := range ID(s.byte() % 6) {
		b, roles := s.byte(), s.byte()
		m := Member{
			ID: id + 1 - ID(b>>7), Voter: b&1 > 0, Outgoing: b&2 > 0, Promote: b&4 > 0, Leaving: b&8 > 0,
			Replaces: ID(b >> 4 & 3), Priority: int32(b >> 6),
		}
		if roles >= 128 {
			m.Roles = consensus.Roles(roles % 16)
		}
		list = append(list, m)
	}
	return list
}

func (s *script) meta() SnapshotMeta {
	return SnapshotMeta{Index: s.slot(), Term: s.ballot(), Configuration: s.configuration(), Size: int64(s.number()), Checksum: uint32(s.byte())}
}

func (s *script) message() Message {
	switch s.byte() % 18 {
	case 0:
		return Poll{Epoch: s.epoch(), Chosen: s.slot(), Priority: int32(s.byte()), Over: s.ballot()}
	case 1:
		return PollReply{s.epoch(), s.flag(), s.slot()}
	case 2:
		return Prepare{s.ballot(), s.slot(), s.ballot()}
	case 3:
		m := Promise{Ballot: s.ballot(), From: s.slot(), Runs: s.runs(), Chosen: s.slot()}
		if s.byte() > 150 {
			m.Next, m.Trimmed = s.slot(), s.slot()
		}
		return m
	case 4, 5:
		return Accept{s.ballot(), s.slot(), s.slot(), s.entries()}
	case 6:
		return Accepted{s.ballot(), s.slot(), s.slot()}
	case 7:
		return Nack{s.ballot(), s.ballot(), Reason(s.byte() % 8), s.slot()}
	case 8:
		return Heartbeat{s.ballot(), s.slot(), s.slot(), s.number(), Time(s.number()), Index(s.byte() / 254), s.slot()}
	case 9:
		return HeartbeatReply{s.ballot(), s.number() % 4, s.node.now - Time(s.byte()%2), s.slot(), s.slot(), s.byte() > 200, s.byte() > 250, s.byte()%2 == 0}
	case 10:
		return Learn{s.slot()}
	case 11, 12:
		return Learned{s.entries(), s.slot(), s.meta()}
	case 13:
		return Fetch{s.slot(), int64(s.number())}
	case 14:
		data := s.bytes()
		m := InstallSnapshot{Snapshot: s.meta(), Data: data, Checksum: ChunkChecksum(data)}
		if in := s.node.incoming; in != nil && s.byte() > 50 {
			m.Snapshot, m.Offset = in.meta, in.received
		}
		if s.byte() < 50 {
			m.Offset = int64(s.number())
		}
		return m
	case 15:
		return ReadIndex{s.number()}
	case 16:
		return ReadIndexReply{s.number(), s.slot(), s.flag()}
	default:
		return Campaign{s.ballot()}
	}
}

// epoch is mostly the node's or the next one.
func (s *script) epoch() uint32 {
	b := s.byte()
	if s.node == nil || b < 30 {
		return uint32(s.number())
	}
	return s.node.epoch() + uint32(b%2)
}

// from is mostly who could send a message with the ballot that was drawn last.
func (s *script) from() ID {
	if b := s.byte(); b < 100 {
		return ID(b % 6)
	}
	if i := Proposer(s.last); s.node != nil && i < len(s.node.config().Members) && s.node.config().Members[i].ID != 1 {
		return s.node.config().Members[i].ID
	}
	return ID(s.byte()%4) + 1
}

// fuzzHost carries out as little as a host must.
type fuzzHost struct {
	t    testing.TB
	node *Node
	now  Time
	meta SnapshotMeta
	log  []byte // all outputs, for comparison
}

func (h *fuzzHost) turn() {
	for range 50 {
		out := h.node.Output()
		h.log = fmt.Appendf(h.log, "%s\n", printed(out))
		for _, c := range out.Chunks {
			h.meta = c.Snapshot
		}
		if n := len(out.Apply); n > 0 {
			h.node.Applied(out.Apply[n-1].Index)
		}
		if h.node.Deadline() > h.now {
			break
		}
	}
	h.bounded()
}

// bounded checks that nothing which peers say makes the node grow.
func (h *fuzzHost) bounded() {
	n := h.node
	window := 2*n.cfg.Window + 600
	p, l := n.phase1, 0
	if p != nil {
		l = len(p.votes)
	}
	early := 0
	if n.incoming != nil {
		early = len(n.incoming.early)
	}
	if len(n.readers) > maxReaders || len(n.election.votes) > consensus.MaxMembers+1 || l > 8*window || early > chunkWindow ||
		len(n.loops) > 4*window || len(n.log.chunks) > 8 || n.log.end > n.chosen+Index(window) {
		h.t.Fatalf("%d readers, %d poll votes, %d reported votes, %d early chunks, %d loops, %d chunks of log, slots up to %d, chosen %d",
			len(n.readers), len(n.election.votes), l, early, len(n.loops), len(n.log.chunks), n.log.end, n.chosen)
	}
}

// pointers stand in printed outputs for values that are printed beside them.
var pointers = regexp.MustCompile(`0x[0-9a-f]+`)

// printed is all of out, also behind pointers.
func printed(out Output) string {
	s := fmt.Sprintf("%+v", out)
	if out.HardState != nil {
		s += fmt.Sprintf("%+v", *out.HardState)
	}
	if out.Base != nil {
		s += fmt.Sprintf("%+v", *out.Base)
	}
	return pointers.ReplaceAllString(s, "")
}

func (h *fuzzHost) play(s *script) {
	n := h.node
	switch s.byte() % 24 {
	case 0, 1, 2:
		h.now += Time(s.byte()) * 4 * millisecond
		n.Tick(h.now)
	case 3:
		n.Propose([][]byte{s.bytes(), s.bytes()})
	case 4:
		n.ReadIndex(s.number())
	case 5:
		n.ChangeMembership(s.members(), s.node.config().Version+Index(s.byte()/250))
	case 6:
		n.TransferLeadership(ID(s.number()))
	case 7:
		n.Campaign()
	case 8:
		n.PeerLost(ID(s.number()))
	case 9, 10, 11:
		n.Saved(n.saves.issued - min(n.saves.issued-n.saves.durable, uint64(s.byte()%2)))
	case 12:
		n.Applied(s.slot())
	case 13:
		if meta, ok := n.MetaAt(s.node.applied - min(s.node.applied, Index(s.byte()%3))); ok {
			n.SnapshotTaken(meta)
		}
	case 14:
		n.SnapshotInstalled(h.meta)
	case 15:
		n.SnapshotFailed(h.meta.Index + Index(s.byte()%2))
	case 16:
		n.ChunkWritten(h.meta.Index, int64(s.number()))
	case 17:
		h.turn()
	default:
		m := s.message()
		n.Step(s.from(), m)
	}
	n.Status()
	n.Gather()
}

func fuzzConfig() Config {
	c := testConfig(1)
	c.Window, c.MaxUnchosenBytes, c.CatchUpBytes, c.MaxAcceptBytes, c.MaxReads, c.TrailingEntries = 16, 4096, 4096, 300, 8, 2
	return c
}

func playScript(t testing.TB, data []byte) []byte {
	s := &script{rest: data}
	b := s.byte()
	members := voters(4)[:1+b%4]
	if b >= 128 { // we are a proposer only, or a witness
		members = append(voters(4), Member{ID: 5, Roles: consensus.RoleLearner})
		members[0] = Member{ID: 1, Voter: b&1 > 0, Roles: consensus.RoleProposer}
		if b&1 > 0 {
			members[0].Roles = consensus.RoleAcceptor
		}
	}
	state := State{Snapshot: Bootstrap(members...)}
	if b == 127 {
		state = State{}
	}
	node, err := New(fuzzConfig(), state)
	if err != nil {
		t.Fatal(err)
	}
	h := &fuzzHost{t: t, node: node}
	node.Tick(0)
	s.node = node
	for len(s.rest) > 0 {
		h.play(s)
	}
	h.turn()
	return h.log
}

// FuzzNode feeds a node with whatever peers could send and a host could do, in any
// order: it never panics, keeps its bounds, and does the same twice.
func FuzzNode(f *testing.F) {
	f.Add([]byte("\x02\x00\xff\x11\x11"))
	f.Add([]byte{0, 0, 255, 17, 9, 0, 17, 3, 1, 65, 1, 66, 17, 9, 0, 17})
	f.Fuzz(func(t *testing.T, data []byte) {
		first := playScript(t, data)
		if second := playScript(t, data); !bytes.Equal(first, second) {
			t.Errorf("two runs of the same inputs differ: %s", firstDifference(string(first), string(second)))
		}
	})
}

// records turns the script into what a disk could hold: mostly records of ours with
// numbers of all sizes, some cut or changed.
func (s *script) records() (list []Record) {
	for range s.byte() % 12 {
		var w Writer
		w.MaxRecordBytes = 100
		var out Output
		if s.flag() {
			out.HardState = &HardState{s.ballot(), s.ballot()}
		}
		if s.byte() > 200 {
			meta := s.meta()
			out.Base = &meta
		}
		out.Runs = s.runs()
		out.Chosen = Index(s.byte() % 6)
		batch := w.Records(&out)
		if s.byte() > 240 {
			batch = append(batch, Record{Type: s.byte(), Index: s.number(), Data: s.bytes()})
		}
		for i := range batch {
			switch d := batch[i].Data; {
			case s.byte() < 250 || len(d) == 0:
			case s.flag():
				batch[i].Data = d[:int(s.byte())%len(d)]
			default:
				d[int(s.byte())%len(d)] ^= s.byte()
			}
		}
		list = append(list, batch...)
	}
	return list
}

func playRecords(t testing.TB, data []byte) {
	s := &script{rest: data}
	r := Recovery{}
	r.Add(BootstrapRecord(voters(3)))
	for _, record := range s.records() {
		if r.Add(record) != nil {
			return
		}
	}
	var meta SnapshotMeta
	if s.flag() {
		meta = r.Base()
	} else if s.flag() {
		meta = s.meta()
	}
	state, err := r.State(meta, Index(s.byte()%3))
	if err != nil {
		return
	}
	node, err := New(fuzzConfig(), state)
	if err != nil {
		return
	}
	if len(node.log.chunks) > 1<<18 {
		t.Fatalf("%d chunks of log from %d bytes", len(node.log.chunks), len(data))
	}
	h := &fuzzHost{t: &boundless{t}, node: node}
	node.Tick(0)
	s.node = node
	for len(s.rest) > 0 {
		h.play(s)
	}
}

// boundless is a test in which the log may be as long as the disk says.
type boundless struct{ testing.TB }

func (boundless) Fatalf(string, ...any) {}

// FuzzRecovery feeds a replica with whatever a disk could hold, then with peers:
// an error or a replica, never a panic, nor more memory than the disk accounts for.
func FuzzRecovery(f *testing.F) {
	f.Add([]byte{3, 1, 10, 1, 10, 1, 0, 2, 3, 1, 0, 1, 2, 0, 1, 65})
	f.Fuzz(func(t *testing.T, data []byte) { playRecords(t, data) })
}

// TestRandomScriptsDoNotPanic is FuzzNode and FuzzRecovery on random bytes.
func TestRandomScriptsDoNotPanic(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		data := make([]byte, 50+rng.IntN(1500))
		for i := range data {
			data[i] = byte(rng.UintN(256))
		}
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("seed %d: %v", seed, r)
					panic(r)
				}
			}()
			playScript(t, data)
			playRecords(t, data)
		}()
	}
}
