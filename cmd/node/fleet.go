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
	name string // of the cluster: no other one on this machine has it
	logs func(child *child) io.Writer
	// command and output, if set, stand in for args and for where its standard output goes.
	command func(child *child) []string
	output  func(child *child) io.Writer
	input   func(child *child) *os.File // if set, what a child reads; it may be nil
	spawn   chan func()                 // runs on the thread that children are tied to
	quit    chan struct{}               // closed at the end: nothing is started any more
	nodes   []*child
	agents  []*child
	helpers []*child // other processes, which end first
	mu      sync.Mutex
	ending  bool
	onDeath func(c *child, why string)
	onStart func(c *child) // before a child is started
	env     []string       // what children find in their environment besides
	engine  string         // of the nodes; "" is the default
	base    int            // the first port
	taken   map[int]bool
	claims  []net.Listener // of blocks of ports
	// alive is open for as long as this process lives, however it dies. The agents' tasks have the other end.
	alive, lifeline *os.File
}

// child is one node of a fleet, or an agent, which has one port.
type child struct {
	name  string
	ports [3]int
	tasks string     // of an agent: the ports that it has for tasks
	begin sync.Mutex // held while it is started
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
// taken the node gets free ones. Base 0 is somewhere out of the way. The cluster has a name of its own: another
// fleet, which gossips to a port that a dead node of its has left, is not heard.
func newFleet(n, base int, dir string, logs func(*child) io.Writer) (*fleet, error) {
	f := &fleet{dir: dir, logs: logs, spawn: make(chan func()), quit: make(chan struct{}), name: fmt.Sprintf("dev-%d", base)}
	var err error
	if f.lifeline, f.alive, err = os.Pipe(); err != nil {
		return nil, err
	}
	if base == 0 {
		base = f.claimBase()
		f.name = fmt.Sprintf("dev-%08x", rand.Uint32())
	}
	f.base, f.taken = base, map[int]bool{}
	for i := range n {
		c := &child{name: fmt.Sprintf("n%d", i+1)}
		for j := range c.ports {
			if err := f.takePort(c, j, base+10*i+j); err != nil {
				return nil, err
			}
		}
		f.nodes = append(f.nodes, c)
	}
	go f.runSpawner()
	return f, nil
}

// claimBase returns the first of 100 ports that no other fleet without a base has while this one lives: a port
// whose node is dead stays its own. It is below the ports that the kernel hands out.
func (f *fleet) claimBase() (base int) {
	for range 50 {
		base = 10_000 + 100*rand.IntN(200)
		sign, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base+99)))
		if err == nil {
			f.claims = append(f.claims, sign)
			break
		}
	}
	return base
}

// takePort gives a child a port, wanted if it is free.
func (f *fleet) takePort(c *child, j, wanted int) error {
	port, err := freePort(wanted, f.taken)
	if err != nil {
		return &api.Error{Code: api.CodePort, Message: "no free port on 127.0.0.1", Why: plain(err)}
	}
	c.ports[j], f.taken[port] = port, true
	return nil
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
	if c.tasks != "" {
		return f.agentArgs(c)
	}
	args := []string{"start", "--name", c.name, "--data", filepath.Join(f.dir, c.name), "--cluster", f.name}
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

// start starts a child, for the first time or again. One that runs is left as it is.
func (f *fleet) start(c *child) error {
	c.begin.Lock()
	defer c.begin.Unlock()
	if c.pid() != 0 {
		return nil
	}
	if f.onStart != nil {
		f.onStart(c)
	}
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
	cmd.Env = append(cmd.Env, f.env...)
	// A group of its own: a Ctrl-C at the terminal reaches only this process.
	cmd.SysProcAttr = childAttributes()
	if c.tasks != "" {
		cmd.SysProcAttr, cmd.WaitDelay = agentAttributes(), time.Second
		cmd.Env, cmd.ExtraFiles = append(cmd.Env, lifelineVariable+"=1"), []*os.File{f.lifeline}
	}
	if f.input != nil {
		if in := f.input(c); in != nil {
			defer in.Close() // the child has its own
			cmd.Stdin = in
		}
	}
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

// ended is closed when the process that was started last has been reaped; nil before any was.
func (c *child) ended() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// kill ends a child as kill -9 does and waits until it is gone.
func (c *child) kill() {
	done := c.ended()
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
	all := slices.Concat(f.helpers, f.agents, f.nodes)
	for _, c := range all {
		c.signal(syscall.SIGCONT, true)
		c.signal(syscall.SIGTERM, true)
	}
	patience := time.After(endPatience)
	for _, c := range all {
		c.mu.Lock()
		done := c.done
		c.mu.Unlock()
		if done == nil {
			continue
		}
		select {
		case <-done:
		case <-patience:
			for _, late := range all {
				late.signal(syscall.SIGKILL, true)
			}
			<-done
		}
	}
	f.endTasks()
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
	all := slices.Concat(f.nodes, f.agents, f.helpers)
	i := slices.IndexFunc(all, func(c *child) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return all[i]
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
		if slices.ContainsFunc(append(slices.Clone(f.nodes), f.agents...), func(c *child) bool { return c.died() }) {
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
