package mesoswire

import (
	"fmt"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

func messageToWire(message any) (*messages.AgentMessage, error) {
	out := &messages.AgentMessage{}
	switch m := message.(type) {
	case mesos.Register:
		out.Body = &messages.AgentMessage_Register{Register: registerToWire(&m)}
	case mesos.Registered:
		out.Body = &messages.AgentMessage_Registered{Registered: registeredToWire(&m)}
	case mesos.Shutdown:
		out.Body = &messages.AgentMessage_Shutdown{Shutdown: &messages.ShutdownAgent{
			Agent: (*string)(&m.Agent), Term: (*uint64)(&m.Term), Reason: &m.Reason}}
	case mesos.Ping:
		out.Body = &messages.AgentMessage_Ping{Ping: &messages.PingAgent{
			Term: (*uint64)(&m.Term), Sequence: &m.Sequence, Heard: &m.Heard, Connected: &m.Connected}}
	case mesos.Pong:
		out.Body = &messages.AgentMessage_Pong{Pong: &messages.PongAgent{
			Agent: (*string)(&m.Agent), Term: (*uint64)(&m.Term), Sequence: &m.Sequence}}
	case mesos.Launch:
		out.Body = &messages.AgentMessage_Launch{Launch: &messages.LaunchTask{Term: (*uint64)(&m.Term), Sequence: &m.Sequence,
			Framework: frameworkToWire(&m.Framework), Task: taskToWire(&m.Task), Container: m.Container[:]}}
	case mesos.Kill:
		out.Body = &messages.AgentMessage_Kill{Kill: &messages.KillTask{Term: (*uint64)(&m.Term),
			Framework: (*string)(&m.Task.Framework), Task: (*string)(&m.Task.Task), Grace: optional(int64(m.Grace))}}
	case mesos.ShutdownFramework:
		out.Body = &messages.AgentMessage_StopFramework{StopFramework: &messages.StopFramework{
			Term: (*uint64)(&m.Term), Framework: (*string)(&m.Framework)}}
	case mesos.StatusUpdate:
		out.Body = &messages.AgentMessage_Update{Update: &messages.UpdateStatus{
			Status: statusToWire(&m.Status), Latest: messages.TaskState(m.Latest).Enum()}}
	case mesos.Acknowledge:
		out.Body = &messages.AgentMessage_Acknowledge{Acknowledge: &messages.AcknowledgeUpdate{Term: (*uint64)(&m.Term),
			Framework: (*string)(&m.Task.Framework), Task: (*string)(&m.Task.Task), Id: m.ID[:]}}
	default:
		return nil, fmt.Errorf("mesoswire: a %T is no message between master and agent", message)
	}
	return out, nil
}

func registerToWire(r *mesos.Register) *messages.RegisterAgent {
	out := &messages.RegisterAgent{
		Info: agentToWire(&r.Info), Boot: &r.Boot, Attempt: &r.Attempt, Sequence: &r.Sequence, Term: (*uint64)(&r.Term),
		Frameworks: make([]*messages.FrameworkInfo, len(r.Frameworks)), Tasks: agentTasksToWire(r.Tasks),
	}
	for i := range r.Frameworks {
		out.Frameworks[i] = frameworkToWire(&r.Frameworks[i])
	}
	return out
}

func registeredToWire(r *mesos.Registered) *messages.AgentRegistered {
	out := &messages.AgentRegistered{Agent: (*string)(&r.Agent), Term: (*uint64)(&r.Term), Attempt: &r.Attempt, Missing: agentTasksToWire(r.Missing)}
	for _, id := range r.Removed {
		out.Removed = append(out.Removed, string(id))
	}
	return out
}

func agentTasksToWire(tasks []mesos.Task) []*messages.AgentTask {
	out := make([]*messages.AgentTask, len(tasks))
	for i := range tasks {
		t := &tasks[i]
		out[i] = &messages.AgentTask{
			Framework: (*string)(&t.Key.Framework), Task: (*string)(&t.Key.Task), Name: &t.Name, Agent: (*string)(&t.Agent),
			Container: bytesOf(t.Container), Term: (*uint64)(&t.Term), Sequence: &t.Sequence, Role: optional(t.Role),
			KillGrace: optional(int64(t.KillGrace)), StopAfter: optional(int64(t.StopAfter)), Labels: t.Labels,
			State: messages.TaskState(t.State).Enum(), Acknowledging: messages.TaskState(t.Acknowledging).Enum(),
			AcknowledgingId: bytesOf(t.AcknowledgingID), Healthy: healthToBool(t.Health),
		}
		if !t.Resources.Empty() {
			out[i].Resources = t.Resources.Append(nil)
		}
	}
	return out
}

func messageFromWire(m *messages.AgentMessage) (any, error) {
	switch b := m.Body.(type) {
	case *messages.AgentMessage_Register:
		return registerFromWire(b.Register)
	case *messages.AgentMessage_Registered:
		return registeredFromWire(b.Registered)
	case *messages.AgentMessage_Shutdown:
		x := b.Shutdown
		return mesos.Shutdown{Agent: mesos.AgentID(x.GetAgent()), Term: mesos.Term(x.GetTerm()), Reason: x.GetReason()}, nil
	case *messages.AgentMessage_Ping:
		x := b.Ping
		return mesos.Ping{Term: mesos.Term(x.GetTerm()), Sequence: x.GetSequence(), Heard: x.GetHeard(), Connected: x.GetConnected()}, nil
	case *messages.AgentMessage_Pong:
		x := b.Pong
		return mesos.Pong{Agent: mesos.AgentID(x.GetAgent()), Term: mesos.Term(x.GetTerm()), Sequence: x.GetSequence()}, nil
	case *messages.AgentMessage_Launch:
		return launchFromWire(b.Launch)
	case *messages.AgentMessage_Kill:
		return killTaskFromWire(b.Kill)
	case *messages.AgentMessage_StopFramework:
		x := b.StopFramework
		out := mesos.ShutdownFramework{Term: mesos.Term(x.GetTerm()), Framework: mesos.FrameworkID(x.GetFramework())}
		return checked(out, present("stop_framework.framework", out.Framework))
	case *messages.AgentMessage_Update:
		return updateFromWire(b.Update)
	case *messages.AgentMessage_Acknowledge:
		return acknowledgeUpdateFromWire(b.Acknowledge)
	default:
		return nil, malformed("body", "is missing or not known here")
	}
}

// checked is out, or nothing if something is wrong with it.
func checked(out any, wrong ...error) (any, error) {
	if err := first(wrong...); err != nil {
		return nil, err
	}
	return out, nil
}

func registerFromWire(m *messages.RegisterAgent) (any, error) {
	out := mesos.Register{Boot: m.GetBoot(), Attempt: m.GetAttempt(), Sequence: m.GetSequence(), Term: mesos.Term(m.GetTerm())}
	switch {
	case m.Info == nil:
		return nil, missing("register.info")
	case out.Attempt == 0:
		return nil, missing("register.attempt")
	}
	var err error
	if out.Info, err = agentFromWire(m.Info); err != nil {
		return nil, in("register.info", err)
	}
	for i, f := range m.Frameworks {
		info, err := frameworkFromWire(f)
		if err := first(err, present("id", info.ID)); err != nil {
			return nil, in("register", inList("frameworks", i, err))
		}
		out.Frameworks = append(out.Frameworks, info)
	}
	out.Tasks, err = agentTasksFromWire("tasks", m.Tasks)
	return checked(out, in("register", err))
}

func registeredFromWire(m *messages.AgentRegistered) (any, error) {
	out := mesos.Registered{Agent: mesos.AgentID(m.GetAgent()), Term: mesos.Term(m.GetTerm()), Attempt: m.GetAttempt()}
	for _, id := range m.Removed {
		out.Removed = append(out.Removed, mesos.FrameworkID(id))
	}
	var err error
	out.Missing, err = agentTasksFromWire("missing", m.Missing)
	return checked(out, present("registered.agent", out.Agent), in("registered", err))
}

func agentTasksFromWire(field string, list []*messages.AgentTask) ([]mesos.Task, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]mesos.Task, len(list))
	for i, m := range list {
		if err := agentTaskFromWire(m, &out[i]); err != nil {
			return nil, inList(field, i, err)
		}
	}
	return out, nil
}

func agentTaskFromWire(m *messages.AgentTask, out *mesos.Task) error {
	*out = mesos.Task{
		Key:  mesos.TaskKey{Framework: mesos.FrameworkID(m.GetFramework()), Task: mesos.TaskID(m.GetTask())},
		Name: m.GetName(), Agent: mesos.AgentID(m.GetAgent()), Term: mesos.Term(m.GetTerm()), Sequence: m.GetSequence(),
		Role: m.GetRole(), Labels: nonemptyMap(m.Labels), Health: healthFromBool(m.Healthy),
	}
	if m.State == nil {
		return missing("state")
	}
	var wrong [9]error
	wrong[0] = present("framework", out.Key.Framework)
	wrong[1] = present("task", out.Key.Task)
	out.Container, wrong[2] = id16[mesos.ContainerID]("container", m.Container)
	out.Resources, wrong[3] = packedResources(m.Resources)
	out.KillGrace, wrong[4] = nanoseconds("kill_grace", m.GetKillGrace())
	out.StopAfter, wrong[5] = nanoseconds("stop_after", m.GetStopAfter())
	out.State, wrong[6] = enum("state", m.State, messages.TaskState_name, mesos.Staging)
	out.Acknowledging, wrong[7] = enum("acknowledging", m.Acknowledging, messages.TaskState_name, mesos.Starting)
	out.AcknowledgingID, wrong[8] = id16[mesos.UpdateID]("acknowledging_id", m.AcknowledgingId)
	return first(wrong[:]...)
}

func launchFromWire(m *messages.LaunchTask) (any, error) {
	out := mesos.Launch{Term: mesos.Term(m.GetTerm()), Sequence: m.GetSequence()}
	switch {
	case m.Framework == nil:
		return nil, missing("launch.framework")
	case m.Task == nil:
		return nil, missing("launch.task")
	case len(m.Container) == 0:
		return nil, missing("launch.container")
	}
	var wrong [4]error
	out.Framework, wrong[0] = frameworkFromWire(m.Framework)
	wrong[1] = present("id", out.Framework.ID)
	out.Task, wrong[2] = taskFromWire(m.Task)
	out.Container, wrong[3] = id16[mesos.ContainerID]("launch.container", m.Container)
	return checked(out, in("launch.framework", first(wrong[:2]...)), in("launch.task", wrong[2]), wrong[3])
}

func killTaskFromWire(m *messages.KillTask) (any, error) {
	out := mesos.Kill{Term: mesos.Term(m.GetTerm()), Task: mesos.TaskKey{Framework: mesos.FrameworkID(m.GetFramework()), Task: mesos.TaskID(m.GetTask())}}
	var err error
	out.Grace, err = nanoseconds("kill.grace", m.GetGrace())
	return checked(out, err, present("kill.framework", out.Task.Framework), present("kill.task", out.Task.Task))
}

func updateFromWire(m *messages.UpdateStatus) (any, error) {
	var out mesos.StatusUpdate
	switch {
	case m.Status == nil:
		return nil, missing("update.status")
	case m.Latest == nil:
		return nil, missing("update.latest")
	}
	var wrong [3]error
	out.Status, wrong[0] = statusFromWire(m.Status)
	wrong[1] = present("framework_id.value", out.Status.Task.Framework)
	out.Latest, wrong[2] = enum("update.latest", m.Latest, messages.TaskState_name, mesos.Staging)
	return checked(out, in("update.status", first(wrong[:2]...)), wrong[2])
}

func acknowledgeUpdateFromWire(m *messages.AcknowledgeUpdate) (any, error) {
	out := mesos.Acknowledge{Term: mesos.Term(m.GetTerm()), Task: mesos.TaskKey{Framework: mesos.FrameworkID(m.GetFramework()), Task: mesos.TaskID(m.GetTask())}}
	if len(m.Id) == 0 {
		return nil, missing("acknowledge.id")
	}
	var err error
	out.ID, err = id16[mesos.UpdateID]("acknowledge.id", m.Id)
	return checked(out, err, present("acknowledge.framework", out.Task.Framework), present("acknowledge.task", out.Task.Task))
}
