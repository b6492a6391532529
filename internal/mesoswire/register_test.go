package mesoswire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/synod-go/synod/mesos"
)

// What an agent keeps at most of its tasks fits into one Register, whatever they are made of: an agent
// that could not register would be lost with all its tasks.
func TestTheLargestRegisterFitsIntoAMessage(t *testing.T) {
	const most = 4 << 20 // the default of mesos.AgentConfig.MaxBytes, half of it for tasks that were started
	size := func(r mesos.Record) int { return len(r.Append(nil)) }
	labels := map[string]string{}
	for i := range 10_000 {
		labels[fmt.Sprintf("%x", i)] = ""
	}
	for name, next := range map[string]func(n int) (mesos.Task, int){
		"refused tasks": func(n int) (mesos.Task, int) {
			return mesos.Task{Key: mesos.TaskKey{Framework: "f", Task: mesos.TaskID(fmt.Sprint(n))}, Agent: "a", State: mesos.Dropped,
				Acknowledging: mesos.Dropped, AcknowledgingID: mesos.UpdateID{1}, Term: 1, Sequence: 1}, most
		},
		"small labels": func(n int) (mesos.Task, int) {
			return mesos.Task{Key: mesos.TaskKey{Framework: "f", Task: mesos.TaskID(fmt.Sprint(n))}, Labels: labels}, most / 2
		},
		"large labels": func(n int) (mesos.Task, int) {
			return mesos.Task{Key: mesos.TaskKey{Framework: "f", Task: mesos.TaskID(fmt.Sprint(n))}, Labels: map[string]string{"x": strings.Repeat("x", 1000<<10)}}, most / 2
		},
	} {
		r := mesos.Register{Info: mesos.AgentInfo{Hostname: "h"}, Attempt: 1, Sequence: 1}
		for total, n := 0, 0; ; n++ {
			task, limit := next(n)
			if total += size(mesos.Record{Kind: mesos.RecordTask, Task: task}); total > limit {
				break
			}
			r.Tasks = append(r.Tasks, task)
		}
		data, err := AppendMessage(nil, r)
		if err == nil {
			_, err = ParseMessage(data)
		}
		if err != nil {
			t.Errorf("%s: %d tasks: %v", name, len(r.Tasks), err)
		}
		t.Logf("%s: %d tasks in %d bytes", name, len(r.Tasks), len(data))
	}
}
