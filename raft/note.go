package raft

import "github.com/synod-go/synod/consensus"

// noteCampaign tells why this replica wants to lead a term.
func (n *Node) noteCampaign(kind consensus.NoteKind, term Term) {
	note := consensus.Note{Kind: kind, Term: term, Why: consensus.WhyNoLeader}
	switch e := &n.election; {
	case e.asked:
		note.Why = consensus.WhyAsked
	case e.heardFrom == None:
	case e.lost:
		note.Why, note.Other = consensus.WhyConnection, e.heardFrom
	default:
		note.Why, note.Other, note.For = consensus.WhySilence, e.heardFrom, n.now-e.heard
	}
	n.out.Notes = append(n.out.Notes, note)
}

// notePreVoteRefused tells why from is told that it could not win.
func (n *Node) notePreVoteRefused(from ID, m PreVote) {
	note := consensus.Note{Kind: consensus.NoteRefusal, Peer: from, Term: m.Term}
	switch {
	case m.Term <= n.term:
		note.Why, note.OwnTerm = consensus.WhyTerm, n.term
	case !n.mayElect():
		n.noteLease(&note)
	case !n.upToDate(m.LastIndex, m.LastTerm):
		n.noteLog(&note, m.LastIndex, m.LastTerm)
	default:
		note.Why = consensus.WhyYields
	}
	n.out.Notes = append(n.out.Notes, note)
}

// noteVoteRefused tells why from does not get our vote.
func (n *Node) noteVoteRefused(from ID, m RequestVote) {
	note := consensus.Note{Kind: consensus.NoteRefusal, Peer: from, Term: m.Term}
	switch {
	case !m.Transfer && !n.mayElect():
		n.noteLease(&note)
	case n.leader != None:
		note.Why, note.Other = consensus.WhyLeader, n.leader
	case n.vote != None && n.vote != from:
		note.Why, note.Other = consensus.WhyVoted, n.vote
	default:
		n.noteLog(&note, m.LastIndex, m.LastTerm)
	}
	n.out.Notes = append(n.out.Notes, note)
}

// noteLease: a leader is promised that nobody else is elected.
func (n *Node) noteLease(note *consensus.Note) {
	note.Why, note.Other, note.For = consensus.WhyLease, n.election.heardFrom, n.now-n.election.heard
	if n.role == Leader {
		note.Why, note.Other, note.For = consensus.WhyLeads, None, 0
	}
}

func (n *Node) noteLog(note *consensus.Note, index Index, term Term) {
	note.Why, note.Index, note.IndexTerm = consensus.WhyLog, index, term
	note.OwnIndex, note.OwnIndexTerm = n.log.last(), n.log.lastTerm()
}
