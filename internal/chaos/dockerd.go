package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dockerd is a Docker engine of a run's own, with its own processes, mounts, network and
// storage, so that it may be killed. Whatever it has started goes away with this process.
type Dockerd struct {
	Dir    string // has its data, its socket and its log
	parent string // of the control groups of its containers
	host   *Host
	keeper *Process // the first process of its namespaces
	daemon *Process

	mu     sync.Mutex
	pids   map[string]string // of containers by name, as the engine sees them
	looked time.Time
}

// keeperEnvironment makes a process of this program the first one of an engine's namespaces. Its
// value is a file that is there when they are ready.
const keeperEnvironment = "SYNOD_CHAOS_KEEPER"

// KeeperMain turns this process into the keeper of an engine's namespaces if it was started as one, and
// returns at once otherwise. It waits for processes whose parents are gone, as an init has to: of one that
// nobody waits for containerd believes that it still runs.
func KeeperMain() {
	ready, ok := os.LookupEnv(keeperEnvironment)
	if !ok {
		return
	}
	err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("proc", "/proc", "proc", 0, ""),
		command("ip", "link", "set", "lo", "up"), os.WriteFile(ready, nil, 0o600))
	if err != nil {
		fatalf("keeper: %v", err)
	}
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// StartDockerd starts an engine in dir and waits until it answers. A path in dir is short, since it has a socket.
func StartDockerd(host *Host, dir string) (*Dockerd, error) {
	d := &Dockerd{Dir: dir, host: host, parent: "synodchaos" + strconv.Itoa(os.Getpid()), pids: make(map[string]string)}
	if err := errors.Join(os.MkdirAll(d.path("config"), 0o755), os.WriteFile(d.path("daemon.json"), []byte("{}"), 0o644)); err != nil {
		return nil, fmt.Errorf("chaos: engine: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("chaos: find own program: %w", err)
	}
	argv := []string{"env", keeperEnvironment + "=" + d.path("ready"), self}
	d.keeper, err = startProcess(host, nil, "keeper", d.path("keeper.log"), argv, unix.CLONE_NEWPID|unix.CLONE_NEWNS|unix.CLONE_NEWNET)
	if err != nil {
		return nil, err
	}
	err = poll(10*time.Second, func() error {
		_, err := os.Stat(d.path("ready"))
		return err
	})
	if err == nil {
		err = d.Start()
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Dockerd) path(name string) string { return filepath.Join(d.Dir, name) }
func (d *Dockerd) socket() string          { return "unix://" + d.path("sock") }

// inside begins the command line of a program in the engine's namespaces.
func (d *Dockerd) inside(namespaces ...string) []string {
	return append(append([]string{"nsenter", "-t", strconv.Itoa(d.keeper.Pid())}, namespaces...), "--")
}

// Start starts the daemon and waits until it answers.
func (d *Dockerd) Start() (err error) {
	argv := append(d.inside("-n", "-m", "-p"), "dockerd", "--config-file", d.path("daemon.json"), "--data-root", d.path("data"), "--exec-root", d.path("run"),
		"--pidfile", d.path("pid"), "-H", d.socket(), "--cgroup-parent", "/"+d.parent, "--log-level", "warn")
	if d.daemon, err = StartProcess(d.host, nil, "dockerd", d.path("dockerd.log"), argv); err != nil {
		return err
	}
	return poll(2*time.Minute, func() error {
		if !d.daemon.Alive() {
			return fatal{fmt.Errorf("chaos: dockerd has ended, see %s", d.daemon.Log)}
		}
		conn, err := net.Dial("unix", d.path("sock"))
		if err != nil {
			return err
		}
		conn.Close()
		_, err = d.Docker("version", "--format", "{{.Server.Version}}")
		return err
	})
}

// Signal sends the daemon a signal, "TERM" or "KILL", and waits until it has ended.
func (d *Dockerd) Signal(signal string) error {
	argv := append(d.inside("-m", "-p"), "sh", "-c", "kill -"+signal+" $(cat "+d.path("pid")+")")
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("chaos: %s to dockerd: %w: %s", signal, err, out)
	}
	_, err := d.daemon.Ended(2 * time.Minute)
	return err
}

// commandLimit bounds one command of the docker client.
const commandLimit = 2 * time.Minute

// Environment is that of a process which is to use the engine.
func (d *Dockerd) Environment() []string {
	return append(os.Environ(), "DOCKER_HOST="+d.socket(), "DOCKER_CONFIG="+d.path("config"), "DOCKER_CLI_HINTS=false", "NO_COLOR=1")
}

// Docker runs the docker client and returns its output.
func (d *Dockerd) Docker(args ...string) (string, error) {
	return d.run(nil, append([]string{"docker"}, args...)...)
}

// run runs a program that uses the engine, and returns its standard output.
func (d *Dockerd) run(env []string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.WaitDelay = append(d.Environment(), env...), time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("chaos: %s: %w: %s%s", strings.Join(argv, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// network opens the network namespace of a container, nil if the container does not run.
func (d *Dockerd) network(container string) *os.File {
	d.mu.Lock()
	defer d.mu.Unlock()
	open := func() *os.File {
		pid := d.pids[container]
		if pid == "" || pid == "0" {
			return nil
		}
		f, err := os.Open(fmt.Sprintf("/proc/%d/root/proc/%s/ns/net", d.keeper.Pid(), pid))
		if err != nil {
			return nil
		}
		return f
	}
	if f := open(); f != nil || time.Since(d.looked) < 200*time.Millisecond {
		return f
	}
	d.looked = time.Now()
	list, err := d.Docker("ps", "-a", "--format", "{{.Names}}", "--filter", "label=com.docker.compose.project")
	if err != nil {
		return nil
	}
	states, err := d.Docker(append([]string{"inspect", "-f", "{{slice .Name 1}} {{.State.Pid}}"}, strings.Fields(list)...)...)
	if err != nil {
		return nil
	}
	for line := range lines(states) {
		name, pid, _ := strings.Cut(line, " ")
		d.pids[name] = pid
	}
	return open()
}

// errNoContainer is why nothing was sent to a container.
var errNoContainer = errors.New("chaos: the container does not run")

// Dial connects to a port of a container from within its own network, so that one is reached too that
// has been taken off all networks.
func (d *Dockerd) Dial(ctx context.Context, container, port string) (net.Conn, error) {
	space := d.network(container)
	if space == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errNoContainer}
	}
	defer space.Close()
	runtime.LockOSThread()
	home, err := openNetwork()
	if err == nil {
		defer home.Close()
		err = unix.Setns(int(space.Fd()), unix.CLONE_NEWNET)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(fmt.Sprintf("chaos: cannot return to the own network: %v", back))
	}
	runtime.UnlockOSThread()
	return conn, err
}

// Close ends the engine with all containers, and removes what it has left among the control groups.
func (d *Dockerd) Close() error {
	d.keeper.Kill()
	if d.daemon != nil {
		d.daemon.Kill()
	}
	return poll(20*time.Second, func() error { return removeGroups(d.parent) })
}

// removeGroups removes the directories of a control group in all hierarchies, when its processes are gone.
func removeGroups(name string) error {
	found, err := filepath.Glob("/sys/fs/cgroup/*/" + name)
	if err != nil {
		return err
	}
	if _, err := os.Stat("/sys/fs/cgroup/" + name); err == nil {
		found = append(found, "/sys/fs/cgroup/"+name)
	}
	var errs []error
	for _, top := range found {
		var all []string
		err := filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				all = append(all, path)
			}
			return err
		})
		errs = append(errs, err)
		for n := range all { // the deepest first
			if err := syscall.Rmdir(all[len(all)-1-n]); err != nil {
				errs = append(errs, fmt.Errorf("chaos: control group %s: %w", all[len(all)-1-n], err))
			}
		}
	}
	return errors.Join(errs...)
}
