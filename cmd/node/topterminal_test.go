//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/synod-go/synod/api"
)

// pty is a terminal whose keyboard and screen are a test's.
type pty struct {
	keyboard *os.File // and what is written to the screen
	terminal *os.File
	mu       sync.Mutex
	written  bytes.Buffer
}

func openPTY(t *testing.T, width, height uint16) *pty {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	p := &pty{keyboard: keyboard, terminal: terminal}
	p.resize(t, width, height)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buf)
			p.mu.Lock()
			p.written.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *pty) resize(t *testing.T, width, height uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(p.keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		t.Fatal(err)
	}
}

// settings are how the terminal treats keys.
func (p *pty) settings(t *testing.T) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(p.terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func (p *pty) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written.String()
}

// frames are the screens that were drawn whole, without what clears.
func (p *pty) frames() (frames [][]string) {
	parts := strings.Split(p.all(), home)
	for _, part := range parts[1:] {
		if whole, _, ended := strings.Cut(part, clearBelow); ended {
			frames = append(frames, strings.Split(strings.NewReplacer(clearLine, "", "\r", "").Replace(whole), "\n"))
		}
	}
	return frames
}

// waitForFrame waits until a screen beyond the first n has what is looked for, and returns it.
func (p *pty) waitForFrame(t *testing.T, n int, has func(frame []string) bool) []string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		for _, frame := range p.frames()[min(n, len(p.frames())):] {
			if has(frame) {
				return frame
			}
		}
	}
	t.Fatalf("no such screen after %d in %q", n, p.all())
	return nil
}

// startTop runs top on the terminal, as a shell would.
func startTop(t *testing.T, p *pty, addr string) *exec.Cmd {
	t.Helper()
	cmd := self(t, t.Context(), "top", "--every", "100ms", "--addr", addr)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.terminal, p.terminal, p.terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// growing is a cluster in which every look finds a hundred more writes.
func growing(t *testing.T) *work {
	r := newWork(t)
	var mu sync.Mutex
	commit := uint64(0)
	r.mux.HandleFunc("GET /v1/look", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		commit += 100
		json.NewEncoder(w).Encode(api.Look{Node: "n1", Groups: []api.GroupLook{{Name: "coordination", Engine: "raft", Role: "leader", Leader: "n1", Term: 1, Commit: commit,
			Applied: commit, Voters: []string{"n1"}}}})
	})
	return r
}

func holds(word string) func([]string) bool {
	return func(frame []string) bool { return strings.Contains(strings.Join(frame, "\n"), word) }
}

// Top draws over what it has drawn, follows the size of its terminal, and gives it back as it was.
func TestTopOnATerminal(t *testing.T) {
	t.Parallel()
	r := growing(t)
	for name, end := range map[string]string{"q": "q", "Ctrl-C": "\x03"} {
		t.Run(name+" ends it", func(t *testing.T) {
			p := openPTY(t, 100, 40)
			before := p.settings(t)
			cmd := startTop(t, p, r.server.Listener.Addr().String())
			first := p.waitForFrame(t, 0, holds("CLUSTER demo  HEALTHY  n1 leads"))
			if !holds("a2     registered")(first) || !holds("! web: needs mem:4096")(first) {
				t.Errorf("the first screen is %q", first)
			}
			if raw := p.settings(t); raw.Lflag&(unix.ECHO|unix.ICANON) != 0 || raw.Lflag&unix.ISIG == 0 {
				t.Error("keys are shown or wait for the end of a line, or Ctrl-C is no signal")
			}
			// From the second look on there is a rate: a hundred in a tenth of a second, or less on a slow machine.
			p.waitForFrame(t, 1, func(frame []string) bool {
				row := strings.Fields(frame[min(3, len(frame)-1)])
				return len(row) > 5 && row[0] == "coordination" && row[5] != "-" && row[5] != "0.0"
			})
			drawn := len(p.frames())
			p.resize(t, 30, 10)
			small := p.waitForFrame(t, drawn, func(frame []string) bool { return len(frame) <= 10 })
			for _, line := range small {
				if len(line) > 29 {
					t.Errorf("%q on 30 columns", line)
				}
			}
			if _, err := p.keyboard.WriteString("x" + end); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("it ended with %v, want exit code 0", err)
			}
			mustRestore(t, p, before)
		})
	}
}

// mustRestore fails unless all was drawn on the alternate screen, never cleared meanwhile, and the terminal is as before.
func mustRestore(t *testing.T, p *pty, before unix.Termios) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.HasSuffix(p.all(), leaveScreen); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the screen before is not shown again: %q", p.all())
		}
	}
	all := p.all()
	if !strings.HasPrefix(all, enterScreen) || strings.Count(all, enterScreen) != 1 || strings.Count(all, leaveScreen) != 1 || strings.Contains(all, "\x1b[2J") {
		t.Errorf("it has drawn elsewhere, or cleared all: %q", all)
	}
	if after := p.settings(t); after != before {
		t.Errorf("the terminal's settings are %+v, and were %+v", after, before)
	}
}
