package chaos

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Host is a thread of this process from which processes are started. With
// namespaces of its own for mounts and the network, everything that a campaign
// sets up is out of sight of the machine and goes away with this process, even
// when it is killed.
type Host struct {
	isolated bool
	home     *os.File // network namespace of this process
	inside   *os.File // network namespace of the thread
	calls    chan func()
}

// NewHost starts the thread. Isolation needs root.
func NewHost(isolated bool) (*Host, error) {
	h := &Host{isolated: isolated, calls: make(chan func())}
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine and takes its
		// namespaces and, by Pdeathsig, its processes along.
		runtime.LockOSThread()
		ready <- h.enter()
		for call := range h.calls {
			call()
		}
	}()
	if err := <-ready; err != nil {
		close(h.calls)
		return nil, err
	}
	return h, nil
}

func (h *Host) enter() (err error) {
	if !h.isolated {
		return nil
	}
	if h.home, err = openNetwork(); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_FS); err != nil {
		return fmt.Errorf("chaos: new namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("chaos: make mounts private: %w", err)
	}
	if h.inside, err = openNetwork(); err != nil {
		return err
	}
	return command("ip", "link", "set", "lo", "up")
}

// openNetwork returns the network namespace of the calling thread.
func openNetwork() (*os.File, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("chaos: open network namespace: %w", err)
	}
	return f, nil
}

// command runs a program in the namespaces of the calling thread.
func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("chaos: %s %v: %w: %s", name, args, err, out)
	}
	return nil
}

// Do runs f on the host's thread, one call at a time.
func (h *Host) Do(f func() error) error {
	result := make(chan error)
	h.calls <- func() { result <- f() }
	return <-result
}

// Start starts cmd with the host's mounts, in network if that is not nil. The
// process is killed when the host or this process ends.
func (h *Host) Start(cmd *exec.Cmd, network *os.File) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
	return h.Do(func() error {
		if network == nil {
			return cmd.Start()
		}
		if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("chaos: enter network namespace: %w", err)
		}
		err := cmd.Start()
		if back := unix.Setns(int(h.inside.Fd()), unix.CLONE_NEWNET); back != nil {
			panic(fmt.Sprintf("chaos: cannot return to the host's network: %v", back))
		}
		return err
	})
}

// Dial connects from within the host's network.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	if !h.isolated {
		return dialer.DialContext(ctx, network, address)
	}
	// A socket belongs to the namespace of the thread that makes it, and stays
	// usable from any other.
	runtime.LockOSThread()
	if err := unix.Setns(int(h.inside.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("chaos: enter network namespace: %w", err)
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if back := unix.Setns(int(h.home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(fmt.Sprintf("chaos: cannot return to the own network: %v", back))
	}
	runtime.UnlockOSThread()
	return conn, err
}

// Close ends the thread with all that was started from it.
func (h *Host) Close() {
	close(h.calls)
	if h.isolated {
		h.home.Close()
		h.inside.Close()
	}
}
