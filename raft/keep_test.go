package raft

import (
	"fmt"
	"testing"
)

// chase is a leader that writes and takes snapshots, with a follower that needs
// the first of them.
type chase struct {
	*network
	leader, follower *host
	proposed         int
}

func newChase(t *testing.T, change func(*Config)) *chase {
	w := newNetwork(t, 3, func(c *Config) {
		c.MaxChunkBytes, c.TrailingEntries = 8, 1
		if change != nil {
			change(c)
		}
	})
	s := &chase{network: w, leader: w.elect(1), follower: w.host(3)}
	w.isolate(3)
	for range 10 {
		s.write()
	}
	w.run(2 * s.leader.node.cfg.Election)
	s.leader.snapshot()
	w.heal()
	for range 50 {
		if s.peer().State == Snapshot {
			return s
		}
		w.tick(10*millisecond, func() { s.hand(1) })
	}
	t.Fatalf("follower needs no snapshot: %+v", s.peer())
	return nil
}

// hand delivers everything, but at most count snapshot chunks.
func (s *chase) hand(count int) {
	var later []packet
	for len(s.queue) > 0 {
		p := s.queue[0]
		s.queue = s.queue[1:]
		if _, ok := p.message.(InstallSnapshot); ok {
			if count == 0 {
				later = append(later, p)
				continue
			}
			count--
		}
		s.network.hand(p)
		s.saveAll()
	}
	s.queue = later
}

func (s *chase) write() {
	s.t.Helper()
	s.proposed++
	if _, err := s.leader.propose(fmt.Sprintf("%08d", s.proposed)); err != nil {
		s.t.Fatal(err)
	}
	s.hand(0)
}

// peer is what the leader knows of the follower.
func (s *chase) peer() PeerStatus {
	for _, p := range s.leader.status().Peers {
		if p.ID == s.follower.id {
			return p
		}
	}
	return PeerStatus{}
}

// A leader that takes and compacts snapshots faster than it can send one does
// not leave its follower behind: the log behind the one that is sent is kept, and
// the follower goes on by entries.
func TestAFollowerCatchesUpWithALeaderThatCompactsFaster(t *testing.T) {
	s := newChase(t, nil)
	first := s.peer().Snapshot
	for round := range 200 {
		if s.peer().State == Replicate && s.peer().Match == s.leader.status().LastIndex {
			if got := s.follower.base; got != first {
				t.Errorf("follower restored the snapshot at %d, want the first one, at %d", got, first)
			}
			return
		}
		s.write() // more than the chunk of a round holds
		s.write()
		s.leader.snapshot()
		s.tick(millisecond, func() { s.hand(1) })
		if round == 199 {
			t.Errorf("follower has not caught up after %d snapshots: %+v", round, s.peer())
		}
	}
}

// What is kept for a follower goes when it needs it no more.
func TestTheLogThatWasKeptIsDroppedAfterTheCatchUp(t *testing.T) {
	s := newChase(t, nil)
	for range 20 {
		s.write()
	}
	s.leader.snapshot()
	if got := s.leader.status(); got.FirstIndex != s.peer().Snapshot+1 {
		t.Fatalf("log begins at %d, want after the snapshot that is sent, at %d", got.FirstIndex, s.peer().Snapshot)
	}
	s.run(2 * s.leader.node.cfg.Heartbeat)
	if got := s.leader.status(); got.FirstIndex != got.Snapshot || s.peer().Match != got.LastIndex {
		t.Errorf("log begins at %d, snapshot at %d, follower at %d of %d", got.FirstIndex, got.Snapshot, s.peer().Match, got.LastIndex)
	}
}

// A leader that is deposed keeps nothing for others.
func TestADeposedLeaderDropsWhatItKept(t *testing.T) {
	s := newChase(t, nil)
	for range 20 {
		s.write()
	}
	s.leader.snapshot()
	s.leader.turn(func(n *Node) { n.Step(2, Heartbeat{Term: 9}) })
	if got := s.leader.status(); got.FirstIndex != got.Snapshot {
		t.Errorf("log begins at %d, snapshot at %d", got.FirstIndex, got.Snapshot)
	}
}

// What is kept is bounded in bytes; a transfer that is left behind begins again
// with the newest snapshot.
func TestTheLogKeptForAFollowerIsBounded(t *testing.T) {
	const bound = 40 * 10
	s := newChase(t, func(c *Config) { c.CatchUpBytes = bound })
	first := s.peer().Snapshot
	for range 30 {
		s.write()
		s.leader.snapshot()
		if got := s.leader.status().LogBytes; got > bound {
			t.Fatalf("log takes %d bytes, bound is %d", got, bound)
		}
	}
	if got := s.peer(); got.State != Snapshot || got.Snapshot <= first {
		t.Errorf("follower %+v, want a snapshot newer than %d", got, first)
	}
	s.run(10 * s.leader.node.cfg.Election)
	if got := s.peer(); got.Match != s.leader.status().LastIndex {
		t.Errorf("follower %+v has not caught up with %d", got, s.leader.status().LastIndex)
	}
}

// A follower that is gone in the middle of a transfer holds the log for
// CatchUpTime, and no longer however often its transfer begins again.
func TestAFollowerThatIsGoneHoldsNoLog(t *testing.T) {
	s := newChase(t, nil)
	s.isolate(3)
	wait := s.leader.node.cfg.CatchUpTime
	s.run(wait - s.leader.node.cfg.Election)
	s.write()
	s.write()
	s.leader.snapshot()
	if got := s.leader.status(); got.FirstIndex != s.peer().Snapshot+1 {
		t.Fatalf("log begins at %d before CatchUpTime is over, want %d", got.FirstIndex, s.peer().Snapshot+1)
	}
	s.run(s.leader.node.cfg.Election)
	for range 3 {
		if got := s.leader.status(); got.FirstIndex != got.Snapshot || s.peer().Snapshot != got.Snapshot {
			t.Errorf("log begins at %d, snapshot at %d, to be sent is %d", got.FirstIndex, got.Snapshot, s.peer().Snapshot)
		}
		s.write()
		s.write()
		s.leader.snapshot()
	}
}

// A follower that is behind by entries and takes them is not cut off by
// compaction; one whose disk stalls, or that does not answer, is.
func TestCompactionWaitsForAFollowerThatTakesEntries(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer Message
		wait   Time
		first  Index
	}{
		{"takes entries", HeartbeatReply{Term: 1}, 0, 3},
		{"disk stalls", HeartbeatReply{Term: 1, Stalled: true}, 0, 11},
		{"does not answer", nil, testConfig(1).withDefaults().Election, 11},
	} {
		r := newSolo(t, 1, 3, State{})
		r.cfg.TrailingEntries = 1
		r.lead()
		r.Propose(make([][]byte, 10))
		r.at(r.now)
		r.save()
		r.step(3, AppendReply{Term: 1, Match: 2})
		r.Tick(r.now + test.wait)
		r.step(2, AppendReply{Term: 1, Match: 11})
		if test.answer != nil {
			r.step(3, test.answer)
		}
		r.Applied(11)
		meta, ok := r.MetaAt(11)
		if !ok {
			t.Fatal("nothing applied")
		}
		r.SnapshotTaken(meta)
		if got := r.Status().FirstIndex; got != test.first {
			t.Errorf("%s: log begins at %d, want %d", test.name, got, test.first)
		}
	}
}

// While the follower installs what it has received, the leader asks after the
// same snapshot: it does not begin with a newer one.
func TestALeaderWaitsForTheInstallation(t *testing.T) {
	s := newChase(t, nil)
	s.follower.hold = true
	sent := s.peer().Snapshot
	s.run(s.leader.node.cfg.Election)
	if s.follower.held == nil {
		t.Fatalf("the snapshot is not received: %+v", s.peer())
	}
	for range 40 {
		s.write()
		s.leader.snapshot()
		s.run(s.leader.node.cfg.Election)
		if got := s.peer(); got.Snapshot != sent {
			t.Fatalf("leader sends the snapshot at %d while the follower installs %d", got.Snapshot, sent)
		}
	}
	s.follower.turn(func(*Node) { s.follower.install() })
	s.run(s.leader.node.cfg.Election)
	if got := s.peer(); got.Match != s.leader.status().LastIndex || s.follower.base != sent {
		t.Errorf("follower %+v went on from %d, want from %d to %d", got, s.follower.base, sent, s.leader.status().LastIndex)
	}
}
