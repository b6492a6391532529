package docker_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/docker/dockertest"
)

// TestWhatAnEngineThatIsStartedAgainTells has an engine killed, ended, and stopped beside a container.
func TestWhatAnEngineThatIsStartedAgainTells(t *testing.T) {
	if testing.Short() {
		t.Skip("starts engines, which takes more than 5 s")
	}
	d := dockertest.NewDaemon(t)
	image := d.Image(t)
	e, err := docker.Open(t.Context(), docker.Config{Host: d.Host, Cluster: "c", Owner: "o"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for signal, codes := range map[syscall.Signal][]int{syscall.SIGKILL: {137, 143}, syscall.SIGTERM: {143}} {
		s := docker.Spec{ID: newID()}
		s.Docker.Image, s.Docker.Network = image, "none"
		s.Command.Value, s.Command.Arguments = "print", []string{"up", ",", "sleep", "1h"}
		launch(t, e, s)
		changed, done := e.Changed(s.ID)
		cut := make(chan error, 2)
		up := make(chan struct{}, 2)
		wait := writer(func([]byte) { up <- struct{}{} })
		go func() { cut <- e.Logs(t.Context(), s.ID, "stdout", true, wait) }()
		go func() {
			_, err := e.Exec(t.Context(), s.ID, docker.ExecSpec{Argv: []string{"/task", "print", "up", ",", "stay", "1h"}, Stdout: wait, Stderr: io.Discard})
			cut <- err
		}()
		<-up
		<-up
		d.Signal(t, signal)
		for range 2 {
			if err := <-cut; signal == syscall.SIGKILL && !errors.Is(err, docker.ErrNoEngine) {
				t.Errorf("%v: cut off: %v", signal, err)
			}
		}
		if _, err := e.Inspect(t.Context(), s.ID); !errors.Is(err, docker.ErrNoEngine) {
			t.Errorf("%v: inspect: %v", signal, err)
		}
		for len(changed) > 0 {
			<-changed
		}
		d.Start(t)
		told(t, "the return", changed)
		done()
		state := until(t, e, s.ID, "exited")
		if !slices.Contains(codes, state.ExitCode) {
			t.Errorf("%v: ended: %+v", signal, state)
		}
		wantError(t, "start again", e.Start(t.Context(), s.ID), docker.ErrConflict)
		if err := e.Remove(t.Context(), s.ID, false); err != nil {
			t.Errorf("%v: remove: %v", signal, err)
		}
	}
	d.Signal(t, syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := e.List(ctx); !errors.Is(err, docker.ErrNoEngine) {
		t.Errorf("a list of an engine that is stopped: %v", err)
	}
	d.Signal(t, syscall.SIGCONT)
	if list, err := e.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("a list: %v, %v", list, err)
	}
}
