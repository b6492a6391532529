package group

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// writeSnapshot asks for a picture to be written and made durable.
type writeSnapshot struct {
	meta    consensus.SnapshotMeta
	picture io.WriterTo
	call    *call                            // who asked, or nil
	sending map[consensus.ID]consensus.Index // the snapshots on their way to peers
}

// snapshotter does the slow disk work of snapshots in an actor of its own. It
// alone may block in Receive: nobody waits for it but other snapshots.
type snapshotter struct {
	cfg     Config
	handle  *Handle
	applier atomic.Pointer[actor.PID]

	receiving *storage.SnapshotReceiver
	meta      consensus.SnapshotMeta // of receiving
	// reading are the snapshots on their way to followers, each kept open: it
	// stays readable when newer ones have taken its place on the disk. The next
	// one that is written closes those that are no longer sent.
	reading map[consensus.ID]*storage.SnapshotReader
}

func (s *snapshotter) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actors.Batch:
		for _, item := range m.Messages {
			s.handleMessage(ctx, item.Message)
		}
	case *actor.Stopping, *actor.Restarting:
		s.closeReaders(nil)
		if s.receiving != nil {
			s.receiving.Suspend()
			s.receiving = nil
		}
	}
}

func (s *snapshotter) handleMessage(ctx actor.Context, message any) {
	switch m := message.(type) {
	case writeSnapshot:
		meta, err := s.write(m)
		s.handle.tell(func(a *Actor) { a.snapshotDone(meta, m.call, err) })
	case consensus.SnapshotRequest:
		if err := s.send(ctx, m); err != nil {
			s.cfg.Logger.Warn("snapshot not sent", "group", s.cfg.Name, "to", m.To, "index", m.Index, "error", err)
			s.handle.tell(func(a *Actor) { a.engine.SnapshotUnsent(m.To) })
		}
	case consensus.Chunk:
		if err := s.receive(ctx, m); err != nil {
			s.cfg.Logger.Warn("snapshot not received", "group", s.cfg.Name, "index", m.Snapshot.Index, "error", err)
			s.handle.tell(func(a *Actor) { a.engine.SnapshotFailed(m.Snapshot.Index) })
		}
	}
}

// write makes a picture durable and lets go of the log before the snapshot
// before it: that one stays, in case this one cannot be read one day.
func (s *snapshotter) write(m writeSnapshot) (consensus.SnapshotMeta, error) {
	if s.receiving != nil && s.meta.Index <= m.meta.Index {
		s.abort() // the state machine went past it by the log: that file may be in the way of this one
	}
	previous, err := s.cfg.Store.Snapshots(s.cfg.Group)
	if err != nil {
		return consensus.SnapshotMeta{}, err
	}
	w, err := s.cfg.Store.CreateSnapshot(storage.SnapshotMeta{Group: s.cfg.Group, Index: uint64(m.meta.Index),
		Term: uint64(m.meta.Term), Header: consensus.EncodeConfiguration(m.meta.Configuration)})
	if err != nil {
		return consensus.SnapshotMeta{}, err
	}
	if _, err := m.picture.WriteTo(w); err != nil {
		w.Abort()
		return consensus.SnapshotMeta{}, err
	}
	committed, err := w.Commit()
	if err != nil {
		return consensus.SnapshotMeta{}, err
	}
	switch {
	case len(previous) > 0:
		s.cfg.Store.Release(s.cfg.Group, previous[0].Index)
	case s.cfg.Store.Full():
		// Nothing can be proposed any more, so there may never be a second one.
		s.cfg.Store.Release(s.cfg.Group, uint64(m.meta.Index))
	}
	s.closeReaders(m.sending)
	m.meta.Size, m.meta.Checksum = committed.Size, committed.Checksum
	return m.meta, nil
}

// send reads one chunk and sends it. If the wanted snapshot is gone, the
// newest one is sent from its start.
func (s *snapshotter) send(ctx actor.Context, r consensus.SnapshotRequest) error {
	reader, offset, err := s.open(r)
	if err != nil {
		return err
	}
	meta := reader.Meta()
	configuration, err := consensus.DecodeConfiguration(meta.Header)
	if err != nil {
		return err
	}
	data := make([]byte, min(int64(s.cfg.MaxChunkBytes), meta.Size-offset))
	if _, err := reader.ReadAt(data, offset); err != nil && !errors.Is(err, io.EOF) {
		s.closeReader(r.To)
		return err
	}
	chunk := s.cfg.Protocol.EncodeChunk(s.cfg, r, consensus.Chunk{Offset: offset, Data: data,
		Last: offset+int64(len(data)) == meta.Size,
		Snapshot: consensus.SnapshotMeta{Index: consensus.Index(meta.Index), Term: consensus.Term(meta.Term),
			Configuration: configuration, Size: meta.Size, Checksum: meta.Checksum}})
	if !s.cfg.send(ctx.ActorSystem(), r.To, chunk) {
		return fmt.Errorf("no address of %x", r.To)
	}
	return nil
}

// open returns the reader of the snapshot that r asks for, or of the newest if
// that is gone, and where to read.
func (s *snapshotter) open(r consensus.SnapshotRequest) (reader *storage.SnapshotReader, offset int64, err error) {
	reader = s.reading[r.To]
	if reader != nil && reader.Meta().Index == uint64(r.Index) {
		return reader, min(r.Offset, reader.Meta().Size), nil
	}
	s.closeReader(r.To)
	if reader, err = s.cfg.Store.OpenSnapshot(s.cfg.Group, uint64(r.Index)); err == nil {
		s.keepReader(r.To, reader)
		return reader, min(r.Offset, reader.Meta().Size), nil
	}
	metas, err := s.cfg.Store.Snapshots(s.cfg.Group)
	if err != nil {
		return nil, 0, err
	}
	if len(metas) == 0 {
		return nil, 0, errors.New("no snapshot")
	}
	if reader, err = s.cfg.Store.OpenSnapshot(s.cfg.Group, metas[0].Index); err != nil {
		return nil, 0, err
	}
	s.keepReader(r.To, reader)
	return reader, 0, nil
}

func (s *snapshotter) keepReader(to consensus.ID, reader *storage.SnapshotReader) {
	if s.reading == nil {
		s.reading = make(map[consensus.ID]*storage.SnapshotReader)
	}
	s.reading[to] = reader
}

func (s *snapshotter) closeReader(to consensus.ID) {
	if reader := s.reading[to]; reader != nil {
		reader.Close()
		delete(s.reading, to)
	}
}

// closeReaders closes all readers but those of the snapshots in sending.
func (s *snapshotter) closeReaders(sending map[consensus.ID]consensus.Index) {
	for to, reader := range s.reading {
		if consensus.Index(reader.Meta().Index) != sending[to] {
			s.closeReader(to)
		}
	}
}

// receive writes one chunk; with the last one the snapshot becomes durable and
// goes to the state machine.
func (s *snapshotter) receive(ctx actor.Context, c consensus.Chunk) error {
	if err := s.receiver(c); err != nil {
		return err
	}
	if _, err := s.receiving.WriteAt(c.Data, c.Offset); err != nil {
		s.abort()
		return err
	}
	if !c.Last {
		s.handle.tell(func(a *Actor) { a.engine.ChunkWritten(c.Snapshot.Index, c.Offset+int64(len(c.Data))) })
		return nil
	}
	_, err := s.receiving.Commit()
	s.receiving = nil
	if err != nil {
		return err
	}
	ctx.Send(s.applier.Load(), installSnapshot{meta: c.Snapshot})
	return nil
}

// receiver makes receiving the one for c, at c's offset.
func (s *snapshotter) receiver(c consensus.Chunk) (err error) {
	same := s.receiving != nil && s.meta.Index == c.Snapshot.Index && s.meta.Term == c.Snapshot.Term &&
		s.meta.Checksum == c.Snapshot.Checksum
	if same && c.Offset == s.receiving.Offset() {
		return nil
	}
	if s.receiving != nil {
		s.abort()
	}
	s.meta = c.Snapshot
	s.receiving, err = s.cfg.Store.ReceiveSnapshot(storage.SnapshotMeta{Group: s.cfg.Group,
		Index: uint64(c.Snapshot.Index), Term: uint64(c.Snapshot.Term), Size: c.Snapshot.Size,
		Checksum: c.Snapshot.Checksum, Header: consensus.EncodeConfiguration(c.Snapshot.Configuration)})
	if err != nil {
		s.receiving = nil
		return err
	}
	if at := s.receiving.Offset(); at != c.Offset {
		s.abort()
		return fmt.Errorf("chunk at offset %d, want %d", c.Offset, at)
	}
	return nil
}

func (s *snapshotter) abort() {
	s.receiving.Abort()
	s.receiving = nil
}

// compactIfDue takes a snapshot when the log has grown by SnapshotBytes, or
// when this group keeps the node's log from being recycled.
func (a *Actor) compactIfDue() {
	switch {
	case a.cfg.Witness() || a.snapshotting:
	case a.logBytes >= a.cfg.SnapshotBytes:
		a.snapshot(nil)
	case !a.pinsLog():
	case a.handle.Applied() > a.lastSnapshot:
		a.snapshot(nil)
	case a.engine.Role() == consensus.Leader && a.now >= a.nextMark:
		a.nextMark = a.now + pinCheckEvery
		a.handle.mark()
	}
}

// pinsLog reports whether the node's log has grown long and this group keeps
// its oldest segment: a flush takes at least a block, so that many small writes
// need far more log than they have bytes, and a group in which nothing happens keeps
// what others have written since. It is asked once in a while: it costs a lock.
func (a *Actor) pinsLog() bool {
	if a.now < a.pinCheck {
		return false
	}
	a.pinCheck = a.now + pinCheckEvery
	stats := a.cfg.Store.Stats()
	long := min(longLog, shortLog+2*a.snapshotSize/segmentBytes)
	pins := int64(stats.Segments) >= long && stats.Pinned && stats.PinnedBy == a.cfg.Group
	if pins && !a.compactFailed {
		a.pinCheck = a.now + pinnedCheckEvery
	}
	return pins
}

const (
	// pinCheckEvery is also the time between two marks: at 100 MiB/s it is a third of a segment.
	pinCheckEvery = consensus.Time(200e6)
	// pinnedCheckEvery is for one that does: it lets go after two snapshots.
	pinnedCheckEvery = consensus.Time(50e6)
	// longLog, in segments, is what a group keeps at most; shortLog is what one keeps
	// whose snapshots cost next to nothing.
	longLog, shortLog = 8, 3
	segmentBytes      = 64 << 20 // by default
)

// mark proposes a command that changes nothing, the end of a session that never was. What is
// before a snapshot is let go when there is a second one behind it, which a group in which nothing
// happens would never have.
func (h *Handle) mark() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed == nil && len(h.in.proposals) == 0 { // of itself it comes after whatever else waits
		c := &call{command: replica.Envelope{Kind: replica.KindClose}.Append(nil), done: make(chan outcome, 1), at: -1}
		h.in.proposals = append(h.in.proposals, c)
		h.in.bytes += len(c.command)
	}
}

// snapshot starts one, for c or, if c is nil, for the compaction policy.
func (a *Actor) snapshot(c *call) {
	if a.cfg.Witness() {
		c.finish(outcome{err: ErrNoMachine})
		return
	}
	if a.snapshotting {
		if c != nil {
			c.finish(outcome{err: ErrOverloaded})
		}
		return
	}
	a.snapshotting = true
	a.toApplier(takeSnapshot{call: c})
}

// writePicture has the applier's picture of the state at index written.
func (a *Actor) writePicture(index consensus.Index, picture io.WriterTo, c *call) {
	if index <= a.lastSnapshot { // nothing was applied since
		a.snapshotting = false
		if c != nil {
			c.finish(outcome{index: a.lastSnapshot})
		}
		return
	}
	meta, ok := a.engine.MetaAt(index)
	if !ok { // it has just joined: no configuration is known there yet
		a.snapshotting, a.logBytes = false, 0 // after as much log again
		if c != nil {
			c.finish(outcome{err: fmt.Errorf("%w: no configuration is known at index %d", consensus.ErrUnavailable, index)})
		}
		return
	}
	a.system.Root.Send(a.snapshotter, writeSnapshot{meta: meta, picture: picture, call: c, sending: a.engine.Sending()})
}

// snapshotDone comes back from the snapshotter.
func (a *Actor) snapshotDone(meta consensus.SnapshotMeta, c *call, err error) {
	a.snapshotting, a.compactFailed = false, err != nil
	a.logBytes = 0 // also after an error: try again after as much log
	if err != nil {
		a.log.Error("snapshot failed", "group", a.cfg.Name, "index", uint64(meta.Index), "error", err)
		a.cfg.Event("snapshot failed", slog.String("error", err.Error()))
	} else {
		a.engine.SnapshotTaken(meta)
		a.lastSnapshot, a.snapshotSize = meta.Index, meta.Size
		a.cfg.Event("snapshot taken", slog.Uint64("index", uint64(meta.Index)), slog.Int64("bytes", meta.Size))
	}
	if c != nil {
		c.finish(outcome{index: meta.Index, err: err})
	}
}

// installed comes back from the applier.
func (a *Actor) installed(meta consensus.SnapshotMeta) {
	a.engine.SnapshotInstalled(meta)
	a.pending.passed(meta.Index)
	a.logBytes = 0
	a.lastSnapshot, a.snapshotSize = meta.Index, meta.Size
	a.cfg.Event("snapshot installed", slog.Uint64("index", uint64(meta.Index)), slog.Int64("bytes", meta.Size))
}
