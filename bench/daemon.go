package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A daemon is a server process that is not of this program. It is ended with the
// tool, even if that is killed.
type daemon struct {
	command *exec.Cmd
	log     string        // name of the file with its output
	done    chan struct{} // closed when it has ended
}

// startDaemon starts argv; its output is appended to the file log.
func startDaemon(log string, argv []string) (*daemon, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close() // the child has its own descriptor
	d := &daemon{command: exec.Command(argv[0], argv[1:]...), log: log, done: make(chan struct{})}
	d.command.Stdout, d.command.Stderr = output, output
	d.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel sends the signal when the thread ends that started the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := d.command.Start()
		started <- err
		if err == nil {
			_ = d.command.Wait() // how it ended does not matter
			close(d.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return d, nil
}

func (d *daemon) pid() int { return d.command.Process.Pid }

func (d *daemon) alive() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// kill ends the process as kill -9 does and waits until it is gone.
func (d *daemon) kill() {
	_ = d.command.Process.Kill() // one that has ended is what we want
	<-d.done
}

// end asks the process to stop and kills it if it does not.
func (d *daemon) end() {
	_ = d.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(stopPatience):
		d.kill()
	}
}

// complaints returns the end of what the process wrote.
func (d *daemon) complaints() string {
	const most = 1500
	b, _ := os.ReadFile(d.log)
	return strings.TrimSpace(string(b[max(0, len(b)-most):]))
}

// residentMemory is what a process holds now, in bytes, and 0 when it cannot be
// known.
func residentMemory(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
