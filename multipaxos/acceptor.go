package multipaxos

import (
	"bytes"
	"slices"
)

// onPrepare is phase 1b. A promise is for every slot from m.From on, in this
// epoch: its predecessor's slots are all chosen, and this replica has them, so
// that every later quorum meets a holder (sealed epochs, rule 6).
func (n *Node) onPrepare(from ID, m Prepare) {
	if !n.owns(from, m.Ballot) || m.From == 0 || m.From > maxIndex {
		return
	}
	if reason := n.refuses(m.Ballot); reason != 0 {
		n.noteRefused(from, m.Ballot, reason)
		n.nack(from, m.Ballot, reason)
		return
	}
	if m.Ballot > n.promised {
		if !n.mayPromise(m.Over) {
			n.noteRefused(from, m.Ballot, RefusedLease)
			n.nack(from, m.Ballot, RefusedLease)
			return
		}
		n.promise(m.Ballot)
	}
	n.resetElection() // also for the next piece: the candidate makes progress
	n.send(from, n.report(m.Ballot, m.From))
}

// refuses returns why this replica does not answer a proposer of ballot b, or 0.
func (n *Node) refuses(b Ballot) Reason {
	switch {
	case Epoch(b) > n.epoch():
		return RefusedBehind
	case Epoch(b) < n.epoch():
		return RefusedSealed
	case b < n.promised:
		return RefusedPromised
	case !n.config().IsVoter(n.cfg.ID):
		return RefusedNotVoting
	}
	return 0
}

// nack refuses b and says what is to be beaten. Who is behind pulls.
func (n *Node) nack(to ID, b Ballot, reason Reason) {
	if reason == RefusedBehind {
		n.abdicate(b)
		n.pullFrom(to)
	}
	m := Nack{Ballot: b, Promised: max(n.promised, n.following), Reason: reason, Chosen: n.chosen}
	if to == n.cfg.ID {
		n.loop(m)
		return
	}
	n.sendNow(to, m)
}

// promise raises the promised ballot. A proposer here with a lower one is over.
func (n *Node) promise(b Ballot) {
	n.promised = b
	n.see(b)
	if n.ballot != 0 && n.ballot < b {
		n.abdicate(b)
	}
}

// report is one piece of a Promise: votes of this epoch, chosen entries, and
// nothing of what is trimmed but that it is.
func (n *Node) report(b Ballot, from Index) Promise {
	p := Promise{Ballot: b, From: from, Chosen: n.chosen, Trimmed: n.forgotten()}
	size := 0
	for i := max(from, n.log.prev+1); i <= n.log.end; i++ {
		s := n.log.at(i)
		if s == nil || !s.known || i > n.chosen && Epoch(s.vote) != n.epoch() {
			continue
		}
		if size += entrySize(s.entry); size > n.cfg.MaxAcceptBytes && len(p.Runs) > 0 {
			p.Next = i
			break
		}
		p.Runs = addToRuns(p.Runs, s, i <= n.chosen)
	}
	return p
}

// addToRuns appends a slot to the last run if it goes on from it.
func addToRuns(runs []Run, s *slot, chosen bool) []Run {
	vote := s.vote
	if chosen {
		vote = 0
	}
	if k := len(runs) - 1; k >= 0 {
		r := &runs[k]
		if r.Ballot == vote && r.Entries[len(r.Entries)-1].Index+1 == s.entry.Index {
			r.Entries = append(r.Entries, *s.entry)
			return runs
		}
	}
	return append(runs, Run{Ballot: vote, Chosen: chosen, Entries: []Entry{*s.entry}})
}

// onAccept is phase 2b, for a row of slots. Who is no acceptor keeps the entries
// too, and says so, to know what is chosen when it is told.
func (n *Node) onAccept(from ID, m Accept) {
	if !n.owns(from, m.Ballot) || !validAccept(m) {
		return
	}
	if reason := n.refuses(m.Ballot); reason != 0 && reason != RefusedNotVoting {
		n.nack(from, m.Ballot, reason)
		return
	}
	n.hear(from, m.Ballot)
	if m.Ballot > n.promised {
		n.promise(m.Ballot)
	}
	room := n.room()
	for i := range m.Entries {
		if !n.accept(from, m.Ballot, m.Entries[i], &room) {
			break // the rest is sent again
		}
		n.acknowledge(from, m.Ballot, m.Entries[i].Index)
	}
	n.hearChosen(news{from: from, ballot: m.Ballot, start: m.Start, upTo: m.Chosen})
}

// validAccept reports whether a leader could have sent m.
func validAccept(m Accept) bool {
	if m.Start == 0 || m.Chosen > maxIndex || checkEntries(m.Entries) != nil {
		return false
	}
	for i := range m.Entries {
		if e := &m.Entries[i]; e.Index < m.Start || e.Term > m.Ballot {
			return false
		}
	}
	return true
}

// accept votes for e with b and reports whether the vote stands. What is chosen
// already, with the same entry, needs no vote. Two entries with one ballot are the mark
// of a broken proposer. What does not fit into room bytes or into the window is sent
// again, or learned.
func (n *Node) accept(from ID, b Ballot, e Entry, room *int) bool {
	if s := n.log.at(e.Index); s != nil && s.known {
		same := sameEntry(s.entry, &e)
		switch {
		case s.vote == b && !same:
			n.alarm(from, e.Index, b, "two values with one ballot")
			return false
		case s.chosen && !same:
			return false // a leader whose ballot came to nothing: another's was chosen
		case s.vote == b:
			return true
		case s.vote > b && !s.chosen:
			panicf("vote %s in slot %d above the promise %s", FormatBallot(s.vote), e.Index, FormatBallot(n.promised))
		}
	}
	if e.Index <= n.chosen {
		n.saves.told = max(n.saves.told, e.Index)
		return true
	}
	if *room < 0 || e.Index > n.chosen+2*Index(n.cfg.Window) {
		return false
	}
	*room -= entrySize(&e)
	n.log.put(e, b)
	n.saves.mark(e.Index, b)
	return true
}

// room bounds the bytes that an acceptor keeps beyond its chosen prefix. A chosen log
// that is long for want of a snapshot does not count, unless the state machine lags so
// far behind it that more would only use up the memory.
func (n *Node) room() int {
	if n.unapplied > n.cfg.MaxUnchosenBytes+n.cfg.CatchUpBytes {
		return -1
	}
	limit := 2 * n.cfg.MaxUnchosenBytes
	if n.log.bytes <= limit/2 {
		return limit - n.log.bytes
	}
	return limit - n.log.size(n.chosen+1, n.log.end)
}

func sameEntry(a, b *Entry) bool {
	return a.Term == b.Term && a.Index == b.Index && a.Kind == b.Kind && bytes.Equal(a.Data, b.Data)
}

// acknowledge gathers the answers of one batch: slots that follow each other
// share an Accepted.
func (n *Node) acknowledge(to ID, b Ballot, i Index) {
	if k := len(n.acks) - 1; k >= 0 && n.acks[k].Ballot == b && n.acks[k].Last+1 == i {
		n.acks[k].Last = i
		return
	}
	n.acks = append(n.acks, Accepted{Ballot: b, First: i, Last: i})
}

// flushAcks queues the answers behind the save that makes them true. They are
// for the leader that is followed; for an older one they are of no use.
func (n *Node) flushAcks() {
	for _, a := range n.acks {
		if a.Ballot == n.following && n.leader != None {
			n.send(n.leader, a)
		}
	}
	n.acks = n.acks[:0]
}

// dropVotes forgets the votes of epochs before epoch in the slots after seal:
// the epoch ended there, and whatever was voted for behind it is void.
func (n *Node) dropVotes(seal Index, epoch uint32) {
	for i := n.log.end; i > seal; i-- {
		if s := n.log.at(i); s != nil && s.known && s.vote != 0 && Epoch(s.vote) < epoch {
			n.log.forget(i)
		}
	}
	n.acks = slices.DeleteFunc(n.acks, func(a Accepted) bool { return Epoch(a.Ballot) < epoch })
}
