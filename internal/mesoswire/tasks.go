package mesoswire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

func taskToWire(t *mesos.TaskInfo) *messages.TaskInfo {
	out := &messages.TaskInfo{
		Name: proto.String(t.Name), TaskId: taskID(t.ID), AgentId: agentID(t.Agent),
		Resources: resourcesToWire(t.Resources), Role: optional(t.Role), Command: commandToWire(&t.Command),
		KillPolicy: graceToWire(t.KillGrace), StopAfter: durationToWire(t.StopAfter), Labels: labelsToWire(t.Labels),
		Container: containerToWire(t.Docker),
	}
	if len(t.Data) > 0 {
		out.Data = t.Data
	}
	if t.Health != nil {
		out.HealthCheck = healthToWire(t.Health)
	}
	return out
}

// unsupported are the fields of Mesos' TaskInfo that say how a task is to be run and that
// nothing here does: a task that has one must not be run without it.
var unsupported = map[protowire.Number]string{
	5: "executor", 13: "check", 14: "max_completion_time", 15: "limits",
}

func taskFromWire(m *messages.TaskInfo) (mesos.TaskInfo, error) {
	out := mesos.TaskInfo{
		ID: mesos.TaskID(m.GetTaskId().GetValue()), Name: m.GetName(), Agent: mesos.AgentID(m.GetAgentId().GetValue()),
		Role: m.GetRole(), Data: bytes.Clone(nonempty(m.Data)),
	}
	if m.Name == nil {
		return out, missing("name")
	}
	var wrong [10]error
	wrong[0] = present("task_id.value", out.ID)
	wrong[1] = refuseUnsupported(m.ProtoReflect().GetUnknown(), unsupported)
	wrong[2] = present("agent_id.value", out.Agent)
	out.Resources, wrong[3] = resourcesFromWire(m.Resources)
	out.KillGrace, wrong[4] = graceFromWire(m.KillPolicy)
	out.StopAfter, wrong[5] = durationFromWire("stop_after", m.StopAfter)
	out.Labels, wrong[6] = labelsFromWire(m.Labels)
	if m.Command != nil {
		out.Command, wrong[7] = commandFromWire(m.Command)
	}
	if m.HealthCheck != nil {
		out.Health, wrong[8] = healthFromWire(m.HealthCheck)
	}
	out.Docker, wrong[9] = containerFromWire(m.Container)
	return out, first(wrong[:]...)
}

// refuseUnsupported looks for one of names among the fields that are not known.
func refuseUnsupported(fields []byte, names map[protowire.Number]string) error {
	for len(fields) > 0 {
		number, _, n := protowire.ConsumeField(fields)
		if n < 0 {
			return malformed("", "has fields that cannot be read")
		}
		if name, ok := names[number]; ok {
			return malformed(name, "is not supported")
		}
		fields = fields[n:]
	}
	return nil
}

func commandToWire(c *mesos.Command) *messages.CommandInfo {
	out := &messages.CommandInfo{Value: &c.Value, Shell: &c.Shell, Arguments: c.Arguments, User: optional(c.User)}
	for i := range c.URIs {
		u := &c.URIs[i]
		out.Uris = append(out.Uris, &messages.CommandInfo_URI{Value: &u.Value, Executable: &u.Executable,
			Extract: &u.Extract, OutputFile: optional(u.Output), Sha256: optional(u.SHA256)})
	}
	if len(c.Environment) > 0 {
		out.Environment = &messages.Environment{}
		for _, name := range slices.Sorted(maps.Keys(c.Environment)) {
			out.Environment.Variables = append(out.Environment.Variables,
				&messages.Environment_Variable{Name: proto.String(name), Value: proto.String(c.Environment[name])})
		}
	}
	return out
}

func commandFromWire(m *messages.CommandInfo) (mesos.Command, error) {
	out := mesos.Command{Value: m.GetValue(), Shell: m.GetShell(), Arguments: nonempty(m.Arguments), User: m.GetUser()}
	for i, u := range m.Uris {
		if u.Value == nil {
			return out, in("command", inList("uris", i, missing("value")))
		}
		out.URIs = append(out.URIs, mesos.URI{Value: *u.Value, SHA256: u.GetSha256(), Output: u.GetOutputFile(),
			Executable: u.GetExecutable(), Extract: u.GetExtract()})
	}
	variables := m.GetEnvironment().GetVariables()
	if len(variables) == 0 {
		return out, nil
	}
	out.Environment = make(map[string]string, len(variables))
	for i, v := range variables {
		switch {
		case v.Name == nil:
			return out, in("command", inList("environment.variables", i, missing("name")))
		case v.GetType() != messages.Environment_Variable_VALUE:
			return out, in("command", inList("environment.variables", i, malformed("type", "is not VALUE, which is all that is supported")))
		case v.Value == nil:
			return out, in("command", inList("environment.variables", i, missing("value")))
		}
		out.Environment[*v.Name] = *v.Value
	}
	return out, nil
}

func healthToWire(h *mesos.HealthCheck) *messages.HealthCheck {
	out := &messages.HealthCheck{
		Type: messages.HealthCheck_Type(h.Kind).Enum(), DelaySeconds: secondsOf(h.Delay), IntervalSeconds: secondsOf(h.Interval),
		TimeoutSeconds: secondsOf(h.Timeout), GracePeriodSeconds: secondsOf(h.Grace), ConsecutiveFailures: optional(uint32(h.Failures)),
	}
	port := proto.Uint32(uint32(h.Port))
	switch h.Kind {
	case mesos.HealthCommand:
		out.Command = commandToWire(&h.Command)
	case mesos.HealthHTTP:
		out.Http = &messages.HealthCheck_HTTPCheckInfo{Port: port, Path: optional(h.Path)}
	case mesos.HealthTCP:
		out.Tcp = &messages.HealthCheck_TCPCheckInfo{Port: port}
	}
	return out
}

func healthFromWire(m *messages.HealthCheck) (*mesos.HealthCheck, error) {
	out := &mesos.HealthCheck{Failures: int(m.GetConsecutiveFailures())}
	var wrong [7]error
	out.Delay, wrong[0] = seconds("delay_seconds", m.GetDelaySeconds())
	out.Interval, wrong[1] = seconds("interval_seconds", m.GetIntervalSeconds())
	out.Timeout, wrong[2] = seconds("timeout_seconds", m.GetTimeoutSeconds())
	out.Grace, wrong[3] = seconds("grace_period_seconds", m.GetGracePeriodSeconds())
	if m.GetConsecutiveFailures() > math.MaxInt32 {
		wrong[4] = malformed("consecutive_failures", "is too large")
	}
	wrong[5] = healthKindFromWire(m, out)
	if err := first(wrong[:]...); err != nil {
		return nil, in("health_check", err)
	}
	return out, nil
}

// healthKindFromWire takes a check for a command if it does not say what it is, and has one,
// as Mesos does.
func healthKindFromWire(m *messages.HealthCheck, out *mesos.HealthCheck) (err error) {
	kind := m.GetType()
	if m.Type == nil && m.Command != nil {
		kind = messages.HealthCheck_COMMAND
	}
	switch kind {
	case messages.HealthCheck_COMMAND:
		if m.Command == nil {
			return missing("command")
		}
		out.Kind = mesos.HealthCommand
		out.Command, err = commandFromWire(m.Command)
		return err
	case messages.HealthCheck_HTTP:
		out.Kind, out.Path = mesos.HealthHTTP, m.GetHttp().GetPath()
		out.Port, err = portFromWire("http.port", m.GetHttp().GetPort())
		return err
	case messages.HealthCheck_TCP:
		out.Kind = mesos.HealthTCP
		out.Port, err = portFromWire("tcp.port", m.GetTcp().GetPort())
		return err
	default:
		return malformed("type", "is no COMMAND, HTTP or TCP")
	}
}

func portFromWire(field string, port uint32) (uint16, error) {
	if port == 0 || port > math.MaxUint16 {
		return 0, malformed(field, fmt.Sprintf("is %d, must be 1 to 65535", port))
	}
	return uint16(port), nil
}

// containerFromHex reads the digits of a container; none is the zero value.
func containerFromHex(digits string) (id mesos.ContainerID, err error) {
	if digits == "" {
		return id, nil
	}
	if len(digits) != hex.EncodedLen(len(id)) {
		return id, malformed("container_status.container_id", "is no 32 hexadecimal digits")
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return id, malformed("container_status.container_id", "is no 32 hexadecimal digits")
	}
	return id, nil
}
