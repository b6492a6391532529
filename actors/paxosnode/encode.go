package paxosnode

import (
	"fmt"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/multipaxos"
)

// flatForm returns the form of a run that is both on the wire and in a record, or
// nil if it has no entries.
type flatForm func(multipaxos.Run) []byte

func newFlatForm(r multipaxos.Run) []byte {
	if len(r.Entries) == 0 {
		return nil
	}
	return multipaxos.EncodeRun(r)
}

// chosen is a run of chosen entries: without a ballot before them.
func chosen(entries []consensus.Entry) multipaxos.Run {
	return multipaxos.Run{Chosen: true, Entries: entries}
}

// encode turns a message of the core into its wire form, entries by flat.
func encode(from, to consensus.ID, group uint32, m multipaxos.Message, flat flatForm) *messages.PaxosMessage {
	w := &messages.PaxosMessage{From: uint64(from), To: uint64(to), Group: group}
	switch m := m.(type) {
	case multipaxos.Poll:
		w.Ballot = uint64(m.Over)
		w.Body = &messages.PaxosMessage_Poll{Poll: &messages.PaxosPoll{
			Epoch: m.Epoch, Chosen: uint64(m.Chosen), Priority: m.Priority}}
	case multipaxos.PollReply:
		w.Body = &messages.PaxosMessage_PollReply{PollReply: &messages.PaxosPollReply{
			Epoch: m.Epoch, Granted: m.Granted, Chosen: uint64(m.Chosen)}}
	case multipaxos.Prepare:
		w.Ballot = uint64(m.Ballot)
		w.Body = &messages.PaxosMessage_Prepare{Prepare: &messages.PaxosPrepare{FromSlot: uint64(m.From), Over: uint64(m.Over)}}
	case multipaxos.Promise:
		w.Ballot = uint64(m.Ballot)
		w.Body = &messages.PaxosMessage_Promise{Promise: &messages.PaxosPromise{FromSlot: uint64(m.From), Runs: encodeRuns(m.Runs, flat),
			Next: uint64(m.Next), Chosen: uint64(m.Chosen), Trimmed: uint64(m.Trimmed)}}
	case multipaxos.Accept:
		w.Ballot = uint64(m.Ballot)
		w.Body = &messages.PaxosMessage_Accept{Accept: &messages.PaxosAccept{
			Start: uint64(m.Start), Chosen: uint64(m.Chosen), Entries: flat(multipaxos.Run{Ballot: m.Ballot, Entries: m.Entries})}}
	case multipaxos.Accepted:
		w.Ballot = uint64(m.Ballot)
		w.Body = &messages.PaxosMessage_Accepted{Accepted: &messages.PaxosAccepted{First: uint64(m.First), Last: uint64(m.Last)}}
	case multipaxos.Nack:
		w.Ballot = uint64(m.Ballot)
		w.Body = &messages.PaxosMessage_Nack{Nack: &messages.PaxosNack{
			Promised: uint64(m.Promised), Reason: uint32(m.Reason), Chosen: uint64(m.Chosen)}}
	case multipaxos.Heartbeat:
		w.Ballot = uint64(m.Ballot)
		w.Body = &messages.PaxosMessage_Heartbeat{Heartbeat: &messages.PaxosHeartbeat{Start: uint64(m.Start), Chosen: uint64(m.Chosen),
			Round: m.Round, Sent: int64(m.Sent), Match: uint64(m.Match), Safe: uint64(m.Safe)}}
	case multipaxos.HeartbeatReply:
		w.Ballot = uint64(m.Ballot)
		w.Body = &messages.PaxosMessage_HeartbeatReply{HeartbeatReply: &messages.PaxosHeartbeatReply{Round: m.Round, Sent: int64(m.Sent),
			Chosen: uint64(m.Chosen), Snapshot: uint64(m.Snapshot), Stalled: m.Stalled, Lost: m.Lost, Reaches: m.Reaches}}
	case multipaxos.Campaign:
		w.Ballot = uint64(m.Ballot)
		w.Body = &messages.PaxosMessage_Campaign{Campaign: &messages.PaxosCampaign{}}
	case multipaxos.ReadIndex:
		w.Body = &messages.PaxosMessage_ReadIndex{ReadIndex: &messages.PaxosReadIndex{Ref: m.Ref}}
	case multipaxos.ReadIndexReply:
		w.Body = &messages.PaxosMessage_ReadIndexReply{ReadIndexReply: &messages.PaxosReadIndexReply{
			Ref: m.Ref, Index: uint64(m.Index), Refused: m.Refused}}
	default:
		encodeLearning(w, m, flat)
	}
	return w
}

// encodeLearning encodes what learners and their sources say.
func encodeLearning(w *messages.PaxosMessage, m multipaxos.Message, flat flatForm) {
	switch m := m.(type) {
	case multipaxos.Learn:
		w.Body = &messages.PaxosMessage_Learn{Learn: &messages.PaxosLearn{FromSlot: uint64(m.From)}}
	case multipaxos.Learned:
		learned := &messages.PaxosLearned{Chosen: uint64(m.Chosen), Entries: flat(chosen(m.Entries))}
		if m.Snapshot.Index > 0 {
			learned.Snapshot = encodeSnapshot(m.Snapshot)
		}
		w.Body = &messages.PaxosMessage_Learned{Learned: learned}
	case multipaxos.Fetch:
		w.Body = &messages.PaxosMessage_Fetch{Fetch: &messages.PaxosFetch{Index: uint64(m.Index), Offset: m.Offset}}
	case multipaxos.InstallSnapshot:
		w.Body = &messages.PaxosMessage_InstallSnapshot{InstallSnapshot: &messages.PaxosInstallSnapshot{
			Snapshot: encodeSnapshot(m.Snapshot), Offset: m.Offset, Data: m.Data, Checksum: m.Checksum}}
	default:
		panic(fmt.Sprintf("paxosnode: no wire form for %T", m))
	}
}

func encodeRuns(runs []multipaxos.Run, flat flatForm) []*messages.PaxosRun {
	out := make([]*messages.PaxosRun, 0, len(runs))
	for _, r := range runs {
		out = append(out, &messages.PaxosRun{Ballot: uint64(r.Ballot), Chosen: r.Chosen, Entries: flat(chosen(r.Entries))})
	}
	return out
}

func encodeSnapshot(m consensus.SnapshotMeta) *messages.PaxosSnapshot {
	return &messages.PaxosSnapshot{Index: uint64(m.Index), Ballot: uint64(m.Term), Size: m.Size, Checksum: m.Checksum,
		Configuration: consensus.EncodeConfiguration(m.Configuration)}
}
