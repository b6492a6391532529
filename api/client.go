package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ClientConfig configures a Client. Addrs is required.
type ClientConfig struct {
	// Addrs are host:port of any nodes, tried in order until one answers.
	Addrs []string
	// TLS is how to speak to the nodes; nil: plain text.
	TLS *tls.Config
	// Timeout bounds one operation with all its retries when the caller's
	// context does not. Default 5 s.
	Timeout time.Duration
	// User and Password, unless User is "", are shown to the nodes: access lists know the
	// user by its [DigestID].
	User, Password string
	// Token is shown in the place of a certificate, and of User. Default "": none.
	Token string
	// Session is the token of a session, of another process also, in which everything is done that
	// names no other. Default "": none.
	Session string
	// Rounds is how often all addresses are tried when none can be connected to,
	// 100 ms apart. Default 3.
	Rounds int
}

// Client talks to a cluster through any of its nodes. It retries what is safe to
// retry: reads, requests that surely did nothing, and writes, which carry a
// request id each. It is safe for concurrent use.
type Client struct {
	config ClientConfig
	http   *http.Client
	mu     sync.Mutex
	good   string // the address that answered last
}

// NewClient returns a client; it does not connect yet. It fails with
// CodeUsage when an address is malformed.
func NewClient(c ClientConfig) (*Client, error) {
	if len(c.Addrs) == 0 {
		return nil, &Error{Code: CodeUsage, Message: "no address of a node is given", Do: []string{"--addr 127.0.0.1:4700"}}
	}
	for _, addr := range c.Addrs {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, &Error{Code: CodeUsage, Message: fmt.Sprintf("%q is not an address", addr), Why: "it is host:port",
				Do: []string{"--addr 127.0.0.1:4700"}}
		}
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Rounds == 0 {
		c.Rounds = 3
	}
	c.Addrs = slices.Clone(c.Addrs)
	client := newForwardClient(c.TLS, nil)
	client.Transport = &gatherer{next: client.Transport, nodes: map[string]*gathering{}}
	return &Client{config: c, http: client}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// WriteOptions are the details of a write.
type WriteOptions struct {
	// Version makes it a compare-and-set: the version that the key must have, 0
	// for a key that must not exist. nil writes in any case.
	Version *uint64
	// Created, unless 0, is the log index at which the key must have been created: it tells
	// a key from a later one of the same name.
	Created uint64
	// Recursive lets Delete remove what is below too.
	Recursive bool
	// RequestID of an earlier attempt makes this one a repetition of it; zero:
	// a new one.
	RequestID RequestID
}

// Put writes a key and returns once a majority has it on disk. CodeUnknown says
// that it may or may not have happened; the error's RequestID makes repeating it safe.
func (c *Client) Put(ctx context.Context, path string, value []byte, o WriteOptions) (Written, error) {
	return c.write(ctx, http.MethodPut, path, value, o, "")
}

// Delete removes a key. It fails with CodeNotFound when there is none.
func (c *Client) Delete(ctx context.Context, path string, o WriteOptions) (Written, error) {
	return c.write(ctx, http.MethodDelete, path, nil, o, "")
}

// write writes a key in the session of that token, "": in none.
func (c *Client) write(ctx context.Context, method, path string, value []byte, o WriteOptions, session string) (Written, error) {
	if err := checkPath(strings.TrimPrefix(path, "/")); err != nil {
		return Written{}, err
	}
	values := url.Values{}
	if o.Version != nil {
		values.Set("version", strconv.FormatUint(*o.Version, 10))
	}
	if o.Created > 0 {
		values.Set("created", strconv.FormatUint(o.Created, 10))
	}
	if o.Recursive {
		values.Set("recursive", "true")
	}
	var done Written
	err := c.do(ctx, call{method: method, path: kvPath(path), query: values, body: value, id: o.RequestID.orNew(), session: session, what: fmt.Sprintf("the write of %q", path)}, &done)
	return done, err
}

// Get reads a key. It returns the log index that the answer reflects, with
// CodeNotFound too.
func (c *Client) Get(ctx context.Context, path string, o ReadOptions) (Entry, uint64, error) {
	if err := checkPath(strings.TrimPrefix(path, "/")); err != nil {
		return Entry{}, 0, err
	}
	var entry entryJSON
	var index uint64
	err := c.do(ctx, call{method: http.MethodGet, path: kvPath(path), query: readValues(o), index: &index,
		what: fmt.Sprintf("the read of %q", path)}, &entry)
	if err != nil {
		return Entry{}, index, err
	}
	return entry.entry(), index, nil
}

// List reads one page of the keys below path ("" is the top).
func (c *Client) List(ctx context.Context, path string, o ListOptions) (Listing, error) {
	if path != "" {
		if err := checkPath(strings.TrimPrefix(path, "/")); err != nil {
			return Listing{}, err
		}
	}
	values := readValues(o.ReadOptions)
	values.Set("list", "true")
	if o.Recursive {
		values.Set("recursive", "true")
	}
	if o.Limit > 0 {
		values.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.After != "" {
		values.Set("after", o.After)
	}
	var page Listing
	err := c.do(ctx, call{method: http.MethodGet, path: kvPath(path), query: values, what: fmt.Sprintf("the listing of %q", path)}, &page)
	return page, err
}

// Status returns the group as its leader sees it, or, with local or without a
// leader, as the node that answers sees it.
func (c *Client) Status(ctx context.Context, local bool) (Status, error) {
	values := url.Values{}
	if local {
		values.Set("local", "true")
	}
	var status Status
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/status", query: values, what: "the status"}, &status)
	return status, err
}

// Members returns the group's members and the nodes that gossip knows.
func (c *Client) Members(ctx context.Context) (MemberList, error) {
	var members MemberList
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/members", what: "the list of members"}, &members)
	return members, err
}

// ChangeMember changes the group's configuration.
func (c *Client) ChangeMember(ctx context.Context, change MemberChange) (Done, error) {
	values := url.Values{"name": {change.Name}}
	if change.Version != nil {
		values.Set("version", strconv.FormatUint(*change.Version, 10))
	}
	if change.Group != "" {
		values.Set("group", change.Group)
	}
	var done Done
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/members/" + url.PathEscape(change.Action), query: values,
		what: change.Action + " " + change.Name}, &done)
	return done, err
}

// Transfer hands the leadership of a group to the named node, or to the best one if to is "". Group "" is that of the keys;
// who leads "registry" is the leading master.
func (c *Client) Transfer(ctx context.Context, group, to string) (Done, error) {
	values := url.Values{}
	for name, value := range map[string]string{"group": group, "to": to} {
		if value != "" {
			values.Set(name, value)
		}
	}
	var done Done
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/transfer", query: values, what: "the transfer of the leadership"}, &done)
	return done, err
}

// Snapshot makes the node that answers take a snapshot.
func (c *Client) Snapshot(ctx context.Context) (Done, error) {
	var done Done
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/snapshot", what: "the snapshot"}, &done)
	return done, err
}

// Ready returns the checks of the first node that answers, and whether all are well.
func (c *Client) Ready(ctx context.Context) ([]Check, bool, error) {
	var answer struct {
		Ready  bool    `json:"ready"`
		Checks []Check `json:"checks"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/readyz", what: "the health", anyStatus: true}, &answer)
	return answer.Checks, answer.Ready, err
}

func readValues(o ReadOptions) url.Values {
	values := url.Values{}
	if o.Level != "" {
		values.Set("level", string(o.Level))
	}
	if o.MinIndex > 0 {
		values.Set("index", strconv.FormatUint(o.MinIndex, 10))
	}
	return values
}

// kvPath is the address of a key.
func kvPath(path string) string { return keyPath(kvPrefix, path) }

// keyPath escapes each part of a key.
func keyPath(prefix, path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return prefix + strings.Join(parts, "/")
}

// call is one request, whichever node it goes to.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	session      string // a token
	body         []byte
	id           RequestID
	index        *uint64
	anyStatus    bool
	nothing      bool   // the answer is 202, with nothing in it
	single       bool   // it is not repeated once it may have happened
	same         bool   // a second time changes nothing more: it is repeated then
	what         string // for errors: `the write of "colour"`
}

// once sends the call to one address.
func (c *Client) once(ctx context.Context, addr string, k call) (*http.Response, error) {
	scheme := "http"
	if c.config.TLS != nil {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, k.method, scheme+"://"+addr+k.path+"?"+k.query.Encode(), bytes.NewReader(k.body))
	if err != nil {
		return nil, &Error{Code: CodeUsage, Message: fmt.Sprintf("%s cannot be asked for", k.what), Why: Reason(err)}
	}
	request.Header.Set("Accept", "application/json")
	for name, values := range k.header {
		request.Header[name] = values
	}
	if k.id != (RequestID{}) {
		request.Header.Set(headerRequestID, k.id.String())
	}
	if session := cmp.Or(k.session, c.config.Session); session != "" {
		request.Header.Set(headerSession, session)
	}
	c.showWho(request)
	if deadline, ok := ctx.Deadline(); ok {
		left := min(max(time.Until(deadline), time.Millisecond), maxTimeout)
		if k.method == http.MethodGet { // the node gives up a little before us, and says why
			left -= min(left/3, 100*time.Millisecond)
		}
		request.Header.Set(headerTimeout, left.String())
	}
	return c.http.Do(request)
}

// showWho says in a request who the client is.
func (c *Client) showWho(r *http.Request) {
	if c.config.User != "" {
		r.SetBasicAuth(c.config.User, c.config.Password)
	}
	showToken(r, c.config.Token)
}

func showToken(r *http.Request, token string) {
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
}

// decode reads an answer into v, or returns the error that it holds.
func decode(response *http.Response, k call, v any) error {
	defer response.Body.Close()
	body, err := readAll(response.Body, maxAnswer)
	if errors.Is(err, errLong) && k.method == http.MethodGet {
		return answerTooLarge(maxAnswer)
	}
	if err != nil {
		return err
	}
	if k.index != nil {
		*k.index, _ = strconv.ParseUint(response.Header.Get(headerIndex), 10, 64)
	}
	if k.nothing && response.StatusCode == http.StatusAccepted {
		return nil
	}
	if response.StatusCode == http.StatusOK || k.anyStatus {
		if err := json.Unmarshal(body, v); err != nil {
			return notSynod(response)
		}
		return nil
	}
	var e Error
	if err := json.Unmarshal(body, &e); err != nil || e.Code == "" {
		return notSynod(response)
	}
	return &e
}

func notSynod(response *http.Response) error {
	host := response.Request.URL.Host
	e := &Error{Code: CodeReach, Message: "what listens on " + host + " is not a node",
		Why: "it answered " + response.Status + " in another language", Do: []string{"give the API address of a node with --addr"}}
	if response.StatusCode == http.StatusBadRequest && response.TLS == nil {
		e.Code, e.Message = CodeTLS, "the node at "+host+" wants TLS"
		e.Why, e.Do = "plain text was spoken", []string{"add --tls-ca, --tls-cert and --tls-key"}
	}
	return e
}

// errNoAnswer marks a failure of the connection, for which another node may be asked.
var errNoAnswer = errors.New("api: no answer")
