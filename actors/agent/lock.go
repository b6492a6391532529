package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// LockedError says that another agent uses the work directory.
type LockedError struct{ Work string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("agent: another agent uses %s: each needs a work directory of its own", e.Work)
}

// lockWork makes the work directory and takes its lock, which ends with the process. Tasks of other users pass through
// it to their sandboxes, and cannot list it.
func lockWork(work string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(work, containersDir), 0o711); err != nil {
		return nil, fmt.Errorf("agent: make the work directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(work, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("agent: lock the work directory: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, &LockedError{work}
	}
	return nil, fmt.Errorf("agent: lock %s: %w", work, err)
}
