package multipaxos

import (
	"hash/crc32"
	"slices"

	"github.com/synod-go/synod/consensus"
)

// pull is how a replica learns what it has missed: in bulk, from any peer, one
// question at a time.
type pull struct {
	to         ID   // who is asked; None if nobody is
	next       ID   // who has told meanwhile that there is more: asked if to does not answer
	at         Time // when to ask somebody else, or to look again
	stuckSince Time // when the chosen prefix last moved
}

// missing looks whether what is chosen and not here must be asked for: at once if
// our vote is for another ballot, or there was none to be had; else after a
// heartbeat, since it may be under way.
func (n *Node) missing() {
	s := n.log.at(n.chosen + 1)
	voted := s != nil && s.known
	due := n.pull.stuckSince + n.cfg.Heartbeat
	switch {
	case n.pull.to != None:
	case voted && s.vote != n.news.ballot, n.chosen+1 < n.news.start, n.now >= due:
		n.pullFrom(n.news.from)
	default:
		n.pull.at = min(n.pull.at, due)
	}
}

// pullFrom asks id, unless a question or a snapshot is under way, or the state
// machine cannot take more.
func (n *Node) pullFrom(id ID) {
	p := &n.pull
	if p.to != None && id != p.to {
		p.next = id
	}
	switch {
	case id == None || id == n.cfg.ID || p.to != None || n.incoming != nil || n.lead != nil || !n.ticked:
		return
	case n.unapplied > n.cfg.MaxUnchosenBytes:
		p.at = min(p.at, n.now+n.cfg.Heartbeat/4)
		return
	}
	p.to, p.at = id, n.now+n.patience()
	n.sendNow(id, Learn{From: n.chosen + 1})
}

// firePull does what is due: ask somebody else, or ask at all.
func (n *Node) firePull() {
	p := &n.pull
	if n.now < p.at || !n.ticked || n.loss != nil {
		return
	}
	p.at = never
	if n.lead != nil {
		return
	}
	if in := n.incoming; in != nil && !in.complete {
		n.fetchAgain()
		return
	}
	last, next := p.to, p.next
	p.to, p.next = None, None
	switch {
	case last != None && next != None: // the members that are known here may all be gone
		n.pullFrom(next)
	case last != None:
		n.pullFrom(n.nextSource(last))
	case n.chosen < n.news.upTo:
		n.pullFrom(n.nextSource(None))
	}
}

// pullLost asks somebody else at once if the one that is asked is gone.
func (n *Node) pullLost(peer ID) {
	if n.pull.to == peer || n.incoming != nil && n.incoming.from == peer {
		n.pull.at = n.now
	}
}

// nextSource is whom to ask: the leader, or who follows on after.
func (n *Node) nextSource(after ID) ID {
	if after == None && n.leader != None {
		return n.leader
	}
	first := None
	for _, m := range n.config().Members {
		switch {
		case m.ID == n.cfg.ID:
		case m.ID > after:
			return m.ID
		case first == None:
			first = m.ID
		}
	}
	if first == None {
		return n.news.from
	}
	return first
}

// catchUp is what a peer that learns from us still needs.
type catchUp struct {
	after Index // it has everything up to here
	until Time  // when it is forgotten
}

// maxReaders bounds the peers that log is kept for.
const maxReaders = consensus.MaxMembers

func (n *Node) keepFor(id ID, after Index) {
	if n.readers == nil {
		n.readers = make(map[ID]*catchUp)
	}
	if n.readers[id] == nil && len(n.readers) >= maxReaders {
		return
	}
	n.readers[id] = &catchUp{after: after, until: n.now + n.cfg.CatchUpTime}
}

// onLearn answers with what is chosen, or with the snapshot in its place; never
// with silence.
func (n *Node) onLearn(from ID, m Learn) {
	if m.From == 0 || m.From > maxIndex {
		return
	}
	reply := Learned{Chosen: n.chosen}
	if m.From <= n.log.prev {
		reply.Snapshot = n.snapshot
		n.keepFor(from, n.snapshot.Index)
	} else {
		last, _ := n.log.upTo(m.From, n.chosen, n.cfg.MaxAcceptBytes)
		reply.Entries = n.log.slice(m.From, last)
		n.keepFor(from, m.From-1)
	}
	n.sendNow(from, reply)
}

func (n *Node) onLearned(from ID, m Learned) {
	if from != n.pull.to || n.lead != nil || m.Chosen > maxIndex || checkEntries(m.Entries) != nil {
		return
	}
	n.pull.to, n.pull.at = None, never
	before := n.chosen
	n.learn(m.Entries)
	switch {
	case m.Snapshot.Index > n.chosen && checkSnapshot(m.Snapshot) == nil && n.hasState(from):
		n.beginFetch(from, m.Snapshot)
	case n.chosen > before && n.chosen < m.Chosen:
		n.pullFrom(from)
	case n.chosen < n.news.upTo && n.chosen > before:
		n.missing()
	case n.chosen < max(m.Chosen, n.news.upTo): // of no use: somebody else is asked in a moment
		n.pull.to, n.pull.at = from, n.now+n.cfg.Heartbeat/4
	}
}

// hasState reports whether id can send what its snapshot describes. A replica without
// a state machine cannot, which another one like it does not mind.
func (n *Node) hasState(id ID) bool {
	m, known := n.config().Find(id)
	return n.witness() || !known || m.Learns()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ChunkChecksum is the Checksum of an InstallSnapshot that carries data.
func ChunkChecksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// chunkWindow is how many chunks may be under way, so that a transfer does not
// starve what else goes the same way.
const chunkWindow = 3

// incoming is the snapshot that is being received.
type incoming struct {
	meta      SnapshotMeta
	from      ID
	requested int64             // everything before this is asked for
	received  int64             // handed to the host
	written   int64             // written by the host
	tries     int               // without an answer
	early     []InstallSnapshot // chunks that came before one that is missing
	complete  bool              // the host verifies and installs it
}

// installing reports whether the host is replacing the state machine: nothing
// is applied meanwhile.
func (n *Node) installing() bool { return n.incoming != nil && n.incoming.complete }

// beginFetch gets the snapshot meta from a peer. A replica without a state machine
// needs only to know that it is there.
func (n *Node) beginFetch(from ID, meta SnapshotMeta) {
	if n.witness() {
		n.beginBase(from, meta)
		return
	}
	in := &incoming{meta: meta, from: from}
	if old := n.suspended; old != nil && old.meta.Same(meta) {
		in.requested, in.received, in.written = old.received, old.received, old.received
	}
	n.incoming, n.suspended = in, nil
	n.fetch()
}

// leaderless is for how many elections, 3 seconds, a witness waits where nobody leads.
const leaderless = 10

// beginBase takes a snapshot that this replica, without a state machine, will never
// hold: it counts as a holder of the prefix and has not even votes for it any more. So it
// must be a snapshot that outlives any minority of the acceptors: a leader has said so,
// or as many peers have offered one. Otherwise it asks the next peer, and can vote
// meanwhile; but for CatchUpTime only, in which others can get the snapshot, and shorter
// where nobody leads: perhaps nobody can without it. Who knows no epoch yet has nothing
// to lose.
//
// So there is a limit to what a witness is good for: where the holders of such a snapshot
// fail before others have it, those who are left go on when one of them is back.
func (n *Node) beginBase(from ID, meta SnapshotMeta) {
	if n.offers == nil || n.gatedSince < n.pull.stuckSince {
		n.gatedSince, n.offers = n.now, make(map[ID]Index)
	}
	if m, ok := n.config().Find(from); ok && m.Learns() { // so they are no more than members
		n.offers[from] = meta.Index
	}
	wait := n.cfg.CatchUpTime
	if n.leader == None {
		wait = min(wait, leaderless*n.cfg.Election)
	}
	if n.epoch() > 0 && meta.Index > n.safeUpTo && !n.offered(meta.Index) && n.now-n.gatedSince < wait {
		n.pull.to, n.pull.at = from, n.now+n.cfg.Heartbeat
		return
	}
	for i := n.log.prev + 1; i <= min(meta.Index, n.log.end); i++ {
		if n.log.knows(i) {
			n.gone = max(n.gone, i)
		}
	}
	n.offers = nil
	n.installBase(meta)
}

// offered reports whether more learners have a snapshot up to at than acceptors may fail.
func (n *Node) offered(at Index) bool {
	acceptors, have := 0, 0
	for _, m := range n.config().Members {
		if m.Voter {
			acceptors++
		}
		if n.offers[m.ID] >= at && at > 0 {
			have++
		}
	}
	return have >= acceptors-acceptors/2
}

// fetch asks for what the window has room for. Even an empty snapshot is one
// chunk.
func (n *Node) fetch() {
	in := n.incoming
	chunk := int64(n.cfg.MaxChunkBytes)
	for in.requested < in.written+chunkWindow*chunk && (in.requested < in.meta.Size || in.requested == 0) {
		n.sendNow(in.from, Fetch{Index: in.meta.Index, Offset: in.requested})
		in.requested += chunk
	}
	n.pull.at = n.now + n.patience()
}

// fetchTries is how often a silent peer is asked for a chunk before another one is
// asked what it has.
const fetchTries = 4

// fetchAgain asks for what has not come, and in the end somebody else; if that one has
// the same snapshot, the rest of it is enough. If all that was asked for is here, the
// host has yet to write it.
func (n *Node) fetchAgain() {
	in := n.incoming
	if in.received > 0 && in.requested == in.received {
		n.pull.at = n.now + n.patience()
		return
	}
	if in.tries++; in.tries > fetchTries {
		n.incoming, n.suspended = nil, in
		n.pullFrom(n.nextSource(in.from))
		return
	}
	in.requested = in.received
	n.fetch()
}

// onFetch has the host send a chunk. Log behind the snapshot is kept for the peer.
func (n *Node) onFetch(from ID, m Fetch) {
	if n.snapshot.Index == 0 || m.Offset < 0 || m.Index > maxIndex {
		return
	}
	n.keepFor(from, min(m.Index, n.snapshot.Index))
	n.out.SendSnapshots = append(n.out.SendSnapshots, SnapshotRequest{To: from, Term: n.snapshot.Term, Index: m.Index, Offset: m.Offset})
}

// SnapshotUnsent tells the core that the host could not send a chunk to peer, who
// asks again, or somebody else.
func (n *Node) SnapshotUnsent(ID) {}

// onInstallSnapshot receives one chunk of the snapshot that was asked for. If the
// sender has a newer one by now, that is taken from its start.
func (n *Node) onInstallSnapshot(from ID, m InstallSnapshot) {
	in := n.incoming
	if in == nil || in.complete || from != in.from || checkSnapshot(m.Snapshot) != nil || m.Snapshot.Index <= n.chosen {
		return
	}
	if !in.meta.Same(m.Snapshot) {
		if m.Offset != 0 || m.Snapshot.Index < in.meta.Index {
			return
		}
		in = &incoming{meta: m.Snapshot, from: from, requested: int64(len(m.Data))}
		n.incoming = in
	}
	n.receiveChunk(in, m)
}

// receiveChunk hands a chunk that comes next to the host, and those after it that
// came too early.
func (n *Node) receiveChunk(in *incoming, m InstallSnapshot) {
	size := int64(len(m.Data))
	if m.Offset < in.received || size > in.meta.Size-m.Offset || size == 0 && in.meta.Size > 0 || m.Checksum != ChunkChecksum(m.Data) {
		return
	}
	in.tries = 0
	n.pull.at = n.now + n.patience()
	if m.Offset > in.received {
		if len(in.early) < chunkWindow {
			in.early = append(in.early, m)
		}
		return
	}
	in.received += size
	in.requested = max(in.requested, in.received)
	in.complete = in.received == in.meta.Size
	if in.complete && n.role != Follower {
		n.becomeFollower(None) // who is being restored does not campaign
	}
	n.out.Chunks = append(n.out.Chunks, Chunk{Snapshot: in.meta, Offset: m.Offset, Data: m.Data, Last: in.complete})
	in.early = slices.DeleteFunc(in.early, func(e InstallSnapshot) bool { return e.Offset < in.received })
	if next := slices.IndexFunc(in.early, func(e InstallSnapshot) bool { return e.Offset == in.received }); next >= 0 && !in.complete {
		n.receiveChunk(in, in.early[next])
	}
}

// ChunkWritten tells the core that the chunks of the snapshot at index are written
// up to offset, the end of the last one: more are asked for. The host does not call
// it for a chunk it has not finished with, so that what waits to be written stays
// bounded.
func (n *Node) ChunkWritten(index Index, offset int64) {
	in := n.incoming
	if in == nil || in.complete || in.meta.Index != index || offset <= in.written || offset > in.received {
		return
	}
	in.written, in.tries = offset, 0
	n.fetch()
}

// SnapshotFailed tells the core that the snapshot being received at index could
// not be written or did not verify. It is asked for again.
func (n *Node) SnapshotFailed(index Index) {
	if n.suspended != nil && n.suspended.meta.Index == index {
		n.suspended = nil
	}
	if n.incoming == nil || n.incoming.meta.Index != index {
		return
	}
	from := n.incoming.from
	n.incoming = nil
	n.pull.at = n.now + n.cfg.Heartbeat
	n.pull.to = from // the next one is asked then
}

// SnapshotInstalled tells the core that the received snapshot is durable and the
// state machine restored from it.
func (n *Node) SnapshotInstalled(meta SnapshotMeta) {
	if !n.installing() || n.incoming.meta.Index != meta.Index {
		return
	}
	meta = n.incoming.meta
	from := n.incoming.from
	n.incoming = nil
	n.installBase(meta)
	n.pull.at = never
	n.pullFrom(from)
}

// installBase puts a snapshot in the place of everything up to its index. Votes
// for later slots stay, unless they are of an epoch that is over.
func (n *Node) installBase(meta SnapshotMeta) {
	at := meta.Index
	n.snapshot = meta
	if at > n.chosen {
		n.log.trim(at)
		n.chosen = at
		n.configs = []Configuration{meta.Configuration}
		n.leads = []lead{{at: at, ballot: meta.Term}}
		n.dropVotes(at, n.epoch())
		n.sealed()
		n.pull.stuckSince = n.now
	}
	n.handed, n.applied = at, at
	n.handedBytes = 0
	n.unapplied = n.log.size(at+1, n.chosen)
	n.saves.base = &meta
	n.advance()
}

// checkSnapshot reports what of a snapshot cannot be.
func checkSnapshot(s SnapshotMeta) error {
	if s.Index > maxIndex || s.Term > maxBallot || s.Size < 0 || s.Configuration.Version > s.Index {
		return &StateError{s.Index, "a snapshot out of range"}
	}
	if len(s.Configuration.Members) == 0 {
		if s.Index > 0 {
			return &StateError{s.Index, "a snapshot without a configuration"}
		}
		return nil
	}
	if s.Configuration.Epoch == 0 || s.Configuration.Epoch > maxEpoch {
		return &StateError{s.Index, "a configuration without an epoch"}
	}
	if err := checkConfiguration(s.Configuration); err != nil {
		return &StateError{s.Index, err.Error()}
	}
	return nil
}

func checkEntries(entries []Entry) error {
	if err := consensus.CheckEntries(entries); err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e Entry) bool { return e.Term > maxBallot || Epoch(e.Term) == 0 }) {
		return ErrMalformed
	}
	return nil
}
