package recipes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
)

// reader is what reading recipes need of an api.Client or an api.Session.
type reader interface {
	Get(ctx context.Context, path string, o api.ReadOptions) (api.Entry, uint64, error)
	List(ctx context.Context, path string, o api.ListOptions) (api.Listing, error)
	Watch(ctx context.Context, path string, o api.WatchOptions, f func(api.Change) error) error
}

// session is what the others need of an api.Session.
type session interface {
	reader
	Create(ctx context.Context, path string, value []byte, o api.CreateOptions) (api.Written, error)
	Delete(ctx context.Context, path string, o api.WriteOptions) (api.Written, error)
	Commit(ctx context.Context, operations []api.TxnOperation, id api.RequestID) (api.Committed, error)
	Lost() <-chan struct{}
	Err() error
}

// MaxValue is how long the value of a holder, a candidate or a member may be, in bytes:
// everybody reads those of everybody.
const MaxValue = 4096

func checkValue(value []byte) error {
	if len(value) <= MaxValue {
		return nil
	}
	return &api.Error{Code: api.CodeTooLarge, Message: "the value is too large",
		Why: fmt.Sprintf("%d bytes, the limit is %d", len(value), MaxValue), Do: []string{"announce an address, not what is there"}}
}

// trimmed is path as the entries of a listing have it. The client checks the rest.
func trimmed(path string) (string, error) {
	if path = strings.TrimPrefix(path, "/"); path == "" {
		return "", &api.Error{Code: api.CodeRequest, Message: "the path is empty", Do: []string{"name a key, for example locks/a"}}
	}
	return path, nil
}

const (
	// stepTimeout bounds one attempt, so that a node that stands still does not take
	// all the time that the caller has.
	stepTimeout = 5 * time.Second
	firstPause  = 20 * time.Millisecond
	lastPause   = time.Second
)

// until returns ctx, ended also when over is closed: its cause is then why().
func until(ctx context.Context, over <-chan struct{}, why func() error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	select {
	case <-over:
		cancel(why())
		return ctx, func() {}
	default:
	}
	go func() {
		select {
		case <-over:
			cancel(why())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// insist repeats f until it has succeeded or failed for a reason that stays, or ctx has ended:
// the error is then ctx's cause.
func insist(ctx context.Context, f func(ctx context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		step, cancel := context.WithTimeout(ctx, stepTimeout)
		err := f(step)
		cancel()
		if err == nil || !passing(err) {
			return err
		}
		rest(ctx, pause)
	}
}

func rest(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// passing reports whether the same request may succeed, or tell its outcome, later.
func passing(err error) bool {
	return !sure(err) || undone(err)
}

// sure reports whether err tells the outcome.
func sure(err error) bool {
	return err == nil || api.CodeOf(err) != api.CodeUnknown && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// undone reports whether err tells that nothing was done, for a reason that may pass.
func undone(err error) bool {
	switch code := api.CodeOf(err); code {
	case api.CodeReach, api.CodeInterrupted, api.CodeDiskFull:
		return true
	default:
		return code.Info().Retry
	}
}
