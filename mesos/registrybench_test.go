package mesos

import (
	"fmt"
	"io"
	"testing"
	"time"
)

// tenThousand has 10,000 agents, as many that are gone, and 100 frameworks.
func tenThousand(b *testing.B) *registered {
	r := elected(b, RegistryLimits{})
	for i := range 10_000 {
		id := AgentID(fmt.Sprintf("agent-%05d", (i*7919)%10_000))
		r.ok(1, admit(id), admit("x-"+id), MarkGone{"x-" + id, time.Duration(i)})
	}
	for i := range 100 {
		r.ok(1, PutFramework{Info: frameworkInfo(FrameworkID(fmt.Sprint("f", i)))})
	}
	b.ReportAllocs()
	b.ResetTimer()
	return r
}

// Of 10,000 agents one is marked unreachable and comes back, by encoded commands.
func BenchmarkRegistryMarks(b *testing.B) {
	r := tenThousand(b)
	for i := range b.N {
		id := AgentID(fmt.Sprintf("agent-%05d", i%10_000))
		r.do(1, MarkUnreachable{id, time.Duration(i)})
		r.do(1, MarkReachable{agentInfo(id), "boot-" + string(id)})
	}
}

// The same with a clone held between any two commands, as readers would.
func BenchmarkRegistryMarksWithClones(b *testing.B) {
	r := tenThousand(b)
	for i := range b.N {
		id := AgentID(fmt.Sprintf("agent-%05d", i%10_000))
		r.do(1, MarkUnreachable{id, time.Duration(i)})
		_ = r.r.Clone()
		r.do(1, MarkReachable{agentInfo(id), "boot-" + string(id)})
		_ = r.r.Clone()
	}
}

func BenchmarkRegistrySnapshot(b *testing.B) {
	r := tenThousand(b)
	for b.Loop() {
		w, err := r.r.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		n, err := w.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}
