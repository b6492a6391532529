package mesos

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	agentSeed  = flag.Uint64("agentseed", 0, "run only this seed of the agent's world, with its log")
	agentSeeds = flag.Uint64("agentseeds", 60, "how many seeds of the agent's world")
)

// step lets one thing happen.
func (w *agentWorld) step() {
	w.now += time.Duration(w.rng.Int64N(int64(400 * time.Millisecond)))
	switch n := w.rng.IntN(100); {
	case n < 22:
		w.deliver()
	case n < 42:
		w.run()
	case n < 60 && len(w.order) > 0:
		w.proceed(w.order[max(0, len(w.order)-1-w.rng.IntN(8))])
	case n < 70:
		w.toTheMaster()
	case n < 74:
		if w.scheduler.waiting() < 5 || w.rng.IntN(6) == 0 {
			w.master.launch()
		}
	case n < 78:
		w.master.pingAgent()
	case n < 80:
		if !w.linked {
			w.connect()
		}
	default:
		if w.rng.IntN(w.mild) == 0 {
			w.mischief(n - 80)
		}
	}
	if w.agent == nil && w.rng.IntN(8) == 0 {
		w.startAgent()
	}
}

// mischief is what does not happen once it is calm.
func (w *agentWorld) mischief(n int) {
	var shim *fakeShim
	if len(w.order) > 0 {
		shim = w.order[max(0, len(w.order)-1-w.rng.IntN(6))]
	}
	switch {
	case n == 0 && w.agent != nil:
		w.killAgent()
	case n == 1 && shim != nil:
		w.killShim(shim)
	case n == 2 && w.rng.IntN(12) == 0:
		w.reboot()
	case n == 3 && w.rng.IntN(2) == 0:
		w.elect()
	case n == 4 && w.rng.IntN(3) == 0:
		w.disconnect()
	case n < 8 && len(w.past) > 0: // something old comes again
		w.toAgent = append(w.toAgent, w.past[w.rng.IntN(len(w.past))])
	case n == 8 && shim != nil && w.agent != nil && shim.watched:
		w.look(shim.id)
	case n == 9:
		w.now += time.Duration(w.rng.Int64N(int64(30 * time.Second)))
	case n == 10 && w.rng.IntN(60) == 0:
		w.now += time.Duration(w.rng.Int64N(int64(5 * time.Minute)))
	case n == 11 && shim != nil:
		w.master.send(Kill{Term: w.master.term, Task: shim.key})
	case n == 12 && !w.scheduler.removed && w.rng.IntN(100) == 0:
		w.scheduler.removed = true
		w.master.send(ShutdownFramework{Term: w.master.term, Framework: "g"})
	}
}

// deliver gives the agent a message of those that are on their way, mostly the first.
func (w *agentWorld) deliver() {
	if len(w.toAgent) == 0 {
		return
	}
	i := 0
	if w.chance(20) {
		i = w.rng.IntN(len(w.toAgent))
	}
	m := w.toAgent[i]
	if !w.chance(8) { // otherwise it comes again
		w.toAgent = append(w.toAgent[:i:i], w.toAgent[i+1:]...)
	}
	if w.agent == nil || w.chance(5) {
		return
	}
	w.inputs = append(w.inputs, func() { w.note("step %T %+v", m, m); w.agent.Step(m) })
}

func (w *agentWorld) toTheMaster() {
	if len(w.toMaster) == 0 {
		return
	}
	i := 0
	if w.chance(20) {
		i = w.rng.IntN(len(w.toMaster))
	}
	m := w.toMaster[i]
	if !w.chance(8) {
		w.toMaster = append(w.toMaster[:i:i], w.toMaster[i+1:]...)
	}
	if !w.chance(5) {
		w.master.step(m)
	}
}

// settle lets the world come to rest: everything is delivered, and every task ends.
func (w *agentWorld) settle() {
	w.calm = true
	for round := range 60 {
		for range 100 {
			w.quietStep()
		}
		w.now += 12 * time.Second
		w.master.pingAgent()
		if round%10 == 5 { // what was lost on the link before is asked for on the next
			w.connect()
		}
		for _, s := range w.order {
			if round == 20 && s.forever {
				s.forever = false
			}
		}
		if round > 27 && w.agent != nil && w.agent.Registered() && len(w.agent.Tasks()) == 0 && len(w.toAgent)+len(w.toMaster)+len(w.inputs) == 0 {
			break
		}
	}
	w.checkRest()
}

func (w *agentWorld) quietStep() {
	w.now += 10 * time.Millisecond
	if w.agent == nil {
		w.startAgent()
	}
	if !w.linked {
		w.connect()
	}
	for _, s := range w.order {
		if !s.forgotten || s.forked {
			w.proceed(s)
		}
	}
	w.deliver()
	w.run()
	w.toTheMaster()
}

func (w *agentWorld) checkRest() {
	for _, t := range w.agent.Tasks() {
		w.fail("task %v is left: %+v", t.Key, t)
	}
	for _, s := range w.order {
		t := w.scheduler.seen[s.id]
		if s.running || s.forked && !s.forgotten {
			w.fail("container %v lives on", s.id)
		}
		if w.scheduler.deaf(s.key) {
			continue
		}
		if ends := t.ends + map[bool]int{true: 1}[t.gone]; ends != 1 {
			w.fail("container %v of task %v has come to %d ends", s.id, s.key, ends)
		}
		if s.executions > 0 && !s.forgotten {
			w.fail("container %v is done and not forgotten", s.id)
		}
	}
}

func runAgentWorld(seed uint64, steps int) *agentWorld {
	w := newAgentWorld(seed)
	w.startAgent()
	for i := 0; i < steps && len(w.broken) == 0; i++ {
		w.step()
	}
	if len(w.broken) == 0 {
		w.settle()
	}
	return w
}

// Sections 5.2 and 7.1: no container twice, each task one end, updates in order, whatever
// dies wherever.
func TestAgentWorldKeepsItsPromises(t *testing.T) {
	first, last := uint64(1), *agentSeeds
	if *agentSeed != 0 {
		first, last = *agentSeed, *agentSeed
	}
	launched, executed, starts, boots := 0, 0, 0, 0
	states := map[TaskState]int{}
	for seed := first; seed <= last; seed++ {
		w := runAgentWorld(seed, 1500)
		if len(w.broken) > 0 {
			if *agentSeed != 0 {
				t.Log(strings.Join(w.log, "\n"))
			}
			t.Fatalf("seed %d (go test -run TestAgentWorld -agentseed %d): %s", seed, seed, strings.Join(w.broken, "\n"))
		}
		for _, s := range w.order {
			launched++
			executed += s.executions
			for _, u := range w.scheduler.seen[s.id].states {
				states[u.State]++
			}
			if w.scheduler.seen[s.id].gone {
				states[Gone]++
			}
		}
		starts, boots = starts+w.starts, boots+w.boot
	}
	summary := fmt.Sprintf("%d launched, %d executed, %d starts of the agent, %d boots, %v", launched, executed, starts, boots, states)
	t.Log(summary)
	if *agentSeed == 0 && *agentSeeds >= 50 {
		for _, s := range []TaskState{Running, Killing, Finished, Failed, Killed, Dropped, Gone} {
			if states[s] == 0 {
				t.Errorf("no task came to %v: %s", s, summary)
			}
		}
	}
}
