package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

func TestWhatIsWrongWithAnAgentIsSaidWithWhatToDo(t *testing.T) {
	f := &agentFlags{name: "a1", work: "data/a1"}
	used, _ := mesos.ParseResources("cpus:2;mem:64")
	for _, c := range []struct {
		err  error
		code api.Code
		do   string
	}{
		{&agent.LockedError{Work: "data/a1"}, api.CodeLocked, "--work"},
		{&agent.DamageError{File: "data/a1/checkpoint", Offset: 7, Reason: "x"}, api.CodeDamage, "mv data/a1/checkpoint"},
		{&mesos.CheckpointError{Record: 3, Reason: "x"}, api.CodeDamage, "new agent"},
		{&mesos.ResourcesError{Used: used}, api.CodeUsage, "--resources 'cpus:2;mem:64'"},
		{agent.ErrUnsupported, api.CodeUsage, "Linux"},
		{fmt.Errorf("agent: write: %w", syscall.ENOSPC), api.CodeDiskFull, "free space"},
		{fmt.Errorf("agent: open: %w", syscall.EACCES), api.CodeData, "owner"},
		{errors.New("agent: x"), api.CodeInternal, "takes up its tasks"},
	} {
		e := f.explain(c.err)
		if e.Code != c.code || !strings.Contains(strings.Join(e.Do, "\n"), c.do) || e.Why == "" {
			t.Errorf("%v: %s, %q, want %s and %q", c.err, e.Code, e.Do, c.code, c.do)
		}
	}
}

func TestFlagsOfAnAgentThatMakeNoSenseAreRefused(t *testing.T) {
	good := agentFlags{name: "a1", listen: "127.0.0.1", recover: "reconnect", sandboxAge: 1, masters: []string{"127.0.0.1:4700"}}
	for name, change := range map[string]func(*agentFlags){
		"name": func(f *agentFlags) { f.name = "a b" }, "resources": func(f *agentFlags) { f.resources = "cpus" },
		"attributes": func(f *agentFlags) { f.attributes = []string{"zone"} }, "twice": func(f *agentFlags) { f.attributes = []string{"a=1", "a=2"} },
		"recover": func(f *agentFlags) { f.recover = "x" }, "age": func(f *agentFlags) { f.sandboxAge = 0 }, "port": func(f *agentFlags) { f.port = 70000 },
		"listen": func(f *agentFlags) { f.listen = "10.0.0.1" }, "unspecified": func(f *agentFlags) { f.listen, f.insecure = "0.0.0.0", true },
		"masters": func(f *agentFlags) { f.masters = []string{"x"} }, "docker": func(f *agentFlags) { f.docker.host = "/var/run/docker.sock" },
		"docker by hand": func(f *agentFlags) { f.attributes = []string{"docker=20.10"} }, "mounts": func(f *agentFlags) { f.docker.mounts = []string{"srv"} },
		"mounts with dots": func(f *agentFlags) { f.docker.mounts = []string{"/srv/.."} }, "networks": func(f *agentFlags) { f.docker.networks = []string{"container:x"} },
		"credentials":              func(f *agentFlags) { f.docker.credentials = "/no/such/file" },
		"a token and an open port": func(f *agentFlags) { f.token = "synod_x" },
		"no address":               func(f *agentFlags) { f.docker.publish = "eth0" },
		"in another":               func(f *agentFlags) { f.docker.mounts = []string{"/srv/data/x", "/srv/data"} },
		"in all":                   func(f *agentFlags) { f.docker.mounts = []string{"/srv", "/"} },
	} {
		f := good
		change(&f)
		if _, err := f.config(nil); api.CodeOf(err) != api.CodeUsage && api.CodeOf(err) != api.CodeInsecure {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := good
	f.attributes = []string{"zone=a", "rack=1"}
	f.docker = dockerFlags{mounts: []string{"/srv", "/srvx"}, networks: []string{"backend"}}
	c, err := f.config(nil)
	if err != nil || c.Info.Attributes["zone"] != "a" || c.Info.Attributes["rack"] != "1" || c.Work != "data/a1" || c.Info.Resources.Scalar("cpus") <= 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if a := c.DockerAllows; a.Publish != "127.0.0.1" || strings.Join(a.Paths, " ") != "/srv /srvx" || strings.Join(a.Networks, " ") != "bridge host backend" {
		t.Errorf("containers may have %+v", a)
	}
	f.listen, f.advertise, f.insecure, f.docker.publish = "0.0.0.0", "a1", true, "127.0.0.2"
	if c, err := f.config(nil); err != nil || c.DockerAllows.Publish != "127.0.0.2" {
		t.Errorf("ports are at %q, %v", c.DockerAllows.Publish, err)
	}
}

func TestAnAgentSaysInOneLineThatThereIsNoDockerEngine(t *testing.T) {
	var text strings.Builder
	c := agent.Config{Work: t.TempDir(), Info: mesos.AgentInfo{Attributes: map[string]string{}}}
	f := dockerFlags{host: "unix:///no/such/socket"}
	if err := f.open(t.Context(), &c, nil, slog.New(slog.NewTextHandler(&text, nil))); err != nil {
		t.Fatal(err)
	}
	if got := text.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no Docker engine") || !strings.Contains(got, "/no/such/socket") {
		t.Errorf("it says %q", got)
	}
	if c.Docker != nil || len(c.Info.Attributes) != 0 {
		t.Errorf("it offers %v", c.Info.Attributes)
	}
}

func TestAnAgentSaysInOneLineThatTheDockerEngineOfBeforeDoesNotAnswer(t *testing.T) {
	var text strings.Builder
	c := agent.Config{Work: t.TempDir(), Info: mesos.AgentInfo{Attributes: map[string]string{}}}
	home := `{"owner":"o","cluster":"synod","host":"unix:///no/such/socket","version":"1.2"}`
	if err := os.WriteFile(filepath.Join(c.Work, "docker"), []byte(home), 0o600); err != nil {
		t.Fatal(err)
	}
	f := dockerFlags{host: "unix:///no/such/socket"}
	if err := f.open(t.Context(), &c, nil, slog.New(slog.NewTextHandler(&text, nil))); err != nil {
		t.Fatal(err)
	}
	if c.Docker == nil {
		t.Fatal("it has no engine")
	}
	c.Docker.Close()
	if got := text.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "does not answer") || !strings.Contains(got, "/no/such/socket") {
		t.Errorf("it says %q", got)
	}
	if c.Info.Attributes[mesos.DockerAttribute] != "1.2" {
		t.Errorf("it offers %v", c.Info.Attributes)
	}
}
