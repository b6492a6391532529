package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/synod-go/synod/internal/shim"
)

// execWait is how long the pipes of a command may stay open, by children of it, when it has ended.
const execWait = time.Second

// execBeside runs a command in the cgroups of a task. When ctx ends the command and its group
// are killed; what leaves its group stays in the task's cgroup and ends with the task.
func execBeside(ctx context.Context, state shim.State, s shim.Spec, dir string, e Exec) (int, error) {
	argv := s.Argv
	if s.Shell != "" {
		argv = []string{"/bin/sh", "-c", s.Shell}
	}
	attr, err := execAttributes(s.User)
	if err != nil {
		return 0, err
	}
	program, err := lookPath(argv[0], s.Env, dir)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrCannotRun, err)
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Args, cmd.Env, cmd.Dir, cmd.SysProcAttr, cmd.WaitDelay = argv, s.Env, dir, attr, execWait
	cmd.Stdout, cmd.Stderr = e.Stdout, e.Stderr
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if e.Stdin != nil { // not cmd.Stdin, whose end Wait would wait for
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return 0, err
		}
		defer stdin.Close()
		go func() {
			_, _ = io.Copy(stdin, e.Stdin) // a command that reads no more ends this
			stdin.Close()
		}()
	}
	if err := runIn(cmd, state); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited && !errors.Is(err, exec.ErrWaitDelay) {
			return 0, err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// runIn runs the command from a thread that is in the task's cgroups of version 1, and ends
// with it: the kernel kills the command if the thread's process is killed.
func runIn(cmd *exec.Cmd, state shim.State) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others
		for _, d := range state.Cgroups {
			_ = os.WriteFile(filepath.Join(d, "tasks"), []byte(strconv.Itoa(syscall.Gettid())), 0) // there is none in version 2
		}
		if state.Isolation == "cgroup2" && len(state.Cgroups) > 0 {
			if f, err := os.Open(state.Cgroups[0]); err == nil {
				defer f.Close()
				cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
			}
		}
		err := cmd.Start()
		if err == nil {
			err = cmd.Wait()
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left behind
		} else if !errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w: %w", ErrCannotRun, err)
		}
		done <- err
	}()
	return <-done
}

// execAttributes are those of a command that runs as a user, "" for the agent's own.
func execAttributes(name string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if name == "" {
		return attr, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("%w: there is no user %s", ErrCannotRun, name)
		}
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("%w: groups of %s: %w", ErrCannotRun, name, err)
	}
	number := func(text string) uint32 {
		n, _ := strconv.ParseUint(text, 10, 32)
		return uint32(n)
	}
	attr.Credential = &syscall.Credential{Uid: number(u.Uid), Gid: number(u.Gid)}
	for _, g := range groups {
		attr.Credential.Groups = append(attr.Credential.Groups, number(g))
	}
	return attr, nil
}

// lookPath finds a program by the PATH of env; one with a slash is relative to dir.
func lookPath(name string, env []string, dir string) (string, error) {
	if filepath.Base(name) != name {
		if !filepath.IsAbs(name) {
			return "./" + filepath.Clean(name), nil // the child is in dir by then
		}
		return name, nil
	}
	for _, v := range env {
		path, is := strings.CutPrefix(v, "PATH=")
		if !is {
			continue
		}
		for _, d := range filepath.SplitList(path) {
			if !filepath.IsAbs(d) {
				d = filepath.Join(dir, d)
			}
			file := filepath.Join(d, name)
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return file, nil
			}
		}
	}
	return "", fs.ErrNotExist
}
