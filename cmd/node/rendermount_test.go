package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hostLine is a line of constant width, 32 bytes, as hostsFile has them.
func hostLine(generation, i int) string {
	return fmt.Sprintf("10.%03d.%03d.1%-20s\n", generation%256, i, fmt.Sprintf(" name-%d-%d", i, generation%256))
}

func hostsFile(generation, lines int) []byte {
	var text strings.Builder
	for i := range lines {
		text.WriteString(hostLine(generation, i))
	}
	return []byte(text.String())
}

// checkHosts says what is wrong with what a reader has got: it has all lines that there always are, and each is
// whole, of some generation.
func checkHosts(got []byte, least int) error {
	text := strings.TrimRight(string(got), "\n")
	lines := strings.Split(text, "\n")
	if len(lines) < least {
		return fmt.Errorf("%d lines, want at least %d: %q", len(lines), least, got)
	}
	for i, line := range lines {
		generation := 0
		if _, err := fmt.Sscanf(line, "10.%d.", &generation); err != nil || line+"\n" != hostLine(generation, i) {
			return &mixedLine{i, line}
		}
	}
	return nil
}

// TestAMountPointIsWrittenOverAndIsWholeAtEveryMoment mounts a file at another in a mount namespace of its own, as a
// container has its /etc/hosts, and reads it as fast as it can while it changes.
func TestAMountPointIsWrittenOverAndIsWholeAtEveryMoment(t *testing.T) {
	if name := os.Getenv("RENDER_MOUNTED"); name != "" {
		hammerMounted(t, name)
		return
	}
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("no mount namespace here: %v %s", err, bytes.TrimSpace(out))
	}
	dir := t.TempDir()
	for _, name := range []string{"below", "hosts"} {
		if err := os.WriteFile(filepath.Join(dir, name), hostsFile(0, 5), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c",
		`mount --bind below hosts && exec "$0" -test.run '^TestAMountPointIsWrittenOver' -test.v`, self)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "RENDER_MOUNTED="+filepath.Join(dir, "hosts"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "below")); err != nil || bytes.Equal(got, hostsFile(0, 5)) {
		t.Errorf("%q, %v: what was mounted has not changed", got, err)
	}
}

// hammerMounted changes a mounted file while another reads it.
func hammerMounted(t *testing.T, name string) {
	if !mountPoint(name) {
		t.Log("this kernel does not tell a mount point: a rename finds out")
	}
	var stat fs.FileInfo
	over, reads := make(chan struct{}), make(chan int)
	go func() { reads <- readUntil(t, name, over) }()
	writes := 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && !t.Failed(); writes++ {
		want := hostsFile(writes+1, 5+writes%3)
		changed, err := replaceFile(name, want)
		if err != nil || !changed {
			t.Fatalf("changed %v, %v", changed, err)
		}
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(bytes.TrimRight(got, "\n"), bytes.TrimRight(want, "\n")) {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
		now, err := os.Stat(name)
		if err != nil || stat != nil && (!os.SameFile(stat, now) || now.Size() < stat.Size()) {
			t.Fatalf("%v, %v: it is another file, or has become shorter", now, err)
		}
		stat = now
	}
	if changed, err := replaceFile(name, hostsFile(writes, 5+(writes-1)%3)); changed || err != nil {
		t.Errorf("changed %v, %v: what is there already was written again", changed, err)
	}
	close(over)
	n := <-reads
	t.Logf("%d writes, %d reads", writes, n)
	if n < 100 {
		t.Errorf("%d reads are too few to tell anything", n)
	}
	if list, err := os.ReadDir(filepath.Dir(name)); err != nil || len(list) != 2 {
		t.Errorf("%v, %v are in the directory, want the two files", list, err)
	}
}

// readUntil reads a file as often as it can, and returns how often that was.
func readUntil(t *testing.T, name string, over <-chan struct{}) (n int) {
	torn := 0
	for ; !closed(over); n++ {
		got, err := os.ReadFile(name)
		if err == nil {
			err = checkHosts(got, 5)
		}
		if mixed, is := errors.AsType[*mixedLine](err); is && len(got) > 0 {
			t.Log("read", n, mixed)
			torn++ // the kernel was copying that very line; the lines are all there
		} else if err != nil {
			t.Errorf("read %d: %v", n, err)
			return n
		}
	}
	if torn > 1+n/1000 {
		t.Errorf("%d of %d reads saw a line half written", torn, n)
	}
	return n
}

// mixedLine is one that is none of one generation.
type mixedLine struct {
	number int
	text   string
}

func (m *mixedLine) Error() string { return fmt.Sprintf("line %d is %q", m.number, m.text) }
