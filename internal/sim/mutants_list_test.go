package sim

import "slices"

// mutant is a planted bug: old is replaced by new in file, relative to the
// module, when the simulator is built for the hunt. old must be found exactly
// once, so that a mutant cannot rot.
type mutant struct {
	name     string
	file     string
	old, new string
}

// mutants are all planted bugs.
var mutants = slices.Concat(raftMutants, paxosMutants, treeMutants)

// raftMutants are the bugs of the reliability study, section 6, as far as Raft, its
// log and its sessions can have them, and a few more of the same kind.
var raftMutants = []mutant{
	{"grant votes without the up-to-date check", "raft/election.go",
		"	return index >= n.log.last()\n", "	return true\n"},
	{"grant a vote to a candidate of an older last term", "raft/election.go",
		"		return term > own\n", "		return true\n"},
	{"vote not persisted", "raft/saves.go",
		"	if hard != s.hard {\n", "	if hard.Term != s.hard.Term {\n"},
	{"vote twice after a restart", "raft/recover.go",
		"n.term, n.vote = s.HardState.Term, s.HardState.Vote", "n.term, n.vote = s.HardState.Term, None"},
	{"vote twice in a term", "raft/election.go",
		"	free := n.vote == None || n.vote == from\n", "	free := true\n"},
	{"vote before it is saved", "raft/election.go",
		"	n.send(from, Vote{Term: n.term, Granted: granted})", "	n.sendNow(from, Vote{Term: n.term, Granted: granted})"},
	{"acknowledge before saving", "raft/replication.go",
		"		n.send(n.ack.to, AppendReply{", "		n.sendNow(n.ack.to, AppendReply{"},
	{"commit an entry of an old term by counting", "raft/replication.go",
		"	if index <= n.commit || !n.log.has(index, n.term) {\n", "	if index <= n.commit {\n"},
	{"commit on a minority", "consensus/quorum.go",
		"	return values[(len(values)-1)/2]\n", "	return values[len(values)/2]\n"},
	{"drop the check of the previous term", "raft/replication.go",
		"	} else if !n.log.has(m.PrevIndex, m.PrevTerm) {\n", "	} else if m.PrevIndex > n.log.last() {\n"},
	{"truncate on every append", "raft/replication.go",
		"	for len(entries) > 0 && n.log.has(entries[0].Index, entries[0].Term) {\n", "	for false {\n"},
	{"change voters without a joint configuration", "raft/membership.go",
		"	if slices.Equal(voters(old), voters(target)) {\n", "	if true {\n"},
	{"begin a change before the last is committed", "raft/membership.go",
		"	return c.Version > n.commit || n.commit < n.lead.start || c.Joint()\n", "	return c == nil\n"},
	{"read without asking a quorum", "raft/read.go",
		"	if confirmed < r.round {\n", "	if confirmed < r.round && false {\n"},
	{"read before an entry of the own term is committed", "raft/read.go",
		"	if r.open || len(r.waiting) == 0 || n.commit < n.lead.start {\n", "	if r.open || len(r.waiting) == 0 {\n"},
	{"lease counted from the answer instead of the question", "raft/lease.go",
		"	end := Time(sent-1) + n.cfg.Lease - n.cfg.MaxDrift\n", "	end := n.now + n.cfg.Lease - n.cfg.MaxDrift\n"},
	{"lease not revoked on a pause", "internal/sim/serve.go",
		"	if n.lease == 0 || n.clock.at(w.now) >= n.lease {\n", "	if false {\n"},
	{"elect another within the promise", "raft/election.go",
		"	return n.role != Leader && n.now >= n.election.promise\n", "	return n.role != Leader\n"},
	{"no pre-vote", "raft/election.go",
		"		n.becomePreCandidate()\n	}\n", "		n.becomeCandidate(false)\n	}\n"},
	{"a damaged chunk of a snapshot is taken", "raft/snapshot.go",
		"		size == 0 && in.meta.Size > 0 || m.Checksum != ChunkChecksum(m.Data) {\n", "		size == 0 && in.meta.Size > 0 {\n"},
	{"no base after a received snapshot", "raft/snapshot.go",
		"	n.saves.base = &meta\n", "	_ = &meta\n"},
	{"compact without regard to a follower that catches up", "raft/keep.go",
		"needed && after >= within {\n", "needed && after > within+n.log.last() {\n"},
	{"ack before sync", "internal/sim/node.go",
		"		n.held = append(n.held, held{n.issued, e})\n", "		n.held = append(n.held, held{0, e})\n"},
	{"skip the sync of the log", "storage/writer.go",
		"		err = seg.file.Sync()\n", "		err = nil\n"},
	{"try a failed sync again", "storage/writer.go",
		"		err = seg.file.Sync()\n", "		if err = seg.file.Sync(); err != nil {\n			err = seg.file.Sync()\n		}\n"},
	{"skip the sync of the directory", "storage/segment.go",
		"		err = fsys.SyncDir(path.Dir(to))\n", "		_ = path.Dir(to)\n"},
	{"forget the state records when segments change", "storage/writer.go",
		"		opening = x.carried()\n", "		_ = x.carried()\n"},
	{"cut the log at a damaged batch in its middle", "storage/scan.go",
		"	return h.Sequence > s.last.Sequence+1\n", "	return false\n"},
	{"snapshot without sessions", "replica/snapshot.go",
		"		Sessions: uint64(len(r.sessions.byID)), Requests: uint64(len(r.requests.byID)),\n", "		Requests: uint64(len(r.requests.byID)),\n"},
	{"expire sessions by the local clock", "replica/replica.go",
		"	r.sessions.expire(now)\n", "	r.sessions.expire(now + int64(uintptr(unsafe.Pointer(r))>>6)%2000)\n"},
	{"answer with the reply of another command", "replica/session.go",
		"		return s.replies[ahead], CodeDuplicate\n", "		return s.replies[len(s.replies)-1], CodeDuplicate\n"},
	{"run a repeated request again", "replica/request.go",
		"	if r := t.byID[id]; r != nil {\n", "	if r := t.byID[id]; r != nil && false {\n"},
	{"run a repeated command of a session again", "replica/session.go",
		"	if ahead < uint64(len(s.replies)) && s.replies[ahead].done {\n", "	if false {\n"},
	{"actor sends before the save is durable", "actors/group/effects.go",
		"	send, save, wake := out.Send, out.Save, ", "	a.sendAll(out.Send)\n	send, save, wake := []Envelope(nil), out.Save, "},
	{"actor sends after a save that failed", "actors/group/effects.go",
		"		if a.failIf(err) {\n			return\n		}\n		a.sendAll(send)\n", "		a.failIf(err)\n		a.sendAll(send)\n"},
	{"actor repeats an answer before what it speaks of is durable", "actors/group/effects.go",
		"a.held[n].after <= a.saved {", "a.held[n].after <= a.issued {"},
	{"actor forgets that its timer has fired", "actors/group/group.go",
		"			a.due = 0 // the timer runs no more, perhaps a little too early\n", ""},
	{"actor does not wait for its log after a panic", "actors/group/recovery.go",
		"		a.awaitLog()\n", "		a.handle.forgetSaves()\n"},
	{"actor takes over the numbers of saves after a panic", "actors/group/recovery.go",
		"	a.handle.forgetSaves() // they were numbered by the instance before\n", ""},
	{"actor answers a read before its index is applied", "actors/group/effects.go",
		"	case a.handle.Applied() >= read.Index:\n", "	case read.Index > 0:\n"},
	{"actor gives a call the result of another entry", "actors/group/pending.go",
		"	case entries[c.index-first].Term == c.term && ", "	case entries[c.index-first].Term > 0 && "},
}
