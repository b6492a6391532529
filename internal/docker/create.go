package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/synod-go/synod/mesos"
)

// Spec is a container to be made.
type Spec struct {
	ID                          string
	Agent, Framework, Task, Job string // labels, for people; "" is none
	Docker                      mesos.Docker
	Command                     mesos.Command // Value may be empty
	Env                         []string
	// Publish is the address of the machine at which ports are. Default 127.0.0.1.
	Publish string
	// Sandbox is where a volume of the container's own is mounted, and the working directory. "" is none.
	Sandbox     string
	MemoryBytes int64 // 0 is no limit; swap counts too
	MilliCPUs   int64 // 1000 is one CPU; 0, and more than there are, is no limit
	// LogBytes bounds each file of the log; two are kept. 0 is no bound.
	LogBytes int64
}

// maxProcesses is how many processes and threads a container may have: a task that forks without an end takes none of
// its neighbours'.
const maxProcesses = 4096

// Create makes a container and does not start it. ErrExists says that there is one of that id already, which is
// ours: adopt it. ErrNoImage says that its image is not there. A *RefusedError without either is why it cannot be made: there is
// none, and there will be none. After ErrNoEngine there may be one, or may yet be: look for it, with Inspect or
// List, also later; whatever comes of it does not run.
func (e *Engine) Create(ctx context.Context, s Spec) error {
	host, exposed, err := e.hostConfig(&s)
	if err != nil {
		return err
	}
	config := &container.Config{
		Image: s.Docker.Image, Env: s.Env, User: s.Command.User, WorkingDir: s.Sandbox, ExposedPorts: exposed, Labels: e.labels(&s),
	}
	switch {
	case s.Command.Value == "":
	case s.Command.Shell:
		config.Entrypoint, config.Cmd = []string{"/bin/sh", "-c"}, []string{s.Command.Value}
	default:
		config.Cmd = append([]string{s.Command.Value}, s.Command.Arguments...)
	}
	err = e.ask(ctx, "create", func(ctx context.Context, conn *connection) error {
		if s.MilliCPUs < int64(conn.processors(ctx))*1000 {
			host.NanoCPUs = s.MilliCPUs * 1_000_000
		}
		r, err := conn.api.ContainerCreate(ctx, client.ContainerCreateOptions{Config: config, HostConfig: host, Name: e.Name(s.ID)})
		if err == nil && r.ID == "" {
			err = errors.New("the engine's answer has no id")
		}
		return err
	})
	if errors.Is(err, ErrConflict) {
		return e.exists(ctx, s.ID, err)
	}
	return err
}

// exists makes an error of the engine's, that there is something of that name already.
func (e *Engine) exists(ctx context.Context, id string, conflict error) error {
	_, err := e.find(ctx, "create", id)
	words := conflict.Error()
	if r, ok := errors.AsType[*RefusedError](conflict); ok {
		words = r.Words
	}
	switch {
	case err == nil:
		return refused("create", words, ErrExists)
	case errors.Is(err, ErrNoContainer):
		// Somebody else's, or one of ours that is just being removed: by its name it is never ours to make again.
		return refused("create", words, nil)
	}
	return err
}

// hostConfig is what a container gets of the machine: no more than the task says, and no rights.
func (e *Engine) hostConfig(s *Spec) (*container.HostConfig, network.PortSet, error) {
	most := int64(maxProcesses)
	h := &container.HostConfig{
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		NetworkMode:    container.NetworkMode(cmp.Or(s.Docker.Network, "bridge")),
		ReadonlyRootfs: s.Docker.ReadOnly,
		SecurityOpt:    []string{"no-new-privileges"},
		LogConfig:      container.LogConfig{Type: "json-file"},
		Resources:      container.Resources{Memory: s.MemoryBytes, MemorySwap: s.MemoryBytes, PidsLimit: &most},
	}
	if s.LogBytes > 0 {
		h.LogConfig.Config = map[string]string{"max-size": strconv.FormatInt(s.LogBytes, 10), "max-file": "2"}
	}
	for _, m := range s.Docker.Mounts {
		h.Mounts = append(h.Mounts, e.mountOf(m))
	}
	if s.Sandbox != "" {
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeVolume, Target: s.Sandbox})
	}
	address, err := netip.ParseAddr(cmp.Or(s.Publish, "127.0.0.1"))
	if err != nil {
		return nil, nil, fmt.Errorf("docker: ports cannot be at %.80q: %w", s.Publish, err)
	}
	exposed := network.PortSet{}
	h.PortBindings = network.PortMap{}
	for _, p := range s.Docker.Ports {
		port, _ := network.PortFrom(p.Container, network.IPProtocol(cmp.Or(p.Protocol, "tcp")))
		exposed[port] = struct{}{}
		h.PortBindings[port] = append(h.PortBindings[port], network.PortBinding{HostIP: address, HostPort: strconv.Itoa(int(p.Host))})
	}
	return h, exposed, nil
}

// mountOf is a mount for the engine. A volume that it makes for it is the cluster's, and one that is there stays whose it is.
func (e *Engine) mountOf(m mesos.Mount) mount.Mount {
	switch {
	case m.Temporary:
		return mount.Mount{Type: mount.TypeTmpfs, Target: m.Target, ReadOnly: m.ReadOnly}
	case m.Path != "":
		return mount.Mount{Type: mount.TypeBind, Source: m.Path, Target: m.Target, ReadOnly: m.ReadOnly}
	}
	return mount.Mount{Type: mount.TypeVolume, Source: m.Volume, Target: m.Target, ReadOnly: m.ReadOnly,
		VolumeOptions: &mount.VolumeOptions{Labels: map[string]string{labelCluster: e.cfg.Cluster}}}
}
