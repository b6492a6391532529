package sim

import (
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/storage"
)

// paxosRecord is everything the oracle keeps about one replica, in all its lives.
type paxosRecord struct {
	id       consensus.ID
	gone     bool
	torn     bool
	durable  acceptorDisk
	pending  []savedRecords
	promised multipaxos.Ballot // by the newest save
	commit   consensus.Index
	applied  consensus.Index
	snapshot consensus.Index
	role     consensus.Role
	term     multipaxos.Ballot
}

// savedRecords are the records of one save on their way to the disk.
type savedRecords struct {
	number uint64
	list   []storage.Record
}

// acceptorDisk is what a replica's records say when they are all read.
type acceptorDisk struct {
	hard   multipaxos.HardState
	base   consensus.Index
	chosen consensus.Index
	slots  map[consensus.Index]savedSlot
}

// savedSlot is the newest record of a slot: a vote with a ballot, or without one
// what was learned to be chosen.
type savedSlot struct {
	ballot multipaxos.Ballot
	decree decree
}

func newAcceptorDisk() acceptorDisk {
	return acceptorDisk{slots: map[consensus.Index]savedSlot{}}
}

// add takes one record over and returns the run that it holds, if any.
func (a *acceptorDisk) add(id consensus.ID, r storage.Record) multipaxos.Run {
	var run multipaxos.Run
	var err error
	switch r.Type {
	case multipaxos.RecordHardState:
		a.hard, err = multipaxos.DecodeHardState(r.Data)
	case multipaxos.RecordVotes:
		run, err = multipaxos.DecodeVotes(r.Data)
	case multipaxos.RecordLearned:
		run.Chosen = true
		run.Entries, err = consensus.DecodeEntries(r.Data)
	case multipaxos.RecordBase:
		var base consensus.SnapshotMeta
		base, err = multipaxos.DecodeBase(r.Data)
		a.base, a.chosen = max(a.base, base.Index), max(a.chosen, base.Index)
	case multipaxos.RecordChosen:
		a.chosen = max(a.chosen, decodeSlot(r.Data))
	}
	if err != nil {
		violated("W1", "replica %d saves what nobody can read: %v", id, err)
	}
	for _, e := range run.Entries {
		a.slots[e.Index] = savedSlot{run.Ballot, decreeOf(e)}
	}
	return run
}

func decodeSlot(data []byte) (i consensus.Index) {
	for k := len(data) - 1; k >= 0; k-- {
		i = i<<8 | consensus.Index(data[k])
	}
	return i
}

// saves notes what an Output wants saved. Of an acceptor the promise never goes
// down (P4), and no vote is below one that was saved before.
func (o *paxosOracle) saves(n *node, out *output) {
	r := o.record(n.id)
	own := out.own.(*multipaxos.Output)
	for _, run := range own.Runs {
		for _, e := range run.Entries {
			if run.Chosen {
				o.learned(n.id, e)
				continue
			}
			o.proposes(n.id, run.Ballot, e)
			if run.Ballot < r.promised {
				violated("P4", "replica %d votes with ballot %s in slot %d, it has promised %s", n.id, multipaxos.FormatBallot(run.Ballot), e.Index,
					multipaxos.FormatBallot(r.promised))
			}
		}
	}
	if b := own.Base; b != nil {
		if b.Index > o.committed() {
			violated("P8", "replica %d lets go of its log up to %d, the chosen prefix ends at %d", n.id, b.Index, o.committed())
		}
		r.applied = max(r.applied, b.Index) // of a witness, which needs no snapshot to go on behind it
	}
	if h := own.HardState; h != nil {
		if h.Promised < r.promised {
			violated("P4", "replica %d takes its promise back from %s to %s", n.id, multipaxos.FormatBallot(r.promised), multipaxos.FormatBallot(h.Promised))
		}
		r.promised = h.Promised
	}
	r.pending = append(r.pending, savedRecords{out.save, out.records})
}

// saved is a save becoming durable: now promises and votes count.
func (o *paxosOracle) saved(n *node, number uint64) {
	r := o.record(n.id)
	done := 0
	for done < len(r.pending) && r.pending[done].number <= number {
		for _, rec := range r.pending[done].list {
			o.casts(r, &r.durable, rec)
		}
		done++
	}
	r.pending = append(r.pending[:0], r.pending[done:]...)
}

// casts adds a record that is durable to a disk.
func (o *paxosOracle) casts(r *paxosRecord, disk *acceptorDisk, rec storage.Record) {
	run := disk.add(r.id, rec)
	o.promises(r.id, disk.hard.Promised)
	if !run.Chosen {
		for _, e := range run.Entries {
			o.votes(r.id, run.Ballot, e)
		}
	}
}

func (o *paxosOracle) torn(n *node) { o.record(n.id).torn = true }

func (o *paxosOracle) lost(id consensus.ID) { o.record(id).gone = true }

func (o *paxosOracle) stopped(n *node) { o.record(n.id).role = consensus.Follower }

// started compares what a process reads with what its disk must hold: all saves
// that were reported durable and a prefix of the others, nothing else (W1, W2).
func (o *paxosOracle) started(n *node, state any) {
	s := state.(multipaxos.State)
	r := o.record(n.id)
	if s.Snapshot.Index > o.committed() {
		violated("P8", "replica %d starts from snapshot %d, the chosen prefix ends at %d", n.id, s.Snapshot.Index, o.committed())
	}
	if len(r.pending) > 0 && r.torn {
		o.w.sometimes.count(sawTornCut)
	}
	why := r.durable.differs(s)
	for i := 0; why != "" && i < len(r.pending); i++ {
		for _, rec := range r.pending[i].list { // of a save a batch may hold the first records
			o.casts(r, &r.durable, rec)
			if why = r.durable.differs(s); why == "" {
				break
			}
		}
	}
	switch {
	case why != "" && n.damaged:
		violated("W2", "replica %d starts from a damaged disk with what it never had: %s", n.id, why)
	case why != "":
		violated("W1", "replica %d: %s; %d saves were on their way", n.id, why, len(r.pending))
	}
	r.pending, r.torn = nil, false
	r.promised, r.term = s.HardState.Promised, 0
	r.commit, r.applied, r.snapshot = s.Snapshot.Index, s.Snapshot.Index, s.Snapshot.Index
}

// differs says what a recovered state lacks or has too much. What a snapshot
// covers may be missing.
func (a *acceptorDisk) differs(s multipaxos.State) string {
	at := s.Snapshot.Index
	if a.hard != s.HardState {
		return sprint("hard state %+v, should be %+v", s.HardState, a.hard)
	}
	if s.Chosen != max(a.chosen, at) {
		return sprint("chosen up to %d, should be %d", s.Chosen, max(a.chosen, at))
	}
	got := map[consensus.Index]savedSlot{}
	for _, run := range s.Runs {
		for _, e := range run.Entries {
			got[e.Index] = savedSlot{run.Ballot, decreeOf(e)}
		}
	}
	for i, want := range a.slots {
		if i > at && got[i] != want {
			return sprint("slot %d holds %+v, should hold %+v", i, got[i], want)
		}
	}
	for i := range got {
		if _, ok := a.slots[i]; i > at && !ok {
			return sprint("slot %d holds something, should be empty", i)
		}
	}
	return ""
}
