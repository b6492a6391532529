//go:build linux

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// A disk that is full amid an authority's files, or a file that is in the way, leaves none of them behind.
func TestSecretsAreWrittenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/ca.pem", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, told := runNode("tls", "init", "--dir", dir, "--cluster", "demo"); code == 0 || !strings.Contains(told, "E-CONFLICT") {
		t.Errorf("beside another authority: %d\n%s", code, told)
	}
	mustHold(t, dir, "ca.pem")

	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=8k"); err != nil { // room for one page beside the directory
		t.Skipf("needs to mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	if code, _, told := runNode("tls", "init", "--dir", dir, "--cluster", "demo"); code != 1 || !strings.Contains(told, "E-DISKFULL") {
		t.Errorf("on a full disk: %d\n%s", code, told)
	}
	mustHold(t, dir)
}

func mustHold(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("it holds %v, want %v", names, want)
	}
}
