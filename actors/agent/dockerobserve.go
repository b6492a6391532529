package agent

import (
	"cmp"
	"context"
	"errors"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// lostExitCode is what an engine says of a container that has ended while the engine was down. A program may end with it too.
const lostExitCode = 255

// maxLooks is how often a container is looked at again at once that has changed in the meantime.
const maxLooks = 3

// observe finds what there is, and sees to it that nothing starts what has not been started. What the
// engine does not tell is Untold; what it tells is so, whether or not the machine was started anew.
func (d *dockerContainerizer) observe(ctx context.Context, at place) (f mesos.Facts, err error) {
	err = d.inTurn(ctx, at.id, func(ctx context.Context) error {
		if exit := at.paths.readExit(); exit != nil {
			f = mesos.Facts{Engine: true, Started: true, Exit: exit}
			return nil
		}
		f = mesos.Facts{Untold: true}
		if d.engine == nil {
			return nil
		}
		for range maxLooks {
			s, err := d.inspect(ctx, at)
			again := false
			if f, again, err = d.facts(ctx, at, s, err); err != nil || !again {
				return err
			}
		}
		f = mesos.Facts{Engine: true, LockHeld: true} // it changes under the eye
		return nil
	})
	if errors.Is(err, errClosed) {
		return mesos.Facts{Untold: true}, nil
	}
	return f, err
}

// facts are what an answer of the engine means. again: it has changed meanwhile.
func (d *dockerContainerizer) facts(ctx context.Context, at place, s docker.State, err error) (f mesos.Facts, again bool, _ error) {
	untold := mesos.Facts{Untold: true}
	switch {
	case errors.Is(err, docker.ErrNoContainer) && at.paths.has(startedFile):
		return mesos.Facts{Engine: true, Started: true}, false, nil
	case errors.Is(err, docker.ErrNoContainer):
		err := at.paths.bar()
		return mesos.Facts{Engine: true, Barred: err == nil}, false, err
	case err != nil:
		d.h.cfg.Logger.Debug("the engine does not tell of a container", "container", at.id, "reason", err)
		return untold, false, nil
	case s.Runs():
		return mesos.Facts{Engine: true, Started: true, ShimAlive: true}, false, nil
	case s.Status == "removing": // an engine may never come to the end of that
		return mesos.Facts{Untold: true, LockHeld: true}, false, nil
	case s.Status == "created":
		return d.withdraw(ctx, at, s.Error)
	}
	exit, err := d.finish(ctx, at, s)
	if err != nil {
		return untold, false, nil
	}
	return mesos.Facts{Engine: true, Started: true, Exit: &exit}, false, nil
}

// withdraw removes a container that was not started, which is refused if it was meanwhile. problem is why it could
// not be, "" if nobody has tried.
func (d *dockerContainerizer) withdraw(ctx context.Context, at place, problem string) (f mesos.Facts, again bool, _ error) {
	if err := at.paths.bar(); err != nil {
		return mesos.Facts{Engine: true}, false, err
	}
	within, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	switch err := d.engine.Withdraw(within, at.id.String()); {
	case errors.Is(err, docker.ErrConflict):
		return mesos.Facts{}, true, nil
	case err != nil:
		return mesos.Facts{Untold: true}, false, nil
	}
	if problem != "" {
		exit := mesos.ContainerExit{NotStarted: true, Message: problem}
		d.keepExit(at, exit)
		return mesos.Facts{Engine: true, Exit: &exit}, false, nil
	}
	if err := at.paths.remove(startedFile); err != nil {
		return mesos.Facts{Engine: true}, false, err
	}
	return mesos.Facts{Engine: true, Barred: true}, false, nil
}

// finish keeps what a container has written and how it has ended. That is told too if it cannot be
// kept: the container tells it until it is removed. An error says that the engine has gone away.
func (d *dockerContainerizer) finish(ctx context.Context, at place, s docker.State) (mesos.ContainerExit, error) {
	e := mesos.ContainerExit{Known: true, Code: s.ExitCode, OutOfMemory: s.OutOfMemory && s.ExitCode != 0, Message: s.Error}
	switch {
	case s.Finished.IsZero(): // it died between its hearing of the end and its writing it down, and says 0 of that
		e = mesos.ContainerExit{Message: cmp.Or(s.Error, "its exit status is unknown: the Docker engine was killed when the container ended")}
	case e.Code == lostExitCode && e.Message == "":
		e.Message = "it ended with 255, or while the Docker engine was down, which says 255 of that"
	}
	if !at.paths.has("") { // a stranger
		return e, nil
	}
	within, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	if err := d.keepLogs(within, at); err != nil {
		if ctx.Err() != nil || errors.Is(err, docker.ErrNoEngine) && within.Err() == nil {
			return e, err
		}
		d.h.cfg.Logger.Warn("what a container has written cannot be kept", "container", at.id, "reason", err)
	}
	d.h.cfg.step(at.id, "docker kept")
	d.keepExit(at, e)
	return e, nil
}

func (d *dockerContainerizer) keepExit(at place, e mesos.ContainerExit) {
	if err := at.paths.writeExit(e); err != nil {
		d.h.cfg.Logger.Warn("how a container has ended cannot be kept", "container", at.id, "reason", err)
	}
}

// wait is awake whenever something has become of the container.
func (d *dockerContainerizer) wait(ctx context.Context, at place) (exit mesos.ContainerExit, err error) {
	if d.engine == nil {
		return exit, docker.ErrNoEngine
	}
	ctx, t, done, err := d.use(ctx, at.id)
	if err != nil {
		return exit, err
	}
	defer done()
	select {
	case t.watch <- struct{}{}:
		defer func() { <-t.watch }()
	case <-ctx.Done():
		return exit, ctx.Err()
	}
	changed, stop := d.engine.Changed(at.id.String())
	defer stop()
	for {
		s, err := d.inspect(ctx, at)
		switch {
		case err != nil:
			return exit, err
		case !s.Runs():
			return d.ended(ctx, at)
		}
		d.mu.Lock()
		d.stopSignals[at.id] = s.StopSignal
		d.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return exit, ctx.Err()
		}
	}
}

// ended looks how a container has ended.
func (d *dockerContainerizer) ended(ctx context.Context, at place) (exit mesos.ContainerExit, err error) {
	err = d.inTurn(ctx, at.id, func(ctx context.Context) error {
		if known := at.paths.readExit(); known != nil {
			exit = *known
			return nil
		}
		s, err := d.inspect(ctx, at)
		switch {
		case err != nil:
			return err
		case s.Status == "exited" || s.Status == "dead":
			exit, err = d.finish(ctx, at, s)
			return err
		}
		return errNothingThere
	})
	return exit, err
}

func (d *dockerContainerizer) inspect(ctx context.Context, at place) (docker.State, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return d.engine.Inspect(ctx, at.id.String())
}
