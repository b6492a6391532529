package jobs

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
)

func container(count int) Spec {
	s := service(count)
	s.Command, s.Docker = mesos.Command{}, &mesos.Docker{Image: "web:1"}
	return s
}

// accepted are the tasks that were launched.
func (b *bench) accepted() (all []mesos.TaskInfo) {
	for _, c := range b.calls {
		if a, ok := c.(mesos.AcceptCall); ok {
			all = append(all, a.Launch...)
		}
	}
	b.calls = nil
	return all
}

func TestAContainerIsPlacedWhereDockerIs(t *testing.T) {
	b := newBench(t)
	b.want("answer", b.put(container(2)).Text, "")
	b.pass(time.Second)
	b.offer("a1 cpus:4;mem:900", "b1 cpus:9;mem:9000")
	b.want("launched without Docker", b.launched(), "[]")
	b.offer("a1 cpus:4;mem:900", "d1 cpus:4;mem:100")
	b.want("launched", b.launched(), "[web.0.1@d1]")
}

func TestAContainersPorts(t *testing.T) {
	for _, c := range []struct {
		network, ports, environment string
	}{
		{"", "[{31000 80 } {8080 8080 }]", "80 80 31000 8080 8080"},
		{"mine", "[{31000 80 } {8080 8080 }]", "80 80 31000 8080 8080"},
		{"host", "[]", "31000 31000 31000 8080 8080"},
	} {
		b := newBench(t)
		s := container(1)
		s.Docker.Network = c.network
		s.Ports = []Port{{Name: "http", Container: 80}, {Name: "admin-2", Host: 8080}}
		if c.network == "host" {
			s.Ports[0].Container = 0
		}
		s.Health, s.HealthPort = &mesos.HealthCheck{Kind: mesos.HealthTCP}, "http"
		b.want("answer", b.put(s).Text, "")
		b.pass(time.Second)
		b.offer("d1 cpus:4;mem:900;ports:[8080-8080,31000-31001]")
		task := b.accepted()[0]
		e := task.Command.Environment
		b.want(c.network+" is passed on", task.Docker.Ports, c.ports)
		b.want(c.network+" environment", strings.Join([]string{e["PORT"], e["PORT_HTTP"], e["HOST_PORT_HTTP"], e["PORT_ADMIN_2"], e["HOST_PORT_ADMIN_2"]}, " "), c.environment)
		b.want("the health check asks", task.Health.Port, 31000)
		if wrong := task.Docker.Wrong(); wrong != "" {
			t.Errorf("%s: %s", c.network, wrong)
		}
	}
}

func TestAnotherImageIsAnUpdate(t *testing.T) {
	b := newBench(t)
	s := container(1)
	b.put(s)
	b.pass(time.Second)
	b.offer("d1 cpus:8;mem:900")
	b.tell("web.0.1", "d1", mesos.Running)
	b.pass(time.Minute)
	b.calls = nil
	same := container(1)
	same.Docker.Network = "bridge"
	b.want("version of the same", b.put(same).Version, 1)
	next := container(1)
	next.Docker.Image = "web:2"
	b.want("version", b.put(next).Version, 2)
	b.want("killed", b.killed(), "[web.0.1]")
	b.want("image that runs on", b.status("web").Instances[0].Image, "web:1")
	b.tell("web.0.1", "d1", mesos.Killed)
	b.pass(2 * time.Second)
	b.offer("d1 cpus:4;mem:900")
	b.want("image", b.accepted()[0].Docker.Image, "web:2")
	b.want("image that is told", b.status("web").Instances[0].Image, "web:2")
}

func TestAContainerThatMakesNoSenseIsRefused(t *testing.T) {
	for _, c := range []struct {
		says  string
		spoil func(*Spec)
	}{
		{"Command is missing", func(s *Spec) { s.Docker = nil }},
		{"runtime: docker", func(s *Spec) {
			s.Docker, s.Command.Value, s.Ports = nil, "x", []Port{{Name: "a", Container: 80}}
		}},
		{"Command is empty", func(s *Spec) { s.Command.Shell = true }},
		{"Command is empty", func(s *Spec) { s.Command.Arguments = []string{"x"} }},
		{"Docker is wrong: the image", func(s *Spec) { s.Docker.Image = "" }},
		{"Docker is wrong: the image", func(s *Spec) { s.Docker.Image = "a b" }},
		{"Docker has ports of its own", func(s *Spec) { s.Docker.Ports = []mesos.PortMapping{{Host: 1, Container: 1}} }},
		{"not passed on in the network none", func(s *Spec) { s.Docker.Network, s.Ports = "none", []Port{{Name: "a"}} }},
		{"leave container: out", func(s *Spec) { s.Docker.Network, s.Ports = "host", []Port{{Name: "a", Container: 80}} }},
		{"ask by command", func(s *Spec) {
			s.Docker.Network, s.Health = "none", &mesos.HealthCheck{Kind: mesos.HealthTCP, Port: 80}
		}},
		{"none of the files of fetch", func(s *Spec) { s.Docker.Load = "app.tar" }},
		{"has a colon", func(s *Spec) { s.Docker.Mounts = []mesos.Mount{{Target: "/a:b", Temporary: true}} }},
		{"two mounts", func(s *Spec) {
			s.Docker.Mounts = []mesos.Mount{{Target: "/a", Temporary: true}, {Target: "/a", Volume: "v"}}
		}},
	} {
		s := container(1).WithDefaults()
		c.spoil(&s)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", s.Docker, err, c.says)
		}
	}
	s := container(1)
	s.Docker.Load, s.Command.URIs = "app.tar", []mesos.URI{{Value: "https://example.org/a/app.tar?x=1"}}
	if err := checked(s.WithDefaults()); err != nil {
		t.Error(err)
	}
	if s.Docker.Network != "" {
		t.Error("a default was written into what the caller has")
	}
}

func checked(s Spec) error { return s.Check() }

func TestWhyNoContainerRuns(t *testing.T) {
	agent := func(id, docker, state string) mesos.AgentView {
		total, err := mesos.ParseResources("cpus:8;mem:8192")
		if err != nil {
			t.Fatal(err)
		}
		a := mesos.AgentView{State: state, Info: mesos.AgentInfo{ID: mesos.AgentID(id), Hostname: id, Resources: total, Attributes: map[string]string{"zone": "a"}}}
		if docker != "" {
			a.Info.Attributes[mesos.DockerAttribute] = docker
		}
		return a
	}
	b := newBench(t)
	s := container(1)
	s.Constraints = []Constraint{{"zone", "is", "b"}}
	b.put(s)
	wide := container(1)
	wide.Name, wide.Memory = "wide", 16384*mesos.One
	b.put(wide)
	without, with := agent("a1", "", "registered"), agent("d1", "20.10.24", "registered")
	for _, c := range []struct {
		job    string
		agents []mesos.AgentView
		want   string
	}{
		{"web", []mesos.AgentView{without, agent("d9", "20.10.24", "unreachable")}, "needs cpus:1, mem:64 on one agent with Docker; none of the 1 agents has Docker. " +
			"Start an agent on a machine where a Docker engine runs, or run a process: runtime: process"},
		{"web", []mesos.AgentView{without, with, without}, "needs cpus:1, mem:64 on one agent with Docker (2 of 3 have none); none of the 1 agents meets the constraint " +
			`"zone is b". Change constraints:, or add an agent`},
		{"wide", []mesos.AgentView{without, with}, "needs cpus:1, mem:16384 on one agent with Docker (1 of 2 have none); no agent has that, even when it is empty: " +
			"the largest, d1, has mem:8192. Lower memory:, or add an agent"},
	} {
		b.j.Agents(c.agents)
		b.want("pending", b.status(c.job).Instances[0].Pending, c.want)
	}
}

// What was written before there were containers is read, and what has none is written as then.
func TestDocumentsWithoutContainersAreAsEver(t *testing.T) {
	const spec = `{"Name":"web","Kind":"service","Count":2,"Command":{"Value":"serve","Shell":false,"Arguments":["-v"],"Environment":{"A":"b"},"User":"","URIs":[{"Value":"/opt/x.tar","SHA256":"","Output":"","Executable":false,"Extract":true}]},` +
		`"CPUs":100,"Memory":64000,"Disk":0,"Ports":[{"Name":"http","Host":0},{"Name":"admin","Host":8080}],"Role":"*","Constraints":[{"Attribute":"zone","Operator":"is","Value":"a"}],` +
		`"Health":{"Kind":2,"Command":{"Value":"","Shell":false,"Arguments":null,"Environment":null,"User":"","URIs":null},"Port":0,"Path":"/up","Delay":0,"Interval":1000000000,"Timeout":0,"Grace":0,"Failures":0},"HealthPort":"http",` +
		`"Restart":{"On":"always","BackoffMin":1000000000,"BackoffMax":60000000000,"GiveUpAfter":0},"KillGrace":3000000000,"ReplaceAfter":0,` +
		`"Update":{"Parallel":1,"HealthyAfter":5000000000,"Deadline":120000000000,"NoRollback":false},"Schedule":"","Overlap":false,"Labels":{"team":"shop"}}`
	document := []byte(`{"Spec":` + spec + `,"Version":3,"Template":2,"Previous":` + spec + `,"PreviousTemplate":1,"Last":5}`)
	b := newBench(t)
	b.documents = map[string][]byte{"jobs.job.web": document, "jobs.number": []byte(`{"Next":8}`),
		"jobs.task.web.0": []byte(`{"Template":2,"Version":3,"Task":"web.0.7","Agent":"a1","Hostname":"h1","Ports":[31000,8080],"Started":9}`)}
	b.again()
	s := b.status("web")
	if s.Spec.Docker != nil || s.Version != 3 || s.Instances[0].Task != "web.0.7" || len(s.Spec.Ports) != 2 {
		t.Fatalf("%+v", s)
	}
	var doc jobDocument
	if err := decodeDocument(mesos.Document{Data: document}, &doc); err != nil {
		t.Fatal(err)
	}
	if again := string(encodeDocument(doc)); again != string(document) {
		t.Errorf("written\n%s\nwant\n%s", again, document)
	}
	if !sameTask(doc.Spec, s.Spec) || b.put(s.Spec).Version != 3 {
		t.Error("the same job is another one")
	}
	withImage := s.Spec
	withImage.Docker = &mesos.Docker{Image: "x", Mounts: []mesos.Mount{{Target: "/a", Volume: "v", ReadOnly: true}}}
	var back Spec
	if err := decodeDocument(mesos.Document{Data: encodeDocument(withImage)}, &back); err != nil || !reflect.DeepEqual(back, withImage) {
		t.Errorf("%+v came back as %+v, %v", withImage, back, err)
	}
}
