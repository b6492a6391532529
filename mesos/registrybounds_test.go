package mesos

import (
	"fmt"
	"testing"
	"time"
)

func TestPruneForgetsTheOldAndTheOldestBeyondACount(t *testing.T) { // P-6
	fill := func() *registered {
		b := elected(t, RegistryLimits{})
		for i, since := range []time.Duration{50, 10, 30, 30, 20} { // ids in another order than the times
			u, g := AgentID(fmt.Sprint("u", i)), AgentID(fmt.Sprint("g", i))
			f := FrameworkID(fmt.Sprint("f", i))
			b.ok(1, admit(u), MarkUnreachable{u, since}, admit(g), MarkGone{g, since},
				PutFramework{Info: frameworkInfo(f)}, RemoveFramework{f, since})
		}
		b.ok(1, admit("a"), PutFramework{Info: frameworkInfo("f"), Time: 1})
		return b
	}
	for _, c := range []struct {
		prune Prune
		kept  string
	}{
		{Prune{Before: 10}, "01234"}, {Prune{Before: 11}, "0234"}, {Prune{Before: 30}, "023"}, {Prune{Before: 31}, "0"},
		{Prune{Before: 99}, ""}, {Prune{Keep: 5}, "01234"}, {Prune{Keep: 3}, "023"}, {Prune{Keep: 2}, "03"},
		{Prune{Before: 11, Keep: 4}, "0234"}, {Prune{Before: 11, Keep: 3}, "023"},
	} {
		b := fill()
		r := b.do(1, c.prune)[0]
		kept := [3]string{}
		for i := range 5 {
			for j, known := range [...]bool{b.r.Standing(AgentID(fmt.Sprint("u", i))) == StandingUnreachable,
				b.r.Standing(AgentID(fmt.Sprint("g", i))) == StandingGone,
				b.r.FrameworkStanding(FrameworkID(fmt.Sprint("f", i))) == StandingRemoved} {
				if known {
					kept[j] += fmt.Sprint(i)
				}
			}
		}
		if want := 3 * (5 - len(c.kept)); kept != [3]string{c.kept, c.kept, c.kept} || r.Dropped != want || r.Changed != (want > 0) {
			t.Errorf("%+v keeps %q and says %+v, want %q", c.prune, kept, r, c.kept)
		}
		if s := b.r.Status(); s.Agents != 1 || s.Frameworks != 1 {
			t.Errorf("%+v: %+v: what is neither unreachable, gone nor removed is to stay", c.prune, s)
		}
	}
}

func TestAFullListForgetsItsOldestToTakeOneMore(t *testing.T) {
	b := elected(t, RegistryLimits{Unreachable: 2, Gone: 1, Removed: 1})
	for _, id := range []AgentID{"a", "b", "c", "d", "e"} {
		b.ok(1, admit(id))
	}
	b.ok(1, MarkUnreachable{"a", 30}, MarkUnreachable{"b", 20})
	if r := b.do(1, MarkUnreachable{"c", 10})[0]; r.Dropped != 1 || b.r.Standing("b") != StandingNone || b.r.Standing("c") != StandingUnreachable {
		t.Fatalf("%+v: the mark itself, though the earliest, is to stay; b is %d, c is %d", r, b.r.Standing("b"), b.r.Standing("c"))
	}
	b.ok(1, MarkGone{"d", 20}, MarkGone{"e", 10})
	if b.r.Standing("d") != StandingNone || b.r.Standing("e") != StandingGone {
		t.Fatalf("d is %d, e is %d", b.r.Standing("d"), b.r.Standing("e"))
	}
	b.ok(1, PutFramework{Info: frameworkInfo("f")}, PutFramework{Info: frameworkInfo("g")}, RemoveFramework{"f", 20}, RemoveFramework{"g", 10})
	if b.r.FrameworkStanding("f") != StandingNone || b.r.FrameworkStanding("g") != StandingRemoved {
		t.Fatalf("%+v", b.r.Status())
	}
}

func TestAFullRegistryRefusesWhatIsNewAndTakesWhatIsKnown(t *testing.T) {
	b := elected(t, RegistryLimits{Agents: 1, Frameworks: 1, Roles: 1})
	b.ok(1, admit("a"), PutFramework{Info: frameworkInfo("f")}, SetWeight{"web", 1}, SetQuota{"web", true, parsed("cpus:1")})
	b.want(1, admit("b"), CodeFull)
	b.want(1, MarkReachable{agentInfo("b"), ""}, CodeFull)
	b.want(1, PutFramework{Info: frameworkInfo("g")}, CodeFull)
	b.want(1, SetWeight{"batch", 1}, CodeFull)
	b.want(1, SetQuota{"batch", true, parsed("cpus:1")}, CodeFull)
	for _, o := range append(agentOperations("a")[:3], PutFramework{Info: frameworkInfo("f")}, SetWeight{"web", 2}, SetQuota{"web", true, parsed("cpus:2")}) {
		b.ok(1, o)
	}
}

func TestARegistryFullOfBytesStillShrinksAndMarks(t *testing.T) {
	b := elected(t, RegistryLimits{Bytes: 2000})
	n := 0
	for ; ; n++ {
		if r := b.do(1, admit(AgentID(fmt.Sprintf("agent-%d", n))))[0]; r.Code == CodeFull {
			break
		} else if r.Code != CodeOK || n > 2000 {
			t.Fatalf("%+v at agent %d", r, n)
		}
	}
	if s := b.r.Status(); n == 0 || s.Bytes > 2000 || s.Bytes < 1800 {
		t.Fatalf("full with %d agents at %+v", n, s)
	}
	b.want(1, SetQuota{"web", true, parsed("cpus:1;disk:1000;mem:1000;gpus:1;a:1;b:1;c:1;d:1;e:1;f:1;g:1;h:1;i:1;j:1;k:1;l:1;m:1;n:1;o:1")}, CodeFull)
	smaller := agentInfo("agent-0")
	smaller.Attributes = nil
	b.want(1, UpdateAgent{smaller, "boot-agent-0"}, CodeOK)
	for i := range n { // marks are taken, though they make it longer than it may be
		b.want(1, DrainAgent{AgentID(fmt.Sprintf("agent-%d", i)), 1 << 62}, CodeOK)
	}
	smaller.Hostname = ""
	if b.want(1, UpdateAgent{smaller, "boot-agent-0"}, CodeOK); b.r.Status().Bytes <= 2000 {
		t.Fatalf("%+v: this says nothing about a registry that is too long", b.r.Status())
	}
	b.want(1, MarkUnreachable{"agent-0", 1}, CodeOK)
	b.want(1, MarkGone{"agent-1", 1}, CodeOK)
}

func TestLimitsThatMakeNoSense(t *testing.T) {
	for _, l := range []RegistryLimits{{Agents: -1}, {Gone: maxRegistryRows + 1}, {Bytes: 1<<40 + 1}, {Roles: -1}} {
		if _, err := NewRegistry(RegistryConfig{Limits: l}); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	if s := newRegistered(t, RegistryLimits{Gone: 5}).r.Status().Limits; s.Gone != 5 || s.Unreachable != 102_400 || s.Agents == 0 {
		t.Errorf("limits %+v", s)
	}
}

// Marks and removals are not refused when a registry is full: they must not make it longer but
// by a time.
func TestAMarkTakesNoMoreRoomThanItsTime(t *testing.T) {
	b := elected(t, RegistryLimits{})
	const late = time.Duration(1<<63 - 1)
	b.ok(1, AdmitAgent{AgentInfo{ID: "a"}, ""}, PutFramework{Info: FrameworkInfo{ID: "f"}, Time: late})
	for _, o := range []RegistryOperation{MarkUnreachable{"a", late}, MarkGone{"a", late}, RemoveFramework{"f", late}} {
		before := b.r.Status().Bytes
		b.ok(1, o)
		if after := b.r.Status().Bytes; after > before+9 {
			t.Errorf("%+v: from %d to %d bytes", o, before, after)
		}
	}
}
