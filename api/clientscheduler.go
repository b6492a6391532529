package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// Subscription is a scheduler's stream of events, and what its calls are made by. Next is
// for one goroutine, the rest is safe for concurrent use. Package framework has more.
type Subscription struct {
	client    *Client
	framework mesos.FrameworkID
	stream    string
	first     mesos.SubscribedEvent
	body      io.ReadCloser
	events    *bufio.Reader
	cancel    context.CancelFunc
	silent    atomic.Bool
	silence   time.Duration
}

// RefusedError is what a master says on a stream before it ends it: the framework was
// removed, another scheduler has subscribed, or the master does not take the framework.
type RefusedError struct{ Message string }

func (e *RefusedError) Error() string {
	return "api: the master has ended the subscription: " + e.Message
}

// ErrSilent says that a stream has ended because nothing came for three heartbeats.
var ErrSilent = errors.New("api: the master is silent")

// NewFrameworkID returns an id that no framework has: what is left of its name, and 32
// random hexadecimal digits.
func NewFrameworkID(name string) mesos.FrameworkID {
	name = strings.ToLower(name)
	if len(name) > 64 || mesos.CheckName(name) != nil {
		name = "framework"
	}
	return mesos.FrameworkID(name + "-" + NewRequestID().String())
}

// Subscribe subscribes a framework: no ID in info makes a new one, whose id NewFrameworkID
// chooses before the master is asked: one that lost its answer is then asked again for the
// same. It returns once the master has taken it, or with a *RefusedError. ctx bounds that alone, as Timeout does; the
// subscription ends with Close or with its connection.
func (c *Client) Subscribe(ctx context.Context, info mesos.FrameworkInfo) (*Subscription, error) {
	if info.ID == "" {
		info.ID = NewFrameworkID(info.Name)
	}
	body, err := mesoswire.AppendCall(nil, mesos.Call{Body: mesos.SubscribeCall{Info: info}})
	if err != nil {
		return nil, &Error{Code: CodeUsage, Message: "the framework cannot be subscribed", Why: err.Error()}
	}
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	k := call{method: http.MethodPost, path: schedulerPath, body: body, what: "the subscription of " + info.Name,
		header: http.Header{"Content-Type": {schedulerType}, "Accept": {schedulerType}}}
	response, cancel, err := c.open(lasting, k, http.StatusOK)
	if err != nil {
		end()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	s := &Subscription{client: c, stream: response.Header.Get(headerStream), body: response.Body, events: bufio.NewReaderSize(response.Body, 64<<10),
		cancel: func() { cancel(); end() }, silence: c.config.Timeout}
	err = s.begin()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return s, nil
}

// begin reads the first event.
func (s *Subscription) begin() error {
	event, err := s.Next(context.Background())
	if err != nil {
		return err
	}
	first, is := event.(mesos.SubscribedEvent)
	if !is || s.stream == "" {
		return fmt.Errorf("%w: a stream that begins with a %T", mesoswire.ErrMalformed, event)
	}
	s.first, s.framework, s.silence = first, first.Framework, 3*first.Heartbeat
	return nil
}

// Subscribed is the first event of the stream.
func (s *Subscription) Subscribed() mesos.SubscribedEvent { return s.first }

// Next returns the next event. A *RefusedError is the master's last word; ErrSilent and every other
// error say that the stream broke off. When ctx ends first the stream ends too.
func (s *Subscription) Next(ctx context.Context) (mesos.Event, error) {
	defer context.AfterFunc(ctx, s.cancel)()
	if s.silence > 0 {
		defer time.AfterFunc(s.silence, func() { s.silent.Store(true); s.cancel() }).Stop()
	}
	event, err := readRecord(s.events)
	switch refused, is := event.(mesos.ErrorEvent); {
	case err == nil && is:
		return nil, &RefusedError{refused.Message}
	case err == nil:
		return event, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case s.silent.Load():
		return nil, ErrSilent
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	default:
		return nil, err
	}
}

// Call makes a call, not a SubscribeCall, on the stream. CodeSubscription and CodeRequest say
// that nothing was done, for the subscription is none any more or the call makes no sense;
// CodeUnknown that it may have been done. An AcceptCall that may have happened is not
// repeated: its offers would be gone.
func (s *Subscription) Call(ctx context.Context, body mesos.CallBody) error {
	data, err := mesoswire.AppendCall(nil, mesos.Call{Framework: s.framework, Body: body})
	if err != nil {
		return &Error{Code: CodeUsage, Message: "the call cannot be made", Why: err.Error()}
	}
	_, accept := body.(mesos.AcceptCall)
	k := call{method: http.MethodPost, path: schedulerPath, body: data, single: accept, what: "the call of the scheduler", nothing: true,
		header: http.Header{"Content-Type": {schedulerType}, headerStream: {s.stream}}}
	return s.client.do(ctx, k, nil)
}

// Close ends the subscription: the framework is disconnected, and lives on for its
// FailoverTimeout.
func (s *Subscription) Close() {
	s.cancel()
	s.body.Close()
}
