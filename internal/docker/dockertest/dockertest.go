// Package dockertest has tests run containers of an image without a registry: a program of our own that
// does what it is told, from scratch. It leaves the image behind, for the next test, and no container.
package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/synod-go/synod/internal/docker"
)

// The program of the image, of which the image has a hash. It says at its top what it can do.
//
//go:embed task/main.go
var source []byte

// timeout is for what the engine does for one call of this package, in a machine that does other things too.
const timeout = 2 * time.Minute

// Client returns a client of the machine's engine. It skips the test where none answers: one that answers a Ping and does not
// tell its state can start no container either.
func Client(t testing.TB) *client.Client {
	t.Helper()
	api, err := client.New(client.FromEnv)
	if err != nil {
		t.Skipf("no Docker engine: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	if err == nil {
		_, err = api.Info(ctx, client.InfoOptions{})
	}
	if err != nil {
		t.Skipf("no Docker engine answers: %v", err)
	}
	t.Cleanup(func() { _ = api.Close() })
	return api
}

// Engine returns an engine of an owner of its own in the cluster "dockertest". Its containers are removed at the
// test's end. It skips the test where no engine answers.
func Engine(t testing.TB) *docker.Engine {
	t.Helper()
	e, _ := EngineOf(t, docker.Config{})
	return e
}

// EngineOf is like Engine of a Config of which the cluster and the owner are filled in; it returns that too.
func EngineOf(t testing.TB, c docker.Config) (*docker.Engine, docker.Config) {
	t.Helper()
	Client(t)
	if c.Cluster == "" {
		c.Cluster = "dockertest"
	}
	if c.Owner == "" {
		c.Owner = rand.Text()
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	e, err := docker.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		Remove(t, c)
	})
	return e, c
}

// Remove removes all containers of an owner.
func Remove(t testing.TB, c docker.Config) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	e, err := docker.Open(ctx, c)
	if err != nil {
		t.Error(err)
		return
	}
	defer e.Close()
	all, err := e.List(ctx)
	if err != nil {
		t.Error(err)
	}
	for id := range all {
		if err := e.Remove(ctx, id, true); err != nil {
			t.Errorf("a container stays: %v", err)
		}
	}
}

// Image returns the name of the image, which it makes if the engine does not have it. It skips the test where no
// engine answers.
func Image(t testing.TB) string {
	t.Helper()
	return imageOf(t, Client(t))
}

func imageOf(t testing.TB, api *client.Client) string {
	t.Helper()
	hash := sha256.Sum256(append(source, runtime.Version()...))
	name := "synod-dockertest:" + hex.EncodeToString(hash[:6])
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if _, err := api.ImageInspect(ctx, name); err == nil {
		return name
	}
	r, err := api.ImageImport(ctx, client.ImageImportSource{Source: bytes.NewReader(Root(t)), SourceName: "-"}, name,
		client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/task"]`, `CMD ["print", "hello"]`, "ENV WHERE=image"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	answer, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err == nil {
		_, err = api.ImageInspect(ctx, name)
	}
	if err != nil {
		t.Fatalf("the image was not made: %v: %s", err, answer)
	}
	return name
}

// Root returns the image's files as a tar: /task and /bin/sh, which are the program, and /etc/passwd with the users root, and alice, who is 1000.
func Root(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []struct {
		name, link string
		mode       int64
		content    []byte
	}{
		{name: "task", mode: 0o755, content: program(t)},
		{name: "bin/sh", link: "/task"},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/bin/sh\nalice:x:1000:1000:alice:/:/bin/sh\n")},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nalice:x:1000:\n")},
	} {
		header := &tar.Header{Name: h.name, Mode: h.mode, Size: int64(len(h.content)), Typeflag: tar.TypeReg}
		if h.link != "" {
			header.Typeflag, header.Linkname = tar.TypeSymlink, h.link
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(h.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// program builds the program as one static file.
func program(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), source, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", "task", "main.go")
	command.Dir = dir
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=", "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build the image's program: %v: %s", err, out)
	}
	built, err := os.ReadFile(filepath.Join(dir, "task"))
	if err != nil {
		t.Fatal(err)
	}
	return built
}
