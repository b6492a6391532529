package sim

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// host is one machine with the process of actors that runs on it. What stands
// above the line survives a crash of the process.
type host struct {
	slot      int
	id        consensus.ID
	bootstrap []consensus.Member
	clock     clock
	wall      int64 // how far the machine's wall clock is off, in milliseconds
	disk      *storage.Memory
	full      bool // the disk has no space
	life      uint32
	// ────────
	up          bool
	doom        draw // the power will go with the next flush, if it is not 0
	dying       bool // the power is going
	pausedUntil int64
	store       *storage.Store
	system      *actor.ActorSystem
	runner      *runner
	handle      *group.Handle
	machine     *plantedMachine // of the newest instance
	awake       bool            // a wake event is on its way
	inside      bool            // a mailbox has its turn
	flushing    bool
	ended       error // why the process must end
	calls       []pendingCall

	view      group.View
	applied   consensus.Index // when it was looked at last
	instances int             // of the group's actor in this process
	fresh     bool            // the newest one has not shown itself
	fuse      int             // calls of the world until a planted panic, 0 is none
	applyFuse int             // commands until one, likewise
}

func newHost(w *ActorWorld, slot int) *host {
	d := w.dice.at(streamClock, slot, 0)
	h := &host{slot: slot, id: consensus.ID(slot + 1), clock: w.newClock(d)}
	h.wall = d.split().between(-3000, 3000) + 1_700_000_000_000
	seed := w.dice.at(streamTear, slot, uint64(h.id))
	h.disk = storage.NewMemory(uint64(seed))
	h.disk.Direct = seed.perMille(500)
	return h
}

// start runs the path that every process takes: open the log, spawn the actor,
// which recovers by itself.
func (w *ActorWorld) start(h *host) {
	h.life++
	h.process()
	store, err := storage.Open(dataDir, storage.Options{
		FS: h.disk, Node: fmt.Sprint("n", h.id), Manual: true, SegmentBytes: w.weather.segment,
		Random: func() uint64 { return uint64(w.dice.roll(streamSalt, h.slot)) },
	})
	if err != nil {
		w.startFailed(h, err)
		return
	}
	h.store, h.system = store, actors.NewSystem(nil)
	for slot := range w.hosts {
		to := w.hosts[slot].id
		h.system.ProcessRegistry.Add(&wireEnd{w, h, h.life, to}, wireName(to))
	}
	h.runner = newRunner(w, h)
	h.handle, err = group.Spawn(h.system, w.config(h), "group/sim", &supervisor{w.strategy(h), w, h})
	if err != nil {
		violated("start", "replica %d cannot start: %v", h.id, err)
	}
	h.up = true
	w.trace("start     replica %d", h.id)
	w.agenda.add(w.now+keepEvery, w.of(h, evKeep, nil))
	w.rouse(h)
}

// process makes a machine's process new.
func (h *host) process() {
	*h = host{slot: h.slot, id: h.id, bootstrap: h.bootstrap, clock: h.clock, wall: h.wall, disk: h.disk, full: h.full, life: h.life}
}

func (w *ActorWorld) startFailed(h *host, err error) {
	w.trace("start     replica %d failed: %v", h.id, err)
	var damage *storage.DamageError
	switch {
	case errors.As(err, &damage):
		violated("W3", "replica %d finds damage nobody did: %v", h.id, err)
	case h.full:
		w.agenda.add(w.now+200*milli, w.of(h, evStart, nil))
	default:
		violated("start", "replica %d cannot start: %v", h.id, err)
	}
}

// config gives the actors the world in the place of everything outside. Each
// call out of an actor is a place where a planted panic may come.
func (w *ActorWorld) config(h *host) group.Config {
	return group.Config{
		Protocol: w.engine.protocol(h), ID: h.id, Group: groupNumber, Name: "sim", Store: h.store,
		Bootstrap: h.bootstrap, Replica: w.weather.replicaConfig(),
		SnapshotBytes: w.limits.snapshotBytes, MaxProposals: w.limits.inbox, MaxReads: w.limits.inbox,
		Machine: func() replica.StateMachine { return w.newMachine(h) },
		Peer: func(id consensus.ID) *actor.PID {
			h.burn()
			return actor.NewPID(h.system.Address(), wireName(id))
		},
		Clock: func() consensus.Time {
			h.burn()
			return h.clock.at(w.now)
		},
		WallClock: func() time.Time {
			h.burn()
			return time.UnixMilli(h.wall + w.now/milli)
		},
		Timer:      func(f func()) group.Timer { return &worldTimer{w: w, h: h, life: h.life, f: f} },
		Dispatcher: h.runner,
		Changed:    func(v group.View) { w.changed(h, v) },
		Event:      func(kind string, attrs ...slog.Attr) { w.event(h, kind, attrs) },
		FailStop:   func(err error) { w.failStop(h, err) },
	}
}

func (w *ActorWorld) newMachine(h *host) replica.StateMachine {
	h.burn()
	if h.instances++; h.instances > 1 {
		w.sometimes.count(sawRebuilt)
		w.trace("rebuild   replica %d", h.id)
	}
	h.fresh = true
	h.machine = &plantedMachine{machine{id: h.id, model: &w.model, padding: w.weather.padding}, w, h}
	return h.machine
}

// changed is what the actor tells about its role, term and configuration.
func (w *ActorWorld) changed(h *host, v group.View) {
	was := h.view
	h.view = v
	w.fold(uint64(v.Term)<<16 ^ uint64(v.Role)<<8 ^ uint64(v.Leader))
	w.trace("view      replica %d %v of %d in term %d, configuration %d", h.id, v.Role, v.Leader, v.Term, v.Configuration.Version)
	if v.Role == consensus.Leader && (was.Role != consensus.Leader || was.Term != v.Term) {
		w.stats.Elections++
		w.engine.leads(h, v)
	}
	if was.Role == consensus.Leader && v.Role != consensus.Leader && !h.fresh && h.proposing() {
		w.sometimes.count(sawDeposedWithTail)
	}
	switch {
	case h.fresh:
		h.fresh = false
		_ = h.handle.Do(func(e group.Engine) { w.engine.remembers(h, e.Status()) })
	case v.Term < was.Term:
		w.note("R7", "replica %d goes back from term %d to %d", h.id, was.Term, v.Term)
	}
	h.burn()
}

// event is what the actor tells operators.
func (w *ActorWorld) event(h *host, kind string, attrs []slog.Attr) {
	w.trace("%-9s replica %d %v", kind, h.id, attrs)
	switch kind {
	case "snapshot taken":
		w.stats.Snapshots++
	case "snapshot installed":
		w.stats.Installs++
		w.sometimes.count(sawInstalled)
	case "snapshot failed":
		if !h.full && h.disk.Fault == nil {
			w.note("D10", "replica %d cannot write a snapshot: %v", h.id, attrs)
		}
	case "quarantined":
		w.note("S5", "replica %d is told that its state is wrong: %v", h.id, attrs)
	}
	h.burn()
}

// failStop is the end of a process, which must have a reason that the world
// knows of.
func (w *ActorWorld) failStop(h *host, err error) {
	if h.dying || h.ended != nil {
		return
	}
	h.ended = err
	_, tooMany := errors.AsType[*actors.IntensityError](err)
	switch {
	case !w.excused(h, err):
		w.note("fail-stop", "replica %d ends itself: %v", h.id, err)
	case tooMany:
		w.sometimes.count(sawTooManyPanics)
	case strings.Contains(err.Error(), planted):
		w.sometimes.count(sawMachinePanic)
	case h.disk.Fault != nil:
		w.sometimes.count(sawSyncError)
	default:
		w.sometimes.count(sawNoSpace)
	}
}

// excused reports whether the world is to blame for a failure.
func (w *ActorWorld) excused(h *host, err error) bool {
	return strings.Contains(err.Error(), planted) || h.disk.Fault != nil || h.full ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, storage.ErrFull)
}
