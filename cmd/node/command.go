package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// Exit codes of verbs that run a command, beside the command's own.
const (
	exitLost       = 75  // what the command ran under was lost, and it was ended
	exitCannotRun  = 126 // the command is there and cannot be started
	exitNoCommand  = 127 // there is no such command
	exitSignalBase = 128 // a signal ended the command: its number is added
)

// command is a program that a verb runs as long as it holds something.
type command struct {
	*app
	args  []string
	env   []string      // NAME=VALUE, beside our own environment
	grace time.Duration // from SIGTERM to SIGKILL
	// apart: it reads nothing from us, and signals are for the verb, not for it.
	apart bool
}

// commandFlags are what all verbs take that run a command.
type commandFlags struct{ grace time.Duration }

func (f *commandFlags) add(c *cobra.Command) {
	c.Flags().DurationVar(&f.grace, "grace", 5*time.Second, "how long CMD has between SIGTERM and SIGKILL when it must end")
}

// splitCommand parts a verb's own arguments from the command behind "--".
func splitCommand(c *cobra.Command, args []string) (own, command []string) {
	if at := c.ArgsLenAtDash(); at >= 0 {
		return args[:at], args[at:]
	}
	return args, nil
}

// ownArgs checks that a verb has n arguments of its own, and a command if it needs one.
func ownArgs(n int, needsCommand bool) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		own, command := splitCommand(c, args)
		if len(own) != n || needsCommand && len(command) == 0 {
			return errors.New("wrong arguments")
		}
		return nil
	}
}

// commandFor returns what runs args, or an error with an exit code that says that it cannot be run: better
// before anything is taken for it.
func (a *app) commandFor(args []string, f commandFlags) (*command, error) {
	if f.grace < 0 {
		return nil, &api.Error{Code: api.CodeUsage, Message: "--grace must not be below 0", Do: []string{"--grace 5s"}}
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return nil, cannotRun(args[0], err)
	}
	return &command{app: a, args: args, grace: f.grace}, nil
}

func cannotRun(name string, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return &exitWith{exitNoCommand, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("there is no command %q", name)}}
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return &exitWith{exitCannotRun, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("the command %q cannot be run", name), Why: plain(err)}}
}

// outcome is how a command ended.
type outcome struct {
	code    int  // its exit code, or 128 and the signal that ended it
	stopped bool // because it was told to
}

// run runs the command until it ends. When stop is closed its process group gets SIGTERM and, after
// the grace, SIGKILL. Signals that reach this process meanwhile are passed on to the group.
func (c *command) run(ctx context.Context, stop <-chan struct{}, env ...string) (outcome, error) {
	passed := c.catchSignals()
	defer c.releaseSignals(passed)
	if ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	cmd, ended, err := c.start(env)
	if err != nil {
		return outcome{}, err
	}
	group := -cmd.Process.Pid
	for {
		select {
		case s := <-passed:
			_ = syscall.Kill(group, s.(syscall.Signal)) // it may have ended meanwhile
		case <-ended:
			return outcome{code: exitCode(cmd.ProcessState)}, nil
		case <-stop:
			stopped := !closed(ended)
			c.endGroup(group, ended)
			return outcome{code: exitCode(cmd.ProcessState), stopped: stopped}, nil
		}
	}
}

// start starts the command in a process group of its own. ended is closed once it has ended.
func (c *command) start(env []string) (cmd *exec.Cmd, ended <-chan struct{}, err error) {
	cmd = exec.Command(c.args[0], c.args[1:]...)
	cmd.Stdout, cmd.Stderr = c.out, c.err
	var terminal *os.File
	if !c.apart {
		cmd.Stdin, terminal = c.in, takesTerminal(c.in)
	}
	cmd.Env = append(append(os.Environ(), c.env...), env...)
	cmd.SysProcAttr = childAttributes()
	if terminal != nil {
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, int(terminal.Fd())
	}
	started, done := make(chan error), make(chan struct{})
	go func() {
		// The kernel ends the child when the thread that started it ends (Pdeathsig).
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in the state
			takeBack(terminal)
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return nil, nil, cannotRun(c.args[0], err)
	}
	if terminal != nil {
		go onStop(cmd.Process.Pid, func() { suspend(terminal, cmd.Process.Pid) })
	}
	return cmd, done, nil
}

// groupPause is how often a process group that is to end is looked at: nothing tells when
// its last process has ended.
const groupPause = 10 * time.Millisecond

// endGroup ends a process group, whether it wants to or not, and waits for its first process.
func (c *command) endGroup(group int, ended <-chan struct{}) {
	_ = syscall.Kill(group, syscall.SIGTERM) // it may have ended meanwhile
	_ = syscall.Kill(group, syscall.SIGCONT)
	for deadline := time.Now().Add(c.grace); time.Now().Before(deadline); <-time.After(groupPause) {
		if closed(ended) && syscall.Kill(group, 0) != nil {
			return
		}
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-ended
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// passedSignals are those that a command gets in our place.
var passedSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

func (c *command) catchSignals() chan os.Signal {
	passed := make(chan os.Signal, 16)
	if c.signals == nil || c.apart {
		return passed
	}
	c.signals.passed.Store(true)
	for _, s := range passedSignals {
		if !signal.Ignored(s) { // as nohup(1) has it
			signal.Notify(passed, s)
		}
	}
	return passed
}

func (c *command) releaseSignals(passed chan os.Signal) {
	signal.Stop(passed)
	if c.signals != nil && !c.apart {
		c.signals.passed.Store(false)
	}
}

func exitCode(s *os.ProcessState) int {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignalBase + int(status.Signal())
	}
	return s.ExitCode()
}
