package multipaxos

import (
	"fmt"
	"strings"

	"github.com/synod-go/synod/consensus"
)

// How transcripts print what the core says.

func showMessage(m Message) string {
	switch m := m.(type) {
	case Poll:
		return fmt.Sprintf("Poll epoch %d, chosen %d, priority %d%s", m.Epoch, m.Chosen, m.Priority, when(m.Over != 0, ", over "+FormatBallot(m.Over)))
	case PollReply:
		return fmt.Sprintf("PollReply epoch %d, granted %v, chosen %d", m.Epoch, m.Granted, m.Chosen)
	case Prepare:
		return fmt.Sprintf("Prepare %s from %d%s", FormatBallot(m.Ballot), m.From, when(m.Over != 0, " over "+FormatBallot(m.Over)))
	case Promise:
		return fmt.Sprintf("Promise %s from %d, chosen %d%s%s [%s]", FormatBallot(m.Ballot), m.From, m.Chosen,
			when(m.Trimmed != 0, fmt.Sprintf(", trimmed %d", m.Trimmed)), when(m.Next != 0, fmt.Sprintf(", next %d", m.Next)), showRuns(m.Runs))
	case Accept:
		return fmt.Sprintf("Accept %s start %d, chosen %d, [%s]", FormatBallot(m.Ballot), m.Start, m.Chosen, showEntries(m.Entries))
	case Accepted:
		return fmt.Sprintf("Accepted %s, %d to %d", FormatBallot(m.Ballot), m.First, m.Last)
	case Nack:
		return fmt.Sprintf("Nack %s, %v, promised %s, chosen %d", FormatBallot(m.Ballot), m.Reason, FormatBallot(m.Promised), m.Chosen)
	case Heartbeat:
		return fmt.Sprintf("Heartbeat %s start %d, chosen %d, round %d, sent %s%s%s", FormatBallot(m.Ballot), m.Start, m.Chosen, m.Round,
			showTime(m.Sent), when(m.Match != 0, fmt.Sprintf(", match %d", m.Match)), when(m.Safe != 0, fmt.Sprintf(", safe %d", m.Safe)))
	case HeartbeatReply:
		return fmt.Sprintf("HeartbeatReply %s round %d, sent %s, chosen %d, snapshot %d%s%s", FormatBallot(m.Ballot), m.Round,
			showTime(m.Sent), m.Chosen, m.Snapshot, when(m.Stalled, ", stalled")+when(m.Reaches, ", reaches a quorum"), when(m.Lost, ", lost"))
	case Learn:
		return fmt.Sprintf("Learn from %d", m.From)
	case Learned:
		return fmt.Sprintf("Learned [%s], chosen %d%s", showEntries(m.Entries), m.Chosen, when(m.Snapshot.Index != 0, ", "+showMeta(m.Snapshot)))
	case Fetch:
		return fmt.Sprintf("Fetch %d at %d", m.Index, m.Offset)
	case InstallSnapshot:
		return fmt.Sprintf("InstallSnapshot %s, %d bytes at %d", showMeta(m.Snapshot), len(m.Data), m.Offset)
	case ReadIndex:
		return fmt.Sprintf("ReadIndex ref %d", m.Ref)
	case ReadIndexReply:
		return fmt.Sprintf("ReadIndexReply ref %d, index %d%s", m.Ref, m.Index, when(m.Refused, ", refused"))
	case Campaign:
		return "Campaign after " + FormatBallot(m.Ballot)
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

func showTime(t Time) string { return fmt.Sprintf("%d.%03dms", t/millisecond, t%millisecond/1000) }

func showMeta(s SnapshotMeta) string {
	return fmt.Sprintf("snapshot %d of %d bytes, LEAD %s, %s", s.Index, s.Size, FormatBallot(s.Term), show(s.Configuration))
}

// showRuns prints votes as ballot: entries, and what is chosen as chosen: entries.
func showRuns(runs []Run) string {
	var parts []string
	for _, r := range runs {
		head := "chosen"
		if !r.Chosen {
			head = "votes " + FormatBallot(r.Ballot)
		}
		parts = append(parts, head+": "+showEntries(r.Entries))
	}
	return strings.Join(parts, "; ")
}

// showEntries prints slot/origin and what is in it.
func showEntries(entries []Entry) string {
	var parts []string
	for _, e := range entries {
		s := fmt.Sprintf("%d/%s ", e.Index, FormatBallot(e.Term))
		switch e.Kind {
		case EntryNoOp:
			s += "no-op"
		case EntryLead:
			s += "LEAD"
		case EntrySeal:
			c, err := consensus.DecodeConfiguration(e.Data)
			if err != nil {
				s += err.Error()
			} else {
				s += "SEAL " + show(c)
			}
		default:
			s += fmt.Sprintf("%q", e.Data)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// show prints a configuration: v acceptor, n learner, p to be promoted, and the
// roles of those that do not have the usual ones: P, A, L.
func show(c Configuration) string {
	var parts []string
	for _, m := range c.Members {
		s := fmt.Sprint(m.ID) + when(m.Voter, "v") + when(!m.Voter, "n") + when(m.Promote, "p")
		for i, r := range "PAL" {
			s += when(m.Roles&(1<<i) != 0, string(r))
		}
		if m.Priority != 0 {
			s += fmt.Sprintf("!%d", m.Priority)
		}
		if m.Replaces != None {
			s += fmt.Sprintf(">%d", m.Replaces)
		}
		parts = append(parts, s)
	}
	return fmt.Sprintf("epoch %d {%s}", c.Epoch, strings.Join(parts, " "))
}

func showSave(out Output) string {
	var parts []string
	if h := out.HardState; h != nil {
		parts = append(parts, fmt.Sprintf("promised %s, proposed %s", FormatBallot(h.Promised), FormatBallot(h.Proposed)))
	}
	if out.Base != nil {
		parts = append(parts, "base "+showMeta(*out.Base))
	}
	if len(out.Runs) > 0 {
		parts = append(parts, showRuns(out.Runs))
	}
	if out.Chosen != 0 {
		parts = append(parts, fmt.Sprintf("chosen %d", out.Chosen))
	}
	return strings.Join(parts, "; ")
}
