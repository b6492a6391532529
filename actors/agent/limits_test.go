//go:build linux

package agent

import (
	"os"
	"os/user"
	"slices"
	"strings"
	"testing"

	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

func TestATaskBeyondItsMemoryIsToldTheReason(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	m, work := newMaster(t), newWork(t)
	c := config(t, m, work)
	c.CgroupParent = "synod-test-agent"
	start(t, m, c)
	m.registered(1)
	hungry := task("hungry", "while [ ! -e go ]; do sleep 0.01; done; head -c 300000000 /dev/zero | tail > /dev/null")
	hungry.Resources, _ = mesos.ParseResources("cpus:1;mem:32")
	x := m.launch(hungry)
	m.told("hungry", mesos.Running)
	s, err := shim.Open(pathsOf(work, x).run()).State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(s.Enforced, "memory") {
		t.Skip("memory cannot be limited here")
	}
	touch(t, pathsOf(work, x).sandbox(), "go")
	if s := m.told("hungry", mesos.Failed); s.Reason != mesos.ReasonContainerLimitationMemory {
		t.Errorf("it ended as %+v", s)
	}
}

func TestATaskRunsAsItsUserInASandboxOfItsOwn(t *testing.T) {
	if _, err := user.Lookup("nobody"); os.Getuid() != 0 || err != nil {
		t.Skip("needs root and a user nobody")
	}
	m, work := newMaster(t), newWork(t)
	for _, dir := range []string{work, strings.TrimSuffix(work, "/001")} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	start(t, m, config(t, m, work))
	m.registered(1)
	info := task("t", "id -un; touch mine; stat -c %U mine; echo $HOME")
	info.Command.User = "nobody"
	x := m.launch(info)
	m.told("t", mesos.Finished)
	if got, want := content(work, x, "run", "stdout"), "nobody\nnobody\n"+pathsOf(work, x).sandbox()+"\n"; got != want {
		t.Errorf("it wrote %q, want %q", got, want)
	}
	info = task("none", "true")
	info.Command.User = "no-such-user"
	m.launch(info)
	if s := m.told("none", mesos.Failed); s.Reason != mesos.ReasonContainerLaunchFailed || !strings.Contains(s.Message, "no-such-user") {
		t.Errorf("it ended as %+v", s)
	}
}
