package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// dockerSandbox is where a container finds what was fetched for it, and its working directory.
const dockerSandbox = "/mnt/mesos/sandbox"

// containerVariable is in the environment of what runs in a container.
const containerVariable = "SYNOD_CONTAINER"

// jobLabel is the label of tasks that says of which job they are.
const jobLabel = "synod.job"

// refuses says why a task may not run here as it is described, "" if it may.
func (d *dockerContainerizer) refuses(task mesos.TaskInfo) string {
	t, allows := task.Docker, d.h.cfg.DockerAllows
	if t == nil {
		return ""
	}
	if d.engine == nil {
		return "this agent has no Docker engine: run the task on one that has the attribute " + mesos.DockerAttribute
	}
	if n := cmp.Or(t.Network, "bridge"); n != "none" && !slices.Contains(allows.Networks, n) {
		return fmt.Sprintf("the agent does not allow the network %s: --docker-networks %s of the agent does", n, n)
	}
	for _, m := range t.Mounts {
		if m.Path != "" && !slices.Contains(allows.Paths, m.Path) {
			return fmt.Sprintf("the agent does not allow mounts of %s: --docker-mounts %s of the agent does, or mount a volume", m.Path, m.Path)
		}
	}
	return ""
}

// image makes sure that the engine has a task's image. What was fetched to make it is no part of the sandbox.
func (d *dockerContainerizer) image(ctx context.Context, p paths, task mesos.TaskInfo) error {
	t := task.Docker
	var load func() (io.ReadCloser, error)
	if t.Load != "" {
		load = func() (io.ReadCloser, error) { return openSaved(p, t.Load) }
	}
	within, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	err := d.patiently(within, func() error { return d.engine.Image(within, t.Image, t.ForcePull, load) })
	switch {
	case err == nil && t.Load != "":
		root, err := os.OpenRoot(p.sandbox())
		if err != nil {
			return err
		}
		defer root.Close()
		_ = root.Remove(t.Load) // it may be a part of something else that was unpacked
		return nil
	case errors.Is(err, docker.ErrNoEngine):
		return d.noEngine(err)
	case err != nil && ctx.Err() == nil:
		return d.noImage(t.Image, err)
	}
	return err
}

// openSaved opens what was fetched.
func openSaved(p paths, name string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(p.sandbox())
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("the file %s to load is not among what was fetched", name)
	}
	return f, nil
}

// patiently calls f until an engine answers, or for engineTime.
func (d *dockerContainerizer) patiently(ctx context.Context, f func() error) error {
	until := time.Now().Add(d.h.cfg.engineTime)
	for {
		err := f()
		if !errors.Is(err, docker.ErrNoEngine) || ctx.Err() != nil || time.Now().After(until) {
			return err
		}
		pause(ctx, min(enginePause, time.Until(until)))
	}
}

func (d *dockerContainerizer) noEngine(err error) error {
	return fmt.Errorf("the Docker engine has not answered for %v: %s. Start it on the agent's machine (systemctl start docker)",
		d.h.cfg.engineTime, plainDocker(err))
}

func (d *dockerContainerizer) noImage(image string, err error) error {
	return fmt.Errorf("agent %s has no image %s and could not get it: %s. Load it there (docker load -i FILE), or name in load: a file of fetch: that docker save has made",
		d.h.cfg.Info.Hostname, image, strings.TrimPrefix(plainDocker(err), "no such image: "))
}

// plainDocker is an error without the name of the package.
func plainDocker(err error) string {
	return strings.TrimPrefix(err.Error(), "docker: ")
}

// start has nothing run twice: see docker's package comment. Of a start whose answer is lost nothing is said.
func (d *dockerContainerizer) start(ctx context.Context, at place, task mesos.TaskInfo) error {
	if d.engine == nil {
		return &notStartedError{d.refuses(task)}
	}
	return d.inTurn(ctx, at.id, func(ctx context.Context) error {
		if at.paths.has(barFile) || at.paths.has(startedFile) || at.paths.has(exitFile) {
			return fmt.Errorf("agent: container %v was to be started before", at.id)
		}
		err := d.make(ctx, at, task)
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			return ctx.Err()
		case ctx.Err() != nil:
			err = fmt.Errorf("the Docker engine has not made its container within %v", d.h.cfg.startTime)
		}
		if err != nil {
			if barred := at.paths.bar(); barred != nil {
				return errors.Join(err, barred)
			}
			d.h.background.Go(func() { d.forget(at) })
			return &notStartedError{plainDocker(err)}
		}
		if err := at.paths.write(startedFile, nil); err != nil {
			return err // a look removes what was made
		}
		d.h.cfg.step(at.id, "docker started")
		return d.launch(ctx, at)
	})
}

// make makes the container and fills its sandbox. Its errors are why it is not there, or is of no use.
func (d *dockerContainerizer) make(ctx context.Context, at place, task mesos.TaskInfo) error {
	if err := at.paths.write(dockerFile, nil); err != nil {
		return fmt.Errorf("its files cannot be written: %w", err)
	}
	d.h.cfg.step(at.id, "docker noted")
	spec, err := d.spec(at, task)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, d.h.cfg.startTime*3/4) // so that it is known that nothing was started
	defer cancel()
	err = d.patiently(within, func() error { return d.engine.Create(within, spec) })
	if errors.Is(err, docker.ErrExists) {
		err = d.adoptable(ctx, at)
	}
	switch {
	case errors.Is(err, docker.ErrNoEngine):
		return d.noEngine(err)
	case errors.Is(err, docker.ErrNoImage):
		return d.noImage(task.Docker.Image, err)
	case err != nil:
		return err
	}
	d.h.cfg.step(at.id, "docker created")
	if spec.Sandbox == "" {
		return nil
	}
	if err := d.engine.Copy(ctx, spec.ID, at.paths.sandbox(), spec.Sandbox); err != nil {
		return fmt.Errorf("what was fetched cannot be copied into it: %s", plainDocker(err))
	}
	d.h.cfg.step(at.id, "docker copied")
	return nil
}

// adoptable reports whether what is there is the container whose making was not answered.
func (d *dockerContainerizer) adoptable(ctx context.Context, at place) error {
	s, err := d.engine.Inspect(ctx, at.id.String())
	if err == nil && s.Status != "created" {
		return fmt.Errorf("its container is there already, and %s", s.Status)
	}
	return err
}

// launch starts the container that is made. An error of the engine is final if it does not run.
func (d *dockerContainerizer) launch(ctx context.Context, at place) error {
	id := at.id.String()
	err := d.startContainer(ctx, id)
	d.h.cfg.step(at.id, "docker launched")
	if err == nil || ctx.Err() != nil || errors.Is(err, docker.ErrNoEngine) || errors.Is(err, docker.ErrNoContainer) {
		return err
	}
	s, looked := d.engine.Inspect(ctx, id)
	switch {
	case looked != nil:
		return errors.Join(err, looked)
	case s.Status != "created":
		return err // it may run
	}
	exit := mesos.ContainerExit{NotStarted: true, Message: plainDocker(err)}
	if err := at.paths.writeExit(exit); err != nil {
		return err
	}
	return &notStartedError{exit.Message}
}

// maxTries is how often a container is started whose network the engine cannot make: when several
// are started at once it loses sight of its own interfaces ("no such network interface"), and has started nothing.
const maxTries = 5

func (d *dockerContainerizer) startContainer(ctx context.Context, id string) error {
	for try := 1; ; try++ {
		err := d.engine.Start(ctx, id)
		if _, refused := errors.AsType[*docker.RefusedError](err); !refused || try == maxTries || !strings.Contains(err.Error(), "failed to create endpoint") {
			return err
		}
		pause(ctx, time.Duration(try)*100*time.Millisecond)
	}
}

// spec says how the engine runs a task.
func (d *dockerContainerizer) spec(at place, task mesos.TaskInfo) (docker.Spec, error) {
	s := docker.Spec{ID: at.id.String(), Agent: string(task.Agent), Framework: string(at.framework), Task: string(task.ID), Job: task.Labels[jobLabel],
		Docker: *task.Docker, Command: task.Command, Publish: d.h.cfg.DockerAllows.Publish, LogBytes: d.h.cfg.LogBytes,
		MilliCPUs:   int64(task.Resources.Scalar("cpus")),
		MemoryBytes: memoryBytes(task)}
	fetched, err := os.ReadDir(at.paths.sandbox())
	if err != nil {
		return s, err
	}
	if len(fetched) > 0 {
		s.Sandbox = dockerSandbox
	}
	s.Env = dockerEnvironment(at, task, s.Sandbox)
	return s, nil
}

// dockerEnvironment is what a container finds in its environment besides what its image says.
func dockerEnvironment(at place, task mesos.TaskInfo, sandbox string) []string {
	all := map[string]string{"SYNOD_TASK": string(task.ID), "SYNOD_AGENT": string(task.Agent)}
	if sandbox != "" {
		all["MESOS_SANDBOX"], all["SYNOD_SANDBOX"] = sandbox, sandbox
	}
	maps.Copy(all, task.Command.Environment)
	all[containerVariable] = at.id.String() // by which its process is found, whatever a scheduler hands on of its own
	return assignments(all)
}
