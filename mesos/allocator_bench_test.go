package mesos

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

const (
	benchAgents     = 10_000
	benchFrameworks = 50
)

// bigCluster has 10,000 agents and 50 frameworks in 5 roles.
func bigCluster(b *testing.B) *Allocator {
	a := NewAllocator(AllocatorConfig{Rand: rand.New(rand.NewPCG(1, 2))})
	for i := range benchFrameworks {
		a.AddFramework(FrameworkID(fmt.Sprint("f", i)), []string{fmt.Sprint("r", i%5)})
	}
	total := resources(b, "cpus:32;mem:131072;disk:1000000;ports:[31000-32000]")
	for i := range benchAgents {
		a.AddAgent(AgentID(fmt.Sprint("n", i)), total)
	}
	return a
}

// All agents have something to offer.
func BenchmarkAllocateAll(b *testing.B) {
	a := bigCluster(b)
	for b.Loop() {
		all := a.Allocate(0)
		if len(all) != benchAgents {
			b.Fatal(len(all))
		}
		b.StopTimer()
		giveBack(a, all, 0, 0)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchAgents, "ns/agent")
}

// Ten agents of 10,000 have something to offer again.
func BenchmarkAllocateFew(b *testing.B) {
	a := bigCluster(b)
	all := a.Allocate(0)
	for b.Loop() {
		giveBack(a, all[:10], 0, 0)
		all = append(all[10:], a.Allocate(0)...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/agent")
}

// All frameworks have filters against all agents, all of which are looked at for nothing.
func BenchmarkAllocateRefused(b *testing.B) {
	a := bigCluster(b)
	for all := a.Allocate(0); len(all) > 0; all = a.Allocate(0) {
		giveBack(a, all, time.Hour, 0)
	}
	for b.Loop() {
		a.SetQuota("r0", Resources{}, false) // everything is looked at
		if len(a.Allocate(0)) > 0 {
			b.Fatal("no filter")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchAgents, "ns/agent")
}
