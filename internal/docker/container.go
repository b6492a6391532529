package docker

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// The labels of a container. The first two say whose it is.
const (
	labelCluster   = "synod.cluster"
	labelOwner     = "synod.owner"
	labelAgent     = "synod.agent"
	labelFramework = "synod.framework"
	labelTask      = "synod.task"
	labelJob       = "synod.job"
)

// Name is the name that a container has for the engine.
func (e *Engine) Name(id string) string { return e.cfg.Cluster + "-" + id }

// ours finds what is ours.
func (e *Engine) ours() client.Filters {
	return client.Filters{}.Add("label", labelCluster+"="+e.cfg.Cluster, labelOwner+"="+e.cfg.Owner)
}

// id is that of the container with a name and labels, if it is ours.
func (e *Engine) id(name string, labels map[string]string) (string, bool) {
	id, found := strings.CutPrefix(strings.TrimPrefix(name, "/"), e.cfg.Cluster+"-")
	return id, found && labels[labelCluster] == e.cfg.Cluster && labels[labelOwner] == e.cfg.Owner
}

// State of a container.
type State struct {
	// Status is "created", "running", "paused", "restarting", "removing", "exited" or "dead".
	Status      string
	ExitCode    int
	OutOfMemory bool
	Error       string    // the engine's, of a start or an end, at most about 1 KiB
	Started     time.Time // zero if it never was
	Finished    time.Time // zero if it has not
	// StopSignal is what the image wants in the place of SIGTERM, "" if it says nothing.
	StopSignal string
	// Addresses are its IP addresses by the names of its networks.
	Addresses map[string]string
}

// Runs reports whether a process of the container may live.
func (s State) Runs() bool {
	return s.Status == "running" || s.Status == "paused" || s.Status == "restarting"
}

// Inspect returns a container's state.
func (e *Engine) Inspect(ctx context.Context, id string) (State, error) {
	c, err := e.find(ctx, "inspect", id)
	if err != nil {
		return State{}, err
	}
	s := State{
		Status: string(c.State.Status), ExitCode: c.State.ExitCode, OutOfMemory: c.State.OOMKilled, Error: cut(c.State.Error),
		Started: when(c.State.StartedAt), Finished: when(c.State.FinishedAt), StopSignal: c.Config.StopSignal, Addresses: map[string]string{},
	}
	if c.NetworkSettings == nil {
		return s, nil
	}
	for name, n := range c.NetworkSettings.Networks {
		if n != nil && n.IPAddress.IsValid() {
			s.Addresses[name] = n.IPAddress.String()
		}
	}
	return s, nil
}

// when is the time of an engine's text. What did not happen was in the year 1.
func when(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// find returns what the engine knows of a container of ours. What has its name and is not ours is not there.
func (e *Engine) find(ctx context.Context, call, id string) (*container.InspectResponse, error) {
	var c container.InspectResponse
	err := e.ask(ctx, call, func(ctx context.Context, conn *connection) error {
		r, err := conn.api.ContainerInspect(ctx, e.Name(id), client.ContainerInspectOptions{})
		c = r.Container
		if err == nil && (c.ID == "" || c.State == nil || c.Config == nil) {
			err = errors.New("the engine's answer has no id, state or configuration")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, ours := e.id(c.Name, c.Config.Labels); !ours {
		return nil, refused(call, "the container "+e.Name(id)+" is not ours", ErrNoContainer)
	}
	return &c, nil
}

// List returns the ids of all containers of ours, with their status.
func (e *Engine) List(ctx context.Context) (map[string]string, error) {
	list := map[string]string{}
	err := e.ask(ctx, "list", func(ctx context.Context, conn *connection) error {
		r, err := conn.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: e.ours()})
		for _, c := range r.Items {
			for _, name := range c.Names {
				if id, ours := e.id(name, c.Labels); ours {
					list[id] = string(c.State)
				}
			}
		}
		return err
	})
	return list, err
}

// Start starts a container that was made and never started: ErrConflict for another. A *RefusedError is why it
// cannot be. After ErrNoEngine it may run, or do so yet: call Start once for a container, since the engine runs
// one again that has ended, and whether one has is not seen while a start is on its way.
func (e *Engine) Start(ctx context.Context, id string) error {
	c, err := e.find(ctx, "start", id)
	if err != nil {
		return err
	}
	if c.State.Status != container.StateCreated {
		return refused("start", "it is "+string(c.State.Status), ErrConflict)
	}
	return e.ask(ctx, "start", func(ctx context.Context, conn *connection) error {
		_, err := conn.api.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
		return err
	})
}

// Kill sends a signal ("SIGTERM") to the container's first process. SIGKILL ends one that is paused too, and
// all of its processes. One that does not run is ErrNotRunning.
func (e *Engine) Kill(ctx context.Context, id, signal string) error {
	c, err := e.find(ctx, "kill", id)
	if err != nil {
		return err
	}
	err = e.ask(ctx, "kill", func(ctx context.Context, conn *connection) error {
		_, err := conn.api.ContainerKill(ctx, c.ID, client.ContainerKillOptions{Signal: signal})
		return err
	})
	if err != nil || signal != "SIGKILL" {
		return err
	}
	return e.thaw(ctx, id)
}

// thaw has a container end that was killed while it was paused: until then its processes get no signal.
func (e *Engine) thaw(ctx context.Context, id string) error {
	c, err := e.find(ctx, "kill", id)
	if errors.Is(err, ErrNoContainer) {
		return nil
	}
	if err != nil || c.State.Status != container.StatePaused {
		return err
	}
	err = e.ask(ctx, "kill", func(ctx context.Context, conn *connection) error {
		_, err := conn.api.ContainerUnpause(ctx, c.ID, client.ContainerUnpauseOptions{})
		return err
	})
	if _, refused := errors.AsType[*RefusedError](err); refused {
		return nil // It is not paused any more.
	}
	return err
}

// Withdraw removes a container that is made and was never started: ErrConflict for another.
func (e *Engine) Withdraw(ctx context.Context, id string) error {
	c, err := e.find(ctx, "remove", id)
	switch {
	case errors.Is(err, ErrNoContainer):
		return nil
	case err != nil:
		return err
	case c.State.Status != container.StateCreated:
		return refused("remove", "it is "+string(c.State.Status), ErrConflict)
	}
	return e.Remove(ctx, id, false)
}

// Remove removes a container with its own volumes. Unless force it must not run: ErrConflict. One that
// is not there is no error. It waits for a removal that is under way.
func (e *Engine) Remove(ctx context.Context, id string, force bool) error {
	changed, done := e.Changed(id)
	defer done()
	for {
		err := e.remove(ctx, id, force)
		switch {
		case errors.Is(err, ErrNoContainer):
			return nil
		case !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "already in progress"):
			return err
		}
		select {
		case <-changed:
		case <-time.After(maxBackoff):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *Engine) remove(ctx context.Context, id string, force bool) error {
	c, err := e.find(ctx, "remove", id)
	if err != nil {
		return err
	}
	return e.ask(ctx, "remove", func(ctx context.Context, conn *connection) error {
		_, err := conn.api.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{RemoveVolumes: true, Force: force})
		return err
	})
}

// labels of a new container.
func (e *Engine) labels(s *Spec) map[string]string {
	all := map[string]string{labelCluster: e.cfg.Cluster, labelOwner: e.cfg.Owner}
	maps.Copy(all, map[string]string{labelAgent: s.Agent, labelFramework: s.Framework, labelTask: s.Task, labelJob: s.Job})
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}
