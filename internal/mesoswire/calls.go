package mesoswire

import (
	"fmt"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

func callToWire(c mesos.Call) (*messages.Call, error) {
	out := &messages.Call{}
	if c.Framework != "" {
		out.FrameworkId = frameworkID(c.Framework)
	}
	var kind messages.Call_Type
	switch b := c.Body.(type) {
	case mesos.SubscribeCall:
		kind, out.Subscribe = messages.Call_SUBSCRIBE, &messages.Call_Subscribe{FrameworkInfo: frameworkToWire(&b.Info)}
		out.FrameworkId = out.Subscribe.FrameworkInfo.Id
	case mesos.TeardownCall:
		kind = messages.Call_TEARDOWN
	case mesos.AcceptCall:
		kind, out.Accept = messages.Call_ACCEPT, acceptToWire(&b)
	case mesos.DeclineCall:
		kind, out.Decline = messages.Call_DECLINE, &messages.Call_Decline{OfferIds: offerIDs(b.Offers), Filters: filtersToWire(b.Refuse)}
	case mesos.ReviveCall:
		kind, out.Revive = messages.Call_REVIVE, &messages.Call_Revive{Roles: b.Roles}
	case mesos.SuppressCall:
		kind, out.Suppress = messages.Call_SUPPRESS, &messages.Call_Suppress{Roles: b.Roles}
	case mesos.KillCall:
		kind = messages.Call_KILL
		out.Kill = &messages.Call_Kill{TaskId: taskID(b.Task), AgentId: optionalAgent(b.Agent), KillPolicy: graceToWire(b.Grace)}
	case mesos.AcknowledgeCall:
		kind = messages.Call_ACKNOWLEDGE
		out.Acknowledge = &messages.Call_Acknowledge{TaskId: taskID(b.Task), AgentId: agentID(b.Agent), Uuid: b.ID[:]}
	case mesos.ReconcileCall:
		kind, out.Reconcile = messages.Call_RECONCILE, &messages.Call_Reconcile{}
		for _, t := range b.Tasks {
			out.Reconcile.Tasks = append(out.Reconcile.Tasks, &messages.Call_Reconcile_Task{TaskId: taskID(t.Task), AgentId: optionalAgent(t.Agent)})
		}
	default:
		return nil, fmt.Errorf("mesoswire: a %T is no call", c.Body)
	}
	out.Type = kind.Enum()
	return out, nil
}

func acceptToWire(a *mesos.AcceptCall) *messages.Call_Accept {
	out := &messages.Call_Accept{OfferIds: offerIDs(a.Offers), Filters: filtersToWire(a.Refuse)}
	if len(a.Launch) == 0 {
		return out
	}
	launch := &messages.Offer_Operation_Launch{TaskInfos: make([]*messages.TaskInfo, len(a.Launch))}
	for i := range a.Launch {
		launch.TaskInfos[i] = taskToWire(&a.Launch[i])
	}
	out.Operations = []*messages.Offer_Operation{{Type: messages.Offer_Operation_LAUNCH.Enum(), Launch: launch}}
	return out
}

func callFromWire(m *messages.Call) (mesos.Call, error) {
	out := mesos.Call{Framework: mesos.FrameworkID(m.GetFrameworkId().GetValue())}
	if m.Type == nil {
		return out, missing("type")
	}
	var field string
	var err error
	switch *m.Type {
	case messages.Call_SUBSCRIBE:
		return subscribeFromWire(m)
	case messages.Call_TEARDOWN:
		out.Body = mesos.TeardownCall{}
	case messages.Call_ACCEPT:
		field = "accept"
		out.Body, err = acceptFromWire(m.Accept)
	case messages.Call_DECLINE:
		field = "decline"
		out.Body, err = declineFromWire(m.Decline)
	case messages.Call_REVIVE:
		out.Body = mesos.ReviveCall{Roles: nonempty(m.GetRevive().GetRoles())}
	case messages.Call_SUPPRESS:
		out.Body = mesos.SuppressCall{Roles: nonempty(m.GetSuppress().GetRoles())}
	case messages.Call_KILL:
		field = "kill"
		out.Body, err = killFromWire(m.Kill)
	case messages.Call_ACKNOWLEDGE:
		field = "acknowledge"
		out.Body, err = acknowledgeFromWire(m.Acknowledge)
	case messages.Call_RECONCILE:
		field = "reconcile"
		out.Body, err = reconcileFromWire(m.Reconcile)
	default:
		return out, malformed("type", notSupported(int32(*m.Type), messages.Call_Type_name))
	}
	if err != nil {
		return mesos.Call{}, in(field, err)
	}
	return out, present("framework_id.value", out.Framework)
}

func notSupported(n int32, names map[int32]string) string {
	if name, ok := names[n]; ok && n != 0 {
		return "is " + name + ", which is not supported"
	}
	return fmt.Sprintf("is %d, which is none of its values", n)
}

func subscribeFromWire(m *messages.Call) (mesos.Call, error) {
	if m.Subscribe == nil || m.Subscribe.FrameworkInfo == nil {
		return mesos.Call{}, missing("subscribe.framework_info")
	}
	info, err := frameworkFromWire(m.Subscribe.FrameworkInfo)
	if err != nil {
		return mesos.Call{}, in("subscribe.framework_info", err)
	}
	if m.FrameworkId != nil && m.FrameworkId.GetValue() != string(info.ID) {
		return mesos.Call{}, malformed("framework_id", "is not that of subscribe.framework_info")
	}
	return mesos.Call{Body: mesos.SubscribeCall{Info: info}}, nil
}

func acceptFromWire(m *messages.Call_Accept) (mesos.CallBody, error) {
	if m == nil {
		return nil, missing("")
	}
	out := mesos.AcceptCall{Refuse: filtersFromWire(m.Filters)}
	var err error
	if out.Offers, err = offerIDsFromWire(m.OfferIds); err != nil {
		return nil, err
	}
	for i, o := range m.Operations {
		switch {
		case o.Type == nil:
			return nil, inList("operations", i, missing("type"))
		case *o.Type != messages.Offer_Operation_LAUNCH:
			return nil, inList("operations", i, malformed("type", notSupported(int32(*o.Type), messages.Offer_Operation_Type_name)))
		case o.Launch == nil:
			return nil, inList("operations", i, missing("launch"))
		}
		for j, t := range o.Launch.TaskInfos {
			task, err := taskFromWire(t)
			if err != nil {
				return nil, inList("operations", i, in("launch", inList("task_infos", j, err)))
			}
			out.Launch = append(out.Launch, task)
		}
	}
	return out, nil
}

func declineFromWire(m *messages.Call_Decline) (mesos.CallBody, error) {
	if m == nil {
		return nil, missing("")
	}
	offers, err := offerIDsFromWire(m.OfferIds)
	return mesos.DeclineCall{Offers: offers, Refuse: filtersFromWire(m.Filters)}, err
}

func killFromWire(m *messages.Call_Kill) (mesos.CallBody, error) {
	if m == nil {
		return nil, missing("")
	}
	out := mesos.KillCall{Task: mesos.TaskID(m.GetTaskId().GetValue()), Agent: mesos.AgentID(m.GetAgentId().GetValue())}
	var err error
	out.Grace, err = graceFromWire(m.KillPolicy)
	return out, first(err, present("task_id.value", out.Task))
}

func acknowledgeFromWire(m *messages.Call_Acknowledge) (mesos.CallBody, error) {
	if m == nil {
		return nil, missing("")
	}
	out := mesos.AcknowledgeCall{Task: mesos.TaskID(m.GetTaskId().GetValue()), Agent: mesos.AgentID(m.GetAgentId().GetValue())}
	if len(m.Uuid) == 0 {
		return nil, missing("uuid")
	}
	var err error
	out.ID, err = id16[mesos.UpdateID]("uuid", m.Uuid)
	return out, first(err, present("task_id.value", out.Task), present("agent_id.value", out.Agent))
}

// reconcileFromWire takes no field for an empty one: all tasks.
func reconcileFromWire(m *messages.Call_Reconcile) (mesos.CallBody, error) {
	var out mesos.ReconcileCall
	for i, t := range m.GetTasks() {
		task := mesos.ReconcileTask{Task: mesos.TaskID(t.GetTaskId().GetValue()), Agent: mesos.AgentID(t.GetAgentId().GetValue())}
		if task.Task == "" {
			return nil, inList("tasks", i, missing("task_id.value"))
		}
		out.Tasks = append(out.Tasks, task)
	}
	return out, nil
}
