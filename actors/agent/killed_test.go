//go:build linux

package agent

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// roleVariable makes this binary an agent in a process of its own.
const roleVariable = "AGENT_TEST_ROLE"

// dockerVariable gives it the machine's engine: the cluster of its containers.
const dockerVariable = "AGENT_TEST_DOCKER"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(agentProcess(strings.Fields(role)))
	}
	os.Exit(m.Run())
}

// connLink is a Link over a connection.
type connLink struct {
	net.Conn
	mu sync.Mutex
}

func (l *connLink) Term() mesos.Term { return 0 }

func (l *connLink) Send(message any) error {
	frame, err := mesoswire.AppendMessage(make([]byte, 4), message)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.Write(frame)
	return err
}

func (l *connLink) Receive() (any, error) {
	var head [4]byte
	if _, err := io.ReadFull(l, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(l, body); err != nil {
		return nil, err
	}
	return mesoswire.ParseMessage(body)
}

// agentProcess runs an agent: WORK ADDRESS [STEP NUMBER], at which it kills itself.
func agentProcess(args []string) int {
	total, _ := mesos.ParseResources("cpus:64;mem:65536")
	c := Config{Work: args[0], Info: mesos.AgentInfo{Hostname: "host", Address: "a:1", Resources: total}, CgroupParent: "-",
		Agent: mesos.AgentConfig{RegisterFactor: time.Millisecond},
		Dial: func(ctx context.Context) (Link, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", args[1])
			return &connLink{Conn: conn}, err
		}}
	if os.Getenv(dockerVariable) != "" {
		var err error
		if c.Docker, err = OpenDocker(context.Background(), c.Work, docker.Config{Cluster: testCluster}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if len(args) == 4 {
		var mu sync.Mutex
		left, _ := strconv.Atoi(args[3])
		c.step = func(_ mesos.ContainerID, step string) {
			mu.Lock()
			defer mu.Unlock()
			if strings.ReplaceAll(step, " ", "-") == args[2] {
				if left--; left == 0 {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
			}
		}
	}
	h, err := Start(context.Background(), c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	<-h.Done()
	return 1
}

// serve lets agents of other processes reach the master.
func (m *master) serve(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			link, err := m.dial(context.Background())
			if err != nil {
				conn.Close()
				continue
			}
			far := &connLink{Conn: conn}
			go func() {
				defer far.Close()
				for {
					message, err := link.Receive()
					if err != nil || far.Send(message) != nil {
						return
					}
				}
			}()
			go func() {
				defer link.Close()
				for {
					message, err := far.Receive()
					if err != nil || link.Send(message) != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// process starts an agent in a process of its own.
func process(t *testing.T, work, address string, die ...string) (c *exec.Cmd, over chan struct{}) {
	t.Helper()
	return processOf(t, "/proc/self/exe", work, address, die...)
}

// processOf starts another program.
func processOf(t *testing.T, program, work, address string, die ...string) (c *exec.Cmd, over chan struct{}) {
	t.Helper()
	c = exec.Command(program)
	c.Env = append(os.Environ(), roleVariable+"="+strings.Join(append([]string{work, address}, die...), " "))
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	over = make(chan struct{})
	go func() {
		_ = c.Wait() // it was killed
		close(over)
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		<-over
	})
	return c, over
}

func lines(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

// The agent is killed at each step of a task's life. The task runs at most once; its end is told
// once, with its own exit code if it has run, and as DROPPED if it has not.
func TestAnAgentKilledAtAnyStepLosesAndDoublesNothing(t *testing.T) {
	reached, dropped, ran := 0, 0, 0
	for _, step := range []string{"save", "saved", "message", "prepared", "started", "ended"} {
		for n := 1; ; n++ {
			died, state := killedAt(t, step, n)
			for range 10 { // a Launch that comes between two Registers is not taken
				if died || state != mesos.Dropped {
					break
				}
				died, state = killedAt(t, step, n)
			}
			if !died {
				if n == 1 {
					t.Errorf("the step %s is never reached", step)
				}
				break
			}
			reached++
			if state == mesos.Dropped {
				dropped++
			} else {
				ran++
			}
		}
	}
	t.Logf("killed at %d steps: %d times the task ran, %d times it was dropped", reached, ran, dropped)
	if dropped == 0 || ran == 0 {
		t.Errorf("of %d kills %d left a task that never ran and %d one that ran: want some of each", reached, dropped, ran)
	}
}

// killedAt has one task run while the agent is killed at a step, and started again.
func killedAt(t *testing.T, step string, n int) (died bool, last mesos.TaskState) {
	t.Helper()
	name := fmt.Sprintf("killed at %s %d", step, n)
	m, work := newMaster(t), newWork(t)
	address, ledger := m.serve(t), filepath.Join(work, "ledger")
	agent, over := process(t, work, address, step, strconv.Itoa(n))
	end := filepath.Join(work, "end")
	told := make(chan mesos.TaskStatus, 1)
	go func() {
		m.until(name+": registered", func() bool { return len(m.registers) > 0 && m.id != "" })
		m.launch(task("t", fmt.Sprintf("echo x >> %s; while [ ! -e %s ]; do sleep 0.01; done; exit 5", ledger, end)))
		var s mesos.TaskStatus
		m.until(name+": its end is told", func() bool {
			for _, s = range m.of("t") {
				if s.State.Terminal() {
					return true
				}
				if s.State == mesos.Running {
					_ = os.WriteFile(end, nil, 0o644)
				}
			}
			return false
		})
		told <- s
	}()
	var s mesos.TaskStatus
	select {
	case <-over:
		died = true
		_, _ = process(t, work, address)
		s = <-told
	case s = <-told: // it was never reached, or by what follows
	}
	runs := lines(t, ledger)
	switch {
	case s.State == mesos.Dropped && runs != 0:
		t.Errorf("%s: it is told to be DROPPED and has run", name)
	case s.State == mesos.Failed && (runs != 1 || s.ExitCode != 5 || !s.HasExit):
		t.Errorf("%s: it has run %d times and ended as %+v", name, runs, s)
	case s.State != mesos.Dropped && s.State != mesos.Failed:
		t.Errorf("%s: it ended as %+v", name, s)
	}
	m.mu.Lock()
	ends := 0
	for _, u := range m.of("t") {
		if u.State.Terminal() {
			ends++
		}
	}
	m.mu.Unlock()
	if ends != 1 {
		t.Errorf("%s: %d ends were told", name, ends)
	}
	if !died {
		select { // it may be reached by the acknowledgement of the end
		case <-over:
			died = true
		case <-time.After(300 * time.Millisecond):
		}
		_ = agent.Process.Kill()
		<-over
	}
	return died, s.State
}
