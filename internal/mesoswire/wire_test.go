package mesoswire

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

func TestEveryMessageComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		comesBack(t, gen{t}.message(), AppendMessage, ParseMessage)
	})
}

func TestEveryCallComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { comesBack(t, gen{t}.call(), AppendCall, ParseCall) })
}

func TestEveryEventComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { comesBack(t, gen{t}.event(), AppendEvent, ParseEvent) })
}

func TestEveryTaskInfoComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { comesBack(t, gen{t}.taskInfo(), AppendTaskInfo, ParseTaskInfo) })
}

// comesBack also checks that the bytes are appended, and that what is read keeps none of them.
func comesBack[T any](t *rapid.T, want T, appendTo func([]byte, T) ([]byte, error), parse func([]byte) (T, error)) {
	data, err := appendTo([]byte("before"), want)
	if err != nil || !strings.HasPrefix(string(data), "before") {
		t.Fatalf("encoding %#v: %q, %v", want, data, err)
	}
	got, err := parse(data[len("before"):])
	for i := range data {
		data[i] = 0xff
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%#v came back as %#v, %v", want, got, err)
	}
}

// L-: what is no number of seconds is the default, and none is refused for more than a year.
func TestRefuseHasADefaultAndABound(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		want    time.Duration
	}{{-1, defaultRefuse}, {math.NaN(), defaultRefuse}, {0, 0}, {2.5, 2500 * time.Millisecond}, {1e300, maxRefuse}, {math.Inf(1), maxRefuse}} {
		if got := filtersFromWire(&messages.Filters{RefuseSeconds: &c.seconds}); got != c.want {
			t.Errorf("%v seconds are %v, want %v", c.seconds, got, c.want)
		}
	}
	if got := filtersFromWire(&messages.Filters{}); got >= 0 {
		t.Errorf("no seconds are %v, want the default", got)
	}
	if got := filtersFromWire(filtersToWire(1<<63 - 1)); got != maxRefuse {
		t.Errorf("292 years are %v, want %v", got, maxRefuse)
	}
}

func TestTheOldRoleIsReadIfThereAreNoRoles(t *testing.T) {
	m := &messages.FrameworkInfo{Name: proto.String("n"), Role: proto.String("old")}
	if f, err := frameworkFromWire(m); err != nil || !reflect.DeepEqual(f.Roles, []string{"old"}) {
		t.Errorf("role alone: %q, %v", f.Roles, err)
	}
	m.Roles = []string{"new"}
	if f, err := frameworkFromWire(m); err != nil || !reflect.DeepEqual(f.Roles, []string{"new"}) {
		t.Errorf("role and roles: %q, %v", f.Roles, err)
	}
}

func TestDefaultsAreThoseOfTheMesosAPI(t *testing.T) {
	c, err := commandFromWire(&messages.CommandInfo{Uris: []*messages.CommandInfo_URI{{Value: proto.String("/f")}}})
	if err != nil || !c.Shell || !c.URIs[0].Extract || c.URIs[0].Executable {
		t.Errorf("a command that says nothing: %+v, %v; want a shell and extracted files", c, err)
	}
	s, err := statusFromWire(&messages.TaskStatus{TaskId: taskID("t"), State: messages.TaskState_TASK_LOST.Enum()})
	if err != nil || s.Reason != mesos.ReasonNone || s.Source != mesos.SourceMaster || s.HasExit || s.Health != mesos.HealthUnknown {
		t.Errorf("a status that says nothing: %+v, %v", s, err)
	}
	h, err := healthFromWire(&messages.HealthCheck{Command: &messages.CommandInfo{}})
	if err != nil || h.Kind != mesos.HealthCommand {
		t.Errorf("a check that has a command: %+v, %v", h, err)
	}
}

func TestAReservationIsARole(t *testing.T) {
	m := &messages.Resource{Name: proto.String("cpus"), Type: messages.Value_SCALAR.Enum(), Scalar: &messages.Value_Scalar{Value: proto.Float64(2)},
		Reservations: []*messages.Resource_ReservationInfo{{Role: proto.String("web")}}}
	r, err := resourcesFromWire([]*messages.Resource{m})
	if err != nil || r.String() != "cpus(web):2" {
		t.Errorf("read %v, %v", r, err)
	}
}

func TestAStrangersTypesAreRefused(t *testing.T) {
	if _, err := AppendMessage(nil, &mesos.Ping{}); err == nil {
		t.Error("a pointer was encoded")
	}
	if _, err := AppendCall(nil, mesos.Call{}); err == nil {
		t.Error("a call without a body was encoded")
	}
	if _, err := AppendEvent(nil, nil); err == nil {
		t.Error("no event was encoded")
	}
}

func TestNothingIsLongerThanItsBound(t *testing.T) {
	var long *TooLongError
	if _, err := ParseCall(make([]byte, MaxCall+1)); !errors.As(err, &long) || !errors.Is(err, ErrMalformed) {
		t.Errorf("a call of MaxCall+1 bytes: %v", err)
	}
	text := strings.Repeat("x", MaxMessage)
	if out, err := AppendMessage([]byte("a"), mesos.Shutdown{Reason: text}); !errors.As(err, &long) || string(out) != "a" {
		t.Errorf("a message of more than MaxMessage bytes: %d bytes, %v", len(out), err)
	}
}

// Two bytes on the wire can be hundreds in memory.
func TestManyEmptyPartsAreNotRead(t *testing.T) {
	offers := strings.Repeat("\x0a\x00", MaxCall/2-8) // Accept.offer_ids
	size := len(offers)
	data := append([]byte{0x10, 3, 0x22, byte(size) | 0x80, byte(size>>7) | 0x80, byte(size>>14) | 0x80, byte(size >> 21)}, offers...)
	var m messages.Call
	if err := proto.Unmarshal(data, &m); err != nil || len(m.GetAccept().GetOfferIds()) != size/2 {
		t.Fatalf("the test's bytes are wrong: %v", err)
	}
	if n := testing.AllocsPerRun(1, func() {
		var f *FieldError
		if _, err := ParseCall(data); !errors.As(err, &f) || f.Problem != "has too many parts" {
			t.Errorf("%d empty offers: %v", size/2, err)
		}
	}); n > 100 {
		t.Errorf("%v allocations to refuse %d empty offers", n, size/2)
	}
}
