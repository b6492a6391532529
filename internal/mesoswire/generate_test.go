package mesoswire

import (
	"math"
	"time"

	"pgregory.net/rapid"

	"github.com/synod-go/synod/mesos"
)

// gen draws values of every kind that package mesos has.
type gen struct{ *rapid.T }

func (g gen) text() string   { return rapid.StringN(0, 6, 20).Draw(g.T, "text") }
func (g gen) name() string   { return rapid.StringMatching(`[a-z0-9.-]{1,12}`).Draw(g.T, "name") }
func (g gen) number() uint64 { return rapid.Uint64().Draw(g.T, "number") }
func (g gen) truth() bool    { return rapid.Bool().Draw(g.T, "truth") }
func (g gen) upTo(n int) int { return rapid.IntRange(0, n).Draw(g.T, "upTo") }
func (g gen) id() (id [16]byte) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(g.T, "id"))
	return id
}
func (g gen) agent() mesos.AgentID { return mesos.AgentID(g.name()) }
func (g gen) key() mesos.TaskKey {
	return mesos.TaskKey{Framework: mesos.FrameworkID(g.name()), Task: mesos.TaskID(g.name())}
}

// time is any that is not negative, to the nanosecond.
func (g gen) time() time.Duration {
	return time.Duration(rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, math.MaxInt64)).Draw(g.T, "time"))
}

// short is one that seconds as a double tell exactly.
func (g gen) short() time.Duration {
	return time.Duration(rapid.Int64Range(0, int64(26*24*time.Hour)).Draw(g.T, "short"))
}

func list[E any](g gen, most int, one func() E) (out []E) {
	for range g.upTo(most) {
		out = append(out, one())
	}
	return out
}

func (g gen) labels() map[string]string {
	if g.upTo(2) == 0 {
		return nil
	}
	out := map[string]string{g.text(): g.text()}
	for range g.upTo(2) {
		out[g.text()] = g.text()
	}
	return out
}

func (g gen) resources() mesos.Resources {
	all := list(g, 4, func() mesos.Resource {
		r := mesos.Resource{Name: g.name(), Kind: rapid.SampledFrom([]mesos.Kind{mesos.ScalarKind, mesos.RangesKind, mesos.SetKind}).Draw(g.T, "kind")}
		if g.truth() {
			r.Role = g.name()
		}
		switch r.Kind {
		case mesos.ScalarKind:
			r.Scalar = mesos.Milli(g.time())
		case mesos.RangesKind:
			r.Ranges = list(g, 3, func() mesos.Range {
				begin := g.number()
				return mesos.Range{Begin: begin, End: rapid.Uint64Range(begin, math.MaxUint64).Draw(g.T, "end")}
			})
		case mesos.SetKind:
			r.Set = list(g, 3, g.name)
		}
		return r
	})
	out, err := mesos.NewResources(all...)
	if err != nil {
		g.Fatal(err)
	}
	return out
}

func (g gen) framework() mesos.FrameworkInfo {
	return mesos.FrameworkInfo{ID: mesos.FrameworkID(g.name()), Name: g.text(), User: g.text(), Principal: g.text(), Hostname: g.text(),
		Roles: list(g, 2, g.name), FailoverTimeout: g.time(), Labels: g.labels()}
}

func (g gen) agentInfo() mesos.AgentInfo {
	out := mesos.AgentInfo{Hostname: g.text(), Address: g.text(), Resources: g.resources(), Attributes: g.labels()}
	if g.truth() {
		out.ID = g.agent()
	}
	return out
}

func (g gen) command() mesos.Command {
	return mesos.Command{Value: g.text(), Shell: g.truth(), Arguments: list(g, 2, g.text), Environment: g.labels(), User: g.text(),
		URIs: list(g, 2, func() mesos.URI {
			return mesos.URI{Value: g.text(), SHA256: g.text(), Output: g.text(), Executable: g.truth(), Extract: g.truth()}
		})}
}

func (g gen) health() *mesos.HealthCheck {
	out := &mesos.HealthCheck{Kind: mesos.HealthKind(1 + g.upTo(2)), Delay: g.short(), Interval: g.short(), Timeout: g.short(),
		Grace: g.short(), Failures: g.upTo(5)}
	switch out.Kind {
	case mesos.HealthCommand:
		out.Command = g.command()
	case mesos.HealthHTTP:
		out.Port, out.Path = uint16(1+g.upTo(65534)), g.text()
	case mesos.HealthTCP:
		out.Port = uint16(1 + g.upTo(65534))
	}
	return out
}

func (g gen) taskInfo() mesos.TaskInfo {
	out := mesos.TaskInfo{ID: mesos.TaskID(g.name()), Name: g.text(), Agent: g.agent(), Resources: g.resources(), Role: g.text(),
		Command: g.command(), KillGrace: g.time(), StopAfter: g.time(), Labels: g.labels()}
	if g.truth() {
		out.Health = g.health()
	}
	if g.truth() {
		out.Docker = g.docker()
	}
	if g.truth() {
		out.Data = rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(g.T, "data")
	}
	return out
}

// docker draws no empty network, which is read as the bridge that it is.
func (g gen) docker() *mesos.Docker {
	network := rapid.OneOf(rapid.SampledFrom([]string{"bridge", "host", "none"}), rapid.StringMatching(`[a-z]{1,8}`)).Draw(g.T, "network")
	return &mesos.Docker{Image: g.name(), Load: g.text(), ForcePull: g.truth(), Network: network, ReadOnly: g.truth(),
		Ports: list(g, 2, func() mesos.PortMapping {
			return mesos.PortMapping{Host: uint16(1 + g.upTo(65534)), Container: uint16(1 + g.upTo(65534)), Protocol: g.text()}
		}),
		Mounts: list(g, 3, func() mesos.Mount {
			out := mesos.Mount{Target: g.name(), ReadOnly: g.truth()}
			switch g.upTo(2) {
			case 0:
				out.Volume = g.name()
			case 1:
				out.Path = g.name()
			default:
				out.Temporary = true
			}
			return out
		})}
}

func (g gen) state() mesos.TaskState { return mesos.TaskState(g.upTo(13)) }

func (g gen) status() mesos.TaskStatus {
	out := mesos.TaskStatus{Task: g.key(), Agent: g.agent(), Container: g.id(), State: g.state(), Reason: mesos.ReasonNone,
		Source: mesos.Source(g.upTo(2)), Message: g.text(), ID: g.id(), Time: g.time(), Health: mesos.Health(g.upTo(2)), UnreachableSince: g.time()}
	if g.truth() {
		out.Reason = mesos.Reason(g.upTo(34))
	}
	if g.truth() {
		out.HasExit = true
		out.ExitCode = int(rapid.Int32().Draw(g.T, "code"))
		out.Signal = int(rapid.Int32().Draw(g.T, "signal"))
	}
	return out
}

func (g gen) task() mesos.Task {
	return mesos.Task{Key: g.key(), Name: g.text(), Agent: g.agent(), Container: g.id(), Term: mesos.Term(g.number()), Sequence: g.number(),
		Resources: g.resources(), Role: g.text(), KillGrace: g.time(), StopAfter: g.time(), Labels: g.labels(),
		State: g.state(), Acknowledging: g.state(), AcknowledgingID: g.id(), Health: mesos.Health(g.upTo(2))}
}

func (g gen) refuse() time.Duration {
	return rapid.OneOf(rapid.Just(defaultRefuse), rapid.Just(maxRefuse), rapid.Map(rapid.Int64Range(0, int64(26*24*time.Hour)),
		func(n int64) time.Duration { return time.Duration(n) })).Draw(g.T, "refuse")
}

func (g gen) offers() []mesos.OfferID {
	return list(g, 3, func() mesos.OfferID { return mesos.OfferID(g.name()) })
}

func (g gen) optionalAgent() mesos.AgentID {
	if g.truth() {
		return ""
	}
	return g.agent()
}

// message draws one of mesos/protocol.go.
func (g gen) message() any {
	term := mesos.Term(g.number())
	switch g.upTo(9) {
	case 0:
		return mesos.Register{Info: g.agentInfo(), Boot: g.text(), Attempt: rapid.Uint64Min(1).Draw(g.T, "attempt"), Sequence: g.number(),
			Term: term, Frameworks: list(g, 2, g.framework), Tasks: list(g, 3, g.task)}
	case 1:
		return mesos.Registered{Agent: g.agent(), Term: term, Attempt: g.number(), Missing: list(g, 2, g.task),
			Removed: list(g, 2, func() mesos.FrameworkID { return mesos.FrameworkID(g.name()) })}
	case 2:
		return mesos.Shutdown{Agent: g.agent(), Term: term, Reason: g.text()}
	case 3:
		return mesos.Ping{Term: term, Sequence: g.number(), Heard: g.number(), Connected: g.truth()}
	case 4:
		return mesos.Pong{Agent: g.agent(), Term: term, Sequence: g.number()}
	case 5:
		return mesos.Launch{Term: term, Sequence: g.number(), Framework: g.framework(), Task: g.taskInfo(), Container: g.id()}
	case 6:
		return mesos.Kill{Term: term, Task: g.key(), Grace: g.time()}
	case 7:
		return mesos.ShutdownFramework{Term: term, Framework: mesos.FrameworkID(g.name())}
	case 8:
		return mesos.StatusUpdate{Status: g.status(), Latest: g.state()}
	default:
		return mesos.Acknowledge{Term: term, Task: g.key(), ID: g.id()}
	}
}

// call draws one of mesos/calls.go.
func (g gen) call() mesos.Call {
	out := mesos.Call{Framework: mesos.FrameworkID(g.name())}
	switch g.upTo(8) {
	case 0:
		info := g.framework()
		if g.truth() {
			info.ID = ""
		}
		return mesos.Call{Body: mesos.SubscribeCall{Info: info}}
	case 1:
		out.Body = mesos.TeardownCall{}
	case 2:
		out.Body = mesos.AcceptCall{Offers: g.offers(), Launch: list(g, 2, g.taskInfo), Refuse: g.refuse()}
	case 3:
		out.Body = mesos.DeclineCall{Offers: g.offers(), Refuse: g.refuse()}
	case 4:
		out.Body = mesos.ReviveCall{Roles: list(g, 2, g.name)}
	case 5:
		out.Body = mesos.SuppressCall{Roles: list(g, 2, g.name)}
	case 6:
		out.Body = mesos.KillCall{Task: mesos.TaskID(g.name()), Agent: g.optionalAgent(), Grace: g.time()}
	case 7:
		out.Body = mesos.AcknowledgeCall{Task: mesos.TaskID(g.name()), Agent: g.agent(), ID: g.id()}
	case 8:
		out.Body = mesos.ReconcileCall{Tasks: list(g, 3, func() mesos.ReconcileTask {
			return mesos.ReconcileTask{Task: mesos.TaskID(g.name()), Agent: g.optionalAgent()}
		})}
	}
	return out
}

// event draws one of mesos/calls.go.
func (g gen) event() mesos.Event {
	switch g.upTo(6) {
	case 0:
		return mesos.SubscribedEvent{Framework: mesos.FrameworkID(g.name()), Heartbeat: g.short(), Master: g.text(),
			Address: rapid.SampledFrom([]string{"", "10.0.0.1:80", "[::1]:80", "node:80"}).Draw(g.T, "address"), Term: mesos.Term(g.number())}
	case 1:
		return mesos.OffersEvent{Offers: list(g, 3, func() mesos.OfferInfo {
			return mesos.OfferInfo{ID: mesos.OfferID(g.name()), Framework: mesos.FrameworkID(g.name()), Role: g.text(), Agent: g.agent(),
				Hostname: g.text(), Address: g.text(), Attributes: g.labels(), Resources: g.resources()}
		})}
	case 2:
		return mesos.RescindEvent{Offer: mesos.OfferID(g.name())}
	case 3:
		return mesos.UpdateEvent{Status: g.status()}
	case 4:
		return mesos.FailureEvent{Agent: g.agent()}
	case 5:
		return mesos.ErrorEvent{Message: g.text()}
	default:
		return mesos.HeartbeatEvent{}
	}
}
