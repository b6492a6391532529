package mesoswire

import (
	"fmt"
	"testing"

	"github.com/synod-go/synod/mesos"
)

// What a master does 2,000 times a second (launch, update), and 10,000 times after its
// election (register, of an agent with 10 tasks).
func BenchmarkMessages(b *testing.B) {
	resources, err := mesos.ParseResources("cpus:0.5;mem:256;ports:[31000-31001]")
	if err != nil {
		b.Fatal(err)
	}
	framework := mesos.FrameworkInfo{ID: "synod", Name: "synod", User: "root", Roles: []string{"*"}, FailoverTimeout: 1e15}
	key := mesos.TaskKey{Framework: "synod", Task: "web.3.00000000000000a7"}
	register := mesos.Register{Attempt: 1, Boot: "5c1f0b1e-0000-4000-8000-000000000000", Frameworks: []mesos.FrameworkInfo{framework},
		Info: mesos.AgentInfo{ID: "3-A17", Hostname: "node-17.example.org", Address: "10.0.0.17:5051", Resources: resources}}
	for i := range 10 {
		key := mesos.TaskKey{Framework: "synod", Task: mesos.TaskID(fmt.Sprintf("web.%d.00000000000000a7", i))}
		register.Tasks = append(register.Tasks, mesos.Task{Key: key, Name: "web", Agent: "3-A17", Container: mesos.ContainerID{1}, Term: 3,
			Sequence: 18, Resources: resources, Role: "*", KillGrace: 5e9, Labels: map[string]string{"job": "web"}, State: mesos.Running})
	}
	for name, m := range map[string]any{
		"register": register,
		"update": mesos.StatusUpdate{Latest: mesos.Running, Status: mesos.TaskStatus{Task: key, Agent: "3-A17", Container: mesos.ContainerID{1},
			State: mesos.Running, Reason: mesos.ReasonNone, Source: mesos.SourceAgent, ID: mesos.UpdateID{2}, Time: 1764120000_123456789}},
		"launch": mesos.Launch{Term: 3, Sequence: 18, Framework: framework, Container: mesos.ContainerID{1}, Task: mesos.TaskInfo{ID: key.Task,
			Name: "web", Agent: "3-A17", Resources: resources, Role: "*", Command: mesos.Command{Value: "exec ./web --port $PORT0", Shell: true,
				Environment: map[string]string{"PORT0": "31000", "JOB": "web"}}, Health: &mesos.HealthCheck{Kind: mesos.HealthHTTP, Port: 31000}}},
	} {
		data, err := AppendMessage(nil, m)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/append", func(b *testing.B) {
			b.ReportAllocs()
			buffer := data[:0:len(data)]
			for b.Loop() {
				if _, err := AppendMessage(buffer, m); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(data)))
		})
		b.Run(name+"/parse", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseMessage(data); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(data)))
		})
	}
}
