package raftnode

import (
	"fmt"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
)

// encode turns a message of the core into its wire form. Entries become one
// opaque field; data is their encoding when the caller already has it, else nil.
func encode(from, to raft.ID, group uint32, m raft.Message, data []byte) *messages.RaftMessage {
	w := &messages.RaftMessage{From: uint64(from), To: uint64(to), Group: group}
	switch m := m.(type) {
	case raft.PreVote:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_PreVote{PreVote: &messages.PreVote{
			LastIndex: uint64(m.LastIndex), LastTerm: uint64(m.LastTerm), Priority: m.Priority}}
	case raft.PreVoteReply:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_PreVoteReply{PreVoteReply: &messages.PreVoteReply{Granted: m.Granted}}
	case raft.RequestVote:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_RequestVote{RequestVote: &messages.RequestVote{
			LastIndex: uint64(m.LastIndex), LastTerm: uint64(m.LastTerm), Transfer: m.Transfer}}
	case raft.Vote:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_Vote{Vote: &messages.Vote{Granted: m.Granted}}
	case raft.AppendEntries:
		if data == nil && len(m.Entries) > 0 {
			data = raft.AppendEntriesData(nil, m.Entries)
		}
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_AppendEntries{AppendEntries: &messages.AppendEntries{
			PrevIndex: uint64(m.PrevIndex), PrevTerm: uint64(m.PrevTerm), Commit: uint64(m.Commit), Entries: data}}
	case raft.AppendReply:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_AppendReply{AppendReply: &messages.AppendReply{
			Rejected: m.Rejected, PrevIndex: uint64(m.PrevIndex), Match: uint64(m.Match),
			ConflictTerm: uint64(m.ConflictTerm), ConflictIndex: uint64(m.ConflictIndex)}}
	case raft.Heartbeat:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_Heartbeat{Heartbeat: &messages.Heartbeat{
			Commit: uint64(m.Commit), Round: m.Round, Sent: int64(m.Sent), Match: uint64(m.Match)}}
	case raft.HeartbeatReply:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_HeartbeatReply{HeartbeatReply: &messages.HeartbeatReply{
			Round: m.Round, Sent: int64(m.Sent), Stalled: m.Stalled, Lost: m.Lost}}
	case raft.InstallSnapshot:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_InstallSnapshot{InstallSnapshot: encodeInstallSnapshot(m)}
	case raft.SnapshotReply:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_SnapshotReply{SnapshotReply: &messages.SnapshotReply{
			Index: uint64(m.Index), Offset: m.Offset, Installed: m.Installed}}
	case raft.ReadIndex:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_ReadIndex{ReadIndex: &messages.ReadIndex{Ref: m.Ref}}
	case raft.ReadIndexReply:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_ReadIndexReply{ReadIndexReply: &messages.ReadIndexReply{
			Ref: m.Ref, Index: uint64(m.Index), Refused: m.Refused}}
	case raft.TimeoutNow:
		w.Term = uint64(m.Term)
		w.Body = &messages.RaftMessage_TimeoutNow{TimeoutNow: &messages.TimeoutNow{LastIndex: uint64(m.LastIndex)}}
	default:
		panic(fmt.Sprintf("raftnode: no wire form for %T", m))
	}
	return w
}

func encodeInstallSnapshot(m raft.InstallSnapshot) *messages.InstallSnapshot {
	w := &messages.InstallSnapshot{
		Index:            uint64(m.Snapshot.Index),
		SnapshotTerm:     uint64(m.Snapshot.Term),
		Version:          uint64(m.Snapshot.Configuration.Version),
		Size:             m.Snapshot.Size,
		SnapshotChecksum: m.Snapshot.Checksum,
		Offset:           m.Offset,
		Data:             m.Data,
		Checksum:         m.Checksum,
	}
	for _, member := range m.Snapshot.Configuration.Members {
		w.Members = append(w.Members, &messages.RaftMember{
			Id: uint64(member.ID), Voter: member.Voter, Outgoing: member.Outgoing, Promote: member.Promote,
			Replaces: uint64(member.Replaces), Priority: member.Priority, Name: member.Name, Address: member.Address,
			Leaving: member.Leaving})
	}
	return w
}

// decode is encode backwards. It returns an error for a message that no replica
// of ours sends; the caller counts and drops it.
func decode(w *messages.RaftMessage) (raft.Message, error) {
	term := raft.Term(w.Term)
	switch body := w.Body.(type) {
	case *messages.RaftMessage_PreVote:
		m := body.PreVote
		return raft.PreVote{Term: term, LastIndex: raft.Index(m.GetLastIndex()), LastTerm: raft.Term(m.GetLastTerm()),
			Priority: m.GetPriority()}, nil
	case *messages.RaftMessage_PreVoteReply:
		return raft.PreVoteReply{Term: term, Granted: body.PreVoteReply.GetGranted()}, nil
	case *messages.RaftMessage_RequestVote:
		m := body.RequestVote
		return raft.RequestVote{Term: term, LastIndex: raft.Index(m.GetLastIndex()), LastTerm: raft.Term(m.GetLastTerm()),
			Transfer: m.GetTransfer()}, nil
	case *messages.RaftMessage_Vote:
		return raft.Vote{Term: term, Granted: body.Vote.GetGranted()}, nil
	case *messages.RaftMessage_AppendEntries:
		m := body.AppendEntries
		entries, err := raft.DecodeEntries(m.GetEntries())
		if err != nil {
			return nil, fmt.Errorf("raftnode: AppendEntries: %w", err)
		}
		return raft.AppendEntries{Term: term, PrevIndex: raft.Index(m.GetPrevIndex()), PrevTerm: raft.Term(m.GetPrevTerm()),
			Commit: raft.Index(m.GetCommit()), Entries: entries}, nil
	case *messages.RaftMessage_AppendReply:
		m := body.AppendReply
		return raft.AppendReply{Term: term, Rejected: m.GetRejected(), PrevIndex: raft.Index(m.GetPrevIndex()),
			Match: raft.Index(m.GetMatch()), ConflictTerm: raft.Term(m.GetConflictTerm()),
			ConflictIndex: raft.Index(m.GetConflictIndex())}, nil
	case *messages.RaftMessage_Heartbeat:
		m := body.Heartbeat
		return raft.Heartbeat{Term: term, Commit: raft.Index(m.GetCommit()), Round: m.GetRound(), Sent: raft.Time(m.GetSent()),
			Match: raft.Index(m.GetMatch())}, nil
	case *messages.RaftMessage_HeartbeatReply:
		m := body.HeartbeatReply
		return raft.HeartbeatReply{Term: term, Round: m.GetRound(), Sent: raft.Time(m.GetSent()), Stalled: m.GetStalled(),
			Lost: m.GetLost()}, nil
	case *messages.RaftMessage_InstallSnapshot:
		return decodeInstallSnapshot(term, body.InstallSnapshot), nil
	case *messages.RaftMessage_SnapshotReply:
		m := body.SnapshotReply
		return raft.SnapshotReply{Term: term, Index: raft.Index(m.GetIndex()), Offset: m.GetOffset(), Installed: m.GetInstalled()}, nil
	case *messages.RaftMessage_ReadIndex:
		return raft.ReadIndex{Term: term, Ref: body.ReadIndex.GetRef()}, nil
	case *messages.RaftMessage_ReadIndexReply:
		m := body.ReadIndexReply
		return raft.ReadIndexReply{Term: term, Ref: m.GetRef(), Index: raft.Index(m.GetIndex()), Refused: m.GetRefused()}, nil
	case *messages.RaftMessage_TimeoutNow:
		return raft.TimeoutNow{Term: term, LastIndex: raft.Index(body.TimeoutNow.GetLastIndex())}, nil
	}
	return nil, fmt.Errorf("raftnode: unknown body %T", w.Body)
}

func decodeInstallSnapshot(term raft.Term, w *messages.InstallSnapshot) raft.InstallSnapshot {
	m := raft.InstallSnapshot{
		Term: term,
		Snapshot: raft.SnapshotMeta{
			Index: raft.Index(w.GetIndex()), Term: raft.Term(w.GetSnapshotTerm()),
			Size: w.GetSize(), Checksum: w.GetSnapshotChecksum()},
		Offset: w.GetOffset(), Data: w.GetData(), Checksum: w.GetChecksum(),
	}
	m.Snapshot.Configuration.Version = raft.Index(w.GetVersion())
	for _, member := range w.GetMembers() {
		m.Snapshot.Configuration.Members = append(m.Snapshot.Configuration.Members, raft.Member{
			ID: raft.ID(member.GetId()), Voter: member.GetVoter(), Outgoing: member.GetOutgoing(),
			Promote: member.GetPromote(), Replaces: raft.ID(member.GetReplaces()), Priority: member.GetPriority(),
			Name: member.GetName(), Address: member.GetAddress(),
			Leaving: member.GetLeaving()})
	}
	return m
}
