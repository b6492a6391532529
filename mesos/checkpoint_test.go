package mesos

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fullRecords has every field set.
func fullRecords() Checkpoint {
	resources, err := ParseResources("cpus:1.5;mem:10;ports:[31000-31002]")
	if err != nil {
		panic(err)
	}
	labels := map[string]string{"a": "1", "b": ""}
	return Checkpoint{
		{Kind: RecordAgent, Agent: AgentInfo{"agent", "host", "host:1", resources, labels}, Boot: "boot"},
		{Kind: RecordTerm, Term: 1 << 40},
		{Kind: RecordFramework, Framework: FrameworkInfo{"f", "name", "user", "principal", "host", []string{"r", "*"}, time.Hour, labels}},
		{Kind: RecordTask, Task: Task{Key: taskNamed("t"), Name: "name", Agent: "agent", Container: containerNo(1), Term: 2, Sequence: 3,
			Resources: resources, Role: "r", KillGrace: time.Second, StopAfter: time.Minute, Labels: labels, State: Staging}},
		{Kind: RecordUpdate, Status: TaskStatus{Task: taskNamed("t"), Agent: "agent", Container: containerNo(1), State: Failed, Reason: ReasonNone,
			Source: SourceAgent, Message: "m", ID: UpdateID{1}, Time: time.Hour, HasExit: true, ExitCode: -3, Signal: 9, Health: Unhealthy}},
		{Kind: RecordAcknowledged, Container: containerNo(1), Update: UpdateID{1}},
		{Kind: RecordDone, Container: containerNo(2), Key: taskNamed("u"), Term: 2, Sequence: 4},
		{Kind: RecordForgotten, Term: 2, Sequence: 1},
		{Kind: RecordContact, Contact: time.Minute, Boot: "boot"},
	}
}

func TestARecordIsReadBackAsItWas(t *testing.T) {
	kinds := map[RecordKind]bool{}
	for _, r := range fullRecords() {
		kinds[r.Kind] = true
		body := r.Append([]byte("before"))
		got, err := DecodeRecord(body[6:])
		if err != nil || fmt.Sprint(got) != fmt.Sprint(r) || !bytes.Equal(got.Append(nil), body[6:]) {
			t.Errorf("%+v was read back as %+v, %v", r, got, err)
		}
		for n := range len(body) - 6 {
			if _, err := DecodeRecord(body[6 : 6+n]); !errors.Is(err, ErrMalformedRecord) {
				t.Errorf("%d bytes of kind %d: %v", n, r.Kind, err)
			}
		}
		if _, err := DecodeRecord(append(body[6:], 0)); !errors.Is(err, ErrMalformedRecord) {
			t.Errorf("a byte too many of kind %d: %v", r.Kind, err)
		}
	}
	for k := RecordAgent; k <= RecordContact; k++ {
		if !kinds[k] {
			t.Errorf("no record of kind %d", k)
		}
	}
	if _, err := DecodeRecord(make([]byte, MaxRecordBytes+1)); !errors.Is(err, ErrMalformedRecord) {
		t.Error(err)
	}
}

// Every field of what is saved is in a record: a new one cannot be forgotten.
func TestRecordsHoldEveryField(t *testing.T) {
	skip := map[string]bool{"Acknowledging": true, "AcknowledgingID": true, "UnreachableSince": true, "Task.Health": true}
	all := fullRecords()
	for _, v := range []any{all[0].Agent, all[2].Framework, all[3].Task, all[4].Status} {
		for i := range reflect.TypeOf(v).NumField() {
			if name := reflect.TypeOf(v).Field(i).Name; reflect.ValueOf(v).Field(i).IsZero() && !skip[name] && !skip[reflect.TypeOf(v).Name()+"."+name] {
				t.Errorf("%T.%s is not set: the codec is not tried with it", v, name)
			}
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range fullRecords() {
		f.Add(r.Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRecord(data)
		if err != nil {
			if !errors.Is(err, ErrMalformedRecord) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		body := r.Append(nil)
		again, err := DecodeRecord(body)
		if err != nil || !bytes.Equal(again.Append(nil), body) || fmt.Sprint(again) != fmt.Sprint(r) {
			t.Fatalf("%+v was read back as %+v, %v", r, again, err)
		}
	})
}

// FuzzCheckpoint cuts data into records, each behind its length in two bytes: whatever was
// on the disk, an agent starts or says why not, and says the same in its own records.
func FuzzCheckpoint(f *testing.F) {
	var seed []byte
	for _, r := range fullRecords() {
		body := r.Append(nil)
		seed = append(append(seed, byte(len(body)>>8), byte(len(body))), body...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Checkpoint
		for len(data) >= 2 {
			n := min(int(data[0])<<8|int(data[1]), len(data)-2)
			if r, err := DecodeRecord(data[2 : 2+n]); err == nil {
				c = append(c, r)
			}
			data = data[2+n:]
		}
		l := newLedger(2)
		if err := l.read(c); err != nil {
			var contradiction *CheckpointError
			if !errors.As(err, &contradiction) {
				t.Fatal(err)
			}
			return
		}
		again := newLedger(2)
		if err := again.read(l.records()); err != nil || fmt.Sprint(again.records()) != fmt.Sprint(l.records()) {
			t.Fatalf("%+v was read as %+v, %v", l.records(), again.records(), err)
		}
	})
}

func TestRecordsThatContradictEachOtherAreReported(t *testing.T) {
	full := fullRecords()
	agent, framework, task, update, acknowledged := full[0], full[2], full[3], full[4], full[5]
	begin := Checkpoint{agent, framework, task}
	with := func(r Record, change func(*Record)) Record { change(&r); return r }
	for name, c := range map[string]Checkpoint{
		"another agent":           {agent, with(agent, func(r *Record) { r.Agent.ID = "other" })},
		"no agent":                {framework, task},
		"no framework":            {agent, task},
		"a term twice":            {full[1], full[1]},
		"a container twice":       append(begin[:3:3], task),
		"done and staged":         {agent, framework, with(full[6], func(r *Record) { r.Container = containerNo(1) }), task},
		"done while staged":       append(begin[:3:3], with(full[6], func(r *Record) { r.Container = containerNo(1) })),
		"update of nothing":       {agent, framework, update},
		"update of another task":  append(begin[:3:3], with(update, func(r *Record) { r.Status.Task = taskNamed("u") })),
		"update after the end":    append(begin[:3:3], update, with(update, func(r *Record) { r.Status.State = Killed; r.Status.ID = UpdateID{2} })),
		"unreachable":             append(begin[:3:3], with(update, func(r *Record) { r.Status.State = Unreachable })),
		"update without id":       append(begin[:3:3], with(update, func(r *Record) { r.Status.ID = UpdateID{} })),
		"acknowledged too early":  append(begin[:3:3], acknowledged),
		"acknowledged another id": append(begin[:3:3], update, with(acknowledged, func(r *Record) { r.Update = UpdateID{2} })),
		"acknowledged twice":      append(begin[:3:3], update, acknowledged, acknowledged),
		"unknown kind":            {{Kind: 99}},
	} {
		h := newAgentHost(t, AgentConfig{})
		_, err := NewAgent(h.agent.cfg, c, 0)
		var contradiction *CheckpointError
		if !errors.As(err, &contradiction) || contradiction.Record != len(c)-1 || !strings.Contains(err.Error(), "move it away, and start as a new agent") || strings.Contains(err.Error(), "restore") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the next Output has to save would follow in the file what says it already.
func TestNoCheckpointIsTakenBeforeWhatIsToBeSaved(t *testing.T) {
	h := runningHost(t)
	h.agent.Step(Ping{Term: 9, Sequence: 1, Connected: true})
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, "before 1 records") || !strings.Contains(text, "Term:9") {
			t.Errorf("panic %q", text)
		}
		h.output()
		h.saved = h.agent.Checkpoint()
		h.restart(AgentConfig{})
	}()
	h.agent.Checkpoint()
}

func TestConfigsAreChecked(t *testing.T) {
	good := newAgentHost(t, AgentConfig{}).agent.cfg
	for name, change := range map[string]func(*AgentConfig){
		"Boot": func(c *AgentConfig) { c.Boot = "" }, "Rand": func(c *AgentConfig) { c.Rand = nil },
		"Recover": func(c *AgentConfig) { c.Recover = 7 }, "MaxTasks": func(c *AgentConfig) { c.MaxTasks = -1 }, "MaxBytes": func(c *AgentConfig) { c.MaxBytes = -1 },
		"MaxFrameworks": func(c *AgentConfig) { c.MaxFrameworks = -1 }, "MaxDone": func(c *AgentConfig) { c.MaxDone = -1 }, "RegisterMost": func(c *AgentConfig) { c.RegisterMost = 1 },
		"RetryMost": func(c *AgentConfig) { c.RetryMost = 1 }, "MaxKillGrace": func(c *AgentConfig) { c.MaxKillGrace = 1 },
		"PingTimeout": func(c *AgentConfig) { c.PingTimeout = -1 }, "RemovedSends": func(c *AgentConfig) { c.RemovedSends = -1 },
	} {
		c := good
		change(&c)
		if _, err := NewAgent(c, nil, 0); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever comes from a master or a host, well formed or not, an agent does not panic, and
// its records say all that it knows.
func TestAnyInputIsTaken(t *testing.T) {
	name := func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"f", "t", "u", "agent", "", "a b", "é"}).Draw(t, "name")
	}
	rapid.Check(t, func(t *rapid.T) {
		h := newAgentHost(t, AgentConfig{MaxTasks: 3, MaxFrameworks: 2, MaxDone: 2})
		h.register()
		lastAttempt := uint64(0)
		task := func() Task {
			return Task{Key: TaskKey{FrameworkID(name(t)), TaskID(name(t))}, Agent: AgentID(name(t)), Container: containerNo(rapid.IntRange(0, 6).Draw(t, "container")),
				Term: Term(rapid.Uint64Range(0, 5).Draw(t, "term")), Sequence: rapid.Uint64Range(0, 5).Draw(t, "sequence"), State: TaskState(rapid.IntRange(0, 14).Draw(t, "state"))}
		}
		duration := func() time.Duration {
			return rapid.SampledFrom([]time.Duration{0, 1, -1, time.Second, time.Minute, 1 << 62, -1 << 62}).Draw(t, "duration")
		}
		t.Repeat(map[string]func(*rapid.T){
			"launch": func(t *rapid.T) {
				k := task()
				h.agent.Step(Launch{Term: k.Term, Sequence: k.Sequence, Framework: FrameworkInfo{ID: k.Key.Framework}, Container: k.Container,
					Task: TaskInfo{ID: k.Key.Task, Agent: "agent", KillGrace: duration(), StopAfter: duration()}})
			},
			"kill":     func(t *rapid.T) { k := task(); h.agent.Step(Kill{k.Term, k.Key, duration()}) },
			"shutdown": func(t *rapid.T) { h.agent.Step(ShutdownFramework{3, FrameworkID(name(t))}) },
			"ack": func(t *rapid.T) {
				for _, s := range h.told {
					h.agent.Step(Acknowledge{h.agent.Term(), s.Task, s.ID})
				}
			},
			"ping": func(t *rapid.T) {
				h.agent.Step(Ping{h.agent.Term(), rapid.Uint64Range(0, 3).Draw(t, "n"), rapid.Uint64Range(0, 3).Draw(t, "heard"), rapid.Bool().Draw(t, "connected")})
			},
			"registered": func(t *rapid.T) {
				h.agent.Step(Registered{"agent", h.agent.Term(), lastAttempt, []FrameworkID{FrameworkID(name(t))}, []Task{task(), task()}})
			},
			"link": func(t *rapid.T) {
				if h.agent.Disconnected(); rapid.Bool().Draw(t, "again") {
					h.agent.Connected(Term(rapid.Uint64Range(0, 5).Draw(t, "term")))
				}
			},
			"facts": func(t *rapid.T) {
				bit := func() bool { return rapid.Bool().Draw(t, "fact") }
				h.agent.Observed(ObservedContainer{containerNo(rapid.IntRange(0, 6).Draw(t, "container")),
					Facts{Rebooted: bit(), Barred: bit(), LockHeld: bit(), ShimAlive: bit(), Started: bit(), TaskAlive: bit()}})
			},
			"event": func(t *rapid.T) {
				h.agent.Event(ContainerEvent{Container: containerNo(rapid.IntRange(0, 6).Draw(t, "container")),
					Kind: ContainerEventKind(rapid.IntRange(0, 5).Draw(t, "kind")), Limit: ReasonContainerLimitationDisk})
			},
			"time": func(t *rapid.T) { h.now += max(0, min(duration(), time.Hour)) },
			"restart": func(t *rapid.T) {
				h.output()
				h.restart(AgentConfig{MaxTasks: 3, MaxFrameworks: 2, MaxDone: 2})
			},
			"": func(t *rapid.T) {
				for _, m := range h.output().Send {
					if r, ok := m.(Register); ok {
						lastAttempt = r.Attempt
					}
				}
				read := newLedger(2)
				if err := read.read(h.saved); err != nil {
					t.Fatal(err)
				}
				if a, b := fmt.Sprint(read.records()), fmt.Sprint(h.agent.Checkpoint()); a != b {
					t.Fatalf("the records say\n%s\nthe agent knows\n%s", a, b)
				}
				if n := len(h.agent.Tasks()); n > 2*6 || len(h.agent.frameworks) > 2 || len(h.agent.done) > 2 || len(h.agent.killed) > 2 {
					t.Fatalf("%d tasks, %d done, %d killed", n, len(h.agent.done), len(h.agent.killed))
				}
			},
		})
	})
}
