package shim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/synod-go/synod/internal/shim/process"
)

// maxFile bounds what is read of a file in a run directory.
const maxFile = 4 << 20

// Observe looks at a run directory after the agent that used it has ended: not while a Start in
// it is under way, which it would make fail. If nothing was started it bars that for good.
func Observe(dir string) (Facts, error) {
	var f Facts
	if _, err := os.Stat(dir); err == nil {
		f.Directory = true
	} else if err := os.MkdirAll(dir, 0o700); err != nil { // a Start that comes late finds it used
		return f, fmt.Errorf("shim: observe %s: %w", dir, err)
	}
	lock, err := tryLock(dir)
	if err != nil {
		return f, fmt.Errorf("shim: observe %s: %w", dir, err)
	}
	f.LockHeld = lock == nil
	if lock != nil {
		defer unlock(lock)
	}
	if err := f.read(dir); err != nil {
		return f, fmt.Errorf("shim: observe %s: %w", dir, err)
	}
	if f.Unsettled() || f.ShimAlive && !f.HasState {
		f.ask(dir)
	}
	if lock != nil && !f.Started {
		if err := seal(dir); err != nil {
			return f, fmt.Errorf("shim: seal %s: %w", dir, err)
		}
		f.Barred = true
	}
	return f, nil
}

// tryLock returns the lock, nil if somebody else has it.
func tryLock(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, process.LockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, err
}

// askTime is how long a shim has to answer that is not known to live.
const askTime = time.Second

// ask asks the shim who it is: it is just starting, or has no room on its disk to say so.
func (f *Facts) ask(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	s, err := Open(dir).State(ctx)
	if err != nil {
		return // it stays as it was found
	}
	f.State, f.HasState, f.Started, f.ShimAlive, f.TaskAlive = s, true, true, true, s.Task.Alive()
}

// unlock does not leave it to the close: a child that is being made may have the file still.
func unlock(lock *os.File) {
	_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN) // there is nothing that could fail
	lock.Close()
}

// seal takes the spec away, which needs no room on a full disk, or marks that there is to be none. Under the lock: a
// shim reads the spec only when it has that.
func seal(dir string) error {
	sealed := filepath.Join(dir, process.SealedFile)
	err := os.Rename(filepath.Join(dir, process.SpecFile), sealed)
	if errors.Is(err, fs.ErrNotExist) { // it may be written yet, by a Start that goes on in this process
		var file *os.File
		if file, err = os.OpenFile(sealed, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			err = file.Close()
		}
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// read reads the files, the last one first: what one of them says holds when the one
// before is read.
func (f *Facts) read(dir string) error {
	if r, ok, err := readRecord(dir, process.ExitFile); err != nil {
		return err
	} else if ok {
		if f.Exit, err = process.ReadExit(r); err != nil {
			return err
		}
		f.HasExit = true
	}
	who, err := f.readState(dir)
	if err != nil {
		return err
	}
	if f.Rebooted = who.Boot != "" && who.Boot != process.BootID(); f.Rebooted {
		return nil
	}
	f.ShimAlive = f.LockHeld && who.Shim.Alive() // a process that dies lets go of its files first
	if f.ShimAlive {
		f.TaskAlive = who.Task.Alive()
	} else if f.Started && !f.LockHeld {
		f.TaskAlive = len(orphans(who)(process.Processes())) > 0
	}
	return nil
}

// readState returns what is known of who is who: from the state, or else from started. A
// state of which a power cut has left something else than a state is none: unlike started
// it is not durable.
func (f *Facts) readState(dir string) (State, error) {
	r, ok, err := readRecord(dir, process.StateFile)
	if ok && err == nil {
		f.State, err = process.ReadState(r, "state")
		f.HasState = err == nil
	}
	if errors.As(err, new(process.Problem)) {
		f.State, err = State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	r, f.Started, err = readRecord(dir, process.StartedFile)
	if err != nil || !f.Started {
		return State{}, err
	}
	if f.HasState {
		return f.State, nil
	}
	return process.ReadState(r, "started")
}

func readRecord(dir, name string) (r process.Record, there bool, err error) {
	file, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return r, false, err
	}
	if r, err = process.Decode(text); err != nil {
		return r, false, fmt.Errorf("%s: %w", name, err)
	}
	return r, true, nil
}

// orphans returns how to find what a dead shim's task has left: by cgroup, by session, and
// by the environment variable, of which a process that hides from it has to be rid.
func orphans(s State) func([]process.Stat) []Process {
	mark := []byte(process.RunVariable + "=" + s.Nonce)
	return func(all []process.Stat) []Process {
		found := process.Members(s.Cgroups)
		for _, p := range all {
			inSession := s.Task.PID != 0 && p.Session == s.Task.PID && p.Start >= s.Task.Start
			if inSession || marked(p.PID, mark) {
				found = append(found, p.Process)
			}
		}
		return found
	}
}

func marked(pid int, mark []byte) bool {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	for one := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(one, mark) {
			return true
		}
	}
	return false
}

// orphanPause is between two looks at whether what was killed is gone.
const orphanPause = 20 * time.Millisecond

// KillOrphans kills what the task of a dead shim has left and returns when it is gone. It
// is an error if the shim lives.
func KillOrphans(ctx context.Context, dir string) error {
	lock, err := tryLock(dir)
	if err != nil {
		return fmt.Errorf("shim: kill orphans of %s: %w", dir, err)
	}
	if lock == nil {
		return &RefusedError{Problem: "the shim in " + dir + " lives"}
	}
	defer unlock(lock)
	var f Facts
	s, err := f.readState(dir)
	if err != nil || !f.Started || s.Boot != process.BootID() {
		return err
	}
	find := orphans(s)
	for len(find(process.Processes())) > 0 {
		process.KillCgroups(s.Cgroups)
		process.KillAll(find)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(orphanPause):
		}
	}
	process.RemoveCgroups(s.Cgroups)
	return nil
}
