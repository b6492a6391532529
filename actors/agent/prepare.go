package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

// defaultPath is a task's PATH if the agent has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// prepare makes what a task needs before it is started.
func (h *Handle) prepare(ctx context.Context, p paths, task mesos.TaskInfo) error {
	if problem := h.docker.refuses(task); problem != "" {
		return errors.New(problem)
	}
	if err := os.MkdirAll(p.sandbox(), 0o755); err != nil {
		return fmt.Errorf("its sandbox cannot be made: %w", err)
	}
	if err := p.writeTask(task); err != nil {
		return fmt.Errorf("its description cannot be written: %w", err)
	}
	if len(task.Command.URIs) > 0 || task.Docker != nil {
		fetches := h.placesFor(task).fetches
		select {
		case fetches <- struct{}{}:
			defer func() { <-fetches }()
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := h.fetchAll(ctx, p.sandbox(), task.Command.URIs); err != nil {
			return err
		}
	}
	if task.Docker != nil {
		return h.docker.image(ctx, p, task)
	}
	return giveTo(task.Command.User, p.sandbox())
}

// giveTo makes a user the owner of a sandbox. Users that are none the shim refuses.
func giveTo(name, sandbox string) error {
	if name == "" || os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil
		}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		return nil
	}
	return filepath.WalkDir(sandbox, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// spec says how the shim runs a task.
func (h *Handle) spec(p paths, task mesos.TaskInfo) shim.Spec {
	s := commandSpec(p, task, task.Command)
	s.Dir, s.WorkDir, s.LogBytes, s.CgroupParent, s.Lifeline = p.run(), p.sandbox(), h.cfg.LogBytes, h.cfg.CgroupParent, h.cfg.Lifeline
	s.Limits = shim.Limits{
		MilliCPUs:   int64(task.Resources.Scalar("cpus")),
		MemoryBytes: memoryBytes(task),
	}
	return s
}

// memoryBytes is what a task may use: mem is in MiB, of which a Milli has thousandths.
func memoryBytes(task mesos.TaskInfo) int64 {
	return int64(float64(task.Resources.Scalar("mem")) * (1 << 20) / 1000)
}

// commandSpec is the part of a spec that a command has.
func commandSpec(p paths, task mesos.TaskInfo, c mesos.Command) shim.Spec {
	s := shim.Spec{User: ownUser(cmp.Or(c.User, task.Command.User)), Env: environment(p, task, c.Environment)}
	switch {
	case c.Shell:
		s.Shell = c.Value
	default:
		s.Argv = append([]string{c.Value}, c.Arguments...)
	}
	return s
}

// ownUser is "" for the user that the agent is: nobody has to be changed to that.
func ownUser(name string) string {
	if own, err := user.Current(); err == nil && (name == own.Username || name == own.Uid) {
		return ""
	}
	return name
}

// environment is what a task finds in its environment: its own variables are stronger.
func environment(p paths, task mesos.TaskInfo, more map[string]string) []string {
	all := map[string]string{
		"PATH": cmp.Or(os.Getenv("PATH"), defaultPath), "HOME": p.sandbox(), "MESOS_SANDBOX": p.sandbox(),
		"SYNOD_SANDBOX": p.sandbox(), "SYNOD_TASK": string(task.ID), "SYNOD_AGENT": string(task.Agent), "SYNOD_CONTAINER": filepath.Base(p.dir),
	}
	maps.Copy(all, task.Command.Environment)
	maps.Copy(all, more)
	return assignments(all)
}

// withFramework adds the framework to a task's own variables, which its description keeps: what runs beside the
// task has them too, also after a restart of the agent.
func withFramework(own map[string]string, id mesos.FrameworkID) map[string]string {
	all := map[string]string{"SYNOD_FRAMEWORK": string(id)}
	maps.Copy(all, own)
	return all
}

// assignments are variables, by name.
func assignments(all map[string]string) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}
