//go:build linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// typing runs a verb on a terminal, as a shell would.
func typing(t *testing.T, p *pty, args ...string) *exec.Cmd {
	t.Helper()
	cmd := self(t, t.Context(), args...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "NODE_ADDR=127.0.0.1:1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.terminal, p.terminal, p.terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func (p *pty) waitForText(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(p.all(), text); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %q", text, p.all())
		}
	}
}

func (p *pty) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := p.keyboard.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func TestWhatReadsATerminalSaysSoAndEndsWithControlC(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"kv put colour", "kv txn -", "run -", "acl id alice"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			p := openPTY(t, 120, 40)
			cmd := typing(t, p, strings.Fields(verb)...)
			p.waitForText(t, "read from this terminal")
			p.press(t, "\x03")
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
				t.Fatalf("%v, want exit code 130; the screen has %q", err, p.all())
			}
			p.waitForText(t, "E-INTERRUPTED")
		})
	}
}

func TestATerminalDoesNotShowAPassword(t *testing.T) {
	t.Parallel()
	p := openPTY(t, 120, 40)
	before := p.settings(t)
	cmd := typing(t, p, "acl", "id", "bob")
	p.waitForText(t, "does not show it")
	p.press(t, "hidden\n")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %q", err, p.all())
	}
	p.waitForText(t, "digest:bob:")
	if strings.Contains(p.all(), "hidden") {
		t.Errorf("the screen has the password: %q", p.all())
	}
	if after := p.settings(t); after != before {
		t.Errorf("the terminal's settings are %+v, and were %+v", after, before)
	}
}
