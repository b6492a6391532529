package main

import (
	"bufio"
	"bytes"
	"context"
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

// A schedulerStream is a scheduler's subscription by the HTTP scheduler API.
type schedulerStream struct {
	client    *http.Client
	address   string
	id        string
	framework mesos.FrameworkID
	term      mesos.Term
	master    string // the name of the node that leads
	body      io.Closer
	reader    *bufio.Reader
	cancel    context.CancelFunc
}

const (
	schedulerPath = "/v1/scheduler"
	protobufType  = "application/x-protobuf"
	streamHeader  = "Synod-Stream-Id"
	callPatience  = 10 * time.Second
)

// newSchedulerClient has as many connections as calls under way.
func newSchedulerClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callWorkers + 1, DisableCompression: true}}
}

// subscribe subscribes at one node, which may forward it. It returns once the master has
// said that it takes the framework.
func subscribe(ctx context.Context, client *http.Client, address string, info mesos.FrameworkInfo, patience time.Duration) (*schedulerStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &schedulerStream{client: client, address: address, framework: info.ID, cancel: cancel}
	// One that does not answer is given up: others may.
	late := time.AfterFunc(patience, cancel)
	defer late.Stop()
	response, err := s.post(ctx, mesos.SubscribeCall{Info: info})
	if err != nil {
		cancel()
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer cancel()
		defer response.Body.Close()
		return nil, refusal(response)
	}
	s.id, s.body, s.reader = response.Header.Get(streamHeader), response.Body, bufio.NewReaderSize(response.Body, 64<<10)
	for {
		event, err := s.next()
		if err != nil {
			s.close()
			return nil, err
		}
		if e, ok := event.(mesos.SubscribedEvent); ok {
			s.framework, s.master, s.term = e.Framework, e.Master, e.Term
			return s, nil
		}
	}
}

func (s *schedulerStream) post(ctx context.Context, body mesos.CallBody) (*http.Response, error) {
	encoded, err := mesoswire.AppendCall(nil, mesos.Call{Framework: s.framework, Body: body})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+schedulerPath, bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", protobufType)
	request.Header.Set("Accept", protobufType)
	if s.id != "" {
		request.Header.Set(streamHeader, s.id)
	}
	return s.client.Do(request)
}

// call makes a call and returns when it is answered.
func (s *schedulerStream) call(ctx context.Context, body mesos.CallBody) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	response, err := s.post(ctx, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		return refusal(response)
	}
	_, err = io.Copy(io.Discard, response.Body) // so that the connection can be used again
	return err
}

// maxEvent bounds one event: a row of offers is the largest.
const maxEvent = 64 << 20

// next returns the next event: its length in decimal, a line feed, the event.
func (s *schedulerStream) next() (mesos.Event, error) {
	line, err := s.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || n < 0 || n > maxEvent {
		return nil, fmt.Errorf("an event of %q bytes", line)
	}
	encoded := make([]byte, n)
	if _, err := io.ReadFull(s.reader, encoded); err != nil {
		return nil, err
	}
	event, err := mesoswire.ParseEvent(encoded)
	if err != nil {
		return nil, err
	}
	if e, ok := event.(mesos.ErrorEvent); ok {
		return nil, errors.New("the master ends the stream: " + e.Message)
	}
	return event, nil
}

// close ends the subscription. The framework stays for its failover timeout.
func (s *schedulerStream) close() {
	s.cancel()
	_ = s.body.Close()
}

// subscribeAnywhere tries the nodes in turn until one's master takes the framework; within
// ends the tries, ctx the stream.
func subscribeAnywhere(ctx, within context.Context, client *http.Client, addresses []string, info mesos.FrameworkInfo) (*schedulerStream, error) {
	for i := 0; ; i++ {
		s, err := subscribe(ctx, client, addresses[i%len(addresses)], info, subscribePatience)
		if err == nil {
			return s, nil
		}
		select {
		case <-time.After(subscribePause):
		case <-within.Done():
			return nil, fmt.Errorf("no master takes the scheduler: %w", errors.Join(within.Err(), err))
		}
	}
}

// subscribePause is between two tries to subscribe, subscribePatience what one may take.
const (
	subscribePause    = 10 * time.Millisecond
	subscribePatience = time.Second
)
