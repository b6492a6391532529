package multipaxos

import "slices"

// news is what a leader says is chosen. Only the ballot makes it true of a vote
// here: slot s up to upTo is chosen with our entry if our vote has exactly that
// ballot. What the leader's predecessors had chosen, before start, is not told
// by its ballot.
type news struct {
	from   ID
	ballot Ballot
	start  Index // the first slot proposed with ballot
	upTo   Index
}

// hearChosen takes over news and learns what follows from them.
func (n *Node) hearChosen(m news) {
	switch {
	case m.upTo > maxIndex || m.ballot < n.news.ballot:
		return
	case m.ballot > n.news.ballot:
		n.news = m
	default:
		n.news.upTo = max(n.news.upTo, m.upTo)
	}
	n.advance()
	if n.chosen < n.news.upTo {
		n.missing()
	}
}

// advance moves the chosen prefix forward as far as it is known. It is the one
// place where configurations come into force and LEAD markers count.
func (n *Node) advance() {
	before := n.chosen
	for n.isChosen(n.chosen + 1) {
		n.choose(n.log.at(n.chosen + 1))
	}
	if n.chosen > before {
		n.progressed()
	}
}

// isChosen reports whether slot i is known to be chosen with the entry here.
func (n *Node) isChosen(i Index) bool {
	s := n.log.at(i)
	if s == nil || !s.known {
		return false
	}
	return s.chosen || s.vote != 0 && s.vote == n.news.ballot && n.news.start <= i && i <= n.news.upTo
}

// choose makes s the last slot of the chosen prefix.
func (n *Node) choose(s *slot) {
	s.chosen = true
	e := s.entry
	n.chosen = e.Index
	n.unapplied += entrySize(e)
	if n.role == Leader {
		n.lead.uncommitted -= entrySize(e)
	}
	if n.void(e) {
		return
	}
	switch e.Kind {
	case EntryLead:
		n.leads = append(n.leads, lead{at: e.Index, ballot: e.Term})
	case EntrySeal:
		n.openEpoch(e)
	}
}

// openEpoch ends an epoch with its SEAL.
func (n *Node) openEpoch(e *Entry) {
	c, err := decodeSeal(*e, n.epoch())
	if err != nil {
		n.alarm(None, e.Index, e.Term, err.Error())
		return // void for everybody alike
	}
	n.configs = append(n.configs, c)
	n.dropVotes(e.Index, c.Epoch)
	n.sealed()
}

// learn takes chosen entries that a peer has reported. Only what directly
// follows the chosen prefix is of use: what is behind a SEAL must not be taken
// for a vote of the old epoch.
func (n *Node) learn(entries []Entry) {
	before := n.chosen
	for _, e := range entries {
		if e.Index != n.chosen+1 {
			continue
		}
		s := n.log.at(e.Index)
		if s == nil || !s.known || !sameEntry(s.entry, &e) {
			s = n.log.put(e, 0)
			n.saves.mark(e.Index, 0)
		} else if s.vote == 0 {
			n.saves.mark(e.Index, 0)
		}
		n.choose(s)
		n.advance()
	}
	if n.chosen > before {
		n.progressed()
	}
}

// progressed follows from a longer chosen prefix.
func (n *Node) progressed() {
	n.pull.stuckSince = n.now
	if n.role == Leader {
		n.lead.tellAt = min(n.lead.tellAt, n.now+n.cfg.Heartbeat/8)
		n.advanceMembership()
	}
}

// mayApply bounds what is handed out ahead of Applied.
func (n *Node) mayApply() bool {
	return n.handedBytes == 0 || n.handedBytes < 4*n.cfg.MaxApplyBytes
}

func (n *Node) moreToApply() bool {
	return n.handed < n.chosen && n.mayApply() && !n.installing()
}

// collectApply hands out chosen entries. They need not be durable here: a quorum
// has them, so after a crash this replica gets them again, and its state machine
// starts over from its snapshot.
func (n *Node) collectApply() {
	if !n.moreToApply() {
		return
	}
	last, bytes := n.log.upTo(n.handed+1, n.chosen, n.cfg.MaxApplyBytes)
	n.out.Apply = n.withoutGhosts(n.log.slice(n.handed+1, last))
	n.handed = last
	n.handedBytes += bytes
}

// Applied tells the core that the state machine has applied everything up to
// index. Without it Apply stops after four times MaxApplyBytes.
func (n *Node) Applied(index Index) {
	index = min(index, n.handed)
	if index <= n.applied {
		return
	}
	size := n.log.size(n.applied+1, index)
	n.unapplied -= size
	n.handedBytes -= size
	n.applied = index
}

// configAt returns the configuration in force behind slot i, which is not before
// the snapshot.
func (n *Node) configAt(i Index) Configuration {
	k := len(n.configs) - 1
	for k > 0 && n.configs[k].Version > i {
		k--
	}
	return n.configs[k]
}

// forgetBefore drops the configurations and markers that a snapshot at i holds.
func (n *Node) forgetBefore(meta SnapshotMeta) {
	at := meta.Index
	n.configs = append([]Configuration{meta.Configuration},
		slices.DeleteFunc(n.configs, func(c Configuration) bool { return c.Version <= at })...)
	n.leads = append([]lead{{at: at, ballot: meta.Term}},
		slices.DeleteFunc(n.leads, func(l lead) bool { return l.at <= at })...)
}
