package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/moby/client"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// Files in the run directory of a Docker container, each durable before what it stands for.
const (
	startedFile = "started" // before the engine is told to start it
	exitFile    = "exit"    // how it ended, after its logs
	// barFile says that nothing here may start it any more.
	barFile = "bar"
)

// has reports whether there is a file in the run directory.
func (p paths) has(name string) bool {
	_, err := os.Stat(filepath.Join(p.run(), name))
	return err == nil
}

// write makes a file of the run directory durable, which is made if the container's is there.
func (p paths) write(name string, content []byte) error {
	made := false
	if err := os.Mkdir(p.run(), 0o755); err == nil {
		made = true
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := writeDurably(filepath.Join(p.run(), name), content); err != nil {
		return err
	}
	if made {
		return errors.Join(syncDir(p.dir), syncDir(filepath.Dir(p.dir)))
	}
	return nil
}

// writeDurably replaces a file at one moment.
func writeDurably(name string, content []byte) error {
	temporary := name + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// remove removes a file of the run directory that may be there.
func (p paths) remove(name string) error {
	if err := os.Remove(filepath.Join(p.run(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := syncDir(p.run())
	if errors.Is(err, fs.ErrNotExist) { // a stranger's
		return nil
	}
	return err
}

// bar sees to it that nothing here starts a container any more. Where it has no directory nothing can.
func (p paths) bar() error {
	err := p.write(barFile, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readExit is how a container ended, nil if that is not written, or was damaged: then its container tells.
func (p paths) readExit() *mesos.ContainerExit {
	content, err := os.ReadFile(p.exit())
	e := &mesos.ContainerExit{}
	if err != nil || json.Unmarshal(content, e) != nil {
		return nil
	}
	return e
}

func (p paths) writeExit(e mesos.ContainerExit) error {
	content, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return p.write(exitFile, append(content, '\n'))
}

// dockerHome is the file of a work directory that says whose its containers are, and where. Version is that of the engine
// when it was last opened.
type dockerHome struct {
	Owner   string `json:"owner"`
	Cluster string `json:"cluster"`
	Host    string `json:"host,omitempty"`
	Version string `json:"version,omitempty"`
}

// homeOfDocker is its name.
const homeOfDocker = "docker"

// EngineError says that containers of a work directory may run in another engine than the one that the agent is to have:
// it would take them to have been removed, and their tasks would run twice.
type EngineError struct{ Work, Host, Before string }

func (e *EngineError) Error() string {
	return fmt.Sprintf("agent: containers of %s may run in the Docker engine at %s, not in that at %s", e.Work, e.Before, e.Host)
}

// OpenDocker connects to the engine of the agent of a work directory, for Config.Docker. Its owner is read there, or
// made for ever. The error wraps docker.ErrNoEngine if none answers within ctx, unless one did before: then the engine is
// away, as Engine.Away says, and what it has is told when it answers. Where containers of before may run they keep the cluster of
// their names, and their engine: another one is an *EngineError.
func OpenDocker(ctx context.Context, work string, c docker.Config) (*docker.Engine, error) {
	home, err := readDockerHome(work)
	if err != nil {
		return nil, err
	}
	c.Host = cmp.Or(c.Host, os.Getenv(client.EnvOverrideHost), client.DefaultDockerHost)
	mayRun := home.Owner != "" && containersMayRun(work)
	switch before := cmp.Or(home.Host, c.Host); {
	case mayRun && before != c.Host:
		return nil, &EngineError{Work: work, Host: c.Host, Before: before}
	case mayRun:
		c.Cluster = home.Cluster
	}
	if home.Cluster == c.Cluster && home.Host == c.Host {
		c.Version = home.Version
	}
	c.Owner = home.Owner
	if c.Owner == "" {
		var owner [16]byte
		_, _ = rand.Read(owner[:]) // never fails
		c.Owner = hex.EncodeToString(owner[:])
	}
	engine, err := docker.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	if want := (dockerHome{c.Owner, c.Cluster, c.Host, engine.Version()}); want != home {
		if err := writeDockerHome(work, want); err != nil {
			engine.Close()
			return nil, fmt.Errorf("agent: write whose the containers are: %w", err)
		}
	}
	return engine, nil
}

// containersMayRun reports whether there is a container whose end is not known here.
func containersMayRun(work string) bool {
	files, _ := filepath.Glob(filepath.Join(work, containersDir, "*", runDir, dockerFile))
	return slices.ContainsFunc(files, func(file string) bool {
		p := paths{filepath.Dir(filepath.Dir(file))}
		return !p.has(exitFile) && (p.has(startedFile) || !p.has(barFile))
	})
}

func writeDockerHome(work string, home dockerHome) error {
	content, err := json.Marshal(home)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	return writeDurably(filepath.Join(work, homeOfDocker), append(content, '\n'))
}

// readDockerHome returns the zero value if there is none.
func readDockerHome(work string) (home dockerHome, err error) {
	name := filepath.Join(work, homeOfDocker)
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return home, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &home)
	}
	if err == nil && home.Owner == "" {
		err = errors.New("it names no owner")
	}
	if err != nil {
		return home, fmt.Errorf("agent: read whose the containers are in %s: %w", name, err)
	}
	return home, nil
}
