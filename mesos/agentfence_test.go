package mesos

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// fencedHost launches a task that may run for five minutes without a master.
func fencedHost(t *testing.T) *agentHost {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	l := h.launchOf("t", 1)
	l.Task.StopAfter, l.Task.KillGrace = 5*time.Minute, 10*time.Second
	h.step(l)
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	h.launch("u", 2)
	return h
}

// stopped lets time pass until something is stopped, and returns when.
func (h *agentHost) stopped(most time.Duration) (StopContainer, time.Duration) {
	from := h.now
	for h.now-from < most {
		h.now += time.Second
		if out := h.output(); len(out.Stop) > 0 {
			return out.Stop[0], h.now - from
		}
	}
	return StopContainer{}, 0
}

func TestATaskIsStoppedThatIsTooLongWithoutAMaster(t *testing.T) { // section 5.2, stop_after_disconnect
	h := fencedHost(t)
	from := h.now
	h.agent.Disconnected()
	if at, ok := h.agent.Next(); !ok || at > from+290*time.Second {
		t.Fatalf("waits until %v, %v", at, ok)
	}
	stop, after := h.stopped(time.Hour)
	if stop.Container != containerNo(1) || stop.Grace > 10*time.Second || after+stop.Grace > 5*time.Minute || after < 280*time.Second {
		t.Fatalf("%+v after %v", stop, after)
	}
	if second, _ := h.stopped(time.Hour); second.Container != (ContainerID{}) {
		t.Fatalf("%+v", second)
	}
	h.mustBe(1, Killing, ReasonAgentDisconnected)
	h.event(1, ContainerEvent{Kind: ContainerExited})
	h.mustBe(1, Killed, ReasonAgentDisconnected)
	if h.last(2).State.Terminal() {
		t.Fatal("a task that may run for ever was stopped")
	}
}

func TestAsGoodAsForEverIsNotOver(t *testing.T) {
	h := newAgentHost(t, AgentConfig{})
	h.register()
	l := h.launchOf("t", 1)
	l.Task.StopAfter = math.MaxInt64
	h.step(l)
	h.event(1, ContainerEvent{Kind: ContainerStarted})
	h.agent.Disconnected()
	if stop, after := h.stopped(time.Hour); after != 0 {
		t.Fatalf("%+v after %v", stop, after)
	}
	h.mustBe(1, Running, ReasonNone)
}

func TestThatNoPongWasHeardIsNoSignOfLife(t *testing.T) {
	h := fencedHost(t)
	met := h.agent.link.met
	for n := range uint64(3) {
		h.now += 15 * time.Second
		h.step(Ping{Term: 3, Sequence: n, Heard: 0, Connected: true})
	}
	if h.agent.link.met != met {
		t.Fatalf("the master is said to have heard the agent at %v, after %v", h.agent.link.met, met)
	}
}

func TestASleepingMachineStopsTheTaskWhenItWakes(t *testing.T) {
	h := fencedHost(t)
	h.now += 8 * time.Hour
	out := h.output()
	if len(out.Stop) != 1 || out.Stop[0].Grace != 0 {
		t.Fatalf("%+v", out)
	}
}

func TestAMasterThatHearsTheAgentKeepsTheTaskRunning(t *testing.T) {
	h := fencedHost(t)
	for n := uint64(1); n < 100; n++ {
		h.now += 15 * time.Second
		if out := h.step(Ping{Term: 3, Sequence: n, Heard: n - 1, Connected: true}); len(out.Stop) > 0 {
			t.Fatalf("after %d pings: %+v", n, out)
		}
	}
}

// A cut of the way back: pings come, but nobody hears the agent.
func TestAMasterThatDoesNotHearTheAgentIsNone(t *testing.T) {
	for _, connected := range []bool{true, false} {
		h := fencedHost(t)
		stopped := time.Duration(0)
		from := h.now
		for n := uint64(1); n < 100 && stopped == 0; n++ {
			h.now += 15 * time.Second
			if out := h.step(Ping{Term: 3, Sequence: n, Heard: 0, Connected: connected}); len(out.Stop) > 0 {
				stopped = h.now
			}
		}
		if stopped == 0 || stopped-from > 5*time.Minute {
			t.Fatalf("stopped after %v", stopped-from)
		}
	}
}

func TestARestartDoesNotGiveTheTaskMoreTime(t *testing.T) {
	h := fencedHost(t)
	from := h.now
	for range 4 {
		h.now += time.Minute
		h.restart(AgentConfig{})
		h.agent.Observed(ObservedContainer{containerNo(1), Facts{Started: true, ShimAlive: true}})
		h.agent.Observed(ObservedContainer{containerNo(2), Facts{Started: true, ShimAlive: true}})
		if out := h.output(); len(out.Stop) > 0 {
			t.Fatalf("stopped after %v", h.now-from)
		}
	}
	stop, after := h.stopped(time.Hour)
	if stop.Container != containerNo(1) || after > time.Minute {
		t.Fatalf("%+v after %v more", stop, after)
	}
}

// The time without a master is known after a restart though it is not saved for each ping.
func TestAContactIsSavedNowAndThen(t *testing.T) {
	h := fencedHost(t)
	saved := len(h.saved)
	for n := uint64(1); n <= 80; n++ { // twenty minutes
		h.now += 15 * time.Second
		h.step(Ping{Term: 3, Sequence: n, Heard: n - 1, Connected: true})
	}
	if n := len(h.saved) - saved; n < 20 || n > 34 {
		t.Fatalf("%d contacts were saved in 20 minutes, of a task that may be without for 5", n)
	}
	h.restart(AgentConfig{})
	if late := h.now - h.agent.link.met; late > 5*time.Minute/8+30*time.Second {
		t.Fatalf("the last contact known is %v ago", late)
	}
	last := h.saved
	h.restart(AgentConfig{Boot: "later"})
	if h.agent.link.met != h.now {
		t.Fatalf("a time of another boot counts: %v at %v", h.agent.link.met, h.now)
	}
	h.saved = last
}

// Fencing, with a network that delays and cuts either way: before a master can have given
// the agent up for StopAfter, the task is dead.
func TestATaskIsDeadBeforeItsReplacement(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		h := fencedHost(t)
		const stopAfter = 5 * time.Minute
		type letter struct {
			at time.Duration
			m  any
		}
		var there, back []letter
		heard, sequence, highest := h.now, uint64(0), uint64(0)
		cutThere, cutBack := h.now+time.Duration(rng.IntN(1200))*time.Second, h.now+time.Duration(rng.IntN(1200))*time.Second
		delay := time.Duration(1+rng.IntN(60)) * time.Second
		dead := time.Duration(0)
		take := func(box *[]letter) (m any) {
			for i, l := range *box {
				if l.at <= h.now {
					*box = append((*box)[:i:i], (*box)[i+1:]...)
					return l.m
				}
			}
			return nil
		}
		for end := h.now + time.Hour; h.now < end && dead == 0; h.now += time.Second {
			if sequence++; sequence%15 == 0 && h.now < cutThere {
				ping := Ping{Term: 3, Sequence: sequence / 15, Heard: highest, Connected: h.now-heard < 75*time.Second}
				there = append(there, letter{h.now + time.Duration(rng.Int64N(int64(delay))), ping})
			}
			out := h.step(take(&there))
			for _, s := range out.Stop {
				dead = h.now + s.Grace
			}
			for _, m := range out.Send {
				if _, ok := m.(Pong); ok && h.now < cutBack {
					back = append(back, letter{h.now + time.Duration(rng.Int64N(int64(delay))), m})
				}
			}
			if p, ok := take(&back).(Pong); ok {
				heard, highest = h.now, max(highest, p.Sequence)
			}
		}
		if dead == 0 || dead > heard+stopAfter {
			t.Fatalf("seed %d: dead at %v, heard the last time at %v, to be replaced after %v", seed, dead, heard, stopAfter)
		}
	}
}
