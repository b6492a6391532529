package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// What the schedulers of the campaigns know of the scheduler API on the wire: they speak it
// themselves, since package framework would forgive.
const (
	pathScheduler = "/v1/scheduler"
	headerStream  = "Synod-Stream-Id"
	protobufType  = "application/x-protobuf"
	callLimit     = 3 * time.Second
)

// errRefused says that a call was refused: nothing of it was done.
var errRefused = errors.New("chaos: refused")

// taskStream is one subscription.
type taskStream struct {
	client *http.Client
	node   string // its API address
	id     string
	body   io.ReadCloser
	reader *bufio.Reader
	cancel context.CancelFunc
}

// subscribe begins a subscription at a node, which hands it on to the leading master.
func subscribe(ctx context.Context, client *http.Client, node string, info mesos.FrameworkInfo) (*taskStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &taskStream{client: client, node: node, cancel: cancel}
	impatient := time.AfterFunc(2*callLimit, cancel)
	response, err := s.post(ctx, mesos.Call{Framework: info.ID, Body: mesos.SubscribeCall{Info: info}})
	if err != nil {
		cancel()
		return nil, err
	}
	if !impatient.Stop() || response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
		response.Body.Close()
		cancel()
		return nil, fmt.Errorf("chaos: subscribe at %s: %s %s", node, response.Status, text)
	}
	s.id, s.body, s.reader = response.Header.Get(headerStream), response.Body, bufio.NewReader(response.Body)
	return s, nil
}

func (s *taskStream) post(ctx context.Context, call mesos.Call) (*http.Response, error) {
	body, err := mesoswire.AppendCall(nil, call)
	if err != nil {
		return nil, fmt.Errorf("chaos: encode call: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.node+pathScheduler, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", protobufType)
	request.Header.Set("Accept", protobufType)
	if s.id != "" {
		request.Header.Set(headerStream, s.id)
	}
	return s.client.Do(request)
}

// next reads one event: its length, a new line, its bytes.
func (s *taskStream) next() (mesos.Event, error) {
	line, err := s.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	length, err := strconv.Atoi(strings.TrimSuffix(line, "\n"))
	if err != nil || length < 0 || length > mesoswire.MaxEvent {
		return nil, fmt.Errorf("chaos: an event of %q bytes", line)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(s.reader, data); err != nil {
		return nil, err
	}
	return mesoswire.ParseEvent(data)
}

// call sends a call. Its error matches errRefused if nothing was done; with any other it may
// have been.
func (s *taskStream) call(ctx context.Context, framework mesos.FrameworkID, body mesos.CallBody) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	response, err := s.post(ctx, mesos.Call{Stream: mesos.StreamID(s.id), Framework: framework, Body: body})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if response.StatusCode == http.StatusAccepted {
		return nil
	}
	var failure wireError
	if err := errors.Join(err, json.Unmarshal(text, &failure)); err != nil {
		return fmt.Errorf("chaos: %s: %w", response.Status, err)
	}
	if response.StatusCode < 500 || failure.Code == "E-NOLEADER" {
		return fmt.Errorf("%w: %s %s", errRefused, response.Status, text)
	}
	return fmt.Errorf("chaos: %s %s", response.Status, text)
}

func (s *taskStream) close() {
	s.cancel()
	s.body.Close()
}
