package mesos_test

import (
	"bytes"
	"fmt"
	"time"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/replica"
)

// A registry is what a group can replicate.
var (
	_ replica.StateMachine = (*mesos.Registry)(nil)
	_ replica.Digester     = (*mesos.Registry)(nil)
)

// propose stands for proposing a command to a group and waiting for its results.
func propose(r *mesos.Registry, term mesos.Term, operations ...mesos.RegistryOperation) []mesos.RegistryResult {
	command := mesos.RegistryCommand{Term: term, Operations: operations}.Append(nil)
	results, err := mesos.DecodeRegistryResults(r.Apply(r.Applied()+1, 0, command))
	if err != nil {
		panic(err)
	}
	return results.Results
}

// One master admits an agent; another one is elected, and what the first still proposes is
// refused.
func ExampleRegistry() {
	registry, err := mesos.NewRegistry(mesos.RegistryConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	agent := mesos.AgentInfo{ID: "agent-1", Hostname: "rack-3", Address: "10.0.0.7:4701"}
	propose(registry, 1, mesos.ElectMaster{Name: "master-a"})
	fmt.Println("admit:", propose(registry, 1, mesos.AdmitAgent{Info: agent, Boot: "6f1c"})[0].Code)

	propose(registry, 2, mesos.ElectMaster{Name: "master-b"})
	unreachable := mesos.MarkUnreachable{Agent: "agent-1", Time: 1_700_000_000 * time.Second}
	fmt.Println("master-a marks it unreachable:", propose(registry, 1, unreachable)[0].Code)
	fmt.Println("master-b marks it unreachable:", propose(registry, 2, unreachable)[0].Code)

	var snapshot bytes.Buffer
	picture, _ := registry.Snapshot()
	picture.WriteTo(&snapshot)
	restored, _ := mesos.NewRegistry(mesos.RegistryConfig{})
	fmt.Println("restored:", restored.Restore(&snapshot))
	for a := range restored.UnreachableAgents() {
		fmt.Println(a.ID, "since", a.Since, restored.Digest() == registry.Digest())
	}
	// Output:
	// admit: done
	// master-a marks it unreachable: another master has been elected
	// master-b marks it unreachable: done
	// restored: <nil>
	// agent-1 since 472222h13m20s true
}
