package mesos

import (
	"fmt"
	"math"
	"time"
)

// Agent is what runs tasks on one machine, without a clock, a disk, a network or a process:
// it takes what has happened and says what is to be done. It is not safe for concurrent use.
//
// All times but Unix times are those of one clock, which counts on while the machine is
// suspended and is the same for all processes of a boot (CLOCK_BOOTTIME).
type Agent struct {
	cfg AgentConfig
	*ledger

	now, unix time.Duration
	out       Output

	// recovering until each container of before was looked at. Until then nothing is sent or
	// started. rebooted says that they are of another boot.
	recovering, rebooted bool
	// leaving: a master has said not to come back.
	leaving bool
	// killed are tasks whose Kill came before their Launch.
	killed map[TaskKey]struct{}
	kills  []TaskKey // killed, as they came

	link link
}

// NewAgent returns the agent that goes on from what it has saved. It returns a
// *CheckpointError or *ResourcesError if it cannot, or an error of the config. The host then
// has Unobserved looked at, and carries out Output.
func NewAgent(c AgentConfig, saved Checkpoint, now time.Duration) (*Agent, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	a := &Agent{cfg: c, ledger: newLedger(c.MaxDone), now: now, recovering: true, killed: map[TaskKey]struct{}{}}
	if err := a.read(saved); err != nil {
		return nil, err
	}
	a.rebooted = a.agent.ID != "" && a.boot != c.Boot
	var used Resources
	for _, t := range a.order {
		t.observed = t.State.Terminal()
		if t.State == Running || t.State == Killing {
			used = used.Add(t.Resources)
		}
	}
	if c.Recover == Reconnect && !a.rebooted && !c.Info.Resources.Contains(used) {
		return nil, &ResourcesError{Have: c.Info.Resources, Used: used}
	}
	a.link.met = now
	if a.contactBoot == c.Boot && a.contact < now {
		a.link.met = a.contact
	}
	a.out.Forget = append(a.out.Forget, a.doneOrder...)
	a.recovered()
	return a, nil
}

// Tick sets the clocks: now as NewAgent's, and Unix time. The host calls it at the start of
// each batch of inputs and when Next has come. A now before the last one is taken for that.
func (a *Agent) Tick(now, unix time.Duration) {
	a.now, a.unix = max(a.now, now), unix
}

// Output returns what is to be done since the last call, and does first what is due.
func (a *Agent) Output() Output {
	a.recovered()
	a.fence()
	a.retry()
	a.detect()
	a.register()
	out := a.out
	a.out = Output{}
	return out
}

// Next returns when Output is to be called if nothing happens before. It knows what the
// last Output has left.
func (a *Agent) Next() (at time.Duration, ok bool) {
	at = math.MaxInt64
	if a.mayRegister() {
		at = min(at, a.link.registerAt)
	}
	if a.link.connected {
		at = min(at, a.link.heard+a.cfg.PingTimeout)
	}
	for _, t := range a.order {
		if a.mayTell() && len(t.pending) > 0 {
			at = min(at, t.stream.due)
		}
		if t.StopAfter > 0 && !t.State.Terminal() && !t.fenced {
			at = min(at, a.stopAt(t))
		}
	}
	return at, at != math.MaxInt64
}

// Step takes one message of a master. Malformed and stale ones change nothing.
func (a *Agent) Step(message any) {
	switch m := message.(type) {
	case Registered:
		if a.admit(m.Term) {
			a.onRegistered(m)
		}
	case Ping:
		if a.admit(m.Term) {
			a.onPing(m)
		}
	case Launch:
		if a.admit(m.Term) {
			a.onLaunch(m)
		}
	case Kill:
		if a.admit(m.Term) {
			a.onKill(m)
		}
	case Acknowledge:
		if a.admit(m.Term) {
			a.onAcknowledge(m)
		}
	case ShutdownFramework:
		if a.admit(m.Term) {
			a.shutdownFramework(m.Framework)
		}
	case Shutdown:
		if a.admit(m.Term) {
			a.onShutdown(m)
		}
	}
}

// admit refuses what a master of the past says.
func (a *Agent) admit(t Term) bool {
	if t == 0 || t < a.term {
		return false
	}
	a.raise(t)
	return true
}

// raise notes a later master, at which the agent is not registered.
func (a *Agent) raise(t Term) {
	if t <= a.term {
		return
	}
	a.save(Record{Kind: RecordTerm, Term: t})
	a.link.pongs = nil
	if a.link.registered {
		a.registerAnew()
	}
}

// save writes a record and does what it says: the state is what the records say.
func (a *Agent) save(r Record) {
	if reason := a.apply(r); reason != "" {
		panic(fmt.Sprintf("mesos: agent %q in term %d would save %+v: %s", a.agent.ID, a.term, r, reason))
	}
	a.out.Save = append(a.out.Save, r)
}

// Checkpoint returns the fewest records that say what all that were saved say: what the file
// may be replaced by once it is long, when the last Output has been carried out. It panics if
// there are records that no Output has handed out: the file would get those a second time.
func (a *Agent) Checkpoint() Checkpoint {
	if n := len(a.out.Save); n > 0 {
		panic(fmt.Sprintf("mesos: agent %q in term %d: a checkpoint is taken before %d records of the next Output, of which the first is %+v",
			a.agent.ID, a.term, n, a.out.Save[0]))
	}
	return a.records()
}

// ID is the agent's, empty until it was registered for the first time.
func (a *Agent) ID() AgentID { return a.agent.ID }

// Term is the highest the agent has seen.
func (a *Agent) Term() Term { return a.term }

// Registered reports whether a master has admitted the agent and is heard.
func (a *Agent) Registered() bool { return a.link.registered }

// Tasks are those that are not done, in the order of their launches.
func (a *Agent) Tasks() []Task {
	tasks := make([]Task, 0, len(a.order))
	for _, t := range a.order {
		tasks = append(tasks, t.described())
	}
	return tasks
}

// Unobserved are the containers that a recovery waits for. The host looks at each and tells
// by Observed.
func (a *Agent) Unobserved() []ContainerID {
	var c []ContainerID
	for _, t := range a.order {
		if !t.observed {
			c = append(c, t.Container)
		}
	}
	return c
}

// CleanedUp reports whether an agent in mode Cleanup has nothing more to do.
func (a *Agent) CleanedUp() bool { return a.cfg.Recover == Cleanup && !a.recovering && a.quiet() }

// Retired reports whether a master has said not to come back and all tasks have ended. Then
// the host moves the checkpoint away and starts a new agent, which will have another ID.
func (a *Agent) Retired() bool { return a.leaving && !a.recovering && a.quiet() }

func (a *Agent) quiet() bool {
	for _, t := range a.order {
		if !t.State.Terminal() {
			return false
		}
	}
	return true
}

// left is what no task uses.
func (a *Agent) left() Resources {
	var used Resources
	for _, t := range a.order {
		if !t.State.Terminal() {
			used = used.Add(t.Resources)
		}
	}
	rest, ok := a.cfg.Info.Resources.Sub(used)
	if !ok {
		return Resources{}
	}
	return rest
}
