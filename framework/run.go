package framework

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// Scheduler decides what runs. Its methods are called one at a time. Their ctx ends with the
// subscription; s is to be used until then. An error of any but Update ends the subscription
// and begins another one; one that wraps ErrStop ends Run with it.
type Scheduler interface {
	// Subscribed is called first on each subscription, before anything else is told: now no
	// other scheduler of the framework can do anything any more. It returns the tasks that
	// the scheduler knows and that have not ended: Run asks until there was an Update of
	// each, as it does for those that it was told of itself. What was made known by the scheduler before is to be read here.
	Subscribed(ctx context.Context, s *Session) ([]mesos.ReconcileTask, error)
	// Offers tells what may be used: each is to be accepted or declined, sooner or later.
	Offers(ctx context.Context, s *Session, offers []mesos.OfferInfo) error
	// Update tells of a task. It is acknowledged when nil is returned; after an error it
	// comes again, if it has an ID. It may come twice in any case.
	Update(ctx context.Context, s *Session, status mesos.TaskStatus) error
}

// A Scheduler may also have one of these.
type (
	// Rescinder is told of offers that are none any more.
	Rescinder interface {
		Rescinded(ctx context.Context, s *Session, offer mesos.OfferID) error
	}
	// FailureObserver is told of agents that are unreachable or gone, after the updates of
	// their tasks.
	FailureObserver interface {
		AgentFailed(ctx context.Context, s *Session, agent mesos.AgentID) error
	}
)

// ErrStop is wrapped by what a Scheduler returns to end Run.
var ErrStop = errors.New("framework: stop")

// Config says what Run runs. Client and Info.Name are required.
type Config struct {
	Client *api.Client
	// Info is the framework. With no ID Run chooses one, which every subscription of this Run
	// has; StandBy keeps it in the tree. A FailoverTimeout of 0 ends all tasks
	// when a scheduler is away for a moment, so the default is an hour.
	Info mesos.FrameworkInfo
	// ReconcileEvery is how often it is asked for tasks of which there was no Update, and
	// every tenth time for all that the master knows. Default 10 s.
	ReconcileEvery time.Duration
	// Pause is how long it waits before it subscribes again, at first, and MaxPause at last.
	// Defaults 100 ms and 5 s.
	Pause, MaxPause time.Duration
	// Path is where in the tree StandBy elects and keeps the framework's id. Default
	// "frameworks/" and the name.
	Path string
	// Session are the options of StandBy's session: who is cut off for its Timeout is
	// deposed. Defaults are those of api.
	Session api.SessionOptions
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Client == nil || c.Info.Name == "" {
		return c, errors.New("framework: Config.Client or Config.Info.Name is missing")
	}
	if min(c.ReconcileEvery, c.Pause, c.MaxPause, c.Info.FailoverTimeout) < 0 {
		return c, errors.New("framework: a time in Config is negative")
	}
	for _, d := range []struct {
		time  *time.Duration
		value time.Duration
	}{{&c.ReconcileEvery, 10 * time.Second}, {&c.Pause, 100 * time.Millisecond}, {&c.MaxPause, 5 * time.Second}, {&c.Info.FailoverTimeout, time.Hour}} {
		if *d.time == 0 {
			*d.time = d.value
		}
	}
	c.MaxPause = max(c.Pause, c.MaxPause)
	if c.Path == "" {
		c.Path = "frameworks/" + c.Info.Name
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Run keeps a scheduler subscribed until ctx ends. It returns before that with ErrRemoved or
// ErrTakenOver, with what a Scheduler returned that wraps ErrStop, and with what no other
// attempt would change.
func Run(ctx context.Context, c Config, scheduler Scheduler) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	if c.Info.ID == "" {
		c.Info.ID = api.NewFrameworkID(c.Info.Name)
	}
	return run(ctx, c, scheduler)
}

func run(ctx context.Context, c Config, scheduler Scheduler) error {
	pause, live := c.Pause, map[mesos.TaskID]mesos.ReconcileTask{}
	for {
		began := time.Now()
		err := once(ctx, &c, scheduler, live)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case final(err):
			return err
		}
		c.Logger.Info("subscription lost", "framework", c.Info.ID, "reason", err)
		if time.Since(began) > c.MaxPause {
			pause = c.Pause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, c.MaxPause)
	}
}

// final reports whether no other attempt would help.
func final(err error) bool {
	switch api.CodeOf(err) {
	case api.CodeUsage, api.CodeTLS, api.CodeAccess:
		return true
	}
	return errors.Is(err, ErrStop) || errors.Is(err, ErrRemoved) || errors.Is(err, ErrTakenOver)
}

// once is one subscription, from its beginning to its end. live are the tasks that have not
// ended as far as was told on those before, and is kept up to date.
func once(ctx context.Context, c *Config, scheduler Scheduler, live map[mesos.TaskID]mesos.ReconcileTask) error {
	s, err := Connect(ctx, c.Client, c.Info)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer s.Close()
	defer cancel()
	c.Info.ID = s.Framework()
	c.Logger.Info("subscribed", "framework", c.Info.ID, "master", s.Subscribed().Master, "term", s.Subscribed().Term)
	events, ended := listen(ctx, cancel, s)
	r := &running{config: c, scheduler: scheduler, session: s, live: live, asked: maps.Clone(live)}
	err = r.begin(ctx)
	if err == nil {
		err = r.work(ctx, events)
	}
	why := lastWord(err, events, ended, cancel)
	switch {
	case errors.Is(err, ErrStop):
		return err
	case !errors.Is(why, context.Canceled):
		return why
	default:
		return err
	}
}

// lastWordTime is how long the end of a stream is waited for when a call was refused.
const lastWordTime = 2 * time.Second

// lastWord ends the stream and returns why it has ended. A call that was refused because
// another scheduler has taken over may be answered before the stream says so: who subscribes
// again without waiting for that, takes over in turn.
func lastWord(err error, events <-chan mesos.Event, ended <-chan error, cancel context.CancelFunc) error {
	late := time.After(0)
	if code := api.CodeOf(err); code == api.CodeRequest || code == api.CodeSubscription {
		late = time.After(lastWordTime)
	}
	for {
		select {
		case why := <-ended:
			return why
		case <-events: // so that there is room for what comes after it
		case <-late:
			cancel()
			return <-ended
		}
	}
}

// maxUnheard is how many events wait for the Scheduler; beyond that the master waits, and
// ends the subscription when it has too many.
const maxUnheard = 256

// listen reads the stream, so that its end is noticed while the Scheduler is busy: ctx ends
// with it. It says why on ended.
func listen(ctx context.Context, cancel context.CancelFunc, s *Session) (<-chan mesos.Event, <-chan error) {
	events, ended := make(chan mesos.Event, maxUnheard), make(chan error, 1)
	go func() {
		for {
			event, err := s.Next(ctx)
			if err != nil {
				cancel()
				ended <- err
				return
			}
			select {
			case events <- event:
			case <-ctx.Done():
				ended <- ctx.Err()
				return
			}
		}
	}()
	return events, ended
}

// running is one subscription that has begun. It is used by one goroutine.
type running struct {
	config    *Config
	scheduler Scheduler
	session   *Session
	live      map[mesos.TaskID]mesos.ReconcileTask
	// asked are the tasks of which there was no Update on this subscription.
	asked map[mesos.TaskID]mesos.ReconcileTask
}

func (r *running) begin(ctx context.Context) error {
	tasks, err := r.scheduler.Subscribed(ctx, r.session)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		r.asked[t.Task] = t
	}
	return r.ask(ctx, true)
}

// askAllEvery is after how many times of asking for tasks without an Update it is asked for
// all that the master knows: after the death of a master agents come back bit by bit, with
// tasks that this scheduler may never have heard of.
const askAllEvery = 10

// ask asks for what there was no Update of, and for all that the master knows.
func (r *running) ask(ctx context.Context, all bool) error {
	if all {
		if err := r.session.Reconcile(ctx); err != nil {
			return err
		}
	}
	if len(r.asked) == 0 {
		return nil
	}
	list := make([]mesos.ReconcileTask, 0, len(r.asked))
	for _, t := range r.asked {
		list = append(list, t)
	}
	return r.session.Reconcile(ctx, list...)
}

func (r *running) work(ctx context.Context, events <-chan mesos.Event) error {
	again := time.NewTicker(r.config.ReconcileEvery)
	defer again.Stop()
	for times := 1; ; {
		var err error
		select {
		case event := <-events:
			err = r.hear(ctx, event)
		case <-again.C:
			err = r.ask(ctx, times%askAllEvery == 0)
			times++
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

func (r *running) hear(ctx context.Context, event mesos.Event) error {
	switch e := event.(type) {
	case mesos.OffersEvent:
		return r.scheduler.Offers(ctx, r.session, e.Offers)
	case mesos.UpdateEvent:
		return r.update(ctx, e.Status)
	case mesos.RescindEvent:
		if x, is := r.scheduler.(Rescinder); is {
			return x.Rescinded(ctx, r.session, e.Offer)
		}
	case mesos.FailureEvent:
		if x, is := r.scheduler.(FailureObserver); is {
			return x.AgentFailed(ctx, r.session, e.Agent)
		}
	}
	return nil
}

// update acknowledges what the scheduler has dealt with.
func (r *running) update(ctx context.Context, status mesos.TaskStatus) error {
	switch err := r.scheduler.Update(ctx, r.session, status); {
	case errors.Is(err, ErrStop):
		return err
	case err != nil:
		r.config.Logger.Warn("update not dealt with", "task", status.Task.Task, "state", status.State.String(), "reason", err)
		if status.ID == (mesos.UpdateID{}) { // nobody repeats it
			r.asked[status.Task.Task] = mesos.ReconcileTask{Task: status.Task.Task, Agent: status.Agent}
		}
		return nil
	}
	delete(r.asked, status.Task.Task)
	if status.State.Terminal() || status.State == mesos.Unknown {
		delete(r.live, status.Task.Task)
	} else {
		r.live[status.Task.Task] = mesos.ReconcileTask{Task: status.Task.Task, Agent: status.Agent}
	}
	if err := r.session.Acknowledge(ctx, status); err != nil {
		return fmt.Errorf("framework: acknowledge %s of %s: %w", status.State, status.Task.Task, err)
	}
	return nil
}
