package mesoswire

import (
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

func statusToWire(s *mesos.TaskStatus) *messages.TaskStatus {
	out := &messages.TaskStatus{
		TaskId: taskID(s.Task.Task), State: messages.TaskState(s.State).Enum(), Message: optional(s.Message),
		AgentId: optionalAgent(s.Agent), Source: messages.TaskStatus_Source(s.Source).Enum(), Uuid: bytesOf(s.ID),
		Timestamp: secondsOf(s.Time), TimestampNs: exactly(s.Time), Healthy: healthToBool(s.Health),
	}
	if s.Task.Framework != "" {
		out.FrameworkId = frameworkID(s.Task.Framework)
	}
	if s.Reason != mesos.ReasonNone {
		out.Reason = messages.TaskStatus_Reason(s.Reason).Enum()
	}
	if s.Container != (mesos.ContainerID{}) {
		out.ContainerStatus = &messages.ContainerStatus{ContainerId: &messages.ContainerID{Value: proto.String(s.Container.String())}}
	}
	if s.UnreachableSince != 0 {
		out.UnreachableTime = &messages.TimeInfo{Nanoseconds: proto.Int64(int64(s.UnreachableSince))}
	}
	if s.HasExit {
		out.ExitCode, out.Signal = proto.Int64(int64(s.ExitCode)), proto.Int64(int64(s.Signal))
	}
	return out
}

func statusFromWire(m *messages.TaskStatus) (mesos.TaskStatus, error) {
	out := mesos.TaskStatus{
		Task:  mesos.TaskKey{Framework: mesos.FrameworkID(m.GetFrameworkId().GetValue()), Task: mesos.TaskID(m.GetTaskId().GetValue())},
		Agent: mesos.AgentID(m.GetAgentId().GetValue()), Message: m.GetMessage(),
		Health: healthFromBool(m.Healthy), HasExit: m.ExitCode != nil || m.Signal != nil,
	}
	if m.State == nil {
		return out, missing("state")
	}
	var wrong [9]error
	wrong[0] = present("task_id.value", out.Task.Task)
	out.State, wrong[1] = enum("state", m.State, messages.TaskState_name, mesos.Staging)
	out.Reason, wrong[2] = enum("reason", m.Reason, messages.TaskStatus_Reason_name, mesos.ReasonNone)
	out.Source, wrong[3] = enum("source", m.Source, messages.TaskStatus_Source_name, mesos.SourceMaster)
	out.ID, wrong[4] = id16[mesos.UpdateID]("uuid", m.Uuid)
	out.Container, wrong[5] = containerFromHex(m.GetContainerStatus().GetContainerId().GetValue())
	out.Time, wrong[6] = exactSeconds("timestamp", m.GetTimestamp(), m.TimestampNs)
	out.UnreachableSince, wrong[7] = nanoseconds("unreachable_time", m.GetUnreachableTime().GetNanoseconds())
	wrong[8] = exitFromWire(m, &out)
	return out, first(wrong[:]...)
}

func exitFromWire(m *messages.TaskStatus, out *mesos.TaskStatus) error {
	code, signal := m.GetExitCode(), m.GetSignal()
	if int64(int32(code)) != code || int64(int32(signal)) != signal {
		return malformed("exit_code", "or signal has more than 32 bits")
	}
	out.ExitCode, out.Signal = int(code), int(signal)
	return nil
}

// healthToBool is nil if nobody has looked.
func healthToBool(h mesos.Health) *bool {
	if h == mesos.HealthUnknown {
		return nil
	}
	return proto.Bool(h == mesos.Healthy)
}

func healthFromBool(healthy *bool) mesos.Health {
	switch {
	case healthy == nil:
		return mesos.HealthUnknown
	case *healthy:
		return mesos.Healthy
	default:
		return mesos.Unhealthy
	}
}
