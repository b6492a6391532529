package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/api"
)

// tempLock is the file by which a directory is known as one that may be removed
// when nobody holds its flock: nothing but tempData makes such a file, and its
// process holds it as long as it lives. nodeLock is what a node holds.
const (
	tempLock = "temporary.lock"
	nodeLock = "lock"
)

// tempData makes a directory for a fleet, and removes those whose owner was
// killed before it could: each holds some hundred megabytes of preallocated
// log. At the end remove is called.
func tempData() (dir string, remove func(), removed []string, err error) {
	removed = removeOrphans(os.TempDir())
	if dir, err = os.MkdirTemp("", "synod-"); err != nil {
		return "", nil, removed, tempError(err)
	}
	// Locked before it has its name: no other process takes us for dead.
	lock, err := os.CreateTemp(dir, tempLock)
	if err == nil {
		err = errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX), os.Rename(lock.Name(), filepath.Join(dir, tempLock)))
	}
	if err != nil {
		return "", nil, removed, tempError(errors.Join(err, os.RemoveAll(dir)))
	}
	return dir, func() {
		os.RemoveAll(dir) // what cannot be removed is in the temporary directory
		lock.Close()
	}, removed, nil
}

func tempError(err error) error {
	return &api.Error{Code: api.CodeData, Message: "there is no place for temporary data", Why: plain(err), Do: []string{"--data DIRECTORY, or set TMPDIR"}}
}

// removeOrphans removes what fleets have left behind below parent, and returns
// what that was. A node that was started again by hand keeps its directory.
func removeOrphans(parent string) []string {
	locks, _ := filepath.Glob(filepath.Join(parent, "synod-*", tempLock)) // the pattern is right
	var removed []string
	for _, name := range locks {
		dir := filepath.Dir(name)
		// A node that just starts must not find its lock held by us, so those of a fleet that lives are not tried.
		nodes, _ := filepath.Glob(filepath.Join(dir, "*", nodeLock))
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || !allFree([]string{name}) || !allFree(nodes) {
			continue
		}
		endLeft(dir)
		if os.RemoveAll(dir) == nil {
			removed = append(removed, dir)
		}
	}
	return removed
}

// endLeft ends the tasks that agents below dir have left: those of one that was killed together with what
// would have ended them.
func endLeft(dir string) {
	works, _ := filepath.Glob(filepath.Join(dir, "*", "containers")) // the pattern is right
	for _, work := range works {
		ctx, cancel := context.WithTimeout(context.Background(), endPatience)
		_ = agent.EndTasks(ctx, filepath.Dir(work), time.Second) // what cannot be ended goes on, and is seen by ps(1)
		cancel()
	}
}

// allFree reports whether nobody holds one of the locks. A file that is not ours to open
// is not free.
func allFree(locks []string) bool {
	for _, name := range locks {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return false
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		f.Close()
		if err != nil {
			return false
		}
	}
	return true
}
