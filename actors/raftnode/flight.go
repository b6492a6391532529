package raftnode

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
)

// Kind says what happened: the message, what the replica has become, or what has
// become of its log.
type Kind uint8

// The kinds, named as the messages of package raft and as its roles; the last three
// are changes of the replica's own log.
const (
	KindPreVote Kind = iota
	KindPreVoteReply
	KindRequestVote
	KindVote
	KindAppendEntries
	KindAppendReply
	KindHeartbeat
	KindHeartbeatReply
	KindInstallSnapshot
	KindSnapshotReply
	KindReadIndex
	KindReadIndexReply
	KindTimeoutNow
	KindFollower
	KindPreCandidate
	KindCandidate
	KindLeader
	KindAppended
	KindTruncated
	KindCommitted
)

var kindNames = [...]string{"PreVote", "PreVoteReply", "RequestVote", "Vote", "AppendEntries", "AppendReply", "Heartbeat",
	"HeartbeatReply", "InstallSnapshot", "SnapshotReply", "ReadIndex", "ReadIndexReply", "TimeoutNow",
	"follower", "pre-candidate", "candidate", "leader", "appended", "truncated", "committed"}

// String returns the name of the message, role or change.
func (k Kind) String() string { return kindNames[k] }

func kindOfRole(r raft.Role) Kind { return KindFollower + Kind(r) }

// Event is what the flight recorder keeps of one message, or of one change of role,
// leader or term, or of the log.
type Event struct {
	Time      raft.Time // of the turn, on the replica's own clock
	Direction group.Direction
	Kind      Kind
	// Refused: a vote was not granted, an AppendEntries rejected, a ReadIndex not
	// answered.
	Refused bool
	Peer    raft.ID   // who sent it or gets it; the leader if Direction is Self
	Term    raft.Term // of the message; of the replica if Direction is Self
	// First and Last are the entries that it is about: those in an AppendEntries, or
	// that were appended, truncated or committed. First is 0 if there are none; Last
	// alone is the candidate's last entry, the entry before an empty AppendEntries, up
	// to where a reply says that the logs are or may be equal, a commit index, or a
	// snapshot's last entry.
	First, Last raft.Index
	EntryTerm   raft.Term // of entry Last, 0 if it is not told
}

// Flight returns the newest events of a Raft group's replica, oldest first. It panics
// if the group has another engine.
func Flight(ctx context.Context, h *group.Handle) ([]Event, error) {
	return group.Inspect(ctx, h, func(e group.Engine) ([]Event, error) { return e.(*engine).flight.Events(), nil })
}

// Describe returns what the recorder would keep of a message to a peer, but for the
// time. It returns an error for one that no replica of ours sends.
func Describe(to raft.ID, message proto.Message) (Event, error) {
	w, ok := message.(*messages.RaftMessage)
	if !ok {
		return Event{}, fmt.Errorf("raftnode: a %T is no message of a Raft group", message)
	}
	m, err := decode(w)
	if err != nil {
		return Event{}, err
	}
	return about(group.Out, to, m), nil
}

// flight is the recorder with what it has seen of the replica.
type flight struct {
	group.Recorder[Event]
	now    raft.Time  // of the turn
	last   raft.Index // the last entry that was saved
	commit raft.Index
}

func (f *flight) add(e Event) {
	e.Time = f.now
	f.Add(e)
}

// note keeps what m is about.
func (f *flight) note(d group.Direction, peer raft.ID, m raft.Message) { f.add(about(d, peer, m)) }

// about is what m is about.
func about(d group.Direction, peer raft.ID, m raft.Message) Event {
	e := Event{Direction: d, Peer: peer}
	switch m := m.(type) {
	case raft.PreVote:
		e.Kind, e.Term, e.Last, e.EntryTerm = KindPreVote, m.Term, m.LastIndex, m.LastTerm
	case raft.PreVoteReply:
		e.Kind, e.Term, e.Refused = KindPreVoteReply, m.Term, !m.Granted
	case raft.RequestVote:
		e.Kind, e.Term, e.Last, e.EntryTerm = KindRequestVote, m.Term, m.LastIndex, m.LastTerm
	case raft.Vote:
		e.Kind, e.Term, e.Refused = KindVote, m.Term, !m.Granted
	case raft.AppendEntries:
		e.Kind, e.Term, e.Last, e.EntryTerm = KindAppendEntries, m.Term, m.PrevIndex, m.PrevTerm
		if n := len(m.Entries); n > 0 {
			e.First, e.Last, e.EntryTerm = m.Entries[0].Index, m.Entries[n-1].Index, m.Entries[n-1].Term
		}
	case raft.AppendReply:
		e.Kind, e.Term, e.Last = KindAppendReply, m.Term, m.Match
		if m.Rejected {
			e.Refused, e.Last, e.EntryTerm = true, m.ConflictIndex, m.ConflictTerm
		}
	default:
		e.leading(m)
	}
	return e
}

// leading is about for messages that are about no vote and no entry.
func (e *Event) leading(m raft.Message) {
	switch m := m.(type) {
	case raft.Heartbeat:
		e.Kind, e.Term, e.Last = KindHeartbeat, m.Term, m.Commit
	case raft.HeartbeatReply:
		e.Kind, e.Term = KindHeartbeatReply, m.Term
	case raft.InstallSnapshot:
		e.Kind, e.Term, e.Last, e.EntryTerm = KindInstallSnapshot, m.Term, m.Snapshot.Index, m.Snapshot.Term
	case raft.SnapshotReply:
		e.Kind, e.Term, e.Last = KindSnapshotReply, m.Term, m.Index
	case raft.ReadIndex:
		e.Kind, e.Term = KindReadIndex, m.Term
	case raft.ReadIndexReply:
		e.Kind, e.Term, e.Last, e.Refused = KindReadIndexReply, m.Term, m.Index, m.Refused
	case raft.TimeoutNow:
		e.Kind, e.Term, e.Last = KindTimeoutNow, m.Term, m.LastIndex
	}
}

// noteChanges keeps what a turn has changed in the replica and its log.
func (e *engine) noteChanges(out *raft.Output) {
	if out.Changed {
		e.noteOwn(Event{Kind: kindOfRole(e.Role())})
	}
	e.noteLog(out)
	if commit := e.Commit(); commit > e.flight.commit {
		e.noteOwn(Event{Kind: KindCommitted, First: e.flight.commit + 1, Last: commit})
		e.flight.commit = commit
	}
}

// noteLog keeps what was appended, a run of each term, and what had to go for it.
func (e *engine) noteLog(out *raft.Output) {
	if out.Base != nil {
		e.flight.last = out.Base.Index
	}
	rest := out.Entries
	if len(rest) > 0 && rest[0].Index <= e.flight.last {
		e.noteOwn(Event{Kind: KindTruncated, First: rest[0].Index, Last: e.flight.last})
	}
	for len(rest) > 0 {
		n := len(rest)
		for term := rest[0].Term; rest[n-1].Term != term; { // terms never go back along a log
			n--
		}
		e.flight.last = rest[n-1].Index
		e.noteOwn(Event{Kind: KindAppended, First: rest[0].Index, Last: e.flight.last, EntryTerm: rest[0].Term})
		rest = rest[n:]
	}
}

func (e *engine) noteOwn(event Event) {
	event.Direction, event.Peer, event.Term = group.Self, e.Leader(), e.Term()
	e.flight.add(event)
}
