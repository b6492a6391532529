package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a program that we started and may end. Signals go through a handle
// of the process, never to a number that another process may have by now.
type Process struct {
	Name string
	Log  string // file that holds its standard output and error
	cmd  *exec.Cmd
	done chan struct{}
}

// StartProcess starts argv from host; its output is appended to the file log.
func StartProcess(host *Host, network *os.File, name, log string, argv []string) (*Process, error) {
	return startProcess(host, network, name, log, argv, 0)
}

// startProcess is StartProcess for a process that has new namespaces of the kinds of the flags.
func startProcess(host *Host, network *os.File, name, log string, argv []string, namespaces uintptr) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("chaos: log of %s: %w", name, err)
	}
	defer out.Close()
	fmt.Fprintf(out, "--- %s start %q\n", time.Now().Format(time.StampMicro), argv)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if err := host.Start(cmd, network); err != nil {
		return nil, fmt.Errorf("chaos: start %s: %w", name, err)
	}
	p := &Process{Name: name, Log: log, cmd: cmd, done: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Alive reports whether the process runs, or is paused.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal; a process that has ended does not mind.
func (p *Process) Signal(s syscall.Signal) {
	if p.Alive() {
		p.cmd.Process.Signal(s) // os.ErrProcessDone is what we want anyway
	}
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Ended waits until the process has ended by itself and returns its exit code,
// -1 if a signal ended it. It fails if that takes longer than limit.
func (p *Process) Ended(limit time.Duration) (code int, err error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(limit):
		return 0, fmt.Errorf("chaos: %s still runs after %v", p.Name, limit)
	}
}

// MaxRSS is the most memory the process held, in bytes: of one that has ended
// exactly, of a running one as the kernel counts it now.
func (p *Process) MaxRSS() int64 {
	if !p.Alive() {
		usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
		if !ok {
			return 0
		}
		return usage.Maxrss << 10
	}
	var kib int64
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		return 0
	}
	for line := range lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			break
		}
	}
	return kib << 10
}
