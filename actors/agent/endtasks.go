package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

// EndTasks ends all that runs below a work directory whose agent has ended: SIGTERM, SIGKILL after grace, and what a dead
// shim has left. It returns when nothing runs any more, and no container of its engine is left. An agent that starts there again
// finds the tasks ended.
func EndTasks(ctx context.Context, work string, grace time.Duration) error {
	runs, err := filepath.Glob(filepath.Join(work, containersDir, "*", runDir))
	if err != nil {
		return err
	}
	errs := make([]error, len(runs)+1)
	inEngine := false
	var all sync.WaitGroup
	for i, dir := range runs {
		if _, err := os.Stat(filepath.Join(dir, dockerFile)); err == nil {
			inEngine = true
			continue
		}
		all.Go(func() { errs[i] = endTask(ctx, dir, grace) })
	}
	if inEngine {
		all.Go(func() { errs[len(runs)] = endDockerTasks(ctx, work, grace) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// endDockerTasks ends and removes all containers of a work directory.
func endDockerTasks(ctx context.Context, work string, grace time.Duration) error {
	home, err := readDockerHome(work)
	if err != nil || home.Owner == "" {
		return err
	}
	engine, err := docker.Open(ctx, docker.Config{Host: home.Host, Cluster: home.Cluster, Owner: home.Owner, Version: home.Version})
	if err != nil {
		return fmt.Errorf("agent: containers may run on: %w", err)
	}
	return endContainers(ctx, work, engine, grace)
}

// endContainers does it with an engine, which it closes.
func endContainers(ctx context.Context, work string, engine dockerEngine, grace time.Duration) error {
	h := &Handle{cfg: Config{Work: work, engine: engine, Logger: slog.New(slog.DiscardHandler), step: func(mesos.ContainerID, string) {}}}
	d := newDockerContainerizer(h)
	defer d.close()
	list, err := d.list(ctx)
	if err != nil {
		return fmt.Errorf("agent: containers may run on: %w", err)
	}
	var all sync.WaitGroup
	errs := make(chan error, len(list))
	for c := range list {
		all.Go(func() { errs <- d.endTask(ctx, place{id: c, paths: pathsOf(work, c)}, grace) })
	}
	all.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// endTask ends one container, keeps how it ended, and removes it.
func (d *dockerContainerizer) endTask(ctx context.Context, at place, grace time.Duration) error {
	for {
		f, err := d.observe(ctx, at)
		switch {
		case err != nil:
			return err
		case f.LockHeld:
			pause(ctx, lookPause)
		case f.Untold:
			return fmt.Errorf("agent: container %v may run on: %w", at.id, docker.ErrNoEngine)
		case f.ShimAlive:
			d.killAndWait(ctx, at, grace)
		default:
			d.forgetWithin(ctx, at)
			return ctx.Err()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// killAndWait returns when a look tells more.
func (d *dockerContainerizer) killAndWait(ctx context.Context, at place, grace time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	var kill sync.WaitGroup
	kill.Go(func() {
		if d.kill(ctx, at, grace) != nil {
			pause(ctx, lookPause)
			cancel() // what cannot be killed is looked at again
		}
	})
	_, _ = d.wait(ctx, at) // a look tells why it does not
	cancel()
	kill.Wait()
}

// endTask ends what runs in one run directory.
func endTask(ctx context.Context, dir string, grace time.Duration) error {
	for {
		f, err := shim.Observe(dir)
		switch {
		case err != nil:
			return err
		case f.LockHeld:
			h := shim.Open(dir)
			if err = h.Kill(ctx, grace); err == nil {
				if _, err = h.Wait(ctx); err == nil {
					err = h.Acknowledge(ctx) // so that it leaves
				}
			}
			if err != nil && !errors.Is(err, shim.ErrNoShim) {
				return err
			}
		case f.TaskAlive:
			return shim.KillOrphans(ctx, dir)
		default:
			return nil
		}
		select { // it is on its way, or leaves
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
