package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

// fleet is a cluster of real processes of this program on this machine, for
// dev and demo. Its children die with this process, however it dies.
type fleet struct {
	dir  string
	logs func(child *child) io.Writer
	// command and output, if set, stand in for args and for where its standard output goes.
	command func(child *child) []string
	output  func(child *child) io.Writer
	spawn   chan func()   // runs on the thread that children are tied to
	quit    chan struct{} // closed at the end: nothing is started any more
	nodes   []*child
	mu      sync.Mutex
	ending  bool
	onDeath func(c *child, why string)
	engine  string // of the nodes; "" is the default
}

// child is one node of a fleet.
type child struct {
	name  string
	ports [3]int
	mu    sync.Mutex
	cmd   *exec.Cmd
	done  chan struct{} // closed when the process has been reaped
	told  bool          // its end was asked for
}

func (c *child) api() string    { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.ports[0])) }
func (c *child) gossip() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.ports[2])) }

// pid of the running process, 0 if there is none.
func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

// newFleet chooses ports for n nodes from base on, 10 apart; where one is
// taken the node gets free ones. Base 0 is somewhere out of the way, below the
// ports that the kernel hands out.
func newFleet(n, base int, dir string, logs func(*child) io.Writer) (*fleet, error) {
	f := &fleet{dir: dir, logs: logs, spawn: make(chan func()), quit: make(chan struct{})}
	if base == 0 {
		base = 10_000 + 10*rand.IntN(2000)
	}
	taken := map[int]bool{}
	for i := range n {
		c := &child{name: fmt.Sprintf("n%d", i+1)}
		for j := range c.ports {
			port, err := freePort(base+10*i+j, taken)
			if err != nil {
				return nil, &api.Error{Code: api.CodePort, Message: "no free port on 127.0.0.1", Why: plain(err)}
			}
			c.ports[j], taken[port] = port, true
		}
		f.nodes = append(f.nodes, c)
	}
	go f.runSpawner()
	return f, nil
}

// runSpawner keeps one thread for all starts: the kernel kills a child when the
// thread that started it ends (Pdeathsig).
func (f *fleet) runSpawner() {
	runtime.LockOSThread()
	for {
		select {
		case start := <-f.spawn:
			start()
		case <-f.quit:
			return
		}
	}
}

// freePort returns wanted if it is free for TCP and UDP, or else some other that
// is. 0 wants any.
func freePort(wanted int, taken map[int]bool) (int, error) {
	for range 50 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)))
		wanted = 0
		if err != nil {
			if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES) {
				return 0, err
			}
			continue
		}
		port := l.Addr().(*net.TCPAddr).Port
		p, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err == nil {
			p.Close()
		}
		if err == nil && !taken[port] {
			return port, nil
		}
	}
	return 0, errors.New("50 ports in a row are taken")
}

// args are what starts the child again by hand.
func (f *fleet) args(c *child) []string {
	args := []string{"start", "--name", c.name, "--data", filepath.Join(f.dir, c.name)}
	for i, flag := range []string{"--api-port", "--link-port", "--gossip-port"} {
		args = append(args, flag, strconv.Itoa(c.ports[i]))
	}
	if c == f.nodes[0] {
		args = append(args, "--bootstrap")
	}
	for _, other := range f.nodes {
		if other != c {
			args = append(args, "--join", other.gossip())
		}
	}
	voters := len(f.nodes)
	if voters%2 == 0 {
		voters--
	}
	args = append(args, "--voters", strconv.Itoa(voters))
	if f.engine != "" && f.engine != string(synod.Raft) {
		args = append(args, "--engine", f.engine)
	}
	return args
}

// start starts a child, for the first time or again.
func (f *fleet) start(c *child) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := f.args
	if f.command != nil {
		args = f.command
	}
	cmd := exec.Command(self, append(args(c), "--log-format", "text")...)
	cmd.Args[0] = "node"
	cmd.Stdout, cmd.Stderr = f.logs(c), f.logs(c)
	if f.output != nil {
		cmd.Stdout = f.output(c)
	}
	// What is set for this program's own requests is not meant for the nodes.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NODE_") })
	// A group of its own: a Ctrl-C at the terminal reaches only this process.
	cmd.SysProcAttr = childAttributes()
	started := make(chan error)
	select {
	case f.spawn <- func() { started <- cmd.Start() }:
	case <-f.quit:
		return errors.New("everything is ending")
	}
	if err := <-started; err != nil {
		return fmt.Errorf("start node %s: %w", c.name, err)
	}
	done := make(chan struct{})
	c.mu.Lock()
	c.cmd, c.done, c.told = cmd, done, false
	c.mu.Unlock()
	go f.reap(c, cmd, done)
	return nil
}

func (f *fleet) reap(c *child, cmd *exec.Cmd, done chan struct{}) {
	_ = cmd.Wait() // how it ended is in the state
	c.mu.Lock()
	told := c.told
	c.cmd = nil
	c.mu.Unlock()
	close(done)
	f.mu.Lock()
	quiet := f.ending || told || f.onDeath == nil
	f.mu.Unlock()
	if !quiet {
		f.onDeath(c, exitWords(cmd.ProcessState))
	}
}

func exitWords(s *os.ProcessState) string {
	status, ok := s.Sys().(syscall.WaitStatus)
	switch {
	case !ok || !status.Signaled():
		return fmt.Sprintf("ended with exit code %d", s.ExitCode())
	case status.Signal() == syscall.SIGKILL:
		return "was killed (SIGKILL)"
	}
	return "was ended by a signal: " + status.Signal().String()
}

// signal sends a signal to a child that runs; expected says that its death is wanted.
func (c *child) signal(s syscall.Signal, expected bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		c.told = c.told || expected
		_ = c.cmd.Process.Signal(s) // it may have ended meanwhile
	}
}

// kill ends a child as kill -9 does and waits until it is gone.
func (c *child) kill() {
	c.mu.Lock()
	done := c.done
	c.mu.Unlock()
	c.signal(syscall.SIGKILL, true)
	if done != nil {
		<-done
	}
}

// end stops all children in order, and kills those that take too long.
func (f *fleet) end() {
	f.mu.Lock()
	f.ending = true
	f.mu.Unlock()
	for _, c := range f.nodes {
		c.signal(syscall.SIGCONT, true)
		c.signal(syscall.SIGTERM, true)
	}
	patience := time.After(endPatience)
	for _, c := range f.nodes {
		c.mu.Lock()
		done := c.done
		c.mu.Unlock()
		if done == nil {
			continue
		}
		select {
		case <-done:
		case <-patience:
			for _, late := range f.nodes {
				late.signal(syscall.SIGKILL, true)
			}
			<-done
		}
	}
	close(f.quit)
}

const endPatience = 8 * time.Second

// addrs are the API addresses of all nodes.
func (f *fleet) addrs() []string {
	var addrs []string
	for _, c := range f.nodes {
		addrs = append(addrs, c.api())
	}
	return addrs
}

func (f *fleet) find(name string) *child {
	i := slices.IndexFunc(f.nodes, func(c *child) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return f.nodes[i]
}

// errDied says that a node ended while the cluster was coming up.
var errDied = errors.New("a node has ended")

// await asks the cluster until good. It fails when ctx ends or a child dies.
func (f *fleet) await(ctx context.Context, client *api.Client, good func(api.Status) bool) (api.Status, error) {
	for {
		ask, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		status, err := client.Status(ask, false)
		cancel()
		if err == nil && good(status) {
			return status, nil
		}
		select {
		case <-ctx.Done():
			return status, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if slices.ContainsFunc(f.nodes, func(c *child) bool { return c.died() }) {
			return status, errDied
		}
	}
}

// died reports whether the child has ended although nobody asked it to.
func (c *child) died() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done != nil && c.cmd == nil && !c.told
}

// prefixed returns a writer that puts a prefix in front of each line.
func prefixed(out io.Writer, mu *sync.Mutex, prefix string) io.Writer {
	return &prefixWriter{out: out, mu: mu, prefix: prefix}
}

type prefixWriter struct {
	out    io.Writer
	mu     *sync.Mutex
	prefix string
	rest   string
}

func (w *prefixWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest += string(p)
	for {
		line, rest, found := strings.Cut(w.rest, "\n")
		if !found {
			return len(p), nil
		}
		w.rest = rest
		fmt.Fprintf(w.out, "%s%s\n", w.prefix, line)
	}
}
