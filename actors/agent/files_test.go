//go:build linux

package agent

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/mesos"
)

// quiet is a handle without an agent, for what only reads files.
func quiet(t *testing.T) (*Handle, mesos.ContainerID, paths) {
	t.Helper()
	h := &Handle{docker: &dockerContainerizer{}, cfg: Config{Work: t.TempDir()}, system: actors.NewSystem(slog.New(slog.DiscardHandler)), pid: actor.NewPID("", "none"),
		done: make(chan struct{}), execs: make(chan struct{}, maxExecs)}
	h.shims = &shimContainerizer{h}
	close(h.done)
	c := number(7)
	p := pathsOf(h.cfg.Work, c)
	for _, dir := range []string{p.sandbox(), p.run()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h, c, p
}

func write(t *testing.T, text string, parts ...string) {
	t.Helper()
	name := filepath.Join(parts...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestFilesOfASandboxAreListedAndRead(t *testing.T) {
	h, c, p := quiet(t)
	write(t, "one", p.sandbox(), "a")
	write(t, "three", p.sandbox(), "dir", "b c")
	if err := os.Symlink("dir/b c", filepath.Join(p.sandbox(), "within")); err != nil {
		t.Fatal(err)
	}
	for _, top := range []string{"", "/", ".", "./"} {
		list, err := h.Files(c, top)
		var names []string
		for _, f := range list {
			names = append(names, f.Path)
		}
		if err != nil || !slices.Equal(names, []string{"a", "dir", "within"}) || !list[1].Directory || list[0].Bytes != 3 || list[0].Mode != "-rw-r--r--" {
			t.Errorf("%q: %+v, %v", top, list, err)
		}
	}
	if list, err := h.Files(c, "dir/"); err != nil || len(list) != 1 || list[0].Path != "dir/b c" {
		t.Errorf("dir: %+v, %v", list, err)
	}
	for name, want := range map[string]string{"a": "one", "/dir/b c": "three", "within": "three"} {
		f, err := h.OpenFile(c, name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text, err := io.ReadAll(f); string(text) != want || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		f.Close()
	}
	if _, err := h.OpenFile(number(8), "a"); !errors.Is(err, ErrNoContainer) {
		t.Errorf("another container: %v", err)
	}
}

func TestNoPathLeadsOutOfTheSandbox(t *testing.T) {
	h, c, p := quiet(t)
	write(t, "secret", h.cfg.Work, "secret")
	write(t, "secret", p.dir, "task")
	links := map[string]string{"absolute": filepath.Join(h.cfg.Work, "secret"), "up": "../task", "updir": "..", "root": "/", "loop": "loop",
		"twice": "updir/task"}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(p.sandbox(), name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(p.sandbox(), "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := []string{"..", "../task", "../../../secret", "a/../../task", "absolute", "up", "updir", "updir/task", "root/etc/passwd", "loop", "twice", "pipe",
		"nosuch", "nosuch/b", "a\x00b", strings.Repeat("x", 5000), "/../task", "updir/../task"}
	for _, name := range bad {
		if f, err := h.OpenFile(c, name); err == nil {
			text, _ := io.ReadAll(f)
			t.Errorf("%q was opened: %q", name, text)
		} else if !errors.Is(err, ErrOutside) && !errors.Is(err, ErrNoFile) {
			t.Errorf("%q: %v", name, err)
		}
		if list, err := h.Files(c, name); err == nil {
			t.Errorf("%q was listed: %v", name, list)
		}
	}
	for _, name := range []string{"..", "../task", "absolute", "updir/task"} {
		if _, err := h.OpenFile(c, name); !errors.Is(err, ErrOutside) {
			t.Errorf("%q: %v, want ErrOutside", name, err)
		}
	}
}
