package paxosnode

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/multipaxos"
)

// Decode returns what a message of a Paxos group says: for simulated worlds, which
// listen in. It returns an error for one that no replica of ours sends.
func Decode(m *messages.PaxosMessage) (multipaxos.Message, error) { return decode(m) }

// decode is encode backwards. It returns an error for a message that no replica
// of ours sends; the caller counts and drops it. Numbers out of range are the
// core's to refuse.
func decode(w *messages.PaxosMessage) (multipaxos.Message, error) {
	ballot := multipaxos.Ballot(w.GetBallot())
	switch body := w.GetBody().(type) {
	case *messages.PaxosMessage_Poll:
		m := body.Poll
		return multipaxos.Poll{Epoch: m.GetEpoch(), Chosen: consensus.Index(m.GetChosen()), Priority: m.GetPriority(), Over: ballot}, nil
	case *messages.PaxosMessage_PollReply:
		m := body.PollReply
		return multipaxos.PollReply{Epoch: m.GetEpoch(), Granted: m.GetGranted(), Chosen: consensus.Index(m.GetChosen())}, nil
	case *messages.PaxosMessage_Prepare:
		m := body.Prepare
		return multipaxos.Prepare{Ballot: ballot, From: consensus.Index(m.GetFromSlot()), Over: multipaxos.Ballot(m.GetOver())}, nil
	case *messages.PaxosMessage_Promise:
		return decodePromise(ballot, body.Promise)
	case *messages.PaxosMessage_Accept:
		return decodeAccept(ballot, body.Accept)
	case *messages.PaxosMessage_Accepted:
		m := body.Accepted
		return multipaxos.Accepted{Ballot: ballot, First: consensus.Index(m.GetFirst()), Last: consensus.Index(m.GetLast())}, nil
	case *messages.PaxosMessage_Nack:
		return decodeNack(ballot, body.Nack)
	case *messages.PaxosMessage_Heartbeat:
		m := body.Heartbeat
		return multipaxos.Heartbeat{Ballot: ballot, Start: consensus.Index(m.GetStart()), Chosen: consensus.Index(m.GetChosen()),
			Round: m.GetRound(), Sent: consensus.Time(m.GetSent()), Match: consensus.Index(m.GetMatch()), Safe: consensus.Index(m.GetSafe())}, nil
	case *messages.PaxosMessage_HeartbeatReply:
		m := body.HeartbeatReply
		return multipaxos.HeartbeatReply{Ballot: ballot, Round: m.GetRound(), Sent: consensus.Time(m.GetSent()),
			Chosen: consensus.Index(m.GetChosen()), Snapshot: consensus.Index(m.GetSnapshot()), Stalled: m.GetStalled(), Lost: m.GetLost(), Reaches: m.GetReaches()}, nil
	case *messages.PaxosMessage_Campaign:
		return multipaxos.Campaign{Ballot: ballot}, nil
	case *messages.PaxosMessage_ReadIndex:
		return multipaxos.ReadIndex{Ref: body.ReadIndex.GetRef()}, nil
	case *messages.PaxosMessage_ReadIndexReply:
		m := body.ReadIndexReply
		return multipaxos.ReadIndexReply{Ref: m.GetRef(), Index: consensus.Index(m.GetIndex()), Refused: m.GetRefused()}, nil
	}
	return decodeLearning(w)
}

// decodeLearning decodes what learners and their sources say.
func decodeLearning(w *messages.PaxosMessage) (multipaxos.Message, error) {
	switch body := w.GetBody().(type) {
	case *messages.PaxosMessage_Learn:
		return multipaxos.Learn{From: consensus.Index(body.Learn.GetFromSlot())}, nil
	case *messages.PaxosMessage_Learned:
		m := body.Learned
		entries, err := decodeEntries("Learned", m.GetEntries())
		if err != nil {
			return nil, err
		}
		learned := multipaxos.Learned{Entries: entries, Chosen: consensus.Index(m.GetChosen())}
		if m.GetSnapshot() != nil {
			learned.Snapshot, err = decodeSnapshot(m.GetSnapshot())
		}
		return learned, err
	case *messages.PaxosMessage_Fetch:
		m := body.Fetch
		return multipaxos.Fetch{Index: consensus.Index(m.GetIndex()), Offset: m.GetOffset()}, nil
	case *messages.PaxosMessage_InstallSnapshot:
		m := body.InstallSnapshot
		meta, err := decodeSnapshot(m.GetSnapshot())
		return multipaxos.InstallSnapshot{Snapshot: meta, Offset: m.GetOffset(), Data: m.GetData(), Checksum: m.GetChecksum()}, err
	}
	return nil, fmt.Errorf("paxosnode: unknown body %T", w.GetBody())
}

func decodeAccept(ballot multipaxos.Ballot, w *messages.PaxosAccept) (multipaxos.Message, error) {
	m := multipaxos.Accept{Ballot: ballot, Start: consensus.Index(w.GetStart()), Chosen: consensus.Index(w.GetChosen())}
	data := w.GetEntries()
	if len(data) == 0 {
		return m, nil
	}
	if len(data) < 8 || binary.LittleEndian.Uint64(data) != uint64(ballot) {
		return nil, fmt.Errorf("paxosnode: Accept: %w: entries of another ballot", consensus.ErrMalformed)
	}
	var err error
	m.Entries, err = decodeEntries("Accept", data[8:])
	return m, err
}

func decodePromise(ballot multipaxos.Ballot, w *messages.PaxosPromise) (multipaxos.Message, error) {
	m := multipaxos.Promise{Ballot: ballot, From: consensus.Index(w.GetFromSlot()), Next: consensus.Index(w.GetNext()),
		Chosen: consensus.Index(w.GetChosen()), Trimmed: consensus.Index(w.GetTrimmed())}
	for _, r := range w.GetRuns() {
		entries, err := decodeEntries("Promise", r.GetEntries())
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 || r.GetChosen() != (r.GetBallot() == 0) {
			return nil, fmt.Errorf("paxosnode: Promise: %w run of %d entries with ballot %d", consensus.ErrMalformed, len(entries), r.GetBallot())
		}
		m.Runs = append(m.Runs, multipaxos.Run{Ballot: multipaxos.Ballot(r.GetBallot()), Chosen: r.GetChosen(), Entries: entries})
	}
	return m, nil
}

func decodeNack(ballot multipaxos.Ballot, w *messages.PaxosNack) (multipaxos.Message, error) {
	if w.GetReason() > math.MaxUint8 {
		return nil, fmt.Errorf("paxosnode: Nack: %w reason %d", consensus.ErrMalformed, w.GetReason())
	}
	return multipaxos.Nack{Ballot: ballot, Promised: multipaxos.Ballot(w.GetPromised()), Reason: multipaxos.Reason(w.GetReason()),
		Chosen: consensus.Index(w.GetChosen())}, nil
}

func decodeEntries(of string, data []byte) ([]consensus.Entry, error) {
	entries, err := consensus.DecodeEntries(data)
	if err != nil {
		return nil, fmt.Errorf("paxosnode: %s: %w", of, err)
	}
	return entries, nil
}

func decodeSnapshot(w *messages.PaxosSnapshot) (consensus.SnapshotMeta, error) {
	configuration, err := consensus.DecodeConfiguration(w.GetConfiguration())
	if err == nil && w.GetIndex() == 0 {
		err = fmt.Errorf("%w: index 0", consensus.ErrMalformed)
	}
	if err != nil {
		return consensus.SnapshotMeta{}, fmt.Errorf("paxosnode: snapshot: %w", err)
	}
	return consensus.SnapshotMeta{Index: consensus.Index(w.GetIndex()), Term: multipaxos.Ballot(w.GetBallot()),
		Configuration: configuration, Size: w.GetSize(), Checksum: w.GetChecksum()}, nil
}
