//go:build linux

package agent

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// newLook is a containerizer on a fake engine, and the place of one container.
func newLook(t *testing.T) (*dockerContainerizer, *fakeEngine, place) {
	t.Helper()
	e, work := newFakeEngine(), t.TempDir()
	c, err := dockerConfig(t, newMaster(t), work, e).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	d := newDockerContainerizer(&Handle{cfg: c})
	t.Cleanup(d.close)
	at := place{id: number(1), paths: pathsOf(work, number(1))}
	if err := os.MkdirAll(at.paths.sandbox(), 0o755); err != nil {
		t.Fatal(err)
	}
	return d, e, at
}

// filesOf are the files of a container that say what has become of it, in order.
func filesOf(at place) (list []string) {
	for _, name := range []string{barFile, exitFile, startedFile} {
		if at.paths.has(name) {
			list = append(list, name)
		}
	}
	return list
}

// What follows from what the files of a container say and what its engine does. Whatever may have run is never told to have
// not, and what is told to have not never will.
func TestWhatALookAtAContainerMeans(t *testing.T) {
	cases := []struct {
		name, status string // "" is none
		files        []string
		problem      string
		want         mesos.Facts
		status2      string // afterwards
		files2       []string
	}{
		{"never made", "", nil, "", mesos.Facts{Engine: true, Barred: true}, "", []string{barFile}},
		{"removed by somebody after its start was ordered", "", []string{startedFile}, "", mesos.Facts{Engine: true, Started: true}, "", []string{startedFile}},
		{"made", "created", nil, "", mesos.Facts{Engine: true, Barred: true}, "", []string{barFile}},
		{"its start was ordered and did not happen", "created", []string{startedFile}, "", mesos.Facts{Engine: true, Barred: true}, "", []string{barFile}},
		{"its start has failed", "created", []string{startedFile}, "no such file",
			mesos.Facts{Engine: true, Exit: &mesos.ContainerExit{NotStarted: true, Message: "no such file"}}, "", []string{barFile, exitFile, startedFile}},
		{"it runs", "running", []string{startedFile}, "", mesos.Facts{Engine: true, Started: true, ShimAlive: true}, "running", []string{startedFile}},
		{"somebody has paused it", "paused", []string{startedFile}, "", mesos.Facts{Engine: true, Started: true, ShimAlive: true}, "paused", []string{startedFile}},
		{"it is being removed, which may take for ever", "removing", []string{startedFile}, "", mesos.Facts{Untold: true, LockHeld: true}, "removing", []string{startedFile}},
		{"its withdrawal was not answered: it may have run before", "", []string{barFile, startedFile}, "", mesos.Facts{Engine: true, Started: true}, "",
			[]string{barFile, startedFile}},
		{"it has ended", "exited", []string{startedFile}, "", mesos.Facts{Engine: true, Started: true, Exit: &mesos.ContainerExit{Known: true, Code: 3}},
			"exited", []string{exitFile, startedFile}},
		{"it has ended while its engine was down, or with 255", "dead", []string{startedFile}, "", mesos.Facts{Engine: true, Started: true,
			Exit: &mesos.ContainerExit{Known: true, Code: 255, Message: "it ended with 255, or while the Docker engine was down, which says 255 of that"}},
			"dead", []string{exitFile, startedFile}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, e, at := newLook(t)
			for _, file := range c.files {
				if err := at.paths.write(file, nil); err != nil {
					t.Fatal(err)
				}
			}
			if c.status != "" {
				e.containers[at.id.String()] = &fakeContainer{state: docker.State{Status: c.status, Error: c.problem, ExitCode: map[string]int{"exited": 3, "dead": 255}[c.status], Finished: time.Now()}}
			}
			f, err := d.observe(t.Context(), at)
			if err != nil || !reflect.DeepEqual(f, c.want) {
				t.Errorf("%+v, %v; want %+v", f, err, c.want)
			}
			files := filesOf(at)
			if e.status(at.id) != c.status2 || !slices.Equal(files, c.files2) {
				t.Errorf("afterwards it is %q with %v, want %q with %v", e.status(at.id), files, c.status2, c.files2)
			}
		})
	}
}

// A start whose answer was lost may reach the engine while the container is withdrawn: the bar stands before that, and the
// container is removed only if it does not run.
func TestAContainerThatStartsWhileItIsWithdrawnIsAdopted(t *testing.T) {
	d, e, at := newLook(t)
	c := &fakeContainer{state: docker.State{Status: "created"}}
	e.containers[at.id.String()] = c
	barred := false
	e.hook(func(call, _ string) error {
		if call == "remove" {
			barred = at.paths.has(barFile)
			e.change(func() { c.state.Status = "running" })
		}
		return nil
	}, nil)
	f, err := d.observe(t.Context(), at)
	if err != nil || mesos.Decide(f) != mesos.Adopt || e.status(at.id) != "running" || !barred {
		t.Errorf("%+v, %v; it is %q, barred %v", f, err, e.status(at.id), barred)
	}
}

// A container of the same id is adopted by its maker as long as nobody has started it, and only then.
func TestAContainerThatIsThereAlreadyIsStartedOnlyIfItNeverWas(t *testing.T) {
	for status, starts := range map[string]int{"created": 1, "running": 0, "exited": 0} {
		d, e, at := newLook(t)
		e.containers[at.id.String()] = &fakeContainer{state: docker.State{Status: status}}
		err := d.start(t.Context(), at, dockerTask("t"))
		if refused, is := errors.AsType[*notStartedError](err); e.started(at.id) != starts || is != (starts == 0) {
			t.Errorf("%s: started %d times, %v, %v", status, e.started(at.id), err, refused)
		}
	}
}

// Why the engine could not start a container is kept before it is told.
func TestAStartThatFailsIsKept(t *testing.T) {
	d, _, at := newLook(t)
	info := dockerTask("t")
	info.Command.Value = "/no/such"
	_, is := errors.AsType[*notStartedError](d.start(t.Context(), at, info))
	if exit := at.paths.readExit(); !is || exit == nil || !exit.NotStarted || exit.Message != "no such file" {
		t.Errorf("%v, %+v", is, exit)
	}
}

// That a start was ordered is written before it: whoever removes the container after it leaves a task that may have run.
func TestWhatWasStartedIsNeverToldToHaveNot(t *testing.T) {
	d, e, at := newLook(t)
	written := false
	e.hook(func(call, _ string) error {
		if call == "start" {
			written = at.paths.has(startedFile)
		}
		return nil
	}, nil)
	if err := d.start(t.Context(), at, dockerTask("t")); err != nil {
		t.Fatal(err)
	}
	e.change(func() { delete(e.containers, at.id.String()) })
	if f, err := d.observe(t.Context(), at); err != nil || !written || mesos.Decide(f) == mesos.NeverStarted {
		t.Errorf("%+v, %v, written before %v", f, err, written)
	}
}
