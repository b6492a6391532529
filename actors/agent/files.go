package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/synod-go/synod/mesos"
)

// ErrNoContainer says that there is no such container here, or its files are gone.
var ErrNoContainer = errors.New("agent: no such container")

// ErrOutside says that a path leads out of the sandbox.
var ErrOutside = errors.New("agent: the path leads out of the sandbox")

// ErrNoFile says that there is no such file in the sandbox, or none that can be read.
var ErrNoFile = errors.New("agent: no such file")

// FileInfo is a file in a sandbox.
type FileInfo struct {
	Path      string `json:"path"` // from the sandbox
	Bytes     int64  `json:"bytes"`
	Directory bool   `json:"directory,omitempty"`
	Mode      string `json:"mode"`
	Modified  int64  `json:"modified"` // Unix seconds
}

// Files lists a directory of a container's sandbox by name, at most 10,000 names.
func (h *Handle) Files(c mesos.ContainerID, name string) ([]FileInfo, error) {
	f, clean, err := h.openIn(c, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(maxFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %q is no directory", ErrNoFile, name)
	}
	list := make([]FileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // it has gone meanwhile
		}
		list = append(list, FileInfo{Path: path.Join(clean, e.Name()), Bytes: info.Size(), Directory: e.IsDir(),
			Mode: info.Mode().String(), Modified: info.ModTime().Unix()})
	}
	slices.SortFunc(list, func(a, b FileInfo) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// OpenFile opens a regular file of a container's sandbox for reading.
func (h *Handle) OpenFile(c mesos.ContainerID, name string) (io.ReadSeekCloser, error) {
	f, _, err := h.openIn(c, name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%w: %q is no regular file", ErrNoFile, name)
	}
	return f, nil
}

// IsDirectory reports whether a path in a container's sandbox is a directory.
func (h *Handle) IsDirectory(c mesos.ContainerID, name string) (bool, error) {
	f, _, err := h.openIn(c, name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	return err == nil && info.IsDir(), err
}

// openIn opens what a path in a sandbox names. The task may put anything there, also links and
// pipes, and exchange them meanwhile: the kernel follows no link out of it, and nothing is waited for.
func (h *Handle) openIn(c mesos.ContainerID, name string) (f *os.File, clean string, err error) {
	root, err := os.OpenRoot(pathsOf(h.cfg.Work, c).sandbox())
	if err != nil {
		return nil, "", ErrNoContainer
	}
	defer root.Close()
	if strings.ContainsRune(name, 0) {
		return nil, "", ErrNoFile
	}
	clean = path.Clean("/" + strings.TrimPrefix(name, "/"))[1:]
	if slices.Contains(strings.Split(name, "/"), "..") {
		return nil, "", ErrOutside
	}
	if clean == "" {
		clean = "."
	}
	f, err = root.OpenFile(clean, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	switch {
	case err == nil:
		return f, strings.TrimPrefix(clean, "."), nil
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ENAMETOOLONG):
		return nil, "", fmt.Errorf("%w: %q", ErrNoFile, name)
	case strings.Contains(err.Error(), "escapes"): // the error of package os has no name
		return nil, "", ErrOutside
	}
	return nil, "", fmt.Errorf("agent: open %q: %w", name, err)
}

// hasEnded reports whether a container's shim has written how it ended.
func (h *Handle) hasEnded(c mesos.ContainerID) bool {
	_, err := os.Stat(pathsOf(h.cfg.Work, c).exit())
	return err == nil
}
