package mesoswire

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/synod-go/synod/messages"
)

// firstOwn is the first number of what Mesos has not.
const firstOwn = 1000

// mesosNumbers are, of each message the fields with their numbers and types, and of each
// enum the values, as Apache Mesos has them in include/mesos/v1/mesos.proto and
// include/mesos/v1/scheduler/scheduler.proto.
var mesosNumbers = [][2]string{
	{"Address", "hostname=1:string ip=2:string port=3:int32"},
	{"AgentID", "value=1:string"},
	{"AgentInfo", "hostname=1:string resources=3:Resource attributes=5:Attribute id=6:AgentID"},
	{"Attribute", "name=1:string type=2:Type scalar=3:Scalar ranges=4:Ranges text=5:Text set=6:Set"},
	{"Call", "framework_id=1:FrameworkID type=2:Type subscribe=3:Subscribe accept=4:Accept decline=5:Decline kill=6:Kill acknowledge=8:Acknowledge reconcile=9:Reconcile revive=15:Revive suppress=16:Suppress"},
	{"Call.Accept", "offer_ids=1:OfferID operations=2:Operation filters=3:Filters"},
	{"Call.Acknowledge", "agent_id=1:AgentID task_id=2:TaskID uuid=3:bytes"},
	{"Call.Decline", "offer_ids=1:OfferID filters=2:Filters"},
	{"Call.Kill", "task_id=1:TaskID agent_id=2:AgentID kill_policy=3:KillPolicy"},
	{"Call.Reconcile", "tasks=1:Task"},
	{"Call.Reconcile.Task", "task_id=1:TaskID agent_id=2:AgentID"},
	{"Call.Revive", "roles=1:string"},
	{"Call.Subscribe", "framework_info=1:FrameworkInfo"},
	{"Call.Suppress", "roles=1:string"},
	{"Call.Type", "UNKNOWN=0 SUBSCRIBE=1 TEARDOWN=2 ACCEPT=3 DECLINE=4 REVIVE=5 KILL=6 SHUTDOWN=7 ACKNOWLEDGE=8 RECONCILE=9 MESSAGE=10 REQUEST=11 SUPPRESS=12 ACCEPT_INVERSE_OFFERS=13 DECLINE_INVERSE_OFFERS=14 ACKNOWLEDGE_OPERATION_STATUS=15 RECONCILE_OPERATIONS=16 UPDATE_FRAMEWORK=17"},
	{"CommandInfo", "uris=1:URI environment=2:Environment value=3:string user=5:string shell=6:bool arguments=7:string"},
	{"CommandInfo.URI", "value=1:string executable=2:bool extract=3:bool output_file=5:string"},
	{"ContainerID", "value=1:string"},
	{"ContainerInfo", "type=1:Type volumes=2:Volume docker=3:DockerInfo network_infos=7:NetworkInfo"},
	{"ContainerInfo.DockerInfo", "image=1:string network=2:Network port_mappings=3:PortMapping privileged=4:bool force_pull_image=6:bool"},
	{"ContainerInfo.DockerInfo.Network", "HOST=1 BRIDGE=2 NONE=3 USER=4"},
	{"ContainerInfo.DockerInfo.PortMapping", "host_port=1:uint32 container_port=2:uint32 protocol=3:string"},
	{"ContainerInfo.Type", "DOCKER=1 MESOS=2"},
	{"ContainerStatus", "container_id=4:ContainerID"},
	{"DurationInfo", "nanoseconds=1:int64"},
	{"Environment", "variables=1:Variable"},
	{"Environment.Variable", "name=1:string value=2:string type=3:Type"},
	{"Environment.Variable.Type", "UNKNOWN=0 VALUE=1 SECRET=2"},
	{"Event", "type=1:Type subscribed=2:Subscribed offers=3:Offers rescind=4:Rescind update=5:Update failure=7:Failure error=8:Error"},
	{"Event.Error", "message=1:string"},
	{"Event.Failure", "agent_id=1:AgentID"},
	{"Event.Offers", "offers=1:Offer"},
	{"Event.Rescind", "offer_id=1:OfferID"},
	{"Event.Subscribed", "framework_id=1:FrameworkID heartbeat_interval_seconds=2:double master_info=3:MasterInfo"},
	{"Event.Type", "UNKNOWN=0 SUBSCRIBED=1 OFFERS=2 RESCIND=3 UPDATE=4 MESSAGE=5 FAILURE=6 ERROR=7 HEARTBEAT=8 INVERSE_OFFERS=9 RESCIND_INVERSE_OFFER=10 UPDATE_OPERATION_STATUS=11"},
	{"Event.Update", "status=1:TaskStatus"},
	{"Filters", "refuse_seconds=1:double"},
	{"FrameworkID", "value=1:string"},
	{"FrameworkInfo", "user=1:string name=2:string id=3:FrameworkID failover_timeout=4:double role=6:string hostname=7:string principal=8:string labels=11:Labels roles=12:string"},
	{"HealthCheck", "http=1:HTTPCheckInfo delay_seconds=2:double interval_seconds=3:double timeout_seconds=4:double consecutive_failures=5:uint32 grace_period_seconds=6:double command=7:CommandInfo type=8:Type tcp=9:TCPCheckInfo"},
	{"HealthCheck.HTTPCheckInfo", "port=1:uint32 path=2:string"},
	{"HealthCheck.TCPCheckInfo", "port=1:uint32"},
	{"HealthCheck.Type", "UNKNOWN=0 COMMAND=1 HTTP=2 TCP=3"},
	{"KillPolicy", "grace_period=1:DurationInfo"},
	{"Label", "key=1:string value=2:string"},
	{"Labels", "labels=1:Label"},
	{"MasterInfo", "id=1:string ip=2:uint32 port=3:uint32 hostname=5:string address=7:Address"},
	{"NetworkInfo", "name=6:string"},
	{"Offer", "id=1:OfferID framework_id=2:FrameworkID agent_id=3:AgentID hostname=4:string resources=5:Resource attributes=7:Attribute allocation_info=10:AllocationInfo"},
	{"Offer.Operation", "type=1:Type launch=2:Launch"},
	{"Offer.Operation.Launch", "task_infos=1:TaskInfo"},
	{"Offer.Operation.Type", "UNKNOWN=0 LAUNCH=1 RESERVE=2 UNRESERVE=3 CREATE=4 DESTROY=5 LAUNCH_GROUP=6 GROW_VOLUME=11 SHRINK_VOLUME=12 CREATE_DISK=13 DESTROY_DISK=14"},
	{"OfferID", "value=1:string"},
	{"Resource", "name=1:string type=2:Type scalar=3:Scalar ranges=4:Ranges set=5:Set role=6:string allocation_info=11:AllocationInfo reservations=13:ReservationInfo"},
	{"Resource.AllocationInfo", "role=1:string"},
	{"Resource.ReservationInfo", "role=3:string type=4:Type"},
	{"Resource.ReservationInfo.Type", "UNKNOWN=0 STATIC=1 DYNAMIC=2"},
	{"TaskID", "value=1:string"},
	{"TaskInfo", "name=1:string task_id=2:TaskID agent_id=3:AgentID resources=4:Resource data=6:bytes command=7:CommandInfo health_check=8:HealthCheck container=9:ContainerInfo labels=10:Labels kill_policy=12:KillPolicy"},
	{"TaskState", "TASK_STARTING=0 TASK_RUNNING=1 TASK_FINISHED=2 TASK_FAILED=3 TASK_KILLED=4 TASK_LOST=5 TASK_STAGING=6 TASK_ERROR=7 TASK_KILLING=8 TASK_DROPPED=9 TASK_UNREACHABLE=10 TASK_GONE=11 TASK_GONE_BY_OPERATOR=12 TASK_UNKNOWN=13"},
	{"TaskStatus", "task_id=1:TaskID state=2:TaskState message=4:string agent_id=5:AgentID timestamp=6:double healthy=8:bool source=9:Source reason=10:Reason uuid=11:bytes container_status=13:ContainerStatus unreachable_time=14:TimeInfo"},
	{"TaskStatus.Reason", "REASON_COMMAND_EXECUTOR_FAILED=0 REASON_EXECUTOR_TERMINATED=1 REASON_EXECUTOR_UNREGISTERED=2 REASON_FRAMEWORK_REMOVED=3 REASON_GC_ERROR=4 REASON_INVALID_FRAMEWORKID=5 REASON_INVALID_OFFERS=6 REASON_MASTER_DISCONNECTED=7 REASON_CONTAINER_LIMITATION_MEMORY=8 REASON_RECONCILIATION=9 REASON_AGENT_DISCONNECTED=10 REASON_AGENT_REMOVED=11 REASON_AGENT_RESTARTED=12 REASON_AGENT_UNKNOWN=13 REASON_TASK_INVALID=14 REASON_TASK_UNAUTHORIZED=15 REASON_TASK_UNKNOWN=16 REASON_CONTAINER_PREEMPTED=17 REASON_RESOURCES_UNKNOWN=18 REASON_CONTAINER_LIMITATION=19 REASON_CONTAINER_LIMITATION_DISK=20 REASON_CONTAINER_LAUNCH_FAILED=21 REASON_CONTAINER_UPDATE_FAILED=22 REASON_EXECUTOR_REGISTRATION_TIMEOUT=23 REASON_EXECUTOR_REREGISTRATION_TIMEOUT=24 REASON_TASK_GROUP_INVALID=25 REASON_TASK_GROUP_UNAUTHORIZED=26 REASON_IO_SWITCHBOARD_EXITED=27 REASON_TASK_CHECK_STATUS_UPDATED=28 REASON_TASK_HEALTH_CHECK_STATUS_UPDATED=29 REASON_TASK_KILLED_DURING_LAUNCH=30 REASON_AGENT_REMOVED_BY_OPERATOR=31 REASON_AGENT_REREGISTERED=32 REASON_MAX_COMPLETION_TIME_REACHED=33 REASON_AGENT_DRAINING=34"},
	{"TaskStatus.Source", "SOURCE_MASTER=0 SOURCE_AGENT=1 SOURCE_EXECUTOR=2"},
	{"TimeInfo", "nanoseconds=1:int64"},
	{"Value.Range", "begin=1:uint64 end=2:uint64"},
	{"Value.Ranges", "range=1:Range"},
	{"Value.Scalar", "value=1:double"},
	{"Value.Set", "item=1:string"},
	{"Value.Text", "value=1:string"},
	{"Value.Type", "SCALAR=0 RANGES=1 SET=2 TEXT=3"},
	{"Volume", "container_path=1:string host_path=2:string mode=3:Mode source=5:Source"},
	{"Volume.Mode", "RW=1 RO=2"},
	{"Volume.Source", "type=1:Type docker_volume=2:DockerVolume host_path=5:HostPath"},
	{"Volume.Source.DockerVolume", "driver=1:string name=2:string"},
	{"Volume.Source.HostPath", "path=1:string"},
	{"Volume.Source.Type", "UNKNOWN=0 DOCKER_VOLUME=1 SANDBOX_PATH=2 SECRET=3 HOST_PATH=4"},
}

func TestNumbersAreThoseOfMesos(t *testing.T) {
	ours := map[string]string{}
	for _, f := range []protoreflect.FileDescriptor{messages.File_synod_messages_mesos_proto, messages.File_synod_messages_mesosscheduler_proto} {
		describe(ours, "", f)
	}
	theirs := map[string]bool{}
	for _, row := range mesosNumbers {
		for field := range strings.FieldsSeq(row[1]) {
			name, number, _ := strings.Cut(field, "=")
			key := row[0] + "." + name
			if theirs[key] = true; ours[key] != number {
				t.Errorf("%s is %q, want %q", key, ours[key], number)
			}
		}
	}
	for key, number := range ours {
		if !theirs[key] {
			t.Errorf("%s = %s is not in the table: either Mesos has it, or its number is from %d on", key, number, firstOwn)
		}
	}
}

// describe notes what a file or message holds, without what is our own.
func describe(out map[string]string, path string, d interface {
	Messages() protoreflect.MessageDescriptors
	Enums() protoreflect.EnumDescriptors
}) {
	for i := range d.Enums().Len() {
		e := d.Enums().Get(i)
		for j := range e.Values().Len() {
			v := e.Values().Get(j)
			out[fmt.Sprintf("%s%s.%s", path, e.Name(), v.Name())] = fmt.Sprint(v.Number())
		}
	}
	for i := range d.Messages().Len() {
		m := d.Messages().Get(i)
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			if f.Number() >= firstOwn {
				continue
			}
			kind := f.Kind().String()
			if f.Message() != nil {
				kind = string(f.Message().Name())
			} else if f.Enum() != nil {
				kind = string(f.Enum().Name())
			}
			out[fmt.Sprintf("%s%s.%s", path, m.Name(), f.Name())] = fmt.Sprintf("%d:%s", f.Number(), kind)
		}
		describe(out, fmt.Sprintf("%s%s.", path, m.Name()), m)
	}
}
