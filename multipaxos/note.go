package multipaxos

import "github.com/synod-go/synod/consensus"

// noteCampaign tells why this replica wants to lead, with a ballot or none yet.
func (n *Node) noteCampaign(kind consensus.NoteKind, b Ballot) {
	note := consensus.Note{Kind: kind, Term: b, Why: consensus.WhyNoLeader}
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

// noteCandidacy tells why this replica prepares with b. A leader that does so goes on leading.
func (n *Node) noteCandidacy(b, over Ballot) {
	switch {
	case over == 0:
		n.noteCampaign(consensus.NoteElection, b)
	case n.lead == nil:
		n.out.Notes = append(n.out.Notes, consensus.Note{Kind: consensus.NoteElection, Term: b, Why: consensus.WhyTransfer, Other: n.leader})
	}
}

// notePollRefused tells why from is told that it would not be promised.
func (n *Node) notePollRefused(from ID, m Poll) {
	note := consensus.Note{Kind: consensus.NoteRefusal, Peer: from}
	sender, known := n.config().Find(from)
	switch {
	case m.Epoch != n.epoch():
		note.Why = consensus.WhyEpoch
	case !known || !sender.Proposes():
		note.Why = consensus.WhyVoter
	case !n.mayPromise(m.Over):
		n.noteLease(&note)
	case m.Chosen < n.forgotten():
		note.Why, note.Index, note.OwnIndex = consensus.WhyLog, m.Chosen, n.chosen
	default:
		note.Why = consensus.WhyYields
	}
	n.out.Notes = append(n.out.Notes, note)
}

// noteRefused tells why ballot b of from is refused.
func (n *Node) noteRefused(from ID, b Ballot, reason Reason) {
	note := consensus.Note{Kind: consensus.NoteRefusal, Peer: from, Term: b}
	switch reason {
	case RefusedPromised:
		note.Why, note.OwnTerm = consensus.WhyPromised, n.promised
	case RefusedLease:
		n.noteLease(&note)
	case RefusedBehind, RefusedSealed:
		note.Why = consensus.WhyEpoch
	default:
		note.Why = consensus.WhyVoter
	}
	n.out.Notes = append(n.out.Notes, note)
}

// noteLease: a leader is promised that nobody else is promised anything.
func (n *Node) noteLease(note *consensus.Note) {
	note.Why, note.Other, note.For = consensus.WhyLease, n.election.heardFrom, n.now-n.election.heard
	if n.lead != nil {
		note.Why, note.Other, note.For = consensus.WhyLeads, None, 0
	}
}
