package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// dockerFlags are those of an agent's Docker engine.
type dockerFlags struct {
	host, credentials, publish string
	mounts, networks           []string
}

const (
	dockerAuto = "auto"
	dockerOff  = "off"
	// dockerPatience is how long the start of an agent waits for an engine, and namedPatience for one that was named
	// and whose socket is there: an engine starts containers, an agent's too, before it answers.
	dockerPatience, namedPatience = 2 * time.Second, time.Minute
)

func (f *dockerFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.host, "docker", dockerAuto, "the Docker engine for tasks that are containers: unix:///PATH, tcp://HOST:PORT, off for none, or auto: that of DOCKER_HOST or /var/run/docker.sock, if one answers within 2s")
	flags.StringVar(&f.credentials, "docker-config", "", "file with credentials for registries, as docker login writes it; default ~/.docker/config.json, if there is one")
	flags.StringVar(&f.publish, "docker-publish", "", "IP address of the engine's machine at which ports of containers are; default --listen if that is one, otherwise 127.0.0.1")
	flags.StringSliceVar(&f.mounts, "docker-mounts", nil, "paths of the engine's machine that containers may mount, these alone and not what is below them; default none")
	flags.StringSliceVar(&f.networks, "docker-networks", nil, "networks in which containers may be besides none, bridge and host")
}

// check says what is wrong with the flags, and fills in the file of credentials.
func (f *dockerFlags) check() error {
	usage := func(why string, do ...string) error {
		return &api.Error{Code: api.CodeUsage, Message: "the agent's Docker flags make no sense", Why: why, Do: do}
	}
	f.host = cmp.Or(f.host, dockerAuto)
	if f.host != dockerAuto && f.host != dockerOff && !strings.HasPrefix(f.host, "unix:///") && !strings.HasPrefix(f.host, "tcp://") {
		return usage(fmt.Sprintf("--docker cannot be %q", f.host), "--docker unix:///var/run/docker.sock, or --docker off")
	}
	if f.publish != "" && net.ParseIP(f.publish) == nil {
		return usage(fmt.Sprintf("--docker-publish cannot be %q: it is no IP address", f.publish), "--docker-publish 127.0.0.1")
	}
	for _, path := range f.mounts {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return usage(fmt.Sprintf("--docker-mounts cannot have %q: it is not an absolute path, or not written in the shortest way", path), "--docker-mounts /srv/data")
		}
		// The engine follows links: whoever may write to the outer one could make one of the inner.
		for _, outer := range f.mounts {
			if outer == "/" && path != "/" || strings.HasPrefix(path, outer+"/") {
				return usage(fmt.Sprintf("--docker-mounts cannot have both %s and %s: a task that writes to the one could make the other a link to anything", outer, path),
					"two paths of which none is in the other, or --docker-mounts "+outer+" alone")
			}
		}
	}
	for _, name := range f.networks {
		if mesos.CheckName(name) != nil || strings.Contains(name, ":") {
			return usage(fmt.Sprintf("--docker-networks cannot have %q: it is no name of a network", name), "--docker-networks backend")
		}
	}
	if f.credentials != "" {
		if _, err := os.Stat(f.credentials); err != nil {
			return usage(fmt.Sprintf("--docker-config %s cannot be read: %s", f.credentials, plain(err)), "docker login writes ~/.docker/config.json")
		}
		return nil
	}
	if home, err := os.UserHomeDir(); err == nil {
		name := filepath.Join(home, ".docker", "config.json")
		if _, err := os.Stat(name); err == nil {
			f.credentials = name
		}
	}
	return nil
}

// allows is what containers may have of the machine. Ports are at the address at which the agent listens, unless it is
// said, as for an agent that is itself in a container.
func (f *dockerFlags) allows(listen string) agent.DockerAllows {
	a := agent.DockerAllows{Networks: append([]string{"bridge", "host"}, f.networks...), Paths: f.mounts, Publish: "127.0.0.1"}
	if ip := net.ParseIP(cmp.Or(f.publish, listen)); ip != nil {
		a.Publish = ip.String()
	}
	return a
}

// open connects to the engine and has the agent offer it. An agent without one runs processes alone, and says so.
func (f *dockerFlags) open(ctx context.Context, c *agent.Config, material *cluster.TLS, log *slog.Logger) error {
	if f.host == dockerOff {
		return nil
	}
	config := docker.Config{Cluster: "synod", Credentials: f.credentials, Logger: log}
	if f.host != dockerAuto {
		config.Host = f.host
	} else {
		config.Host = os.Getenv("DOCKER_HOST")
	}
	if material != nil {
		config.Cluster = material.Identity().Cluster
	}
	engine, err := f.await(ctx, c.Work, config, log)
	host := cmp.Or(config.Host, "unix:///var/run/docker.sock")
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, docker.ErrNoEngine):
		log.Info("no Docker engine: tasks that are containers do not run here", "docker", host, "reason", strings.TrimPrefix(plain(err), "docker: "))
		return nil
	case err != nil:
		return err
	}
	c.Docker, c.Info.Attributes[mesos.DockerAttribute] = engine, engine.Version()
	if away := engine.Away(); away != nil {
		log.Warn("the Docker engine that this agent has used does not answer: containers wait until it does", "docker", host, "version", engine.Version(),
			"reason", strings.TrimPrefix(plain(away), "docker: "))
		return nil
	}
	log.Info("tasks may be containers of a Docker engine", "docker", host, "version", engine.Version())
	return nil
}

// await opens the engine, and waits for one that was named.
func (f *dockerFlags) await(ctx context.Context, work string, config docker.Config, log *slog.Logger) (*docker.Engine, error) {
	patience := dockerPatience
	if path, is := strings.CutPrefix(f.host, "unix://"); is {
		if _, err := os.Stat(path); err == nil {
			patience = namedPatience
		}
	} else if f.host != dockerAuto {
		patience = namedPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for said := false; ; {
		engine, err := agent.OpenDocker(ctx, work, config)
		if !errors.Is(err, docker.ErrNoEngine) || patience == dockerPatience {
			return engine, err
		}
		if !said {
			said = true
			log.Info("waiting for the Docker engine", "docker", f.host, "most", patience, "reason", strings.TrimPrefix(plain(err), "docker: "))
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}
