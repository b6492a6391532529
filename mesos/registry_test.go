package mesos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// registered drives a registry by encoded commands, as a log would.
type registered struct {
	t     testing.TB
	r     *Registry
	index uint64
}

func newRegistered(t testing.TB, l RegistryLimits) *registered {
	t.Helper()
	r, err := NewRegistry(RegistryConfig{Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	return &registered{t: t, r: r}
}

// elected has a master of term 1.
func elected(t testing.TB, l RegistryLimits) *registered {
	b := newRegistered(t, l)
	b.ok(1, ElectMaster{Name: "m1", Address: "10.0.0.1:4700"})
	return b
}

func (b *registered) do(term Term, operations ...RegistryOperation) []RegistryResult {
	b.t.Helper()
	b.index++
	results, err := DecodeRegistryResults(b.r.Apply(b.index, 0, RegistryCommand{Term: term, Operations: operations}.Append(nil)))
	if err != nil || results.Code != CodeOK || len(results.Results) != len(operations) {
		b.t.Fatalf("results %+v, %v", results, err)
	}
	if results.Term != b.r.Master().Term {
		b.t.Fatalf("results tell of term %d, the registry has %d", results.Term, b.r.Master().Term)
	}
	return results.Results
}

func (b *registered) ok(term Term, operations ...RegistryOperation) {
	b.t.Helper()
	for i, r := range b.do(term, operations...) {
		if r.Code != CodeOK {
			b.t.Fatalf("%+v: %v", operations[i], r.Code)
		}
	}
}

func (b *registered) want(term Term, o RegistryOperation, code RegistryCode) {
	b.t.Helper()
	before := b.state()
	r := b.do(term, o)[0]
	if r.Code != code {
		b.t.Fatalf("%+v: %v, want %v", o, r.Code, code)
	}
	if changed := b.state() != before; changed != r.Changed || changed && code != CodeOK {
		b.t.Fatalf("%+v: %v, changed %t, says %t", o, r.Code, changed, r.Changed)
	}
}

// state is everything but the index applied, as text.
func (b *registered) state() string {
	r := b.r
	return fmt.Sprint(r.master, slices.Collect(r.Agents()), slices.Collect(r.UnreachableAgents()), slices.Collect(r.GoneAgents()),
		slices.Collect(r.Frameworks()), slices.Collect(r.RemovedFrameworks()), slices.Collect(r.Weights()), slices.Collect(r.Quotas()),
		slices.Collect(r.Documents("")))
}

func parsed(text string) Resources {
	r, err := ParseResources(text)
	if err != nil {
		panic(err)
	}
	return r
}

func agentInfo(id AgentID) AgentInfo {
	return AgentInfo{ID: id, Hostname: "host-" + string(id), Address: string(id) + ":4701", Resources: parsed("cpus:4;mem:1024"),
		Attributes: map[string]string{"rack": "r1", "disk": "ssd"}}
}

func frameworkInfo(id FrameworkID) FrameworkInfo {
	return FrameworkInfo{ID: id, Name: "name of " + string(id), User: "ann", Principal: "p", Hostname: "h", Roles: []string{"web", "batch"},
		FailoverTimeout: time.Minute, Labels: map[string]string{"b": "1", "a": "2"}}
}

func admit(id AgentID) AdmitAgent { return AdmitAgent{Info: agentInfo(id), Boot: "boot-" + string(id)} }

func TestAMasterIsElectedOnlyWithAHigherTerm(t *testing.T) {
	b := newRegistered(t, RegistryLimits{})
	b.want(0, ElectMaster{Name: "m0"}, CodeTerm)
	b.want(7, ElectMaster{Name: "m1", Address: "a"}, CodeOK)
	b.want(7, ElectMaster{Name: "m2"}, CodeTerm)
	b.want(6, ElectMaster{Name: "m2"}, CodeTerm)
	if m := b.r.Master(); m != (ElectedMaster{Term: 7, Name: "m1", Address: "a"}) {
		t.Fatalf("the master is %+v", m)
	}
	b.want(9, ElectMaster{Name: "m2"}, CodeOK)
}

// The fence: M-2, M-4.
func TestNobodyButTheLastMasterElectedChangesAnything(t *testing.T) {
	all := append(agentOperations("a"), PutFramework{Info: frameworkInfo("f")}, DisconnectFramework{Framework: "f"},
		RemoveFramework{Framework: "f"}, AllowFramework{Framework: "f"}, SetWeight{Role: "web", Weight: 2000},
		SetQuota{Role: "web", Limited: true}, Prune{Before: time.Hour},
		PutDocument{Name: "d"}, RemoveDocument{Name: "d"})
	if len(all) != int(lastRegistryKind)-1 {
		t.Fatalf("%d operations, there are %d", len(all), lastRegistryKind-1)
	}
	b := newRegistered(t, RegistryLimits{})
	for _, o := range all {
		b.want(0, o, CodeTerm) // nobody is elected: a term of 0 is none
	}
	b.ok(5, ElectMaster{Name: "m"}, admit("a"), PutFramework{Info: frameworkInfo("f"), Connected: true})
	for _, o := range all {
		b.want(4, o, CodeTerm)
		b.want(6, o, CodeTerm)
	}
}

func TestOperationsOfOneCommandHaveEachAResult(t *testing.T) {
	b := newRegistered(t, RegistryLimits{})
	got := b.do(3, SetWeight{Role: "x", Weight: 1}, ElectMaster{Name: "m"}, admit("a"), admit("a"), MarkReachable{Info: agentInfo("a")},
		RemoveAgent{Agent: ""}, MarkGone{Agent: "a", Time: 7}, admit("a"))
	want := []RegistryResult{{Code: CodeTerm}, {Changed: true}, {Changed: true}, {Was: StandingAdmitted},
		{Code: CodeAgentAdmitted, Was: StandingAdmitted}, {Code: CodeInvalid}, {Changed: true, Was: StandingAdmitted},
		{Code: CodeAgentGone, Was: StandingGone, Since: 7}}
	if !slices.Equal(got, want) {
		t.Fatalf("results %+v, want %+v", got, want)
	}
}

// agentOperations is one of each kind about an agent.
func agentOperations(id AgentID) []RegistryOperation {
	info, boot := agentInfo(id), "boot-"+string(id)
	return []RegistryOperation{AdmitAgent{info, boot}, UpdateAgent{info, boot}, MarkUnreachable{id, 100}, MarkReachable{info, boot},
		MarkGone{id, 200}, RemoveAgent{id}, DrainAgent{id, 300}, DeactivateAgent{id}, ReactivateAgent{id}}
}

// Every operation about an agent in every standing: what it answers and what the agent is
// afterwards. A gone agent never comes back (P-5).
func TestWhatMayBecomeOfAnAgent(t *testing.T) {
	const none, admitted, unreachable, gone = StandingNone, StandingAdmitted, StandingUnreachable, StandingGone
	type end struct {
		code RegistryCode
		is   Standing
	}
	table := []map[Standing]end{
		/* AdmitAgent */ {none: {0, admitted}, admitted: {0, admitted}, unreachable: {CodeAgentUnreachable, unreachable}, gone: {CodeAgentGone, gone}},
		/* UpdateAgent */ {none: {CodeAgentUnknown, none}, admitted: {0, admitted}, unreachable: {CodeAgentUnreachable, unreachable}, gone: {CodeAgentGone, gone}},
		/* MarkUnreachable */ {none: {CodeAgentUnknown, none}, admitted: {0, unreachable}, unreachable: {CodeAgentUnreachable, unreachable}, gone: {CodeAgentGone, gone}},
		/* MarkReachable */ {none: {0, admitted}, admitted: {CodeAgentAdmitted, admitted}, unreachable: {0, admitted}, gone: {CodeAgentGone, gone}},
		/* MarkGone */ {none: {CodeAgentUnknown, none}, admitted: {0, gone}, unreachable: {0, gone}, gone: {CodeAgentGone, gone}},
		/* RemoveAgent */ {none: {CodeAgentUnknown, none}, admitted: {0, none}, unreachable: {CodeAgentUnreachable, unreachable}, gone: {CodeAgentGone, gone}},
		/* DrainAgent */ {none: {CodeAgentUnknown, none}, admitted: {0, admitted}, unreachable: {0, unreachable}, gone: {CodeAgentGone, gone}},
		/* DeactivateAgent */ {none: {CodeAgentUnknown, none}, admitted: {0, admitted}, unreachable: {0, unreachable}, gone: {CodeAgentGone, gone}},
		/* ReactivateAgent */ {none: {CodeAgentUnknown, none}, admitted: {0, admitted}, unreachable: {0, unreachable}, gone: {CodeAgentGone, gone}},
	}
	for i, o := range agentOperations("a") {
		for _, was := range []Standing{none, admitted, unreachable, gone} {
			b := elected(t, RegistryLimits{})
			since := time.Duration(0)
			switch was {
			case admitted:
				b.ok(1, admit("a"))
			case unreachable:
				b.ok(1, admit("a"), MarkUnreachable{"a", 11})
				since = 11
			case gone:
				b.ok(1, admit("a"), MarkGone{"a", 22})
				since = 22
			}
			want := table[i][was]
			r := b.do(1, o)[0]
			if is := b.r.Standing("a"); r.Code != want.code || is != want.is || r.Was != was || r.Since != since {
				t.Errorf("%T on standing %d: %+v, is %d afterwards, want %v and %d", o, was, r, is, want.code, want.is)
			}
		}
	}
}

func TestWhatIsRememberedOfAnUnreachableAgent(t *testing.T) {
	b := elected(t, RegistryLimits{})
	b.ok(1, admit("a"), DrainAgent{"a", 99}, MarkUnreachable{"a", 100})
	u, ok := b.r.UnreachableAgent("a")
	if !ok || u.Since != 100 || u.Drain != (Drain{true, 99, true}) {
		t.Fatalf("%+v, %t", u, ok)
	}
	info := agentInfo("a")
	info.Hostname = "renamed"
	b.want(1, MarkReachable{info, "boot-a"}, CodeOK)
	a, ok := b.r.Agent("a")
	if !ok || a.Info.Hostname != "renamed" || a.Drain != (Drain{true, 99, true}) {
		t.Fatalf("an operator's drain is lost on the way: %+v, %t", a, ok)
	}
	b.ok(1, MarkUnreachable{"a", 101}, ReactivateAgent{"a"}, DeactivateAgent{"a"}, MarkReachable{info, "boot-a"})
	if a, _ = b.r.Agent("a"); a.Drain != (Drain{Deactivated: true}) {
		t.Fatalf("%+v", a)
	}
	b.want(1, UpdateAgent{info, "boot-a"}, CodeOK)
	b.want(1, DeactivateAgent{"a"}, CodeOK)
	if a, _ = b.r.Agent("a"); !a.Drain.Deactivated {
		t.Fatal("an update of an agent's own activates it")
	}
}

func TestAnIDIsNotTakenFromAnotherMachine(t *testing.T) {
	there := func(address, boot string) (AgentInfo, string) {
		i := agentInfo("a")
		i.Address = address
		return i, boot
	}
	for _, c := range []struct {
		address, boot string
		refused       bool
	}{
		{"a:4701", "boot-a", false}, {"b:4701", "boot-a", false}, {"a:4701", "boot-2", false}, {"b:4701", "boot-2", true}, {"b:4701", "", true},
	} {
		info, boot := there(c.address, c.boot)
		want := CodeOK
		if c.refused {
			want = CodeElsewhere
		}
		b := elected(t, RegistryLimits{})
		b.ok(1, admit("a"))
		b.want(1, AdmitAgent{info, boot}, want)
		b.want(1, UpdateAgent{info, boot}, want)
		b = elected(t, RegistryLimits{})
		b.ok(1, admit("a"), MarkUnreachable{"a", 5})
		b.want(1, MarkReachable{info, boot}, want)
	}
}

func TestWithoutABootIDTheAddressDecides(t *testing.T) {
	b := elected(t, RegistryLimits{})
	info := agentInfo("a")
	b.ok(1, AdmitAgent{info, ""}, AdmitAgent{info, ""})
	info.Address = "b:4701"
	b.want(1, AdmitAgent{info, ""}, CodeElsewhere)
}

func TestAFrameworkKeepsUserAndPrincipal(t *testing.T) { // F-5
	b := elected(t, RegistryLimits{})
	b.ok(1, PutFramework{Info: frameworkInfo("f"), Connected: true, Time: 1})
	other := frameworkInfo("f")
	other.User = "bob"
	b.want(1, PutFramework{Info: other, Connected: true}, CodeImmutable)
	other = frameworkInfo("f")
	other.Principal = "q"
	b.want(1, PutFramework{Info: other, Connected: true}, CodeImmutable)
	other = FrameworkInfo{ID: "f", Name: "n", User: "ann", Principal: "p", Roles: []string{"x"}, FailoverTimeout: time.Hour}
	b.want(1, PutFramework{Info: other}, CodeOK)
	if f, _ := b.r.Framework("f"); f.Info.Name != "n" || f.Info.FailoverTimeout != time.Hour || !f.Connected || f.Since != 1 {
		t.Fatalf("%+v: an update that is no connection changes who is connected since when", f)
	}
}

func TestTheFailoverTimeCountsFromTheFirstDisconnection(t *testing.T) { // F-3, M-8
	b := elected(t, RegistryLimits{})
	b.want(1, DisconnectFramework{"f", 1}, CodeFrameworkUnknown)
	b.ok(1, PutFramework{Info: frameworkInfo("f"), Time: 5}) // told of by an agent
	f, _ := b.r.Framework("f")
	if f.Connected || f.Since != 5 || b.r.FrameworkStanding("f") != StandingDisconnected {
		t.Fatalf("%+v", f)
	}
	b.ok(1, PutFramework{Info: frameworkInfo("f"), Time: 8})
	b.want(1, DisconnectFramework{"f", 9}, CodeOK)
	if f, _ = b.r.Framework("f"); f.Since != 5 {
		t.Fatalf("%+v: what agents and masters tell moves the time", f)
	}
	b.ok(1, PutFramework{Info: frameworkInfo("f"), Connected: true, Time: 10}, DisconnectFramework{"f", 20}, DisconnectFramework{"f", 30})
	if f, _ = b.r.Framework("f"); f.Connected || f.Since != 20 {
		t.Fatalf("%+v, want disconnected since 20", f)
	}
}

func TestARemovedFrameworkComesBackOnlyIfAllowed(t *testing.T) { // F-4
	b := elected(t, RegistryLimits{})
	b.want(1, RemoveFramework{"f", 1}, CodeFrameworkUnknown)
	b.want(1, AllowFramework{"f"}, CodeFrameworkUnknown)
	b.ok(1, PutFramework{Info: frameworkInfo("f"), Connected: true})
	b.want(1, AllowFramework{"f"}, CodeOK)
	b.want(1, RemoveFramework{"f", 7}, CodeOK)
	removed, ok := b.r.RemovedFramework("f")
	if _, still := b.r.Framework("f"); still || !ok || removed != (RemovedFrameworkRecord{"f", "name of f", 7}) {
		t.Fatalf("%+v, %t, still there: %t", removed, ok, still)
	}
	for _, o := range []RegistryOperation{PutFramework{Info: frameworkInfo("f"), Connected: true}, DisconnectFramework{"f", 1}, RemoveFramework{"f", 1}} {
		b.want(1, o, CodeFrameworkRemoved)
	}
	if text := CodeFrameworkRemoved.Err().Error(); !strings.Contains(text, "allow") {
		t.Fatalf("%q does not say what to do", text)
	}
	b.want(1, AllowFramework{"f"}, CodeOK)
	other := frameworkInfo("f")
	other.User = "bob"
	b.want(1, PutFramework{Info: other, Connected: true}, CodeOK)
}

func TestWeightsAndQuotas(t *testing.T) {
	b := elected(t, RegistryLimits{})
	b.want(1, SetWeight{"web", 2500}, CodeOK)
	b.want(1, SetQuota{"web", true, parsed("cpus:3")}, CodeOK)
	limit, limited := b.r.Quota("web")
	if b.r.Weight("web") != 2500 || b.r.Weight("batch") != 0 || !limited || !limit.Equal(parsed("cpus:3")) {
		t.Fatalf("weights %v, quotas %v", slices.Collect(b.r.Weights()), slices.Collect(b.r.Quotas()))
	}
	b.want(1, SetWeight{"web", 0}, CodeOK)
	b.want(1, SetQuota{Role: "web"}, CodeOK)
	b.want(1, SetQuota{Role: "web"}, CodeOK)
	if s := b.r.Status(); s.Weights != 0 || s.Quotas != 0 || s.Bytes != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestFieldsThatMakeNoSenseAreRefused(t *testing.T) {
	b := elected(t, RegistryLimits{})
	agent := func(change func(*AgentInfo)) AdmitAgent {
		i := agentInfo("a")
		change(&i)
		return AdmitAgent{Info: i}
	}
	framework := func(change func(*FrameworkInfo)) PutFramework {
		i := frameworkInfo("f")
		change(&i)
		return PutFramework{Info: i}
	}
	for _, o := range []RegistryOperation{
		agent(func(i *AgentInfo) { i.ID = "a/b" }), agent(func(i *AgentInfo) { i.ID = ".." }), UpdateAgent{}, MarkReachable{},
		MarkUnreachable{}, MarkGone{}, RemoveAgent{"\n"}, DrainAgent{}, DeactivateAgent{}, ReactivateAgent{"ä"},
		framework(func(i *FrameworkInfo) { i.ID = "" }), framework(func(i *FrameworkInfo) { i.Roles = []string{"a", "a"} }),
		framework(func(i *FrameworkInfo) { i.Roles = []string{""} }),
		framework(func(i *FrameworkInfo) { i.FailoverTimeout = MaxFailoverTimeout + 1 }),
		DisconnectFramework{}, RemoveFramework{}, AllowFramework{}, SetWeight{Role: ""}, SetQuota{Role: "/"}, ElectMaster{},
		PutDocument{Name: "a/b"}, RemoveDocument{},
	} {
		b.want(1, o, CodeInvalid)
		if (RegistryCommand{Term: 1, Operations: []RegistryOperation{o}}).Check() == nil {
			t.Errorf("Check has nothing against %+v", o)
		}
	}
	long := strings.Repeat("x", MaxRegistryText+1)
	for _, o := range []RegistryOperation{
		agent(func(i *AgentInfo) { i.Hostname = long }), agent(func(i *AgentInfo) { i.Attributes = map[string]string{"k": long} }),
		framework(func(i *FrameworkInfo) { i.Name = long }), ElectMaster{"m", long}, MarkGone{"a", -1}, SetWeight{"web", -1},
		SetWeight{"web", MaxWeight + 1}, Prune{Keep: -1}, Prune{Before: -1}, PutDocument{"d", make([]byte, MaxDocumentBytes+1)}, MarkUnreachable{AgentID(long), 1},
	} {
		command := RegistryCommand{Term: 1, Operations: []RegistryOperation{o}}
		if command.Check() == nil || b.r.Carry(9, command).Results[0].Code != CodeInvalid {
			t.Errorf("%+v was taken", o)
		}
		if _, err := DecodeRegistryCommand(command.Append(nil)); !errors.Is(err, ErrRegistryMalformed) {
			t.Errorf("%+v was decoded: %v", o, err)
		}
	}
}
