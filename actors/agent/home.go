package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The file home says where the work directory is: which directory, on which machine, by which path. A
// copy of it is a second agent of one ID, which would tell that the first one's tasks have ended, and
// end them if it can. So what is neither the same directory nor in the same place is taken for one.
const homeFile = "home"

// maxHome bounds what is read of it.
const maxHome = 16 << 10

// CopyError says that a work directory was copied from another place.
type CopyError struct{ Work, From string }

func (e *CopyError) Error() string {
	return fmt.Sprintf("agent: %s is a copy of %s: two agents of one id would run tasks twice", e.Work, e.From)
}

// home is three lines, each empty if nobody knows.
type home struct{ directory, machine, path string }

func (h home) String() string { return h.directory + "\n" + h.machine + "\n" + h.path + "\n" }

// homeOf is where a work directory is.
func homeOf(work string) home {
	h := home{path: work, directory: directoryID(work)}
	text, err := os.ReadFile("/etc/machine-id")
	if h.machine = strings.TrimSpace(string(text)); err != nil || h.machine == "" {
		h.machine, _ = os.Hostname() // better than nothing
	}
	return h
}

// checkHome refuses a copy, and notes where the work directory is.
func checkHome(work string) error {
	name, now := filepath.Join(work, homeFile), homeOf(work)
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("agent: read %s: %w", name, err)
	}
	if string(text) == now.String() {
		return nil
	}
	if lines := strings.Split(string(text), "\n"); len(lines) == 4 && len(text) <= maxHome {
		was := home{lines[0], lines[1], lines[2]}
		if (was.directory == "" || was.directory != now.directory) && (was.machine != now.machine || was.path != now.path) {
			return &CopyError{Work: work, From: fmt.Sprintf("%s of machine %s", was.path, was.machine)}
		}
	}
	f, err := replaceFile(name, []byte(now.String()))
	if err == nil {
		err = errors.Join(f.Close(), syncDir(work))
	}
	if err != nil {
		return fmt.Errorf("agent: write %s: %w", name, err)
	}
	return nil
}
