package group

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// What the applier is sent, in the order of the log.
type (
	// applyBatch holds committed entries and who waits for them.
	applyBatch struct {
		entries []consensus.Entry
		calls   []*call // nil, or one place for each entry
	}
	// readAt ends calls when index is applied.
	readAt struct {
		index consensus.Index
		calls []*call
	}
	// checkDigest is a leader's word that this replica's state is wrong.
	checkDigest struct{ index, wanted uint64 }
	// takeSnapshot asks for a picture of the state as it then is.
	takeSnapshot struct{ call *call }
	// passBase tells a witness's applier that a base has taken the place of the log.
	passBase struct{ index consensus.Index }
	// installSnapshot replaces the state by a received snapshot that is durable.
	installSnapshot struct{ meta consensus.SnapshotMeta }
)

// Control lets what keeps the order of the log into a full mailbox: without it the
// state machine could not go on.
func (applyBatch) Control()      {}
func (takeSnapshot) Control()    {}
func (installSnapshot) Control() {}
func (passBase) Control()        {}

// applier runs the state machine in an actor of its own, so that a slow one
// never delays a heartbeat.
type applier struct {
	cfg     Config
	handle  *Handle
	machine *replica.Replica // nil on a witness, which only keeps count

	checkpoint uint64 // the newest one published
	logTime    int64  // likewise

	index   consensus.Index // of the last applied entry
	waiting []readAt        // by index
	waits   int             // calls in waiting
	reads   atomic.Int64    // calls in readAt messages that are not taken yet
	entries []replica.Entry
	results []replica.Result
	behind  int // bytes applied since the group's actor was woken for it
}

func (p *applier) Receive(ctx actor.Context) {
	batch, ok := ctx.Message().(*actors.Batch)
	if !ok {
		return
	}
	for _, item := range batch.Messages {
		switch m := item.Message.(type) {
		case applyBatch:
			p.apply(m)
		case readAt:
			p.read(m)
		case checkDigest:
			p.check(m)
		case takeSnapshot:
			p.snapshot(m)
		case installSnapshot:
			p.install(m)
		case passBase:
			p.index = max(p.index, m.index)
			p.advance()
		}
	}
}

// apply carries out committed entries and answers who waits for them.
func (p *applier) apply(b applyBatch) {
	b = b.after(p.index)
	if len(b.entries) == 0 {
		return
	}
	p.results = slices.Grow(p.results[:0], len(b.entries))[:len(b.entries)]
	if err := p.run(b.entries); err != nil {
		p.fail(b, err)
		return
	}
	p.index = b.entries[len(b.entries)-1].Index
	p.advance()
	for i, c := range b.calls {
		if c != nil {
			c.finish(outcome{result: p.results[i], index: b.entries[i].Index})
		}
	}
	clear(p.entries)
	clear(p.results)
}

// run has the state machine apply entries and leaves its results in p.results.
func (p *applier) run(entries []consensus.Entry) error {
	p.entries = p.entries[:0]
	for _, e := range entries {
		entry := replica.Entry{Index: uint64(e.Index)}
		if e.Kind == consensus.EntryCommand {
			entry.Data = e.Data
		}
		p.entries = append(p.entries, entry)
		p.behind += len(e.Data)
	}
	if p.machine == nil {
		return nil
	}
	return p.machine.Apply(p.entries, p.results)
}

// after drops what a snapshot has already brought.
func (b applyBatch) after(applied consensus.Index) applyBatch {
	n := 0
	for n < len(b.entries) && b.entries[n].Index <= applied {
		if b.calls != nil && b.calls[n] != nil {
			b.calls[n].finish(outcome{err: ErrUnknown})
		}
		n++
	}
	b.entries = b.entries[n:]
	if b.calls != nil {
		b.calls = b.calls[n:]
	}
	return b
}

// advance publishes the applied index and ends the reads that waited for it.
// The group's actor learns it at its next turn; it is woken only when much was
// applied, so that it hands out more.
func (p *applier) advance() {
	p.noteCheckpoint() // before: who knows the index finds its digest
	p.handle.applied.Store(uint64(p.index))
	if p.machine != nil {
		p.noteLogTime()
	}
	n := 0
	for n < len(p.waiting) && p.waiting[n].index <= p.index {
		p.waiting[n].finish()
		p.waits -= len(p.waiting[n].calls)
		n++
	}
	p.waiting = slices.Delete(p.waiting, 0, n)
	if p.behind >= wakeAfterBytes {
		p.behind = 0
		p.handle.wake()
	}
}

func (p *applier) noteLogTime() {
	if t := p.machine.LogTime(); t != p.logTime {
		p.logTime = t
		p.handle.noteLogTime(t)
	}
}

// noteCheckpoint publishes the digests when there is a new one: the group's actor
// must not wait for the replica's lock while a batch is applied.
func (p *applier) noteCheckpoint() {
	every := consensus.Index(p.cfg.Replica.Limits.DigestEvery)
	at := uint64(p.index / every * every)
	if p.machine == nil || at == 0 || p.checkpoint == at {
		return
	}
	if _, ok := p.machine.DigestAt(at); ok {
		p.checkpoint = at
		all := p.machine.Checkpoints()
		p.handle.digests.Store(&all)
	}
}

// wakeAfterBytes is well below MaxApplyBytes of an engine.
const wakeAfterBytes = 256 << 10

func (p *applier) read(r readAt) {
	p.reads.Add(-int64(len(r.calls)))
	if r.index <= p.index {
		r.finish()
		return
	}
	if p.waits+len(r.calls) > p.cfg.MaxReads {
		p.waiting = slices.DeleteFunc(p.waiting, readAt.abandoned)
		p.waits = 0
		for _, w := range p.waiting {
			p.waits += len(w.calls)
		}
	}
	if p.waits+len(r.calls) > p.cfg.MaxReads {
		for _, c := range r.calls {
			c.finish(outcome{err: ErrOverloaded})
		}
		return
	}
	at, _ := slices.BinarySearchFunc(p.waiting, r.index, func(w readAt, i consensus.Index) int { return cmp.Compare(w.index, i) })
	p.waiting = slices.Insert(p.waiting, at, r)
	p.waits += len(r.calls)
}

// abandoned reports whether nobody waits any more.
func (r readAt) abandoned() bool {
	return !slices.ContainsFunc(r.calls, func(c *call) bool { return !c.abandoned.Load() })
}

func (r readAt) finish() {
	for _, c := range r.calls {
		c.finish(outcome{index: r.index})
	}
}

// fail ends a replica whose state machine cannot go on.
func (p *applier) fail(b applyBatch, err error) {
	for _, c := range b.calls {
		if c != nil {
			c.finish(outcome{err: ErrUnknown})
		}
	}
	p.cfg.FailStop(fmt.Errorf("group: apply in %s: %w", p.cfg.Name, err))
}

// check believes the leader only if the own digest at the index is another.
func (p *applier) check(m checkDigest) {
	if own, ok := p.machine.DigestAt(m.index); ok && own != m.wanted {
		p.handle.tell(func(a *Actor) { a.quarantineSelf(consensus.Index(m.index), m.wanted) })
	}
}

// snapshot takes the picture here and has it written elsewhere.
func (p *applier) snapshot(m takeSnapshot) {
	picture, err := p.machine.Snapshot()
	index := p.index
	p.handle.tell(func(a *Actor) {
		if err != nil {
			a.snapshotDone(consensus.SnapshotMeta{}, m.call, err)
			return
		}
		a.writePicture(index, picture, m.call)
	})
}

// install restores the state machine from a received snapshot.
func (p *applier) install(m installSnapshot) {
	if m.meta.Index <= p.index {
		p.handle.tell(func(a *Actor) { a.engine.SnapshotFailed(m.meta.Index) })
		return
	}
	reader, err := p.cfg.Store.OpenSnapshot(p.cfg.Group, uint64(m.meta.Index))
	if err == nil {
		err = p.machine.Restore(reader)
		reader.Close()
	}
	if err != nil {
		p.cfg.FailStop(fmt.Errorf("group: install snapshot %d of %s: %w", m.meta.Index, p.cfg.Name, err))
		return
	}
	p.index = m.meta.Index
	p.advance()
	p.handle.tell(func(a *Actor) { a.installed(m.meta) })
}
