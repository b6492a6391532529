package dockertest

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// Daemon is an engine of the test's own, which it may kill and start again. It has a network namespace of its own: an
// engine without a bridge removes docker0, and that of the machine has to stay. Its containers have the networks
// "none" and "host" alone, which is that namespace, unless it has flags that say else.
type Daemon struct {
	// Host is for docker.Config.
	Host string

	dir     string
	flags   []string
	command *exec.Cmd
	died    chan struct{}
	hung    bool // it was killed for that
}

// NewDaemon starts an engine, which is ended at the test's end with its containers. It skips the test where none can
// be started.
func NewDaemon(t testing.TB) *Daemon {
	t.Helper()
	return NewDaemonOf(t, "{}")
}

// alone has an engine change nothing of a network and need no help of the kernel's.
var alone = []string{"--bridge", "none", "--iptables=false", "--ip-masq=false", "--storage-driver", "vfs"}

// NewDaemonOf is like NewDaemon, of a daemon.json: with {"live-restore": true} containers survive their engine. flags, if
// there are any, take the place of those that leave it without networks.
func NewDaemonOf(t testing.TB, config string, flags ...string) *Daemon {
	t.Helper()
	if _, err := exec.LookPath("dockerd"); err != nil || os.Geteuid() != 0 {
		t.Skipf("no Docker engine of the test's own: it needs root, and dockerd: %v", err)
	}
	dir, err := os.MkdirTemp("", "synod-dockertest-"+strings.ToLower(rand.Text()[:6])) // Short, for the path of a socket.
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{Host: "unix://" + filepath.Join(dir, "s"), dir: dir, flags: flags}
	if len(flags) == 0 {
		d.flags = alone
	}
	if err := os.WriteFile(d.path("config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Start(t)
	t.Cleanup(func() { d.remove(t) })
	return d
}

func (d *Daemon) path(name string) string { return filepath.Join(d.dir, name) }

// Start starts an engine that was ended, and waits until it answers.
func (d *Daemon) Start(t testing.TB) {
	t.Helper()
	again := d.command != nil
	for _, of := range []string{"pid", "exec/containerd/containerd.pid"} {
		_ = os.Remove(d.path(of)) // Of one that was killed. Its containerd dies with it.
	}
	d.command = exec.Command("dockerd", append([]string{"--config-file", d.path("config.json"), "--host", d.Host, "--data-root", d.path("data"),
		"--exec-root", d.path("exec"), "--pidfile", d.path("pid")}, d.flags...)...)
	d.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Cloneflags: syscall.CLONE_NEWNET}
	log, err := os.OpenFile(d.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	d.command.Stdout, d.command.Stderr = log, log
	if err := d.command.Start(); err != nil {
		t.Fatal(err)
	}
	command, died := d.command, make(chan struct{})
	d.died = died
	go func() {
		_ = command.Wait()
		close(died)
	}()
	api := d.Client(t)
	for end := time.Now().Add(timeout); ; {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := api.Ping(ctx, client.PingOptions{})
		cancel()
		if err == nil {
			return
		}
		select {
		case <-d.died:
			text, _ := os.ReadFile(d.path("log"))
			text = text[max(0, len(text)-500):]
			if again {
				t.Fatalf("the engine does not start again: %s", text)
			}
			t.Skipf("no Docker engine of the test's own starts: %s", text)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("the engine does not answer: %v", err)
		}
	}
}

// Client returns a client of this engine.
func (d *Daemon) Client(t testing.TB) *client.Client {
	t.Helper()
	api, err := client.New(client.WithHost(d.Host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	return api
}

// Image is like the function, of this engine.
func (d *Daemon) Image(t testing.TB) string {
	t.Helper()
	return imageOf(t, d.Client(t))
}

// Signal sends the engine a signal and, if it is TERM, KILL or STOP, waits until it has ended or stopped. With TERM it ends its containers
// before; with KILL they run on until it is started.
func (d *Daemon) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := d.command.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	switch s {
	case syscall.SIGTERM, syscall.SIGKILL:
		<-d.died
	case syscall.SIGSTOP:
		for begun := time.Now(); !d.stopped(); time.Sleep(time.Millisecond) {
			if time.Since(begun) > timeout {
				t.Fatal("the engine does not stop")
			}
		}
	}
}

// MustAnswer skips the test if the engine does not tell its state: Docker 20.10 sometimes waits for itself for ever when
// many containers end at once. Such an engine is killed, and at the end its containers are.
func (d *Daemon) MustAnswer(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := d.Client(t).Info(ctx, client.InfoOptions{}); err != nil {
		d.hung = true
		d.Signal(t, syscall.SIGKILL)
		t.Skipf("the Docker engine of the test's own hangs, which no agent can mend: %v", err)
	}
}

func (d *Daemon) stopped() bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(d.command.Process.Pid) + "/stat")
	return err == nil && strings.Contains(string(text), ") T ")
}

func (d *Daemon) removeContainers(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*timeout) // There may be hundreds.
	defer cancel()
	api := d.Client(t)
	all, err := api.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		t.Errorf("containers of an engine may run on: %v", err)
	}
	for _, c := range all.Items {
		if _, err := api.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			t.Errorf("a container stays: %v", err)
		}
	}
}

// remove ends the engine with its containers, and removes its files.
func (d *Daemon) remove(t testing.TB) {
	_ = d.command.Process.Signal(syscall.SIGCONT)
	if !d.hung {
		d.endContainers(t)
	}
	d.endShims()
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if at := strings.Fields(line)[1]; strings.HasPrefix(at, d.dir+"/") {
			_ = syscall.Unmount(at, syscall.MNT_DETACH)
		}
	}
	if err := os.RemoveAll(d.dir); err != nil && !d.hung {
		t.Errorf("files of an engine stay: %v", err)
	}
}

// endContainers removes all containers and ends the engine.
func (d *Daemon) endContainers(t testing.TB) {
	select {
	case <-d.died:
		d.Start(t) // Its containers run on, and only an engine of these files finds them.
	default:
	}
	d.removeContainers(t) // Some survive it.
	_ = d.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.died:
	case <-time.After(timeout):
		d.Signal(t, syscall.SIGKILL)
	}
}

// endShims ends what containerd has forgotten, with its containers: in a busy machine some shims outlive it.
func (d *Daemon) endShims() {
	shims := map[string]bool{}
	for _, p := range processes() {
		if strings.Contains(p.program, "containerd-shim") && strings.Contains(p.args, d.path("exec/containerd/")) {
			shims[strconv.Itoa(p.pid)] = true
			_ = syscall.Kill(p.pid, syscall.SIGSTOP) // so that it starts nothing more
		}
	}
	for _, p := range processes() {
		if shims[p.parent] || shims[strconv.Itoa(p.pid)] {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

type process struct {
	pid                   int
	parent, program, args string
}

func processes() (list []process) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range all {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		text, err1 := os.ReadFile(name)
		stat, err2 := os.ReadFile(filepath.Join(filepath.Dir(name), "stat"))
		_, after, found := strings.Cut(string(stat), ") ") // its state, its parent
		if fields := strings.Fields(after); err == nil && err1 == nil && err2 == nil && found && len(fields) > 1 {
			program, args, _ := strings.Cut(string(text), "\x00")
			list = append(list, process{pid, fields[1], program, args})
		}
	}
	return list
}
