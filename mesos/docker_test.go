package mesos

import (
	"fmt"
	"strings"
	"testing"
)

func TestADescriptionOfAContainerIsChecked(t *testing.T) {
	good := func() *Docker {
		return &Docker{Image: "registry.example:5000/app@sha256:00ff", Load: "app.tar", Network: "mine",
			Ports:  []PortMapping{{31000, 80, ""}, {31000, 53, "udp"}},
			Mounts: []Mount{{Target: "/data", Volume: "v1"}, {Target: "/x", Path: "/srv/x", ReadOnly: true}, {Target: "/tmp", Temporary: true}}}
	}
	if wrong := good().Wrong(); wrong != "" {
		t.Errorf("%+v: %s", good(), wrong)
	}
	if wrong := (*Docker)(nil).Wrong(); wrong != "" {
		t.Errorf("none: %s", wrong)
	}
	many := func(n int) (mounts []Mount) {
		for i := range n {
			mounts = append(mounts, Mount{Target: fmt.Sprint("/m", i), Temporary: true})
		}
		return mounts
	}
	for _, c := range []struct {
		says  string
		spoil func(*Docker)
	}{
		{"image", func(d *Docker) { d.Image = "" }},
		{"image", func(d *Docker) { d.Image = "a b" }},
		{"image", func(d *Docker) { d.Image = strings.Repeat("x", 4097) }},
		{"to load", func(d *Docker) { d.Load = "../x" }},
		{"network", func(d *Docker) { d.Network = "a/b" }},
		{"network", func(d *Docker) { d.Network = "container:synod-0f" }},
		{"not passed on", func(d *Docker) { d.Network = "host" }},
		{"not passed on", func(d *Docker) { d.Network = "none" }},
		{"the port 0", func(d *Docker) { d.Ports[0].Host = 0 }},
		{"makes no sense", func(d *Docker) { d.Ports[0].Container = 0 }},
		{"makes no sense", func(d *Docker) { d.Ports[0].Protocol = "sctp" }},
		{"twice", func(d *Docker) { d.Ports[1].Protocol = "tcp" }},
		{"at most 100", func(d *Docker) { d.Ports = make([]PortMapping, MaxDockerPorts+1) }},
		{"at most 64", func(d *Docker) { d.Mounts = many(MaxDockerMounts + 1) }},
		{"two mounts", func(d *Docker) { d.Mounts[1].Target = "/data" }},
		{"needs one of", func(d *Docker) { d.Mounts[0].Path = "/x" }},
		{"needs one of", func(d *Docker) { d.Mounts[0].Volume = "" }},
		{"volume", func(d *Docker) { d.Mounts[0].Volume = "a/b" }},
		{"absolute", func(d *Docker) { d.Mounts[0].Target = "data" }},
		{"absolute", func(d *Docker) { d.Mounts[0].Target = "/" }},
		{"absolute", func(d *Docker) { d.Mounts[0].Target = "/a/../b" }},
		{"clean", func(d *Docker) { d.Mounts[1].Path = "/srv/../etc" }},
		{"clean", func(d *Docker) { d.Mounts[1].Path = "/srv//x" }},
		{"clean", func(d *Docker) { d.Mounts[1].Path = "/srv/x/" }},
		{"clean", func(d *Docker) { d.Mounts[1].Path = "srv" }},
	} {
		d := good()
		c.spoil(d)
		if wrong := d.Wrong(); !strings.Contains(wrong, c.says) {
			t.Errorf("%+v is said to be %q, want %q", d, wrong, c.says)
		}
	}
	if wrong := (&Docker{Image: "x", Mounts: many(MaxDockerMounts)}).Wrong(); wrong != "" {
		t.Errorf("as many mounts as may be: %s", wrong)
	}
}

// An agent with an engine runs containers without a command, and no port of the machine is
// passed on that the task was not given.
func TestAContainerIsLaunchedWhereAnEngineIs(t *testing.T) {
	s := newStage(t, nil)
	info := machine(1)
	info.Attributes = map[string]string{DockerAttribute: "20.10"}
	info.Resources = quantity("cpus:4;mem:1024;ports:[31000-31010]")
	s.link++
	s.agentSays(s.link, Register{Info: info, Boot: "boot", Attempt: 1, Sequence: 1, Term: s.term})
	id := last[Registered](s).Agent
	s.agentSays(s.link, Pong{Agent: id, Term: s.term})
	f := s.subscribe("s1", FrameworkInfo{Name: "f"})
	task := func(id TaskID, agent AgentID, d Docker) TaskInfo {
		i := job(id, agent)
		i.Command, i.Docker, i.Resources = Command{}, &d, quantity("cpus:1;mem:64;ports:[31000-31001]")
		if id != "good" {
			i.Resources = quantity("cpus:1;mem:64;ports:[31003-31003]")
		}
		return i
	}
	s.call("s1", f, AcceptCall{Offers: []OfferID{s.offers("s1")[0].ID}, Launch: []TaskInfo{
		task("other", id, Docker{Image: "a", Ports: []PortMapping{{31002, 80, ""}}}),
		task("above", id, Docker{Image: "a", Ports: []PortMapping{{31004, 80, ""}}}),
		task("wrong", id, Docker{Image: "a b"}),
		task("good", id, Docker{Image: "a", Ports: []PortMapping{{31001, 80, ""}}}),
	}})
	wantSame(t, "states", s.states("s1"), "other:ERROR above:ERROR wrong:ERROR")
	launches := sent[Launch](s)
	if len(launches) != 1 || launches[0].Task.ID != "good" || launches[0].Task.Docker == nil || launches[0].Task.Docker.Image != "a" {
		t.Errorf("launched %+v", launches)
	}
	if u := told[UpdateEvent](s, "s1"); len(u) != 3 || !containsText(u[0].Status.Message, "port 31002 is passed on and is none of its resources") {
		t.Errorf("told %+v", u)
	}
}
