package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAServiceTellsWhenItIsReadyAndStops(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	f, err := newFleet(1, 0, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.end)
	cmd := self(t, t.Context(), f.args(f.nodes[0])...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		if err := manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 100)
		n, err := manager.Read(text)
		if err != nil || string(text[:n]) != want {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("it tells %q, %v, want %q\n%s", text[:n], err, want, log.String())
		}
		_ = cmd.Process.Signal(syscall.SIGTERM) // the second time it is ending already
	}
	_ = cmd.Wait() // two signals may have ended it at once
}

func TestUnitsAreUnderstood(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../deploy/systemd")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"synod.service", "synod-agent.service"} {
		file := filepath.Join(dir, name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// What is verified besides is that the program and the user are there.
		text = bytes.ReplaceAll(text, []byte("/usr/local/bin/synod"), []byte("/bin/true"))
		text = bytes.ReplaceAll(text, []byte("User=synod"), []byte("User=root"))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(program, "verify", "--man=no", file).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "synod") {
				t.Errorf("%s: %s", name, line)
			}
		}
		if err != nil && len(out) == 0 {
			t.Skipf("systemd-analyze does not work here: %v", err)
		}
	}
}
