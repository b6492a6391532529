package mesos

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"time"
)

// agentHost carries out what an agent says, and keeps what it has said.
type agentHost struct {
	t      hostT
	agent  *Agent
	now    time.Duration
	saved  Checkpoint
	starts int
	seeds  uint64
	told   map[ContainerID]TaskStatus // the newest sent
	sent   []any                      // of the last Output
	term   Term
}

func containerNo(n int) (c ContainerID) {
	binary.BigEndian.PutUint64(c[8:], uint64(n))
	return c
}

func newAgentHost(t hostT, c AgentConfig) *agentHost {
	h := &agentHost{t: t, now: time.Hour, told: map[ContainerID]TaskStatus{}, term: 3}
	h.restart(c)
	return h
}

// restart starts the agent anew from what it has saved.
func (h *agentHost) restart(c AgentConfig) {
	h.t.Helper()
	total, err := ParseResources("cpus:4;mem:1024")
	if err != nil {
		h.t.Fatal(err)
	}
	h.seeds++
	c.Info = AgentInfo{Hostname: "host", Address: "host:1", Resources: total}
	c.Rand = rand.New(rand.NewPCG(h.seeds, 2))
	if c.Boot == "" {
		c.Boot = "boot"
	}
	if h.agent, err = NewAgent(c, h.saved, h.now); err != nil {
		h.t.Fatal(err)
	}
}

func (h *agentHost) output() Output {
	h.agent.Tick(h.now, 1000*time.Hour+h.now)
	out := h.agent.Output()
	h.saved = append(h.saved, out.Save...)
	h.starts += len(out.Start)
	h.sent = out.Send
	for _, m := range out.Send {
		if u, ok := m.(StatusUpdate); ok {
			h.told[u.Status.Container] = u.Status
		}
	}
	return out
}

func (h *agentHost) step(m any) Output {
	h.agent.Tick(h.now, 1000*time.Hour+h.now)
	h.agent.Step(m)
	return h.output()
}

func (h *agentHost) event(n int, e ContainerEvent) Output {
	h.agent.Tick(h.now, 1000*time.Hour+h.now)
	e.Container = containerNo(n)
	h.agent.Event(e)
	return h.output()
}

// next lets time pass until the agent has something to do.
func (h *agentHost) next() Output {
	h.t.Helper()
	at, ok := h.agent.Next()
	if !ok {
		h.t.Fatal("the agent waits for nothing")
	}
	h.now = max(h.now, at)
	return h.output()
}

// registering lets time pass until the agent registers.
func (h *agentHost) registering() Register {
	h.t.Helper()
	for range 5 {
		if r, ok := sentBy[Register](h.next()); ok {
			return r
		}
	}
	h.t.Fatal("the agent does not register")
	return Register{}
}

// register has the agent registered with the master of h.term.
func (h *agentHost) register(missing ...Task) Output {
	h.t.Helper()
	h.agent.Tick(h.now, h.now)
	h.agent.Connected(h.term)
	h.output()
	r := h.registering()
	out := h.step(Registered{Agent: "agent", Term: h.term, Attempt: r.Attempt, Missing: missing})
	if !h.agent.Registered() {
		h.t.Fatal("not registered")
	}
	return out
}

func sentBy[M any](out Output) (found M, ok bool) {
	for _, m := range out.Send {
		if m, is := m.(M); is {
			return m, true
		}
	}
	return found, false
}

// launchOf is a Launch of a small task in container n.
func (h *agentHost) launchOf(id TaskID, n int) Launch {
	r, _ := ParseResources("cpus:1;mem:10")
	return Launch{Term: h.term, Sequence: uint64(n), Framework: FrameworkInfo{ID: "f", Name: "name"}, Container: containerNo(n),
		Task: TaskInfo{ID: id, Agent: "agent", Resources: r, Command: Command{Value: "sleep"}}}
}

func (h *agentHost) launch(id TaskID, n int) Output { return h.step(h.launchOf(id, n)) }

// last is the newest update that was made of container n.
func (h *agentHost) last(n int) TaskStatus {
	if t := h.agent.tasks[containerNo(n)]; t != nil {
		return t.status()
	}
	return h.told[containerNo(n)]
}

// acknowledge has the update acknowledged that is under way for container n.
func (h *agentHost) acknowledge(n int) Output {
	s := h.told[containerNo(n)]
	return h.step(Acknowledge{Term: h.term, Task: s.Task, ID: s.ID})
}

// finish lets container n run to its end, all of it acknowledged.
func (h *agentHost) finish(n int) Output {
	h.event(n, ContainerEvent{Kind: ContainerExited, Exit: ContainerExit{Known: true}})
	return h.acknowledge(n)
}

func (h *agentHost) mustBe(n int, state TaskState, reason Reason) {
	h.t.Helper()
	if s := h.last(n); s.State != state || s.Reason != reason {
		h.t.Fatalf("container %d is %v for %d, want %v for %d: %q", n, s.State, s.Reason, state, reason, s.Message)
	}
}

func taskNamed(id TaskID) TaskKey { return TaskKey{"f", id} }

func (h *agentHost) String() string { return fmt.Sprintf("%v %+v", h.now, h.agent.Tasks()) }

// hostT is a test of testing or of rapid.
type hostT interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}
