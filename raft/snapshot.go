package raft

import (
	"hash/crc32"
	"slices"
)

// chunkWindow is how many chunks may be under way to one follower, so that a
// transfer does not starve what else goes to it.
const chunkWindow = 3

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ChunkChecksum is the Checksum of an InstallSnapshot that carries data.
func ChunkChecksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// MetaAt describes a snapshot of the state machine at an applied index: its
// term and the configuration in force there. The host adds Size and Checksum.
// It returns false if the index is not applied or older than the log, or if no
// configuration is known there yet, as on a replica that has just joined.
func (n *Node) MetaAt(index Index) (SnapshotMeta, bool) {
	if index == n.snapshot.Index {
		return n.snapshot, true
	}
	term, ok := n.log.term(index)
	if !ok || index > n.applied || index < n.snapshot.Index {
		return SnapshotMeta{}, false
	}
	c := n.configAt(index)
	return SnapshotMeta{Index: index, Term: term, Configuration: c}, len(c.Members) > 0
}

// configAt returns the configuration in force at index, which is not before
// the snapshot.
func (n *Node) configAt(index Index) Configuration {
	i := len(n.configs) - 1
	for i > 0 && n.configs[i].Version > index {
		i--
	}
	return n.configs[i]
}

// SnapshotTaken tells the core that a snapshot of our own is durable. The log
// is dropped behind it, but for TrailingEntries and TrailingBytes and what the
// leader keeps for followers (CatchUpBytes). A snapshot that MetaAt does not
// describe, or not newer than the last, changes nothing.
func (n *Node) SnapshotTaken(meta SnapshotMeta) {
	own, ok := n.MetaAt(meta.Index)
	if !ok || own.Index <= n.snapshot.Index {
		return
	}
	own.Size, own.Checksum = meta.Size, meta.Checksum
	n.takeOver(own)
}

// takeOver makes meta, with which the log agrees, the newest snapshot.
func (n *Node) takeOver(meta SnapshotMeta) {
	n.snapshot = meta
	keep := slices.IndexFunc(n.configs, func(c Configuration) bool { return c.Version > meta.Index })
	if keep < 0 {
		keep = len(n.configs)
	}
	n.configs = append([]Configuration{meta.Configuration}, n.configs[keep:]...)
	n.saves.durable = max(n.saves.durable, meta.Index)
	n.trail = n.trailed()
	n.compact()
	n.advanceCommit()
}

// install is the transfer of a snapshot to one follower.
type install struct {
	index Index
	size  int64 // -1 if not known: the host sends a newer one than we know
	acked int64 // the follower has everything before this
	sent  int64 // everything before this has been asked to be sent
	began bool  // the follower has said where to begin
	moved Time  // when the follower last said how far it is
}

// beginInstall sends the newest snapshot to a follower whose next entry is
// compacted. Beginning again for one that is gone is no sign of life.
func (n *Node) beginInstall(p *progress) {
	moved := p.install.moved
	if n.active(p) {
		moved = n.now
	}
	p.state = Snapshot
	p.clearFlights()
	p.progressAt = n.now
	p.install = install{index: n.snapshot.Index, size: n.snapshot.Size, moved: moved}
}

// requestChunks asks the host to send what the window has room for. It begins
// with one chunk: the answer tells where to go on, because the follower may
// have part of the snapshot already.
func (n *Node) requestChunks(p *progress) {
	if !n.active(p) {
		return
	}
	chunk := int64(n.cfg.MaxChunkBytes)
	window := chunk
	if p.install.began && p.install.size >= 0 {
		window *= chunkWindow
	}
	for in := &p.install; in.sent < in.acked+window && !in.allSent(); {
		n.out.SendSnapshots = append(n.out.SendSnapshots, SnapshotRequest{
			To: p.id, Term: n.term, Index: in.index, Offset: in.sent,
		})
		in.sent += chunk
	}
}

// allSent reports whether nothing is left to ask for. Even an empty snapshot is
// one chunk.
func (in *install) allSent() bool {
	return in.size >= 0 && in.sent > 0 && in.sent >= in.size
}

// retryInstall sends one chunk again; the answer tells how far the follower
// really is, that it is still installing, or that it is done. It stays with the
// snapshot it has begun, on which the log follows: compact decides otherwise.
func (n *Node) retryInstall(p *progress) {
	p.progressAt = n.now
	in := &p.install
	if in.size >= 0 && in.acked >= in.size {
		in.acked = 0
	}
	in.sent, in.began = in.acked, false
}

// SnapshotUnsent tells the core that the host could not send a chunk to peer. It
// is asked again after a while.
func (n *Node) SnapshotUnsent(peer ID) {
	if n.lead == nil {
		return
	}
	if p := n.lead.peer(peer); p != nil && p.state == Snapshot {
		p.progressAt = n.now
	}
}

func (n *Node) onSnapshotReply(from ID, m SnapshotReply) {
	if n.lead == nil {
		return
	}
	p := n.lead.peer(from)
	if p == nil || p.lost {
		return
	}
	p.heard = n.now
	switch {
	case m.Installed && m.Index <= n.log.last():
		n.accept(p, m.Index)
	case p.state == Snapshot && m.Offset >= 0:
		n.moveInstall(p, m)
	}
}

// moveInstall goes on where the follower says. An offset that does not grow
// after the first is a lost chunk: it is sent again after a while, or at once
// if the follower has started over. Of a snapshot on which our log does not
// follow nothing is sent any more.
func (n *Node) moveInstall(p *progress, m SnapshotReply) {
	in := &p.install
	if m.Index < n.log.prev {
		return
	}
	if m.Index != in.index {
		// The host has sent another snapshot, since ours was gone.
		*in = install{index: m.Index, size: -1, moved: n.now}
		if m.Index == n.snapshot.Index {
			in.size = n.snapshot.Size
		}
	}
	if in.size >= 0 && m.Offset > in.size || in.began && m.Offset == in.acked {
		return
	}
	in.sent = max(in.sent, m.Offset)
	if m.Offset < in.acked || !in.began {
		in.sent = m.Offset
	}
	in.acked, in.began, in.moved = m.Offset, true, n.now
	p.progressAt = n.now
	if !in.allSent() {
		p.patience = n.patience()
	}
}

// incoming is the snapshot that is being received.
type incoming struct {
	meta     SnapshotMeta
	received int64 // handed to the host
	written  int64 // written by the host
	complete bool  // the host verifies and installs it
}

// installing reports whether the host is replacing the state machine: nothing
// is applied meanwhile.
func (n *Node) installing() bool { return n.incoming != nil && n.incoming.complete }

// onInstallSnapshot receives one chunk. A snapshot that is not ahead of us is
// refused with our index: it would move the state machine back.
func (n *Node) onInstallSnapshot(from ID, m InstallSnapshot) {
	meta := m.Snapshot
	if checkSnapshot(meta) != nil || meta.Index == 0 || meta.Term > m.Term || !n.hear(from) {
		return
	}
	if meta.Index <= n.commit {
		n.send(from, SnapshotReply{Term: n.term, Index: n.commit, Installed: true})
		return
	}
	in := n.incoming
	if in == nil || !in.meta.Same(meta) {
		if n.installing() {
			return // one at a time
		}
		in = &incoming{meta: meta}
		n.incoming = in
	}
	if !n.receiveChunk(in, m) {
		n.sendNow(from, SnapshotReply{Term: n.term, Index: meta.Index, Offset: in.received})
	}
}

// receiveChunk hands a chunk that comes next to the host, and reports whether
// it did. Its answer leaves when it is written.
func (n *Node) receiveChunk(in *incoming, m InstallSnapshot) bool {
	size := int64(len(m.Data))
	if in.complete || m.Offset != in.received || size > in.meta.Size-in.received ||
		size == 0 && in.meta.Size > 0 || m.Checksum != ChunkChecksum(m.Data) {
		return false
	}
	in.received += size
	in.complete = in.received == in.meta.Size
	n.out.Chunks = append(n.out.Chunks, Chunk{
		Snapshot: in.meta, Offset: m.Offset, Data: m.Data, Last: in.complete,
	})
	return true
}

// ChunkWritten tells the core that the chunks of the snapshot at index are
// written up to offset, the end of the last one: the leader is asked for more.
// The host does not call it for a chunk it has not finished with, so that what
// waits to be written stays bounded.
func (n *Node) ChunkWritten(index Index, offset int64) {
	in := n.incoming
	if in == nil || in.meta.Index != index || offset <= in.written || offset > in.received {
		return
	}
	in.written = offset
	if n.role == Follower && n.leader != None {
		n.sendNow(n.leader, SnapshotReply{Term: n.term, Index: index, Offset: offset})
	}
}

// SnapshotFailed tells the core that the snapshot being received at index could
// not be written or did not verify. The leader starts over.
func (n *Node) SnapshotFailed(index Index) {
	if n.incoming == nil || n.incoming.meta.Index != index {
		return
	}
	n.incoming = nil
	if n.role == Follower && n.leader != None {
		n.sendNow(n.leader, SnapshotReply{Term: n.term, Index: index})
	}
}

// SnapshotInstalled tells the core that the received snapshot is durable and
// the state machine restored from it. The log keeps what follows on the
// snapshot's last entry, and is dropped if it does not hold that one (section
// 7); then the next Output carries Base.
func (n *Node) SnapshotInstalled(meta SnapshotMeta) {
	if !n.installing() || n.incoming.meta.Index != meta.Index {
		return
	}
	meta = n.incoming.meta
	n.incoming = nil
	at := meta.Index
	if n.log.has(at, meta.Term) {
		n.commit = max(n.commit, at)
		n.restored(at)
		n.takeOver(meta)
	} else {
		n.dropLog(meta)
		n.restored(at)
	}
	if n.role == Follower && n.leader != None {
		n.send(n.leader, SnapshotReply{Term: n.term, Index: at, Installed: true})
	}
}

// restored notes that the state machine is at index.
func (n *Node) restored(at Index) {
	n.handed, n.applied = at, at
	n.handedBytes = 0
	n.unapplied = n.log.size(at+1, n.commit)
}

// dropLog forgets the log: it ends before the snapshot or differs from it.
func (n *Node) dropLog(meta SnapshotMeta) {
	if n.commit >= meta.Index || n.lead != nil {
		panicf("snapshot at %d replaces a log committed up to %d in term %d", meta.Index, n.commit, n.term)
	}
	n.log.reset(meta.Index, meta.Term)
	n.snapshot = meta
	n.commit = meta.Index
	n.configs = []Configuration{meta.Configuration}
	n.saves.keep(meta.Index)
	n.saves.durable, n.saves.next = meta.Index, meta.Index+1
	n.saves.base = &meta
}
