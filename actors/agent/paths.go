package agent

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// Names in the work directory.
const (
	containersDir = "containers"
	retiredDir    = "retired"
	taskFile      = "task"
	runDir        = "run"
	sandboxDir    = "sandbox"
)

// paths are where things of one container are.
type paths struct{ dir string }

func pathsOf(work string, c mesos.ContainerID) paths {
	return paths{filepath.Join(work, containersDir, c.String())}
}

func (p paths) run() string     { return filepath.Join(p.dir, runDir) }
func (p paths) sandbox() string { return filepath.Join(p.dir, sandboxDir) }
func (p paths) task() string    { return filepath.Join(p.dir, taskFile) }

// writeTask keeps what the checkpoint does not, as long as the machine is not booted again.
func (p paths) writeTask(task mesos.TaskInfo) error {
	content, err := mesoswire.AppendTaskInfo(nil, task)
	if err != nil {
		return err
	}
	temporary := p.task() + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, p.task())
}

// maxTaskFile bounds what is read of a task file.
const maxTaskFile = 4 << 20

// readTask is the inverse of writeTask.
func (p paths) readTask() (mesos.TaskInfo, error) {
	info, err := os.Stat(p.task())
	if errors.Is(err, fs.ErrNotExist) {
		return mesos.TaskInfo{}, ErrNoContainer
	}
	if err != nil {
		return mesos.TaskInfo{}, err
	}
	if info.Size() > maxTaskFile {
		return mesos.TaskInfo{}, fmt.Errorf("agent: %s has %d bytes", p.task(), info.Size())
	}
	content, err := os.ReadFile(p.task())
	if err != nil {
		return mesos.TaskInfo{}, err
	}
	return mesoswire.ParseTaskInfo(content)
}

// containersIn lists the containers that have a directory.
func containersIn(work string) ([]mesos.ContainerID, error) {
	entries, err := os.ReadDir(filepath.Join(work, containersDir))
	if err != nil {
		return nil, fmt.Errorf("agent: list the containers: %w", err)
	}
	var list []mesos.ContainerID
	for _, e := range entries {
		var c mesos.ContainerID
		if n, err := hex.Decode(c[:], []byte(e.Name())[:min(32, len(e.Name()))]); err == nil && n == 16 && len(e.Name()) == 32 {
			list = append(list, c)
		}
	}
	return list, nil
}

// Files in a run directory, as the shim names them.
func (p paths) exit() string                { return filepath.Join(p.run(), "exit") }
func (p paths) startedFile() string         { return filepath.Join(p.run(), "started") }
func (p paths) log(stream LogStream) string { return filepath.Join(p.run(), string(stream)) }
