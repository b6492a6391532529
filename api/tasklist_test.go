package api

import (
	"fmt"
	"testing"

	"github.com/synod-go/synod/mesos"
)

// manyTasks is what a large cluster's master shows: one task runs, many have ended.
func manyTasks(agents, ended int) *mesos.MasterView {
	v := &mesos.MasterView{}
	for i := range agents {
		v.Agents = append(v.Agents, mesos.AgentView{Info: mesos.AgentInfo{ID: mesos.AgentID(fmt.Sprintf("a-%06d", i)), Hostname: fmt.Sprintf("host%d", i)}})
	}
	for i := range ended + 1 {
		var t mesos.TaskView
		t.Task.Key = mesos.TaskKey{Framework: builtIn, Task: mesos.TaskID(fmt.Sprintf("web.%d.7", i))}
		t.Task.Agent, t.Task.State = v.Agents[i%agents].Info.ID, mesos.Finished
		if i == ended {
			t.Task.State = mesos.Running
		}
		v.Tasks = append(v.Tasks, t)
	}
	return v
}

// TestAListOfTasksCostsWhatItShows: with work for each agent or ended task a reader who comes
// every few milliseconds takes the processor from the master.
func TestAListOfTasksCostsWhatItShows(t *testing.T) {
	v := manyTasks(20000, 5000)
	list := taskList(v, taskFilter{})
	if len(list.Tasks) != 1 || list.Tasks[0].AgentName != "host5000" || list.Tasks[0].Job != "web" {
		t.Fatalf("the list is %+v", list.Tasks)
	}
	if n := testing.AllocsPerRun(3, func() { taskList(v, taskFilter{}) }); n > 20 {
		t.Errorf("a list with one task takes %v allocations", n)
	}
	if n := testing.AllocsPerRun(3, func() { taskList(v, taskFilter{job: "other", all: true}) }); n > 20 {
		t.Errorf("a list with no task takes %v allocations", n)
	}
	for _, f := range []taskFilter{{job: "web"}, {agent: "host5000"}, {agent: "a-005000"}, {framework: "synod"}} {
		if n := len(taskList(v, f).Tasks); n != 1 {
			t.Errorf("%+v finds %d tasks", f, n)
		}
	}
	for _, f := range []taskFilter{{job: "x"}, {agent: "host1"}, {agent: "a-00500"}, {framework: "x"}} {
		if n := len(taskList(v, f).Tasks); n != 0 {
			t.Errorf("%+v finds %d tasks", f, n)
		}
	}
	v.Agents = nil
	if list := taskList(v, taskFilter{all: true}); len(list.Tasks) != 5001 || list.Tasks[0].AgentName != "" {
		t.Errorf("of agents that are not there: %d tasks, %q", len(list.Tasks), list.Tasks[0].AgentName)
	}
}

func BenchmarkTaskList(b *testing.B) {
	v := manyTasks(20000, 5000)
	for b.Loop() {
		taskList(v, taskFilter{})
	}
}
