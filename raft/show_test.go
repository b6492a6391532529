package raft

import (
	"fmt"
	"strings"
)

// How transcripts print what the core says.

func showMessage(m Message) string {
	switch m := m.(type) {
	case PreVote:
		return fmt.Sprintf("PreVote term %d, log ends %d/%d, priority %d", m.Term, m.LastIndex, m.LastTerm, m.Priority)
	case PreVoteReply:
		return fmt.Sprintf("PreVoteReply term %d, granted %v", m.Term, m.Granted)
	case RequestVote:
		return fmt.Sprintf("RequestVote term %d, log ends %d/%d, transfer %v", m.Term, m.LastIndex, m.LastTerm, m.Transfer)
	case Vote:
		return fmt.Sprintf("Vote term %d, granted %v", m.Term, m.Granted)
	case AppendEntries:
		return fmt.Sprintf("AppendEntries term %d, after %d/%d, commit %d, [%s]",
			m.Term, m.PrevIndex, m.PrevTerm, m.Commit, showEntries(m.Entries))
	case AppendReply:
		if m.Rejected {
			return fmt.Sprintf("AppendReply term %d, rejected %d, agree at %d/%d at best",
				m.Term, m.PrevIndex, m.ConflictIndex, m.ConflictTerm)
		}
		return fmt.Sprintf("AppendReply term %d, match %d", m.Term, m.Match)
	case Heartbeat:
		return fmt.Sprintf("Heartbeat term %d, commit %d, round %d, sent %s%s", m.Term, m.Commit, m.Round, showTime(m.Sent),
			when(m.Match != m.Commit, fmt.Sprintf(", match %d", m.Match)))
	case HeartbeatReply:
		return fmt.Sprintf("HeartbeatReply term %d, round %d, sent %s%s", m.Term, m.Round, showTime(m.Sent), when(m.Stalled, ", stalled")+when(m.Lost, ", lost"))
	case InstallSnapshot:
		return fmt.Sprintf("InstallSnapshot term %d, of %d/%d %s, %d bytes at %d of %d",
			m.Term, m.Snapshot.Index, m.Snapshot.Term, show(m.Snapshot.Configuration), len(m.Data), m.Offset, m.Snapshot.Size)
	case SnapshotReply:
		return fmt.Sprintf("SnapshotReply term %d, of %d, offset %d%s", m.Term, m.Index, m.Offset, when(m.Installed, ", installed"))
	case ReadIndex:
		return fmt.Sprintf("ReadIndex term %d, ref %d", m.Term, m.Ref)
	case ReadIndexReply:
		return fmt.Sprintf("ReadIndexReply term %d, ref %d, index %d%s", m.Term, m.Ref, m.Index, when(m.Refused, ", refused"))
	case TimeoutNow:
		return fmt.Sprintf("TimeoutNow term %d, log ends %d", m.Term, m.LastIndex)
	default:
		return fmt.Sprintf("%T %+v", m, m)
	}
}

func when(set bool, s string) string {
	if set {
		return s
	}
	return ""
}

func showTime(t Time) string {
	return fmt.Sprintf("%d.%03dms", t/millisecond, t%millisecond/1000)
}

// showEntries prints index/term and what is in it.
func showEntries(entries []Entry) string {
	var parts []string
	for _, e := range entries {
		s := fmt.Sprintf("%d/%d ", e.Index, e.Term)
		switch e.Kind {
		case EntryNoOp:
			s += "no-op"
		case EntryConfiguration:
			c, err := decodeConfigurationEntry(e)
			if err != nil {
				s += err.Error()
			} else {
				s += show(c)
			}
		default:
			s += fmt.Sprintf("%q", e.Data)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// show prints a configuration: v voter, o outgoing, n non-voter, p to be
// promoted, - leaving.
func show(c Configuration) string {
	var parts []string
	for _, m := range c.Members {
		s := fmt.Sprint(m.ID)
		s += when(m.Voter, "v") + when(m.Outgoing, "o") + when(!m.Voter && !m.Outgoing, "n") +
			when(m.Promote, "p") + when(m.Leaving, "-")
		if m.Priority != 0 {
			s += fmt.Sprintf("!%d", m.Priority)
		}
		if m.Replaces != None {
			s += fmt.Sprintf(">%d", m.Replaces)
		}
		parts = append(parts, s)
	}
	return fmt.Sprintf("{%s}@%d", strings.Join(parts, " "), c.Version)
}

func showSave(out Output) string {
	var s string
	if out.HardState != nil {
		s += fmt.Sprintf(" term %d, vote %d;", out.HardState.Term, out.HardState.Vote)
	}
	if out.Base != nil {
		s += fmt.Sprintf(" log after snapshot %d/%d;", out.Base.Index, out.Base.Term)
	}
	if len(out.Entries) > 0 {
		s += " " + showEntries(out.Entries)
	}
	return strings.TrimSuffix(s, ";")
}
