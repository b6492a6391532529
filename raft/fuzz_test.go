package raft

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"testing"
)

// script turns bytes into inputs of a node: whatever a peer, a host or a clock
// could do.
type script struct{ rest []byte }

func (s *script) byte() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

// number is mostly small, and sometimes as large as it gets.
func (s *script) number() uint64 {
	switch b := s.byte(); {
	case b < 250:
		return uint64(b % 8)
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

func (s *script) entries() (list []Entry) {
	first, term := Index(s.number()), Term(s.number())
	for i := range s.byte() % 4 {
		e := Entry{Term: term, Index: first + Index(i), Kind: EntryKind(s.byte() % 4), Data: s.bytes()}
		if e.Kind == EntryConfiguration && s.byte()%2 == 0 {
			e.Data = EncodeConfiguration(s.configuration())
		}
		term += Term(s.byte() % 2)
		list = append(list, e)
	}
	return list
}

func (s *script) configuration() Configuration {
	return Configuration{Version: Index(s.number()), Members: s.members()}
}

func (s *script) members() (list []Member) {
	for id := range ID(s.byte() % 6) {
		b := s.byte()
		list = append(list, Member{
			ID: id + ID(b>>7), Voter: b&1 > 0, Outgoing: b&2 > 0, Promote: b&4 > 0, Leaving: b&8 > 0,
			Replaces: ID(b >> 4 & 3), Priority: int32(b >> 6),
		})
	}
	return list
}

func (s *script) message() Message {
	term := Term(s.number())
	switch s.byte() % 14 {
	case 0:
		return PreVote{term, Index(s.number()), Term(s.number()), int32(s.byte())}
	case 1:
		return PreVoteReply{term, s.byte()%2 == 0}
	case 2:
		return RequestVote{term, Index(s.number()), Term(s.number()), s.byte()%2 == 0}
	case 3:
		return Vote{term, s.byte()%2 == 0}
	case 4, 5:
		return AppendEntries{term, Index(s.number()), Term(s.number()), Index(s.number()), s.entries()}
	case 6:
		return AppendReply{term, s.byte()%2 == 0, Index(s.number()), Index(s.number()), Term(s.number()), Index(s.number())}
	case 7:
		return Heartbeat{term, Index(s.number()), s.number(), Time(s.number()), Index(s.number())}
	case 8:
		return HeartbeatReply{term, s.number(), Time(s.number()), s.byte()%2 == 0, s.byte()%8 == 0}
	case 9:
		data := s.bytes()
		m := InstallSnapshot{Term: term, Offset: int64(s.number()), Data: data, Checksum: ChunkChecksum(data)}
		m.Snapshot = SnapshotMeta{Index: Index(s.number()), Term: Term(s.number()), Configuration: s.configuration(), Size: int64(s.number()), Checksum: uint32(s.byte())}
		return m
	case 10:
		return SnapshotReply{term, Index(s.number()), int64(s.number()), s.byte()%2 == 0}
	case 11:
		return ReadIndex{term, s.number()}
	case 12:
		return ReadIndexReply{term, s.number(), Index(s.number()), s.byte()%2 == 0}
	default:
		return TimeoutNow{term, Index(s.number())}
	}
}

// fuzzHost carries out as little as a host must.
type fuzzHost struct {
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
}

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
	switch s.byte() % 20 {
	case 0, 1, 2:
		h.now += Time(s.byte()) * millisecond
		n.Tick(h.now)
	case 3:
		n.Propose([][]byte{s.bytes(), s.bytes()})
	case 4:
		n.ReadIndex(s.number())
	case 5:
		n.ChangeMembership(s.members(), Index(s.number()))
	case 6:
		n.TransferLeadership(ID(s.number()))
	case 7:
		n.Campaign()
	case 8:
		n.PeerLost(ID(s.number()))
	case 9, 10:
		n.Saved(min(n.saves.issued, n.saves.issued-uint64(s.byte()%2)))
	case 11:
		n.Applied(Index(s.number()))
	case 12:
		if meta, ok := n.MetaAt(Index(s.number())); ok {
			n.SnapshotTaken(meta)
		}
	case 13:
		n.SnapshotInstalled(h.meta)
	case 14:
		n.SnapshotFailed(Index(s.number()))
	case 15:
		n.ChunkWritten(Index(s.number()), int64(s.number()))
	case 16:
		h.turn()
	default:
		n.Step(ID(s.number()), s.message())
	}
	n.Status()
}

func playScript(t testing.TB, data []byte) []byte {
	members := []Member{{ID: 1, Voter: true}, {ID: 2, Voter: true}, {ID: 3, Voter: true}}
	s := &script{rest: data}
	members = members[:1+s.byte()%3]
	node, err := New(testConfig(1), State{Snapshot: Bootstrap(members...)})
	if err != nil {
		t.Fatal(err)
	}
	h := &fuzzHost{node: node}
	node.Tick(0)
	for len(s.rest) > 0 {
		h.play(s)
	}
	h.turn()
	return h.log
}

// FuzzNode feeds a node with whatever peers could send and a host could do, in
// any order: it never panics, and does the same twice.
func FuzzNode(f *testing.F) {
	f.Add([]byte("\x02\x00\xff\x10\x10"))
	f.Add([]byte{0, 0, 255, 16, 9, 0, 16, 3, 1, 65, 1, 66, 16, 9, 0, 16})
	f.Fuzz(func(t *testing.T, data []byte) {
		first := playScript(t, data)
		if second := playScript(t, data); !reflect.DeepEqual(first, second) {
			t.Errorf("two runs of the same inputs differ")
		}
	})
}
