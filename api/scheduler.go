package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// The scheduler API: a POST for each call (messages/mesosscheduler.proto). SUBSCRIBE is
// answered with 200, headerStream and a stream of records that ends with the subscription,
// every other call with 202 and nothing. A record is
//
//	size  field
//	-     length of the event in decimal digits
//	1     line feed
//	-     the event, as mesoswire.AppendEvent has it
const (
	schedulerPath = "/v1/scheduler"
	schedulerType = "application/x-protobuf"
	// headerStream names the subscription: in the answer of SUBSCRIBE and in every other call.
	headerStream = "Synod-Stream-Id"
	// maxStreamID bounds a stream's name, in bytes.
	maxStreamID = 128
)

// schedulers is a leading master as schedulers see it.
type schedulers interface {
	// Subscribe begins a subscription, Call hands a call on and returns its answer.
	Subscribe(ctx context.Context, info mesos.FrameworkInfo) (subscription, error)
	Call(ctx context.Context, call mesos.Call) (mesos.Answer, error)
}

// subscription is a *master.Subscription.
type subscription interface {
	Stream() mesos.StreamID
	Next(ctx context.Context) ([]mesos.Event, error)
	Close()
}

// masterOf is the node's master as schedulers.
type masterOf struct{ *master.Handle }

func (m masterOf) Subscribe(ctx context.Context, info mesos.FrameworkInfo) (subscription, error) {
	return m.Handle.Subscribe(ctx, info)
}

// postScheduler carries out a call of a scheduler where the leading master is.
func (s *Server) postScheduler(w http.ResponseWriter, r *http.Request) {
	s.serveScheduler(w, r, masterOf{s.master.Load()})
}

func (s *Server) serveScheduler(w http.ResponseWriter, r *http.Request, m schedulers) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != schedulerType {
		writeError(w, &Error{Code: CodeMedia, Message: fmt.Sprintf("a call of a scheduler is no %q", kind), Do: []string{"Content-Type: " + schedulerType}})
		return
	}
	body, err := s.readUpTo(w, r, mesoswire.MaxCall)
	if e, is := errors.AsType[*Error](err); is && e.Code == CodeTooLarge {
		e.Message, e.Do = "the call is too large", []string{"name fewer tasks or offers in one call"}
	}
	if err != nil {
		writeError(w, err)
		return
	}
	held := cap(body)
	defer func() { s.bodies.give(held) }()
	call, err := parseCall(r, body)
	if err != nil {
		writeError(w, err)
		return
	}
	subscribe, is := call.Body.(mesos.SubscribeCall)
	if !is {
		s.carryOutCall(w, r, m, call)
		return
	}
	events, err := m.Subscribe(r.Context(), subscribe.Info)
	if err != nil {
		writeError(w, masterError(err, "the subscription"))
		return
	}
	defer events.Close()
	s.bodies.give(held)
	held = 0
	s.streamEvents(w, r, events, subscribe.Info.Name)
}

// parseCall reads a call and the header that goes with it.
func parseCall(r *http.Request, body []byte) (mesos.Call, error) {
	call, err := mesoswire.ParseCall(body)
	if err != nil {
		return call, badRequest("the call cannot be carried out", err.Error(), "send a Call of messages/mesosscheduler.proto")
	}
	subscribe, subscribes := call.Body.(mesos.SubscribeCall)
	streams := r.Header.Values(headerStream)
	switch {
	case subscribe.Info.ID == builtIn: // whose scheduler runs beside the master, and would be taken over from
		return call, badRequest("the built-in framework cannot be subscribed", "the leading master runs it", "leave the id out, or take another one")
	case subscribes && len(streams) > 0:
		return call, badRequest("a SUBSCRIBE has no "+headerStream, "it begins a stream of its own", "leave the header out")
	case !subscribes && (len(streams) != 1 || streams[0] == "" || len(streams[0]) > maxStreamID):
		return call, badRequest("the call does not say of which stream it is", "",
			"send the "+headerStream+" that the answer of SUBSCRIBE has")
	case !subscribes:
		call.Stream = mesos.StreamID(streams[0])
	}
	return call, nil
}

func (s *Server) carryOutCall(w http.ResponseWriter, r *http.Request, m schedulers, call mesos.Call) {
	ctx, cancel, err := s.requestContext(r)
	if err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	answer, err := m.Call(ctx, call)
	if err != nil {
		err = masterError(err, "the call")
	} else {
		err = callError(answer)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// callError is what is told of a call that was not accepted: nothing was done. nil if it was.
func callError(a mesos.Answer) error {
	if a.Code == mesos.CallForbidden {
		return &Error{Code: CodeSubscription, Message: "the call was not done", Why: a.Message, Do: []string{"subscribe again"}}
	}
	return answerError(a, "the call", "if another scheduler has taken over, leave the framework to it: to subscribe again ends its stream", "if not, subscribe again")
}

// streamEvents writes events until the subscription ends, the client goes or does not read,
// or the server stops.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request, events subscription, name string) {
	ctx, cancel := s.untilShutdown(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", schedulerType)
	w.Header().Set(headerStream, string(events.Stream()))
	w.WriteHeader(http.StatusOK)
	out := &records{to: w, control: http.NewResponseController(w)}
	err := out.control.Flush()
	for err == nil {
		var list []mesos.Event
		list, err = events.Next(ctx)
		for _, event := range list {
			if err == nil {
				err = out.send(event)
			}
		}
	}
	switch {
	case errors.Is(err, errSlow):
		s.counters.slow.Add(1)
		s.config.Logger.Info("scheduler dropped", "framework", name, "reason", "it does not read its events")
	case errors.Is(err, errEvent):
		s.config.Logger.Error("scheduler dropped", "framework", name, "reason", err)
	}
}

// errEvent says that an event cannot be encoded.
var errEvent = errors.New("api: event")

// records writes events, each at once: a reader of Mesos' API may count on it that a record
// comes in one piece.
type records struct {
	to      http.ResponseWriter
	control *http.ResponseController
	event   []byte
	record  []byte
}

// maxKept is how long a buffer is kept for the next record, in bytes.
const maxKept = 64 << 10

func (o *records) send(event mesos.Event) (err error) {
	if o.event, err = mesoswire.AppendEvent(o.event[:0], event); err != nil {
		return fmt.Errorf("%w: %w", errEvent, err)
	}
	o.record = append(strconv.AppendInt(o.record[:0], int64(len(o.event)), 10), '\n')
	o.record = append(o.record, o.event...)
	if _, err = o.to.Write(o.record); err == nil {
		err = o.control.Flush()
	}
	if cap(o.record) > maxKept {
		o.event, o.record = nil, nil
	}
	return slowOr(err)
}

// readRecord reads what records has written. What has not come costs no memory. The error
// is io.EOF at the end between two records.
func readRecord(r *bufio.Reader) (mesos.Event, error) {
	length := 0
	for digits := 0; ; digits++ {
		c, err := r.ReadByte()
		switch {
		case err == io.EOF && digits > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case c == '\n' && digits > 0:
			return readEvent(r, length)
		case c < '0' || c > '9' || digits > 9:
			return nil, fmt.Errorf("%w: a record begins with the byte %q", mesoswire.ErrMalformed, c)
		}
		if length = 10*length + int(c-'0'); length > mesoswire.MaxEvent {
			return nil, fmt.Errorf("%w: a record of more than %d bytes", mesoswire.ErrMalformed, mesoswire.MaxEvent)
		}
	}
}

func readEvent(r *bufio.Reader, length int) (mesos.Event, error) {
	body, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err != nil {
		return nil, err
	}
	if len(body) < length {
		return nil, io.ErrUnexpectedEOF
	}
	return mesoswire.ParseEvent(body)
}
