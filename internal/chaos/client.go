package chaos

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// The parts of the HTTP interface that clients use. They are written down here
// again, so that a change of the interface shows up as a failing campaign and not
// as a checker that changed along.
const (
	headerIndex   = "Synod-Index"
	headerRequest = "Synod-Request-Id"
	pathKV        = "/v1/kv/"
)

// maxAnswerBytes bounds how much of an answer is read.
const maxAnswerBytes = 64 << 20

// codesWithoutAnswer are the failures after which a write may have happened.
var codesWithoutAnswer = map[string]bool{"E-UNKNOWN": true, "E-EXPIRED": true, "E-INTERNAL": true, "": true}

// HTTP speaks to nodes by address. It may be used by several goroutines.
type HTTP struct {
	client *http.Client
}

// Dial opens a connection, as net.Dialer.DialContext does. A nil Dial uses the
// network of this process.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewHTTP returns a client with its own keep-alive connections.
func NewHTTP(dial Dial) *HTTP {
	return &HTTP{&http.Client{Transport: &http.Transport{
		DialContext:         dial,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}}}
}

// Close drops idle connections.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }

type wireEntry struct {
	Path     string `json:"path"`
	Value    string `json:"value"`
	Version  uint64 `json:"version"`
	Modified uint64 `json:"modified"`
	Index    uint64 `json:"index"`
}

type wireError struct {
	Code    string `json:"code"`
	Message string `json:"error"`
	Why     string `json:"why"`
}

// Do sends one attempt of o to the node at address and fills in what came back.
// It never repeats anything.
func (h *HTTP) Do(ctx context.Context, address string, o *Operation) {
	o.Missed, o.Found, o.Index, o.Version, o.Modified = false, false, 0, 0, 0
	request, err := newRequest(ctx, address, o)
	if err != nil {
		panic(fmt.Sprintf("chaos: %v makes no request: %v", o, err))
	}
	response, err := h.client.Do(request)
	if err != nil {
		o.Outcome = Unknown
		if neverSent(err) {
			o.Outcome = Refused
		}
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		o.Outcome = Unknown
		return
	}
	o.Index, _ = strconv.ParseUint(response.Header.Get(headerIndex), 10, 64)
	if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusCreated {
		answered(o, body)
		return
	}
	failed(o, body)
}

func newRequest(ctx context.Context, address string, o *Operation) (*http.Request, error) {
	query := make(url.Values)
	method, body := http.MethodPut, []byte(o.Value)
	switch o.Kind {
	case CompareAndSet:
		query.Set("version", strconv.FormatUint(o.Expect, 10))
	case Delete:
		method, body = http.MethodDelete, nil
	case Get:
		method, body = http.MethodGet, nil
		query.Set("level", string(o.Level))
		if o.Level == LevelSequential && o.Expect > 0 {
			query.Set("index", strconv.FormatUint(o.Expect, 10))
		}
	}
	target := url.URL{Scheme: "http", Host: address, Path: pathKV + o.Key, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if o.Request != "" {
		request.Header.Set(headerRequest, o.Request)
	}
	// Without GetBody net/http does not send a body a second time on its own.
	request.GetBody = nil
	return request, nil
}

// neverSent reports whether err shows that no byte of the request left.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED)
}

func answered(o *Operation, body []byte) {
	var entry wireEntry
	if json.Unmarshal(body, &entry) != nil {
		o.Outcome = Unknown
		return
	}
	o.Outcome, o.Version = Done, entry.Version
	o.Index = cmp.Or(o.Index, entry.Index)
	if o.Kind == Get {
		o.Found, o.Value, o.Modified = true, entry.Value, entry.Modified
	}
}

func failed(o *Operation, body []byte) {
	var failure wireError
	if json.Unmarshal(body, &failure) != nil {
		o.Outcome = Unknown
		return
	}
	switch {
	case failure.Code == "E-NOTFOUND" && o.Kind == Get:
		o.Outcome, o.Found = Done, false
	case failure.Code == "E-NOTFOUND" || failure.Code == "E-CONFLICT":
		o.Outcome, o.Missed = Done, true
	case codesWithoutAnswer[failure.Code]:
		o.Outcome = Unknown
	default:
		o.Outcome = Refused
	}
}

// JSON fetches path from the node at address into v.
func (h *HTTP) JSON(ctx context.Context, address, path string, v any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	response, err := h.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s from %s: %s: %s", path, address, response.Status, bytes.TrimSpace(body))
	}
	return json.Unmarshal(body, v)
}

// NodeStatus is what the campaigns need of /v1/status.
type NodeStatus struct {
	Node    string `json:"node"`
	Role    string `json:"role"`
	Term    uint64 `json:"term"`
	Leader  string `json:"leader"`
	Voters  int    `json:"voters"`
	Up      int    `json:"up"`
	Commit  uint64 `json:"commit"`
	Applied uint64 `json:"applied"`
	Version string `json:"version"`
	// Reasons say what is not well.
	Reasons []string `json:"reasons"`
	// FirstIndex is that of the log in memory, SnapshotIndex that of the newest snapshot,
	// LogBytes the memory that the log takes.
	FirstIndex    uint64 `json:"first_index"`
	SnapshotIndex uint64 `json:"snapshot_index"`
	LogBytes      int64  `json:"log_bytes"`
	Witness       bool   `json:"witness"` // it votes and has no state
	Digest        struct {
		Index uint64 `json:"index"`
		Sum   string `json:"sum"`
	} `json:"digest"`
}

// Status returns the group as the node at address sees it itself.
func (h *HTTP) Status(ctx context.Context, address string) (NodeStatus, error) {
	var status NodeStatus
	err := h.JSON(ctx, address, "/v1/status?local", &status)
	return status, err
}

// List returns every key below root as the node at address has it, reading at
// level, page by page. It fails if something was applied between two pages.
func (h *HTTP) List(ctx context.Context, address, root string, level Level) (Final, error) {
	var final Final
	after := ""
	for {
		query := url.Values{"list": {""}, "recursive": {""}, "limit": {"1000"}, "level": {string(level)}}
		if after != "" {
			query.Set("after", after)
		}
		var page struct {
			Entries []wireEntry `json:"entries"`
			After   string      `json:"after"`
			Index   uint64      `json:"index"`
		}
		if err := h.JSON(ctx, address, pathKV+root+"?"+query.Encode(), &page); err != nil {
			return Final{}, err
		}
		if final.Index != 0 && final.Index != page.Index {
			return Final{}, fmt.Errorf("chaos: listing of %s went from index %d to %d", address, final.Index, page.Index)
		}
		final.Index = page.Index
		for _, e := range page.Entries {
			if e.Version == 0 {
				continue // a path that exists only because something is below it
			}
			final.Entries = append(final.Entries, Entry{Key: trimRoot(e.Path), Value: e.Value, Version: e.Version, Modified: e.Modified})
		}
		if after = page.After; after == "" {
			return final, nil
		}
	}
}

// trimRoot gives paths the form in which clients write keys.
func trimRoot(path string) string {
	for len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	return path
}
