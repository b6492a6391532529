package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	// gatherAbove is how many requests are under way to a node before further
	// operations wait for each other.
	gatherAbove = 2
	// gatherMost and gatherBytes, encoded, bound what one batch of the client holds,
	// and gatherValue the value of an operation that may wait for others.
	gatherMost  = 256
	gatherBytes = 1 << 20
	gatherValue = 64 << 10
)

// gatherer sends operations on keys that begin while others are under way to the
// same node together, as a batch: what arrived during the previous request is the
// next one. A lone operation goes as it is and never waits. Safe for concurrent use.
//
// Reads gather apart from writes, and each level of them apart from the others, so
// that none waits for a write or another read that has no quorum.
type gatherer struct {
	next  http.RoundTripper
	mu    sync.Mutex
	nodes map[string]*gathering // by kind, scheme and host
}

// gathering is what goes on with one node. Guarded by gatherer.mu.
type gathering struct {
	underWay int
	plain    bool // the node knows no batches
	waiting  []*gathered
}

// gathered is an operation that waits for its answer.
type gathered struct {
	request  *http.Request
	body     []byte
	done     chan struct{} // closed when response or err is there
	response *http.Response
	err      error
}

// RoundTrip implements http.RoundTripper.
func (g *gatherer) RoundTrip(r *http.Request) (*http.Response, error) {
	if !gathers(r) {
		return g.next.RoundTrip(r)
	}
	n := g.node(r)
	g.mu.Lock()
	if n.plain {
		g.mu.Unlock()
		return g.next.RoundTrip(r)
	}
	if n.underWay < gatherAbove {
		n.underWay++
		g.mu.Unlock()
		defer g.ended(n)
		return g.next.RoundTrip(r)
	}
	o := &gathered{request: r, done: make(chan struct{})}
	n.waiting = append(n.waiting, o)
	g.mu.Unlock()
	select {
	case <-o.done:
		return o.response, o.err
	case <-r.Context().Done():
		return g.giveUp(n, o)
	}
}

// errNotSent says that a request was given up before it left.
var errNotSent = errors.New("api: not sent")

// giveUp takes an operation out, if it still waits.
func (g *gatherer) giveUp(n *gathering, o *gathered) (*http.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(n.waiting, o); i >= 0 {
		n.waiting = slices.Delete(n.waiting, i, i+1)
		return nil, notSent(o.request.Context().Err())
	}
	select {
	case <-o.done:
		return o.response, o.err
	default:
		return nil, o.request.Context().Err() // it is under way
	}
}

func notSent(err error) error { return fmt.Errorf("%w: %w", errNotSent, err) }

// gathers reports whether a request may become part of a batch.
func gathers(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete:
	default:
		return false
	}
	values := r.URL.Query()
	return strings.HasPrefix(r.URL.Path, kvPrefix) && r.ContentLength >= 0 && r.ContentLength <= gatherValue &&
		r.Header.Get("Accept") == "application/json" && !values.Has("watch") && !values.Has("list")
}

func (g *gatherer) node(r *http.Request) *gathering {
	g.mu.Lock()
	defer g.mu.Unlock()
	kind := "write"
	if r.Method == http.MethodGet {
		kind = "read " + r.URL.Query().Get("level")
	}
	key := kind + " " + r.URL.Scheme + "://" + r.URL.Host
	n := g.nodes[key]
	if n == nil {
		n = new(gathering)
		g.nodes[key] = n
	}
	return n
}

// ended hands the place of a request that has ended to what has gathered.
func (g *gatherer) ended(n *gathering) {
	g.mu.Lock()
	defer g.mu.Unlock()
	batch := n.take()
	if len(batch) == 0 {
		n.underWay--
		return
	}
	go func() {
		defer g.ended(n)
		g.send(n, batch)
	}()
}

// take returns what has waited longest, without what nobody waits for any more.
func (n *gathering) take() (batch []*gathered) {
	size, taken := 0, 0
	for _, o := range n.waiting {
		own := lineBytes(o.request)
		if len(batch) == gatherMost || len(batch) > 0 && size+own > gatherBytes {
			break
		}
		taken++
		if err := o.request.Context().Err(); err != nil {
			o.end(nil, nil, notSent(err))
			continue
		}
		size += own
		batch = append(batch, o)
	}
	n.waiting = slices.Delete(n.waiting, 0, taken)
	return batch
}

// lineBytes is about how long the line of an operation is: its value goes as base64.
func lineBytes(r *http.Request) int {
	return len(r.URL.RequestURI()) + int(r.ContentLength)*4/3 + 200
}

// send carries out operations together and ends them.
func (g *gatherer) send(n *gathering, batch []*gathered) {
	answer, body, err := g.exchange(batch)
	switch {
	case err == nil && (answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusMethodNotAllowed):
		g.mu.Lock()
		n.plain = true // of an older version
		g.mu.Unlock()
		g.sendEach(batch)
	case err == nil && answer.StatusCode == http.StatusRequestEntityTooLarge:
		g.sendEach(batch)
	case err == nil && answer.StatusCode == http.StatusOK:
		g.sendEach(endEach(batch, answer, body))
	default:
		for _, o := range batch {
			o.end(answer, body, err)
		}
	}
}

func (g *gatherer) sendEach(batch []*gathered) {
	var wait sync.WaitGroup
	for _, o := range batch {
		wait.Go(func() {
			o.request.Body = io.NopCloser(bytes.NewReader(o.body))
			o.response, o.err = g.next.RoundTrip(o.request)
			close(o.done)
		})
	}
	wait.Wait()
}

// exchange sends a batch and reads the answer to its end.
func (g *gatherer) exchange(batch []*gathered) (*http.Response, []byte, error) {
	lines, err := encodeBatch(batch)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := patience(batch)
	defer cancel()
	first := batch[0].request
	at := url.URL{Scheme: first.URL.Scheme, Host: first.URL.Host, Path: batchPath}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(lines))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Accept", "application/json")
	if shown := first.Header.Get("Authorization"); shown != "" { // of a client all have the same
		request.Header.Set("Authorization", shown)
	}
	answer, err := g.next.RoundTrip(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := readAll(answer.Body, maxAnswer)
	return answer, body, err
}

// patience is that of the most patient operation, as long as anybody waits.
func patience(batch []*gathered) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	waiting, stops := len(batch), make([]func() bool, 0, len(batch))
	for _, o := range batch {
		stops = append(stops, context.AfterFunc(o.request.Context(), func() {
			mu.Lock()
			defer mu.Unlock()
			if waiting--; waiting == 0 {
				cancel()
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

func encodeBatch(batch []*gathered) (lines []byte, err error) {
	for _, o := range batch {
		r := o.request
		if r.Body != nil {
			o.body, err = io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil {
				return nil, err
			}
		}
		path := strings.TrimPrefix(r.URL.EscapedPath(), kvPrefix)
		if r.URL.RawQuery != "" {
			path += "?" + r.URL.RawQuery
		}
		operation := batchOperation{Method: r.Method, Path: path, RequestID: r.Header.Get(headerRequestID), Timeout: r.Header.Get(headerTimeout),
			Session: r.Header.Get(headerSession)}
		if len(o.body) > 0 {
			operation.Base64 = o.body
		}
		line, err := json.Marshal(operation)
		if err != nil {
			return nil, err
		}
		lines = append(append(lines, line...), '\n')
	}
	return lines, nil
}

// endEach gives each operation its line of the answer. One without a line has no
// answer. It returns the reads for which the batch had no room: they go alone.
func endEach(batch []*gathered, answer *http.Response, body []byte) (alone []*gathered) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	var failed error
	for _, o := range batch {
		var line batchAnswer
		if failed = cmp.Or(failed, decoder.Decode(&line)); failed != nil {
			o.end(nil, nil, io.ErrUnexpectedEOF)
			continue
		}
		if line.Status == http.StatusTooManyRequests && o.request.Method == http.MethodGet {
			alone = append(alone, o)
			continue
		}
		own := *answer
		own.StatusCode, own.Status = line.Status, strconv.Itoa(line.Status)+" "+http.StatusText(line.Status)
		own.Header = answer.Header.Clone()
		own.Header.Set(headerIndex, strconv.FormatUint(line.Index, 10))
		o.end(&own, line.Answer, nil)
	}
	return alone
}

// end ends an operation with the answer, whose body has been read, or with err.
func (o *gathered) end(answer *http.Response, body []byte, err error) {
	if o.err = err; err == nil {
		own := *answer
		own.Request, own.Body, own.ContentLength = o.request, io.NopCloser(bytes.NewReader(body)), int64(len(body))
		o.response = &own
	}
	close(o.done)
}

// CloseIdleConnections lets http.Client pass the call on.
func (g *gatherer) CloseIdleConnections() {
	if t, ok := g.next.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
