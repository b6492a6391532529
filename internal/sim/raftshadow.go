package sim

import (
	"slices"

	"github.com/synod-go/synod/raft"
)

// mark is what the oracle keeps of one entry. chain is a hash of the entry and
// all before it: two logs with the same chain at an index are the same up to it.
type mark struct {
	term  raft.Term
	own   uint64
	chain uint64
}

func markOf(before uint64, e raft.Entry) mark {
	own := mix(digest(e.Data) ^ uint64(e.Term)<<8 ^ uint64(e.Kind))
	return mark{term: e.Term, own: own, chain: mix(before ^ mix(own)<<1)}
}

// shadow is the oracle's copy of one replica's log.
type shadow struct {
	base    raft.Index // everything up to here is in a snapshot or released
	before  uint64     // chain at base
	marks   []mark
	hard    raft.HardState
	configs []raft.Configuration // as they stand in the log, by index
}

func (s *shadow) last() raft.Index { return s.base + raft.Index(len(s.marks)) }

// at returns the mark at an index; false if it is not held one by one.
func (s *shadow) at(i raft.Index) (mark, bool) {
	if i <= s.base || i > s.last() {
		return mark{}, false
	}
	return s.marks[i-s.base-1], true
}

// append puts marks at index first and drops what was there and after.
func (s *shadow) append(first raft.Index, marks []mark) {
	s.marks = append(s.marks[:first-s.base-1], marks...)
}

// reset begins after a snapshot.
func (s *shadow) reset(base raft.Index, chain uint64) {
	s.base, s.before, s.marks = base, chain, s.marks[:0]
}

// chainAt is the chain at an index from base on.
func (s *shadow) chainAt(i raft.Index) uint64 {
	if i == s.base {
		return s.before
	}
	return s.marks[i-s.base-1].chain
}

func (s *shadow) clone() shadow {
	c := *s
	c.marks = slices.Clone(s.marks)
	c.configs = slices.Clone(s.configs)
	return c
}

// config is the last configuration in the log.
func (s *shadow) config() *raft.Configuration {
	return &s.configs[len(s.configs)-1]
}

// dropConfigs forgets configurations from index i on.
func (s *shadow) dropConfigs(i raft.Index) {
	for len(s.configs) > 1 && s.config().Version >= i {
		s.configs = s.configs[:len(s.configs)-1]
	}
}

// savedState is one save on its way to the disk.
type savedState struct {
	number uint64
	hard   *raft.HardState
	base   raft.Index
	chain  uint64 // at base
	rebase bool
	first  raft.Index
	marks  []mark
}

// parts are the records that the save consists of, in their order.
func (s *savedState) parts() (list []savedState) {
	if s.hard != nil {
		list = append(list, savedState{hard: s.hard})
	}
	if s.rebase {
		list = append(list, savedState{rebase: true, base: s.base, chain: s.chain})
	}
	if len(s.marks) > 0 {
		list = append(list, savedState{first: s.first, marks: s.marks})
	}
	return list
}

// apply makes the save part of the durable log.
func (s *savedState) apply(to *shadow) {
	if s.hard != nil {
		to.hard = *s.hard
	}
	if s.rebase {
		to.reset(s.base, s.chain)
	}
	if len(s.marks) > 0 {
		to.append(s.first, s.marks)
	}
}

// record is everything the oracle keeps about one replica, in all its lives.
type record struct {
	id       raft.ID
	lost     bool
	log      shadow // as the core has it
	durable  shadow // as the disk has it
	pending  []savedState
	torn     bool // the last crash hit a write
	snapshot raft.Index

	term      raft.Term // highest seen
	commit    raft.Index
	applied   raft.Index
	role      raft.Role
	voted     map[raft.Term]raft.ID // by votes that have left
	heard     raft.Time             // a leader, so that the promise of Lease holds
	hearing   raft.Time             // the same, from the present batch
	transfers map[ballot]bool
	fresh     bool // started and not yet ticked
}

// majorityOf reports whether ids that satisfy in are a quorum of c: of both
// halves, while it is joint.
func majorityOf(c *raft.Configuration, in func(raft.ID) bool) bool {
	var voters, outgoing, votersIn, outgoingIn int
	for i := range c.Members {
		m := &c.Members[i]
		if !m.Voter && !m.Outgoing {
			continue
		}
		yes := in(m.ID)
		if m.Voter {
			voters++
			votersIn += int(bit01(yes))
		}
		if m.Outgoing {
			outgoing++
			outgoingIn += int(bit01(yes))
		}
	}
	return 2*votersIn > voters && (outgoing == 0 || 2*outgoingIn > outgoing)
}

// disjoint reports whether there are a quorum of a and a quorum of b that share
// no replica.
func disjoint(a, b *raft.Configuration) bool {
	var ids []raft.ID
	for _, c := range []*raft.Configuration{a, b} {
		for _, m := range c.Members {
			if !slices.Contains(ids, m.ID) {
				ids = append(ids, m.ID)
			}
		}
	}
	place := func(id raft.ID) int { return slices.Index(ids, id) }
	for set := range 1 << len(ids) {
		inA := func(id raft.ID) bool { return set>>place(id)&1 == 1 }
		inB := func(id raft.ID) bool { return set>>place(id)&1 == 0 }
		if majorityOf(a, inA) && majorityOf(b, inB) {
			return true
		}
	}
	return false
}
