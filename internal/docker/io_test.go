package docker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/docker/dockertest"
)

func TestLogsAreThoseOfOneStream(t *testing.T) {
	e := dockertest.Engine(t)
	id := launch(t, e, spec(t, "print", "out", ",", "complain", "err", ",", "lines", "20", "100000", ",", "print", "end"))
	until(t, e, id, "exited")
	for _, follow := range []bool{false, true} {
		var out, err bytes.Buffer
		for stream, w := range map[string]io.Writer{"stdout": &out, "stderr": &err} {
			if err := e.Logs(t.Context(), id, stream, follow, w); err != nil {
				t.Fatal(err)
			}
		}
		if err.String() != "err\n" {
			t.Errorf("stderr %q", err.String())
		}
		if out.Len() != 4+20*100001+4 || !strings.HasPrefix(out.String(), "out\n000") || !strings.HasSuffix(out.String(), "19\nend\n") {
			t.Errorf("stdout has %d bytes: %.20q", out.Len(), out.String())
		}
	}
	wantError(t, "logs of none", e.Logs(t.Context(), newID(), "stdout", true, io.Discard), docker.ErrNoContainer)
	full := errors.New("full")
	wantError(t, "a writer's error", e.Logs(t.Context(), id, "stdout", false, failing{full}), full)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestLogsAreFollowedToTheEndOfTheContainer(t *testing.T) {
	e := dockertest.Engine(t)
	id := launch(t, e, spec(t, "print", "first", ",", "sleep", "1h"))
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- e.Logs(t.Context(), id, "stdout", true, w)
		_ = w.Close()
	}()
	if _, err := io.ReadFull(r, make([]byte, len("first\n"))); err != nil {
		t.Fatal(err)
	}
	if err := e.Kill(t.Context(), id, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("more: %q, %v", rest, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("follow: %v", err)
	}
}

func TestFollowingLogsEndsWithItsContext(t *testing.T) {
	e := dockertest.Engine(t)
	id := launch(t, e, spec(t, "print", "first", ",", "sleep", "1h"))
	ctx, cancel := context.WithCancel(t.Context())
	err := e.Logs(ctx, id, "stdout", true, writer(func([]byte) { cancel() }))
	if !errors.Is(err, context.Canceled) || errors.Is(err, docker.ErrNoEngine) {
		t.Errorf("follow: %v", err)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

func TestOldLogsAreDropped(t *testing.T) {
	e := dockertest.Engine(t)
	s := spec(t, "lines", "1000", "100")
	s.LogBytes = 16 << 10
	launch(t, e, s)
	until(t, e, s.ID, "exited")
	var out bytes.Buffer
	if err := e.Logs(t.Context(), s.ID, "stdout", false, &out); err != nil {
		t.Fatal(err)
	}
	if out.Len() == 0 || out.Len() > 2*16<<10 || !strings.HasSuffix(out.String(), "0999\n") {
		t.Errorf("%d bytes are kept", out.Len())
	}
}

func TestACommandRunsBesideAContainer(t *testing.T) {
	e := dockertest.Engine(t)
	s := spec(t, "sleep", "1h")
	s.Env, s.Command.User, s.Sandbox = []string{"A=b"}, "1000", "/sandbox"
	launch(t, e, s)
	for _, c := range []struct {
		argv, env []string
		user      string
		code      int
		out, err  string
	}{
		{argv: []string{"/task", "print", "x", ",", "complain", "y", ",", "exit", "5"}, code: 5, out: "x\n", err: "y\n"},
		{argv: []string{"/task", "id"}, out: "1000 1000 /sandbox\n"},
		{argv: []string{"/task", "id"}, user: "0", out: "0 0 /sandbox\n"},
		{argv: []string{"sh", "-c", "env"}, env: []string{"C=d"}, out: "C=d\n"},
		{argv: []string{"/task", "env"}, out: "A=b\n"},
		{argv: []string{"/task", "print", "OCI runtime exec failed:", "I say", ",", "exit", "127"}, code: 127, out: "OCI runtime exec failed: I say\n"},
	} {
		var out, errs bytes.Buffer
		code, err := e.Exec(t.Context(), s.ID, docker.ExecSpec{Argv: c.argv, Env: c.env, User: c.user, Stdout: &out, Stderr: &errs})
		if err != nil || code != c.code || !strings.Contains(out.String(), c.out) || errs.String() != c.err {
			t.Errorf("%v: %d, %v, %q, %q", c.argv, code, err, out.String(), errs.String())
		}
	}
}

func TestWhatCannotBeRunSaysWhy(t *testing.T) {
	e := dockertest.Engine(t)
	running, made := launch(t, e, spec(t, "sleep", "1h")), spec(t)
	if err := e.Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id, user, argv, words string
		want                  error
	}{
		{running, "", "/none", "no such file", docker.ErrCannotRun},
		{running, "", "none", "executable file not found", docker.ErrCannotRun},
		{running, "bob", "/task", "unable to find user bob", docker.ErrCannotRun},
		{made.ID, "", "/task", "is not running", docker.ErrNotRunning},
		{newID(), "", "/task", "", docker.ErrNoContainer},
	} {
		var out bytes.Buffer
		_, err := e.Exec(t.Context(), c.id, docker.ExecSpec{Argv: []string{c.argv}, User: c.user, Stdout: &out, Stderr: &out})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) || out.Len() > 0 {
			t.Errorf("%s as %q: %v, %q; want %v", c.argv, c.user, err, out.String(), c.want)
		}
	}
}

func TestACommandTakesItsInputToTheEnd(t *testing.T) {
	e := dockertest.Engine(t)
	id := launch(t, e, spec(t, "sleep", "1h"))
	in := make([]byte, 3<<20)
	_, _ = rand.Read(in)
	var out bytes.Buffer
	code, err := e.Exec(t.Context(), id, docker.ExecSpec{Argv: []string{"/task", "cat"}, Stdin: bytes.NewReader(in), Stdout: &out})
	if err != nil || code != 0 || !bytes.Equal(in, out.Bytes()) {
		t.Errorf("%d, %v, %d bytes of %d came back", code, err, out.Len(), len(in))
	}
	full := errors.New("full")
	_, err = e.Exec(t.Context(), id, docker.ExecSpec{Argv: []string{"/task", "print", "x"}, Stdout: failing{full}})
	wantError(t, "a writer's error", err, full)
}

func TestACommandIsLeftWithItsContext(t *testing.T) {
	e := dockertest.Engine(t)
	id := launch(t, e, spec(t, "sleep", "1h"))
	ctx, cancel := context.WithCancel(t.Context())
	in, hold := io.Pipe()
	defer func() { _ = hold.Close() }() // goleak finds who still reads.
	_, err := e.Exec(ctx, id, docker.ExecSpec{
		Argv: []string{"/task", "print", "up", ",", "sleep", "1h"}, Stdin: in, Stdout: writer(func([]byte) { cancel() }),
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, docker.ErrNoEngine) {
		t.Errorf("exec: %v", err)
	}
}

func TestACommandEndsWithItsContainer(t *testing.T) {
	e := dockertest.Engine(t)
	id := launch(t, e, spec(t, "sleep", "1h"))
	code, err := e.Exec(t.Context(), id, docker.ExecSpec{
		Argv: []string{"/task", "print", "up", ",", "sleep", "1h"}, Stdout: writer(func([]byte) {
			if err := e.Kill(t.Context(), id, "SIGKILL"); err != nil {
				t.Error(err)
			}
		}),
	})
	if err != nil || code != 137 {
		t.Errorf("exec: %d, %v", code, err)
	}
}

func TestFilesAreCopiedIntoAContainer(t *testing.T) {
	if testing.Short() {
		t.Skip("runs four containers one after the other, which takes about 5 s")
	}
	e := dockertest.Engine(t)
	from := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"file": 0o600, "dir/tool": 0o700} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), []byte(name+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("dir/tool", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user     string
		readOnly bool
		owner    string
	}{{"", false, "0 0"}, {"1000", false, "1000 1000"}, {"alice", false, "0 0"}, {"1000:0", true, "1000 0"}} {
		s := spec(t)
		s.Sandbox, s.Command.User, s.Docker.ReadOnly = "/mnt/mesos/sandbox", c.user, c.readOnly
		s.Command.Shell, s.Command.Value = true, "cat link , cat file , ls . , ls /mnt/mesos"
		if !c.readOnly {
			s.Command.Value += " , write dir/new x , write new x"
		}
		if err := e.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := e.Copy(t.Context(), s.ID, from, s.Sandbox); err != nil {
			t.Fatalf("copy as %q: %v", c.user, err)
		}
		if err := e.Start(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		state := until(t, e, s.ID, "exited")
		var out bytes.Buffer
		for _, stream := range []string{"stdout", "stderr"} {
			if err := e.Logs(t.Context(), s.ID, stream, false, &out); err != nil {
				t.Fatal(err)
			}
		}
		root := "drwxrwxrwx " + c.owner
		if c.readOnly {
			root = "drwxr-xr-x 0 0"
		}
		want := fmt.Sprintf("dir/tool\nfile\ndrwxrwxrwx %[1]s dir\n-rw-r--r-- %[1]s file\nLrwxrwxrwx %[1]s link\n%[2]s sandbox\n", c.owner, root)
		if out.String() != want || state.ExitCode != 0 {
			t.Errorf("as %q: %d, got\n%s\nwant\n%s", c.user, state.ExitCode, out.String(), want)
		}
	}
}

func TestWhatCannotBeCopiedSaysWhy(t *testing.T) {
	e := dockertest.Engine(t)
	s := spec(t)
	if err := e.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	err := e.Copy(t.Context(), s.ID, "/nowhere/at/all", "/x")
	wantError(t, "a directory that is not there", err, fs.ErrNotExist)
	wantError(t, "a container that is not there", e.Copy(t.Context(), newID(), t.TempDir(), "/x"), docker.ErrNoContainer)
	big := t.TempDir()
	if err := os.WriteFile(filepath.Join(big, "x"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	err = e.Copy(t.Context(), s.ID, big, "/none/of/them")
	if refused, ok := errors.AsType[*docker.RefusedError](err); !ok {
		t.Errorf("a target that is not there: %v (%v)", err, refused)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	wantError(t, "no time", e.Copy(ctx, s.ID, big, "/sandbox"), context.DeadlineExceeded)
}
