package raftnode

import (
	"fmt"
	"log/slog"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
)

// digests compares the replicas' states. Every replica reports its digest at
// each checkpoint to the leader; one that differs from a majority's is told to
// stop. With no majority nobody can say who is right, and the leader logs it.
type digests struct {
	reported raft.Index // the newest checkpoint this replica has reported
	index    raft.Index // the checkpoint being collected, as the leader
	by       map[raft.ID]uint64
}

// reportDigest tells the leader about a checkpoint that was reached.
func (a *Actor) reportDigest() {
	newest := a.handle.checkpoint.Load()
	leader := a.core.Leader()
	if newest == nil || raft.Index(newest.Index) <= a.digests.reported || leader == raft.None {
		return
	}
	a.digests.reported = raft.Index(newest.Index)
	report := &messages.DigestReport{Index: newest.Index, Digest: newest.Digest}
	if leader == a.cfg.Raft.ID {
		a.onDigestReport(leader, report)
		return
	}
	a.sendWire(leader, &messages.RaftMessage{From: uint64(a.cfg.Raft.ID), To: uint64(leader), Group: uint32(a.cfg.Group),
		Body: &messages.RaftMessage_DigestReport{DigestReport: report}})
}

// onDigestReport collects one checkpoint's digests; a newer checkpoint starts over.
func (a *Actor) onDigestReport(from raft.ID, report *messages.DigestReport) {
	index := raft.Index(report.GetIndex())
	member, known := a.core.Configuration().Find(from)
	if a.core.Role() != raft.Leader || !known || !member.Voter || index < a.digests.index {
		return
	}
	if index > a.digests.index {
		a.digests.index, a.digests.by = index, make(map[raft.ID]uint64)
	}
	a.digests.by[from] = report.GetDigest()
	a.judgeDigests()
}

// judgeDigests looks for a majority of voters with one digest, and quarantines
// who has another.
func (a *Actor) judgeDigests() {
	voters, votes := 0, make(map[uint64]int)
	for _, m := range a.core.Configuration().Members {
		if m.Voter {
			voters++
		}
	}
	for _, digest := range a.digests.by {
		votes[digest]++
	}
	for digest, n := range votes {
		if n <= voters/2 {
			continue
		}
		for id, other := range a.digests.by {
			if other != digest {
				a.quarantine(id, a.digests.index, digest)
			}
		}
	}
}

func (a *Actor) quarantine(id raft.ID, index raft.Index, wanted uint64) {
	if id == a.cfg.Raft.ID {
		a.quarantineSelf(index, wanted)
		return
	}
	a.log.Error("replica differs from the majority", "group", a.cfg.Name, "replica", id, "index", index)
	a.sendWire(id, &messages.RaftMessage{From: uint64(a.cfg.Raft.ID), To: uint64(id), Group: uint32(a.cfg.Group),
		Body: &messages.RaftMessage_Quarantine{Quarantine: &messages.Quarantine{Index: uint64(index), Wanted: wanted}}})
}

// onQuarantine has the applier compare: it alone may wait for the replica.
func (a *Actor) onQuarantine(from raft.ID, m *messages.Quarantine) {
	if from == a.core.Leader() {
		a.toApplier(checkDigest{index: m.GetIndex(), wanted: m.GetWanted()})
	}
}

func (a *Actor) quarantineSelf(index raft.Index, wanted uint64) {
	err := fmt.Errorf("raftnode: state of %s at index %d differs from the majority's (digest %016x)", a.cfg.Name, index, wanted)
	a.handle.Replica().Quarantine(err)
	a.cfg.Event("quarantined", slog.Uint64("index", uint64(index)))
	a.cfg.FailStop(fmt.Errorf("%w: %w", replica.ErrQuarantined, err))
}
