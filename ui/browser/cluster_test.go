package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. The machine may be busy.
const patience = 90 * time.Second

// cluster is a cluster of node dev: five nodes and two agents, one for all tests.
type cluster struct {
	program string
	cmd     *exec.Cmd
	ended   chan struct{}
	addrs   map[string]string // the API of each node
	mu      sync.Mutex
	output  bytes.Buffer
}

var running *cluster

func TestMain(m *testing.M) {
	code := 0
	func() {
		dir, err := os.MkdirTemp("", "page")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
			return
		}
		defer os.RemoveAll(dir)
		if browserPath() != "" {
			if running, err = startCluster(dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
				return
			}
			defer running.stop()
		}
		code = m.Run()
	}()
	os.Exit(code)
}

// browserPath is where Chromium is, "" if there is none.
func browserPath() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// row is a line of dev's table of processes.
var row = regexp.MustCompile(`^(n\d+)\s+\d+\s+(127\.0\.0\.1:\d+)\s`)

// startCluster builds the program, unless NODE_PROGRAM names one, and runs dev.
func startCluster(dir string) (*cluster, error) {
	c := &cluster{program: os.Getenv("NODE_PROGRAM"), ended: make(chan struct{}), addrs: map[string]string{}}
	if c.program == "" {
		c.program = filepath.Join(dir, "node")
		build := exec.Command("go", "build", "-o", c.program, "./cmd/node")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	c.cmd = exec.Command(c.program, "dev", "--nodes", "5", "--agents", "2", "--port", "0")
	c.cmd.Stderr = &locked{c}
	if _, err := os.Stat("/dev/shm"); err == nil { // the disk is not what is tried here
		c.cmd.Env = append(os.Environ(), "TMPDIR=/dev/shm")
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go c.read(out, ready)
	select {
	case <-ready:
		return c, nil
	case <-c.ended:
	case <-time.After(patience):
	}
	c.stop()
	return nil, fmt.Errorf("node dev did not come up:\n%s", c.text())
}

// read learns the addresses and says when all of them are there.
func (c *cluster) read(out io.Reader, ready chan<- struct{}) {
	defer close(c.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&locked{c}, lines.Text())
		if found := row.FindStringSubmatch(lines.Text()); found != nil {
			c.addrs[found[1]] = found[2]
			if len(c.addrs) == 5 {
				close(ready)
			}
		}
	}
	_ = c.cmd.Wait() // how it ended is in the output
}

// locked collects what dev says.
type locked struct{ *cluster }

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.output.Len() > 1<<20 {
		l.output.Reset()
	}
	return l.output.Write(p)
}

func (c *cluster) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.output.String()
}

func (c *cluster) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-c.ended:
	case <-time.After(30 * time.Second):
		_ = c.cmd.Process.Kill()
	}
}

// status is what node status --output json says of the leader.
type status struct {
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
	Commit uint64 `json:"commit"`
}

// status asks as an operator does.
func (c *cluster) status(ctx context.Context) (s status, err error) {
	var all []string
	for _, addr := range c.addrs {
		all = append(all, addr)
	}
	out, err := exec.CommandContext(ctx, c.program, "status", "--output", "json", "--addr", strings.Join(all, ",")).Output()
	if len(out) == 0 {
		return s, fmt.Errorf("node status: %w", err)
	}
	return s, json.Unmarshal(out, &s) // that it is not healthy is told by the exit code alone
}

// fault asks a node for a fault.
func (c *cluster) fault(ctx context.Context, at, body string) error {
	return c.ask(ctx, http.MethodPost, "http://"+at+"/v1/faults", body)
}

// ask asks for something that must succeed.
func (c *cluster) ask(ctx context.Context, method, url, body string) error {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s %s %s: %s", method, url, body, text)
	}
	return nil
}

// transfer hands the lead to a node.
func (c *cluster) transfer(ctx context.Context, at, to string) error {
	return c.ask(ctx, http.MethodPost, "http://"+c.addrs[at]+"/v1/transfer?to="+to, "")
}

// write writes a key at a node.
func (c *cluster) write(ctx context.Context, at string) error {
	return c.ask(ctx, http.MethodPut, "http://"+at+"/v1/kv/browser", "x")
}
