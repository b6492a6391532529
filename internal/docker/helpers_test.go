package docker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/docker/dockertest"
)

// newID is that of a new container.
func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

// spec is a container of the image for tests that does what the words say.
func spec(t testing.TB, words ...string) docker.Spec {
	t.Helper()
	s := docker.Spec{ID: newID(), Agent: "a1", Framework: "f1", Task: "hello.0"}
	s.Docker.Image = dockertest.Image(t)
	if len(words) > 0 {
		s.Command.Value, s.Command.Arguments = words[0], words[1:]
	}
	return s
}

// launch makes and starts a container.
func launch(t testing.TB, e *docker.Engine, s docker.Spec) string {
	t.Helper()
	if err := e.Create(t.Context(), s); err != nil {
		t.Fatalf("create: %v", err)
	}
	if err := e.Start(t.Context(), s.ID); err != nil {
		t.Fatalf("start: %v", err)
	}
	return s.ID
}

// until waits for a state of a container, by its events.
func until(t testing.TB, e *docker.Engine, id, status string) docker.State {
	t.Helper()
	changed, done := e.Changed(id)
	defer done()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		s, err := e.Inspect(ctx, id)
		if err != nil {
			t.Fatalf("inspect: %v", err)
		}
		if s.Status == status {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the container is %+v, want %s", s, status)
		}
	}
}

func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// empty is the name of an image without a file, which is removed at the test's end.
func empty(t testing.TB) string {
	t.Helper()
	api := dockertest.Client(t)
	name := "dockertest-empty:" + newID()
	r, err := api.ImageImport(t.Context(), client.ImageImportSource{Source: bytes.NewReader(make([]byte, 1024)), SourceName: "-"}, name, client.ImageImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	dropImage(t, name)
	return name
}

// loaded is the name of an image with the files of that for tests, which is removed at the test's end.
func loaded(t testing.TB, e *docker.Engine, runs string) string {
	t.Helper()
	name, root := "dockertest-loaded:"+newID(), string(dockertest.Root(t))
	if err := e.Image(t.Context(), name, false, reads(savedOf(t, configOf(runs, root), root, name))); err != nil {
		t.Fatal(err)
	}
	dropImage(t, name)
	return name
}
