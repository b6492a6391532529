package framework

import (
	"context"
	"errors"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// DefaultRefuse has the master decide for how long it does not offer the same again: 5 s.
const DefaultRefuse time.Duration = -1

// Why a subscription is over for good; what a master says otherwise is an
// [api.RefusedError].
var (
	// ErrRemoved: the framework was removed, by an operator or because no scheduler came for
	// its FailoverTimeout. Its id is never taken again, unless an operator allows it.
	ErrRemoved = errors.New("framework: it was removed")
	// ErrTakenOver: another scheduler of the framework has subscribed.
	ErrTakenOver = errors.New("framework: another scheduler has taken over")
)

// Session is one subscription of a framework. Next is for one goroutine, the rest is safe
// for concurrent use. Its calls return when the master has taken them, with
// CodeSubscription or CodeRequest if it has not, and CodeUnknown if nobody knows.
type Session struct{ subscription *api.Subscription }

// Connect subscribes a framework and returns once the master has taken it. With no ID in
// info it is a new one. ctx bounds the subscribing alone.
func Connect(ctx context.Context, client *api.Client, info mesos.FrameworkInfo) (*Session, error) {
	s, err := client.Subscribe(ctx, info)
	if err != nil {
		return nil, explained(err)
	}
	return &Session{s}, nil
}

// Framework is the framework's id.
func (s *Session) Framework() mesos.FrameworkID { return s.subscription.Subscribed().Framework }

// Subscribed tells of the master.
func (s *Session) Subscribed() mesos.SubscribedEvent { return s.subscription.Subscribed() }

// Next returns the next event but heartbeats. Every error ends the Session, that of ctx too:
// ErrRemoved, ErrTakenOver, an *api.RefusedError, or why the stream broke off.
func (s *Session) Next(ctx context.Context) (mesos.Event, error) {
	for {
		event, err := s.subscription.Next(ctx)
		if _, heartbeat := event.(mesos.HeartbeatEvent); err != nil || !heartbeat {
			return event, explained(err)
		}
	}
}

// explained gives what a master says a name.
func explained(err error) error {
	refused, is := errors.AsType[*api.RefusedError](err)
	switch {
	case !is:
		return err
	case refused.Message == mesos.CodeFrameworkRemoved.String(), refused.Message == mesos.RemovedMessage:
		return ErrRemoved
	case refused.Message == mesos.CodeFenced.String(), refused.Message == mesos.TakenOverMessage:
		return ErrTakenOver
	default:
		return err
	}
}

// Accept starts tasks with what some offers, of one agent and role, hold together. The rest
// goes back and is not offered again for refuse. Of each task that is not started an
// UpdateEvent tells. With no tasks it declines.
func (s *Session) Accept(ctx context.Context, offers []mesos.OfferID, tasks []mesos.TaskInfo, refuse time.Duration) error {
	return s.subscription.Call(ctx, mesos.AcceptCall{Offers: offers, Launch: tasks, Refuse: refuse})
}

// Decline gives offers back, which are not to be offered again for refuse.
func (s *Session) Decline(ctx context.Context, offers []mesos.OfferID, refuse time.Duration) error {
	return s.subscription.Call(ctx, mesos.DeclineCall{Offers: offers, Refuse: refuse})
}

// Kill ends a task, within its own grace if grace is 0. Of one that is not known an
// UpdateEvent tells what Reconcile would.
func (s *Session) Kill(ctx context.Context, task mesos.TaskID, grace time.Duration) error {
	return s.subscription.Call(ctx, mesos.KillCall{Task: task, Grace: grace})
}

// Acknowledge confirms a status that came by an UpdateEvent: its agent sends the next one of
// the task. What a master has made needs no confirmation: that is passed over.
func (s *Session) Acknowledge(ctx context.Context, status mesos.TaskStatus) error {
	if status.ID == (mesos.UpdateID{}) {
		return nil
	}
	return s.subscription.Call(ctx, mesos.AcknowledgeCall{Task: status.Task.Task, Agent: status.Agent, ID: status.ID})
}

// maxReconcile is how many tasks one call asks for.
const maxReconcile = 500

// Reconcile asks for the state of tasks, or of all that the master knows if none is named:
// an UpdateEvent for each. Of tasks whose agent is not back yet after the death of a master
// there is no answer, so it is to be asked again.
func (s *Session) Reconcile(ctx context.Context, tasks ...mesos.ReconcileTask) error {
	for {
		n := min(len(tasks), maxReconcile)
		if err := s.subscription.Call(ctx, mesos.ReconcileCall{Tasks: tasks[:n]}); err != nil || n == len(tasks) {
			return err
		}
		tasks = tasks[n:]
	}
}

// Revive asks for offers of the roles again, all if none is named, and of what was refused.
func (s *Session) Revive(ctx context.Context, roles ...string) error {
	return s.subscription.Call(ctx, mesos.ReviveCall{Roles: roles})
}

// Suppress asks for no offers of the roles, none at all if none is named, until Revive.
func (s *Session) Suppress(ctx context.Context, roles ...string) error {
	return s.subscription.Call(ctx, mesos.SuppressCall{Roles: roles})
}

// Teardown removes the framework and ends its tasks.
func (s *Session) Teardown(ctx context.Context) error {
	return s.subscription.Call(ctx, mesos.TeardownCall{})
}

// Close ends the subscription. The tasks live on for the framework's FailoverTimeout.
func (s *Session) Close() { s.subscription.Close() }
