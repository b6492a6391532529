package group

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/replica"
)

// digests compares the replicas' states. Every replica reports its digest at
// each checkpoint to the leader; one that differs from a majority's is told to
// stop. With no majority nobody can say who is right. Who is counted is told by judges.
type digests struct {
	reported consensus.Index                             // the newest checkpoint this replica has reported
	by       map[consensus.Index]map[consensus.ID]uint64 // what the newest maxCheckpoints are by whom, as the leader
}

// maxCheckpoints is how many checkpoints a leader keeps, so that who is behind is
// compared too: as many as a replica knows its own digest of (Config.DigestHistory
// of package replica).
const maxCheckpoints = 64

// at returns the digests that were reported of a checkpoint, nil if it is older
// than those that are kept.
func (d *digests) at(index consensus.Index) map[consensus.ID]uint64 {
	if by := d.by[index]; by != nil {
		return by
	}
	if len(d.by) >= maxCheckpoints {
		oldest := slices.Min(slices.Collect(maps.Keys(d.by)))
		if index < oldest {
			return nil
		}
		delete(d.by, oldest)
	}
	if d.by == nil {
		d.by = make(map[consensus.Index]map[consensus.ID]uint64)
	}
	d.by[index] = make(map[consensus.ID]uint64)
	return d.by[index]
}

// reportDigests tells the leader about the checkpoints that were reached: all of
// them, since other replicas may have passed some within one batch.
func (a *Actor) reportDigests() {
	reached := a.handle.digests.Load()
	leader := a.engine.Leader()
	if reached == nil || leader == consensus.None {
		return
	}
	for _, c := range *reached {
		if consensus.Index(c.Index) > a.digests.reported {
			a.digests.reported = consensus.Index(c.Index)
			a.reportDigest(leader, &messages.DigestReport{Index: c.Index, Digest: c.Digest})
		}
	}
}

func (a *Actor) reportDigest(leader consensus.ID, report *messages.DigestReport) {
	if leader == a.cfg.ID {
		a.onDigestReport(leader, report)
		return
	}
	a.sendTo(leader, &messages.GroupMessage{From: uint64(a.cfg.ID), To: uint64(leader), Group: uint32(a.cfg.Group),
		Body: &messages.GroupMessage_DigestReport{DigestReport: report}})
}

// onDigestReport collects the digests of the newest checkpoints.
func (a *Actor) onDigestReport(from consensus.ID, report *messages.DigestReport) {
	member, known := a.engine.Configuration().Find(from)
	if a.engine.Role() != consensus.Leader || !known || !judges(member) {
		return
	}
	index := consensus.Index(report.GetIndex())
	if by := a.digests.at(index); by != nil {
		by[from] = report.GetDigest()
		a.judgeDigests(index, by)
	}
}

// judges reports whether m's digest counts: that of a voter, and where the roles of
// Paxos are apart that of everyone who is there to learn. A witness has none.
func judges(m consensus.Member) bool { return m.Learns() && (m.Voter || m.Roles != 0) }

// judgeDigests looks for a majority of those who count with one digest, and
// quarantines who has another.
func (a *Actor) judgeDigests(index consensus.Index, by map[consensus.ID]uint64) {
	all, votes := 0, make(map[uint64]int)
	for _, m := range a.engine.Configuration().Members {
		if !judges(m) {
			continue
		}
		all++
		if digest, ok := by[m.ID]; ok { // who does not count any more is not asked
			votes[digest]++
		}
	}
	for digest, n := range votes {
		if n <= all/2 {
			continue
		}
		for id, other := range by {
			if other != digest {
				a.quarantine(id, index, digest)
			}
		}
	}
}

func (a *Actor) quarantine(id consensus.ID, index consensus.Index, wanted uint64) {
	if id == a.cfg.ID {
		a.toApplier(checkDigest{index: uint64(index), wanted: wanted})
		return
	}
	a.log.Error("replica differs from the majority", "group", a.cfg.Name, "replica", id, "index", index)
	a.sendTo(id, &messages.GroupMessage{From: uint64(a.cfg.ID), To: uint64(id), Group: uint32(a.cfg.Group),
		Body: &messages.GroupMessage_Quarantine{Quarantine: &messages.Quarantine{Index: uint64(index), Wanted: wanted}}})
}

// onQuarantine has the applier compare: it alone may wait for the replica.
func (a *Actor) onQuarantine(from consensus.ID, m *messages.Quarantine) {
	if from == a.engine.Leader() {
		a.toApplier(checkDigest{index: m.GetIndex(), wanted: m.GetWanted()})
	}
}

func (a *Actor) quarantineSelf(index consensus.Index, wanted uint64) {
	err := &QuarantineError{Group: a.cfg.Name, Index: index, Wanted: wanted}
	a.handle.Replica().Quarantine(err)
	a.cfg.Event("quarantined", slog.Uint64("index", uint64(index)))
	a.cfg.FailStop(err)
}

// QuarantineError tells that this replica's state is wrong: its digest at Index is
// not Wanted, the majority's. It is the end of the node and of its data directory,
// whose snapshots may hold the wrong state: see storage.Store.Quarantine.
// errors.Is(err, replica.ErrQuarantined) holds.
type QuarantineError struct {
	Group  string
	Index  consensus.Index
	Wanted uint64
}

func (e *QuarantineError) Error() string {
	return fmt.Sprintf("group: state of %s at index %d differs from the majority's (digest %016x)", e.Group, e.Index, e.Wanted)
}

// Unwrap returns what the error matches.
func (e *QuarantineError) Unwrap() error { return replica.ErrQuarantined }
