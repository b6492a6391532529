package paxos

import (
	"fmt"
)

// How transcripts and traces print what the cores say.

func showMessage(m Message) string {
	switch m := m.(type) {
	case Prepare:
		return fmt.Sprintf("Prepare %v", m.Ballot)
	case Promise:
		return fmt.Sprintf("Promise %v%s", m.Ballot, showVote(", voted ", Vote{m.Accepted, m.Value}))
	case Accept:
		return fmt.Sprintf("Accept %v %q", m.Ballot, m.Value)
	case Accepted:
		if m.Ballot.IsZero() {
			return "Accepted none"
		}
		return fmt.Sprintf("Accepted %v %q", m.Ballot, m.Value)
	case Nack:
		return fmt.Sprintf("Nack %v, promised %v, %v", m.Ballot, m.Promised, m.Reason)
	case Chosen:
		if len(m.Value) == 0 {
			return fmt.Sprintf("Chosen %v", m.Ballot)
		}
		return fmt.Sprintf("Chosen %v %q", m.Ballot, m.Value)
	case Propose:
		return fmt.Sprintf("Propose %q", m.Value)
	case Ask:
		return "Ask"
	case Finish:
		return "Finish"
	default:
		return fmt.Sprintf("%T %+v", m, m)
	}
}

func showVote(before string, v Vote) string {
	if v.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s%q in %v", before, v.Value, v.Ballot)
}
