package master

import (
	"context"
	"time"

	"github.com/synod-go/synod/mesos"
)

// asked is a request for answers, which come one by one.
type asked struct {
	answers []mesos.Answer
	left    int
	// taken: the master has seen it, so that it may happen whatever becomes of it. Guarded
	// by inbox.mu.
	taken bool
	done  chan struct{} // closed when all answers are there
}

// Call is the Handle's. Calls that are made one after the other by one goroutine are
// carried out in that order.
func (l *Leading) Call(ctx context.Context, call mesos.Call) (mesos.Answer, error) {
	answers, err := l.Calls(ctx, call)
	if err != nil {
		return mesos.Answer{}, err
	}
	return answers[0], nil
}

// Calls is Call for several, which are carried out in their order, with one wait for all.
func (l *Leading) Calls(ctx context.Context, calls ...mesos.Call) ([]mesos.Answer, error) {
	weight := 0
	for i := range calls {
		weight += weigh(calls[i])
	}
	return l.ask(ctx, len(calls), weight, func(a *asked) any { return fromScheduler{calls, a} })
}

// Operate is the Handle's.
func (l *Leading) Operate(ctx context.Context, operations ...mesos.RegistryOperation) ([]mesos.Answer, error) {
	weight := 0
	for _, o := range operations {
		weight += len(mesos.RegistryCommand{Operations: []mesos.RegistryOperation{o}}.Append(nil))
	}
	return l.ask(ctx, len(operations), weight, func(a *asked) any { return fromOperator{operations, a} })
}

// KillTask has a task ended for an operator, with its own grace if grace is 0. The Answer says whether it runs;
// its end is told by its updates. The error is as Operate's.
func (l *Leading) KillTask(ctx context.Context, task mesos.TaskKey, grace time.Duration) (mesos.Answer, error) {
	answers, err := l.ask(ctx, 1, len(task.Framework)+len(task.Task), func(a *asked) any { return killTask{task, grace, a} })
	if err != nil {
		return mesos.Answer{}, err
	}
	return answers[0], nil
}

// ask hands the master what wants n answers and waits for them.
func (l *Leading) ask(ctx context.Context, n, weight int, item func(a *asked) any) ([]mesos.Answer, error) {
	if n == 0 {
		return nil, nil
	}
	a := &asked{answers: make([]mesos.Answer, n), left: n, done: make(chan struct{})}
	if err := l.put(ctx, weight, item(a)); err != nil {
		return nil, err
	}
	select {
	case <-a.done:
		return a.answers, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.done:
	}
	select {
	case <-a.done: // it was there before the end
		return a.answers, nil
	default:
	}
	if l.inbox.wasTaken(a) {
		return nil, ErrUnknownOutcome
	}
	return nil, l.handle.notLeading()
}

// put hands the master an item that counts so many bytes, once there is room for it.
func (l *Leading) put(ctx context.Context, weight int, item any) error {
	for {
		wake, drained := l.inbox.put(item, weight, false)
		switch {
		case wake:
			l.wake()
			return nil
		case drained == nil:
			return nil
		}
		select {
		case <-drained:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done:
			return l.handle.notLeading()
		}
	}
}

// tell hands the master what never waits: there is as much of it as there are links,
// streams and events.
func (l *Leading) tell(item any) {
	if wake, _ := l.inbox.put(item, 0, true); wake {
		l.wake()
	}
}
