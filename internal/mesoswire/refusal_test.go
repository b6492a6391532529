package mesoswire

import (
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

// refusal is what is done to a good message, and the field that is told to be wrong then.
type refusal[M any] struct {
	field string
	spoil func(M)
}

func launchCall(m *messages.Call) *messages.TaskInfo {
	return m.Accept.Operations[0].Launch.TaskInfos[0]
}

var acceptRefusals = []refusal[*messages.Call]{
	{"type", func(m *messages.Call) { m.Type = nil }},
	{"type", func(m *messages.Call) { m.Type = messages.Call_Type(77).Enum() }},
	{"type", func(m *messages.Call) { m.Type = messages.Call_MESSAGE.Enum() }},
	{"framework_id.value", func(m *messages.Call) { m.FrameworkId = nil }},
	{"accept", func(m *messages.Call) { m.Accept = nil }},
	{"accept.offer_ids[0].value", func(m *messages.Call) { m.Accept.OfferIds[0].Value = nil }},
	{"accept.operations[0].type", func(m *messages.Call) { m.Accept.Operations[0].Type = messages.Offer_Operation_RESERVE.Enum() }},
	{"accept.operations[0].launch", func(m *messages.Call) { m.Accept.Operations[0].Launch = nil }},
	{"accept.operations[0].launch.task_infos[0].name", func(m *messages.Call) { launchCall(m).Name = nil }},
	{"accept.operations[0].launch.task_infos[0].task_id.value", func(m *messages.Call) { launchCall(m).TaskId = nil }},
	{"accept.operations[0].launch.task_infos[0].agent_id.value", func(m *messages.Call) { launchCall(m).AgentId.Value = nil }},
	{"accept.operations[0].launch.task_infos[0].kill_policy.grace_period", func(m *messages.Call) {
		launchCall(m).KillPolicy = &messages.KillPolicy{GracePeriod: &messages.DurationInfo{Nanoseconds: proto.Int64(-1)}}
	}},
	{"accept.operations[0].launch.task_infos[0].stop_after.nanoseconds", func(m *messages.Call) { launchCall(m).StopAfter = &messages.DurationInfo{} }},
	{"accept.operations[0].launch.task_infos[0].executor", func(m *messages.Call) { unknown(launchCall(m), 5) }},
	{"accept.operations[0].launch.task_infos[0].container.docker.image", func(m *messages.Call) { launchCall(m).Container.Docker.Image = nil }},
	{"accept.operations[0].launch.task_infos[0].resources[0].scalar.value", func(m *messages.Call) {
		launchCall(m).Resources[0].Scalar.Value = proto.Float64(math.NaN())
	}},
	{"accept.operations[0].launch.task_infos[0].resources[0].type", func(m *messages.Call) {
		launchCall(m).Resources[0].Type = messages.Value_TEXT.Enum()
	}},
	{"accept.operations[0].launch.task_infos[0].resources", func(m *messages.Call) { launchCall(m).Resources[0].Name = proto.String("a b") }},
	{"accept.operations[0].launch.task_infos[0].command.uris[0].value", func(m *messages.Call) {
		launchCall(m).Command.Uris = []*messages.CommandInfo_URI{{}}
	}},
	{"accept.operations[0].launch.task_infos[0].command.environment.variables[0].type", func(m *messages.Call) {
		launchCall(m).Command.Environment = &messages.Environment{Variables: []*messages.Environment_Variable{
			{Name: proto.String("A"), Type: messages.Environment_Variable_SECRET.Enum()}}}
	}},
	{"accept.operations[0].launch.task_infos[0].health_check.type", func(m *messages.Call) { launchCall(m).HealthCheck.Type = nil }},
	{"accept.operations[0].launch.task_infos[0].health_check.http.port", func(m *messages.Call) {
		launchCall(m).HealthCheck.Http.Port = proto.Uint32(65536)
	}},
	{"accept.operations[0].launch.task_infos[0].health_check.delay_seconds", func(m *messages.Call) {
		launchCall(m).HealthCheck.DelaySeconds = proto.Float64(-0.5)
	}},
	{"accept.operations[0].launch.task_infos[0].health_check.timeout_seconds", func(m *messages.Call) {
		launchCall(m).HealthCheck.TimeoutSeconds = proto.Float64(math.Inf(1))
	}},
	{"accept.operations[0].launch.task_infos[0].labels.labels[0].key", func(m *messages.Call) {
		launchCall(m).Labels = &messages.Labels{Labels: []*messages.Label{{}}}
	}},
}

func TestACallIsRefusedWithTheFieldThatIsWrong(t *testing.T) {
	cpus, err := mesos.ParseResources("cpus:1")
	if err != nil {
		t.Fatal(err)
	}
	good, err := callToWire(mesos.Call{Framework: "f", Body: mesos.AcceptCall{Offers: []mesos.OfferID{"o"}, Launch: []mesos.TaskInfo{{
		ID: "t", Agent: "a", Resources: cpus, Docker: &mesos.Docker{Image: "i"}, Health: &mesos.HealthCheck{Kind: mesos.HealthHTTP, Port: 80}}}}})
	if err != nil {
		t.Fatal(err)
	}
	areRefused(t, good, acceptRefusals, func(b []byte) error { _, err := ParseCall(b); return err })
}

var otherCalls = []struct {
	field string
	call  *messages.Call
}{
	{"subscribe.framework_info", &messages.Call{Type: messages.Call_SUBSCRIBE.Enum()}},
	{"subscribe.framework_info.name", &messages.Call{Type: messages.Call_SUBSCRIBE.Enum(), Subscribe: &messages.Call_Subscribe{FrameworkInfo: &messages.FrameworkInfo{}}}},
	{"framework_id", &messages.Call{FrameworkId: frameworkID("f"), Type: messages.Call_SUBSCRIBE.Enum(),
		Subscribe: &messages.Call_Subscribe{FrameworkInfo: &messages.FrameworkInfo{Name: proto.String("n")}}}},
	{"decline", &messages.Call{FrameworkId: frameworkID("f"), Type: messages.Call_DECLINE.Enum()}},
	{"kill.task_id.value", &messages.Call{FrameworkId: frameworkID("f"), Type: messages.Call_KILL.Enum(), Kill: &messages.Call_Kill{}}},
	{"acknowledge.uuid", &messages.Call{FrameworkId: frameworkID("f"), Type: messages.Call_ACKNOWLEDGE.Enum(), Acknowledge: &messages.Call_Acknowledge{}}},
	{"acknowledge.uuid", &messages.Call{FrameworkId: frameworkID("f"), Type: messages.Call_ACKNOWLEDGE.Enum(), Acknowledge: &messages.Call_Acknowledge{Uuid: make([]byte, 15)}}},
	{"reconcile.tasks[0].task_id.value", &messages.Call{FrameworkId: frameworkID("f"), Type: messages.Call_RECONCILE.Enum(),
		Reconcile: &messages.Call_Reconcile{Tasks: []*messages.Call_Reconcile_Task{{}}}}},
}

func TestOtherCallsAreRefusedWithTheFieldThatIsWrong(t *testing.T) {
	for _, c := range otherCalls {
		areRefused(t, c.call, []refusal[*messages.Call]{{c.field, func(*messages.Call) {}}}, func(b []byte) error { _, err := ParseCall(b); return err })
	}
}

func TestAMessageIsRefusedWithTheFieldThatIsWrong(t *testing.T) {
	good, err := messageToWire(mesos.Register{Info: mesos.AgentInfo{Hostname: "h"}, Attempt: 1, Frameworks: []mesos.FrameworkInfo{{ID: "f"}},
		Tasks: []mesos.Task{{Key: mesos.TaskKey{Framework: "f", Task: "t"}}}})
	if err != nil {
		t.Fatal(err)
	}
	task := func(m *messages.AgentMessage) *messages.AgentTask { return m.GetRegister().Tasks[0] }
	areRefused(t, good, []refusal[*messages.AgentMessage]{
		{"body", func(m *messages.AgentMessage) { m.Body = nil }},
		{"register.info", func(m *messages.AgentMessage) { m.GetRegister().Info = nil }},
		{"register.info.hostname", func(m *messages.AgentMessage) { m.GetRegister().Info.Hostname = nil }},
		{"register.attempt", func(m *messages.AgentMessage) { m.GetRegister().Attempt = nil }},
		{"register.frameworks[0].id", func(m *messages.AgentMessage) { m.GetRegister().Frameworks[0].Id = nil }},
		{"register.tasks[0].framework", func(m *messages.AgentMessage) { task(m).Framework = nil }},
		{"register.tasks[0].state", func(m *messages.AgentMessage) { task(m).State = messages.TaskState(14).Enum() }},
		{"register.tasks[0].container", func(m *messages.AgentMessage) { task(m).Container = []byte("x") }},
		{"register.tasks[0].resources", func(m *messages.AgentMessage) { task(m).Resources = []byte("x") }},
		{"register.tasks[0].kill_grace", func(m *messages.AgentMessage) { task(m).KillGrace = proto.Int64(-1) }},
	}, func(b []byte) error { _, err := ParseMessage(b); return err })
}

func TestAnEventIsRefusedWithTheFieldThatIsWrong(t *testing.T) {
	good, err := eventToWire(mesos.UpdateEvent{Status: mesos.TaskStatus{Task: mesos.TaskKey{Framework: "f", Task: "t"}, Container: mesos.ContainerID{1}}})
	if err != nil {
		t.Fatal(err)
	}
	areRefused(t, good, []refusal[*messages.Event]{
		{"type", func(m *messages.Event) { m.Type = messages.Event_MESSAGE.Enum() }},
		{"update", func(m *messages.Event) { m.Update = nil }},
		{"update.status.state", func(m *messages.Event) { m.Update.Status.State = nil }},
		{"update.status.reason", func(m *messages.Event) { m.Update.Status.Reason = messages.TaskStatus_Reason(99).Enum() }},
		{"update.status.timestamp", func(m *messages.Event) { m.Update.Status.Timestamp = proto.Float64(-1) }},
		{"update.status.container_status.container_id", func(m *messages.Event) {
			m.Update.Status.ContainerStatus.ContainerId.Value = proto.String("xy")
		}},
		{"update.status.exit_code", func(m *messages.Event) { m.Update.Status.ExitCode = proto.Int64(1 << 40) }},
	}, func(b []byte) error { _, err := ParseEvent(b); return err })
}

func areRefused[M proto.Message](t *testing.T, good M, list []refusal[M], parse func([]byte) error) {
	t.Helper()
	for _, r := range list {
		m := proto.Clone(good).(M)
		r.spoil(m)
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var f *FieldError
		if err := parse(data); !errors.As(err, &f) || f.Field != r.field || !errors.Is(err, ErrMalformed) {
			t.Errorf("want %s to be wrong, got %v", r.field, err)
		}
	}
}
