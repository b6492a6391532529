package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// SessionStatus is one session as an operator sees it.
type SessionStatus struct {
	ID        uint64
	Timeout   time.Duration
	Linger    time.Duration
	Opened    time.Time // log time
	Ephemeral int       // how many keys it owns
}

// Sessions lists at most limit open sessions with a higher id. limit is 1 to MaxPage.
func (c *Client) Sessions(ctx context.Context, after uint64, limit int) ([]SessionStatus, error) {
	values := url.Values{"limit": {strconv.Itoa(limit)}}
	if after > 0 {
		values.Set("after", strconv.FormatUint(after, 10))
	}
	var list sessionListJSON
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/sessions", query: values, what: "the list of sessions"}, &list)
	return list.Sessions, err
}

// EndSession ends a session by its number, for an operator. CodeNotFound: there is none.
func (c *Client) EndSession(ctx context.Context, id uint64) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/sessions/" + strconv.FormatUint(id, 10), id: NewRequestID(),
		what: fmt.Sprintf("the end of session %d", id)}, &Done{})
}

// Access reads a key's access list; nil lets anybody do anything.
func (c *Client) Access(ctx context.Context, path string) (ACL, error) {
	if err := checkPathOrTop(strings.TrimPrefix(path, "/")); err != nil {
		return nil, err
	}
	var answer accessJSON
	err := c.do(ctx, call{method: http.MethodGet, path: keyPath("/v1/acl/", path), what: fmt.Sprintf("the access list of %q", path)}, &answer)
	return answer.ACL, err
}

// SetAccess replaces a key's access list.
func (c *Client) SetAccess(ctx context.Context, path string, acl ACL) error {
	return c.set(ctx, "/v1/acl/", path, map[string]any{"acl": acl}, fmt.Sprintf("the access list of %q", path))
}

// Quota is the bound on what stands at and below a key.
type Quota struct {
	Path      string `json:"path"`
	Nodes     int64  `json:"nodes,omitempty"` // 0: no bound
	Bytes     int64  `json:"bytes,omitempty"`
	UsedNodes int64  `json:"used_nodes"`
	UsedBytes int64  `json:"used_bytes"`
}

// Quotas lists all quotas.
func (c *Client) Quotas(ctx context.Context) ([]Quota, error) {
	var list quotaListJSON
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/quotas", what: "the quotas"}, &list)
	return list.Quotas, err
}

// SetQuota sets the bounds of a quota; without bounds it ends it. What is used is of no account.
func (c *Client) SetQuota(ctx context.Context, q Quota) error {
	return c.set(ctx, "/v1/quota/", q.Path, map[string]any{"nodes": q.Nodes, "bytes": q.Bytes}, fmt.Sprintf("the quota of %q", q.Path))
}

// set writes what is said about a key.
func (c *Client) set(ctx context.Context, prefix, path string, v any, what string) error {
	if err := checkPathOrTop(strings.TrimPrefix(path, "/")); err != nil {
		return err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("api: encode %s: %w", what, err)
	}
	return c.do(ctx, call{method: http.MethodPut, path: keyPath(prefix, path), body: body, id: NewRequestID(), what: what}, &Done{})
}
