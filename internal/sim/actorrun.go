package sim

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// runner is the dispatcher of one process: the seed decides whose turn it is.
// With SlowApply some mailboxes are late, as an applier with much to do is, or a
// goroutine that the scheduler forgot.
type runner struct {
	*actors.SeededDispatcher
	w *ActorWorld
	h *host
}

func newRunner(w *ActorWorld, h *host) *runner {
	d := w.dice.at(streamTurn, h.slot, uint64(h.life))
	interleave := actors.PerBatch
	if d.perMille(500) {
		interleave = actors.PerMessage
	}
	return &runner{actors.NewSeededDispatcher(uint64(d.split()), interleave), w, h}
}

// Schedule implements actor.Dispatcher.
func (r *runner) Schedule(run func()) {
	w, h := r.w, r.h
	if w.has(SlowApply) && h.runner == r {
		if d := w.dice.roll(streamTurn, maxSlots+h.slot); d.perMille(w.limits.late) {
			late := d.split().around(4 * w.weather.apply)
			if d = d.split().split(); d.perMille(30) {
				late += d.split().between(0, second)
			}
			w.agenda.add(w.now+late, w.of(h, evReady, func() { r.SeededDispatcher.Schedule(run) }))
			return
		}
	}
	r.SeededDispatcher.Schedule(run)
}

// worldTimer is a timer by the clock of a machine. Now and then it goes off too
// early, as one by another of its clocks would.
type worldTimer struct {
	w    *ActorWorld
	h    *host
	life uint32
	f    func()
	set  uint64 // counts settings: only the last one counts
	runs bool
}

// Reset implements group.Timer.
func (t *worldTimer) Reset(after time.Duration) bool {
	t.h.burn()
	ran := t.runs
	t.set++
	t.runs = true
	setting := t.set
	if d := t.w.dice.roll(streamTurn, 3*maxSlots+t.h.slot); d.perMille(20) {
		after -= time.Duration(d.split().between(0, milli))
	}
	at := max(t.h.clock.when(t.h.clock.at(t.w.now)+consensus.Time(after)), t.w.now)
	t.w.agenda.add(at, t.w.of(t.h, evTimer, func() { t.fire(setting) }))
	return ran
}

// Stop implements group.Timer.
func (t *worldTimer) Stop() bool {
	ran := t.runs
	t.runs = false
	return ran
}

func (t *worldTimer) fire(setting uint64) {
	if t.runs && t.set == setting {
		t.runs = false
		t.f()
	}
}

// strategy is the real supervision by the world's clock.
func (w *ActorWorld) strategy(h *host) *actors.Strategy {
	return actors.NewStrategy(actors.StrategyConfig{
		Intensity: w.limits.intensity, MaxDelay: 500 * time.Millisecond,
		OnFailStop: func(_ *actor.PID, reason any) { w.failStop(h, asError(reason)) },
		Random:     func() float64 { return float64(w.dice.roll(streamTurn, 2*maxSlots+h.slot)>>11) / (1 << 53) },
		Now:        func() time.Time { return time.Unix(0, int64(h.clock.at(w.now))) },
		After: func(wait time.Duration, f func()) {
			w.agenda.add(w.now+int64(wait), w.of(h, evRestart, f))
		},
	})
}

func asError(reason any) error {
	if err, ok := reason.(error); ok {
		return err
	}
	return fmt.Errorf("%v", reason)
}

// supervisor looks at every failure of an actor: only the world may cause one.
type supervisor struct {
	*actors.Strategy
	w *ActorWorld
	h *host
}

// HandleFailure implements actor.SupervisorStrategy.
func (s *supervisor) HandleFailure(system *actor.ActorSystem, parent actor.Supervisor, child *actor.PID,
	stats *actor.RestartStatistics, reason, message any) {
	s.w.trace("panic     replica %d, %s: %v", s.h.id, child.Id, reason)
	if why, ok := reason.(violation); ok {
		s.w.note(why.rule, "%s", why.text)
	} else if !s.w.excused(s.h, asError(reason)) {
		s.w.note("panic", "replica %d, %s: %v", s.h.id, child.Id, reason)
	}
	s.Strategy.HandleFailure(system, parent, child, stats, reason, message)
}

// planted is what panics of the world say.
const planted = "planted panic"

// burn is a call of an actor to the outside, at which its fuse burns down.
func (h *host) burn() {
	if h.inside && h.fuse > 0 {
		if h.fuse--; h.fuse == 0 {
			panic(planted)
		}
	}
}

// plantedMachine is the state machine of one instance of the actor.
type plantedMachine struct {
	machine
	w *ActorWorld
	h *host
}

// Apply implements replica.StateMachine.
func (m *plantedMachine) Apply(index uint64, time int64, data []byte) []byte {
	if h := m.h; h.applyFuse > 0 {
		if h.applyFuse--; h.applyFuse == 0 {
			panic(planted)
		}
	}
	m.w.fold(index<<8 ^ uint64(m.id) ^ digest(data))
	return m.machine.Apply(index, time, data)
}

var _ replica.Digester = (*plantedMachine)(nil)
