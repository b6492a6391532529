package synod

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/raft"
)

// noteAgain is after what time the same is told again: who is cut off asks several times a
// second, and would fill the events with it.
const noteAgain = 10 * time.Second

// noted is what was told of elections. Of the group's actor alone.
type noted struct {
	said map[noteKey]time.Time
}

type noteKey struct {
	kind  consensus.NoteKind
	why   consensus.Why
	peer  consensus.ID
	other consensus.ID
}

// maxNoted bounds what is remembered; it is forgotten as a whole.
const maxNoted = 256

// again reports whether the same was told a moment ago. An election is news each time.
func (d *noted) again(n consensus.Note, now time.Time) bool {
	key := noteKey{n.Kind, n.Why, n.Peer, n.Other}
	last, known := d.said[key]
	if known && now.Sub(last) < noteAgain && n.Kind != consensus.NoteElection {
		return true
	}
	if d.said == nil || len(d.said) >= maxNoted {
		d.said = map[noteKey]time.Time{}
	}
	d.said[key] = now
	return false
}

// noteElection runs inside the group's actor.
func (g *Group) noteElection(n consensus.Note) {
	if g.noted.again(n, time.Now()) {
		return
	}
	e := Event{Group: g.name, Term: uint64(n.Term), Ballot: g.ballot(n.Term), Reason: g.whyWords(n)}
	switch n.Kind {
	case consensus.NoteAsks:
		e.Kind = "asks to lead"
	case consensus.NoteElection:
		e.Kind = "starts election"
	default:
		e.Kind = "refuses"
		e.Attrs = map[string]string{"peer": g.whom(n.Peer)}
	}
	g.node.emit(e)
}

// whom is a replica's name, or its id before that is known.
func (g *Group) whom(id consensus.ID) string {
	if name := g.peerName(id); name != "" {
		return name
	}
	return fmt.Sprintf("%016x", uint64(id))
}

// whyWords are why, with the values on which it was decided.
func (g *Group) whyWords(n consensus.Note) string {
	ago := time.Duration(n.For).Milliseconds()
	switch n.Why {
	case consensus.WhySilence:
		return fmt.Sprintf("no heartbeat from %s for %d ms", g.whom(n.Other), ago)
	case consensus.WhyConnection:
		return "the connection to the leader " + g.whom(n.Other) + " has closed"
	case consensus.WhyTransfer:
		return "the leader " + g.whom(n.Other) + " hands over"
	case consensus.WhyAsked:
		return "it shall lead rather than another"
	case consensus.WhyTerm:
		return fmt.Sprintf("it asks for %s, and this is %s", g.termWords(n.Term), g.termWords(n.OwnTerm))
	case consensus.WhyLeads:
		return "this node leads itself"
	case consensus.WhyLease:
		if n.Other == consensus.None {
			return "a leader may have been promised the time until now"
		}
		return fmt.Sprintf("the leader %s was heard %d ms ago", g.whom(n.Other), ago)
	case consensus.WhyLeader:
		return g.whom(n.Other) + " leads that term"
	case consensus.WhyVoted:
		return "this node has voted for " + g.whom(n.Other) + " in that term"
	}
	return g.whyWordsMore(n)
}

func (g *Group) whyWordsMore(n consensus.Note) string {
	switch n.Why {
	case consensus.WhyLog:
		if g.config.Engine == Paxos {
			return fmt.Sprintf("it knows %d slots to be chosen, mine are trimmed beyond that, %d are chosen", n.Index, n.OwnIndex)
		}
		return fmt.Sprintf("its log ends at %d/t%d, mine at %d/t%d", n.Index, n.IndexTerm, n.OwnIndex, n.OwnIndexTerm)
	case consensus.WhyYields:
		return "this node asks at the same moment, and goes first"
	case consensus.WhyPromised:
		return "ballot " + g.ballot(n.OwnTerm) + " is promised"
	case consensus.WhyEpoch:
		return "it is in another epoch"
	case consensus.WhyVoter:
		return "it may not lead, or this node has no vote"
	}
	return "no leader is known"
}

func (g *Group) termWords(t consensus.Term) string {
	if g.config.Engine == Paxos {
		return "ballot " + g.ballot(t)
	}
	return fmt.Sprintf("term %d", t)
}

// whatChanged says in words how two configurations differ.
func (n *Node) whatChanged(was, now raft.Configuration) string {
	var words []string
	for _, m := range now.Members {
		old, there := was.Find(m.ID)
		name := n.memberName(now, m.ID)
		switch {
		case len(was.Members) == 0:
		case !there && m.Voter:
			words = append(words, name+" joins with a vote")
		case !there:
			words = append(words, name+" joins")
		case m.Voter && !old.Voter:
			words = append(words, name+" votes")
		case !m.Voter && old.Voter:
			words = append(words, name+" votes no more")
		}
	}
	for _, m := range was.Members {
		if _, there := now.Find(m.ID); !there {
			words = append(words, n.memberName(was, m.ID)+" is removed")
		}
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}
