package mesos

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// supervisorWorld has the children of a supervisor as they really are.
type supervisorWorld struct {
	t      *rapid.T
	s      *Supervisor
	c      SupervisorConfig
	now    time.Duration
	ids    []string
	alive  map[string]uint64 // the run that goes on
	told   map[string]OrderKind
	byHand map[string]bool // being stopped by a call, not as the strategy says
	idle   map[string]bool // StopChild was called since it was last started
	ended  bool
	gaveUp bool

	restarts []time.Duration // of OneForOne: those that the model has counted
}

func (w *supervisorWorld) take(out SupervisorOutput) {
	if (len(out.Orders) > 0 || out.End != EndNot || out.GaveUp) && w.ended {
		w.t.Fatalf("%+v after the end", out)
	}
	w.gaveUp = w.gaveUp || out.GaveUp
	for _, o := range out.Orders {
		run, alive := w.alive[o.Child]
		switch o.Kind {
		case OrderStart:
			if alive {
				w.t.Fatalf("%v: %q is started while run %d goes on", w.now, o.Child, run)
			}
			if w.gaveUp {
				w.t.Fatalf("%v: %q is started though the supervisor gives up", w.now, o.Child)
			}
			w.alive[o.Child], w.idle[o.Child] = o.Run, false
		case OrderStop:
			if _, told := w.told[o.Child]; !alive || run != o.Run || told {
				w.t.Fatalf("%v: %q is told to stop, alive %t, told before %t", w.now, o.Child, alive, told)
			}
			w.oneAtATime(o.Child)
			w.told[o.Child] = OrderStop
		case OrderKill:
			if told, ok := w.told[o.Child]; !alive || run != o.Run || ok && told == OrderKill {
				w.t.Fatalf("%v: %q is killed, alive %t, told %v", w.now, o.Child, alive, told)
			}
			w.told[o.Child] = OrderKill
		}
	}
	if out.End != EndNot {
		w.ended = true
		if len(w.alive) > 0 || (out.End == EndStopped) == w.gaveUp {
			w.t.Fatalf("%v: ended as %d with %v alive, gave up %t", w.now, out.End, w.alive, w.gaveUp)
		}
	}
}

// oneAtATime: who is stopped by a strategy or an end is stopped when nobody else is.
func (w *supervisorWorld) oneAtATime(child string) {
	for id := range w.told {
		if !w.byHand[id] && !w.byHand[child] {
			w.t.Fatalf("%v: %q is told to stop while %q has not", w.now, child, id)
		}
	}
}

func (w *supervisorWorld) exit(id string, reason ExitReason) {
	run := w.alive[id]
	_, told := w.told[id]
	delete(w.alive, id)
	delete(w.told, id)
	w.byHand[id] = false
	gaveUp := w.gaveUp
	out := w.s.Exited(w.now, id, run, reason)
	if w.c.Strategy == OneForOne && !told && !gaveUp {
		w.count(id, reason, out.GaveUp)
	}
	w.take(out)
	w.take(w.s.Exited(w.now, id, run, ExitCrash)) // said twice
}

// count decides for OneForOne, on its own, whether the supervisor has to give up.
func (w *supervisorWorld) count(id string, reason ExitReason, gaveUp bool) {
	restart := map[byte]Restart{'p': Permanent, 't': Transient, 'x': Temporary}[id[0]]
	if restart == Temporary || restart == Transient && reason != ExitCrash {
		if gaveUp {
			w.t.Fatalf("%v: gave up at the exit of %q", w.now, id)
		}
		return
	}
	w.restarts = append(w.restarts, w.now)
	within := 0
	for _, at := range w.restarts {
		if at >= w.now-w.c.Period {
			within++
		}
	}
	if gaveUp != (within > w.c.Intensity) {
		w.t.Fatalf("%v: %d restarts within %v, gave up: %t", w.now, within, w.c.Period, gaveUp)
	}
}

func (w *supervisorWorld) step() {
	id := rapid.SampledFrom(w.ids).Draw(w.t, "child")
	switch rapid.IntRange(0, 11).Draw(w.t, "what") {
	case 0, 1, 2, 3:
		if _, alive := w.alive[id]; alive {
			w.exit(id, rapid.SampledFrom([]ExitReason{ExitNormal, ExitShutdown, ExitCrash, ExitCrash}).Draw(w.t, "reason"))
		}
	case 4, 5, 6:
		w.obey()
	case 7, 8:
		w.now += rapid.SampledFrom([]time.Duration{1, time.Second, 5 * time.Second}).Draw(w.t, "time")
		w.take(w.s.Tick(w.now))
	case 9:
		w.toNext()
	case 10:
		if _, told := w.told[id]; !told {
			w.byHand[id] = true
		}
		w.idle[id] = true
		out, _ := w.s.StopChild(w.now, id)
		w.take(out)
	case 11:
		out, _ := w.s.RestartChild(w.now, id)
		w.take(out)
	}
}

func (w *supervisorWorld) obey() bool {
	for _, id := range w.ids {
		if _, told := w.told[id]; told {
			w.exit(id, ExitShutdown)
			return true
		}
	}
	return false
}

// toNext lets the time come that the supervisor waits for.
func (w *supervisorWorld) toNext() bool {
	at, ok := w.s.Next()
	if ok {
		w.now = max(w.now, at)
		w.take(w.s.Tick(w.now))
		if again, ok := w.s.Next(); ok && again <= w.now {
			w.t.Fatalf("at %v the next tick is at %v, again", w.now, again)
		}
	}
	return ok
}

func superviseAtRandom(t *rapid.T) {
	w := &supervisorWorld{t: t, alive: make(map[string]uint64), told: make(map[string]OrderKind), byHand: make(map[string]bool),
		idle: make(map[string]bool)}
	w.c = SupervisorConfig{Strategy: Strategy(rapid.IntRange(0, 2).Draw(t, "strategy")), Intensity: rapid.IntRange(1, 6).Draw(t, "intensity"),
		Period: 5 * time.Second, Rand: rand.New(rand.NewPCG(1, 1))}
	w.c.Backoff = rapid.SampledFrom([]Backoff{{}, {Initial: time.Second}, {Initial: 1, Factor: 10, Max: time.Second, JitterPercent: 30}}).Draw(t, "backoff")
	for i, kind := range rapid.SliceOfN(rapid.SampledFrom([]string{"p", "p", "t", "x"}), 1, 5).Draw(t, "children") {
		id := kind + fmt.Sprint(i)
		w.ids = append(w.ids, id)
		w.c.Children = append(w.c.Children, ChildSpec{ID: id, Restart: map[string]Restart{"p": Permanent, "t": Transient, "x": Temporary}[kind],
			Shutdown: rapid.SampledFrom([]time.Duration{0, time.Second, BrutalKill, Infinity}).Draw(t, "shutdown")})
	}
	s, err := NewSupervisor(w.c)
	if err != nil {
		t.Fatal(err)
	}
	w.s = s
	w.take(s.Start(0))
	for range rapid.IntRange(0, 60).Draw(t, "steps") {
		w.step()
	}
	w.calm()
}

// calm: when everybody obeys and time goes on, all permanent children run, unless somebody
// has stopped them or the supervisor has ended; and Stop always ends it.
func (w *supervisorWorld) calm() {
	for n := 0; w.obey() || w.toNext(); n++ {
		if n > 1000 {
			w.t.Fatalf("it never comes to rest: %+v", w.s.Children())
		}
	}
	for _, id := range w.ids {
		if _, alive := w.alive[id]; !alive && id[0] == 'p' && !w.ended && !w.idle[id] {
			w.t.Fatalf("%v: %q does not run: %+v", w.now, id, w.s.Children())
		}
	}
	if (w.gaveUp || w.s.end != EndNot) && !w.ended {
		w.t.Fatalf("it gave up and has not ended: %+v", w.s.Children())
	}
	w.take(w.s.Stop(w.now))
	for w.obey() {
	}
	if !w.ended {
		w.t.Fatalf("it was stopped and has not ended: %+v", w.s.Children())
	}
}

func TestASupervisorAmongChildrenThatDoWhatTheyLike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { superviseAtRandom(t) })
}
