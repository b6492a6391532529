//go:build linux

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

// A copy of a work directory would take the tasks of the first agent for its own, and end them.
func TestACopyOfAWorkDirectoryDoesNotStart(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	start(t, m, config(t, m, work))
	m.registered(1)
	c := m.launch(task("t", "exec sleep 1000"))
	m.told("t", mesos.Running)
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(work)); err != nil {
		t.Logf("what is no file is not copied: %v", err)
	}
	for _, name := range []string{checkpointFile, homeFile} {
		text, err := os.ReadFile(filepath.Join(work, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(copied, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	other := newMaster(t)
	h, err := Start(t.Context(), config(t, other, copied))
	if is := errors.As(err, new(*CopyError)); !is {
		t.Errorf("got %v, want a CopyError", err)
	}
	if h != nil {
		stopAgent(t, h)
	}
	if f, err := shim.Observe(pathsOf(work, c).run()); err != nil || !f.TaskAlive {
		t.Errorf("%+v, %v: the task has ended", f, err)
	}
	if err := os.Remove(filepath.Join(copied, homeFile)); err != nil { // somebody says that it is right
		t.Fatal(err)
	}
	if err := checkHome(copied); err != nil {
		t.Error(err)
	}
}

// A directory that was moved is the same one, and one that was restored in its place is taken for it.
func TestAMovedWorkDirectoryIsNoCopy(t *testing.T) {
	work := t.TempDir()
	now := homeOf(work)
	if now.directory == "" {
		t.Log("this file system does not tell when a directory was made")
	}
	for name, c := range map[string]struct {
		was    string
		copied bool
	}{
		"nothing":            {"", false},
		"the same":           {now.String(), false},
		"another path":       {home{now.directory, now.machine, "/elsewhere"}.String(), now.directory == ""},
		"another machine":    {home{now.directory, "m", now.path}.String(), now.directory == ""},
		"another directory":  {home{"1 2.3", now.machine, now.path}.String(), false},
		"a copy here":        {home{"1 2.3", now.machine, "/elsewhere"}.String(), true},
		"a copy from afar":   {home{"1 2.3", "m", now.path}.String(), true},
		"a copy, not marked": {home{"", "m", now.path}.String(), true},
		"torn":               {"1 2.3", false},
	} {
		if err := os.WriteFile(filepath.Join(work, homeFile), []byte(c.was), 0o600); err != nil {
			t.Fatal(err)
		}
		err := checkHome(work)
		if copied := errors.As(err, new(*CopyError)); copied != c.copied || err != nil && !copied {
			t.Errorf("%s: %v", name, err)
		}
		text, _ := os.ReadFile(filepath.Join(work, homeFile))
		if want := map[bool]string{true: c.was, false: now.String()}[c.copied]; string(text) != want {
			t.Errorf("%s: %q is noted, want %q", name, text, want)
		}
	}
}
