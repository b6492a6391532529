package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

func TestATransactionIsDoneWholeOrNotAtAll(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	c := newTestClient(t, addr)
	s := openSession(t, c, SessionOptions{})
	lock := ephemeralOf(t, s, "lock/me")
	one := uint64(1)
	done, err := s.Commit(t.Context(), []TxnOperation{
		{Op: "check", Path: lock.Path, Created: lock.Created},
		{Op: "create", Path: "log/", Value: []byte("x"), Sequential: true},
		{Op: "put", Path: "state", Value: []byte{0xff}},
		{Op: "put", Path: "state", Version: &one},
		{Op: "create", Path: "mine", Mode: Ephemeral},
		{Op: "create", Path: "brief", Mode: TTL, TTL: time.Minute},
		{Op: "delete", Path: "brief"},
	}, RequestID{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range done.Results {
		got = append(got, fmt.Sprintf("%s %d %d %d %v", r.Path, r.Version, r.Deleted, r.Session, r.Index == done.Index))
	}
	want := []string{"lock/me 1 0 1 true", "log/0000000000 1 0 0 true", "state 1 0 0 true", "state 2 0 0 true", "mine 1 0 1 true",
		"brief 1 0 0 true", "brief 0 1 0 true"}
	if !slices.Equal(got, want) {
		t.Fatalf("results %q, want %q", got, want)
	}
	_, err = c.Commit(t.Context(), []TxnOperation{{Op: "put", Path: "other"}, {Op: "check", Path: lock.Path, Created: lock.Created - 1}}, RequestID{})
	if e := asError(err); e.Code != CodeConflict || e.Failed == nil || *e.Failed != 1 || !strings.Contains(e.Why, "created at index") {
		t.Fatalf("with a stale token: %+v, want %s at 1", err, CodeConflict)
	}
	if _, _, err := c.Get(t.Context(), "other", ReadOptions{}); CodeOf(err) != CodeNotFound {
		t.Errorf("the operation before the refused one: %v, want %s", err, CodeNotFound)
	}
}

func TestARepeatedTransactionIsDoneOnce(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	lost := false
	f.lose = func() error {
		if lost {
			return nil
		}
		lost = true
		return &Error{Code: CodeUnknown, Message: "lost"}
	}
	done, err := newTestClient(t, addr).Commit(t.Context(), []TxnOperation{{Op: "create", Path: "q/", Sequential: true}}, RequestID{})
	if err != nil || !lost || done.Results[0].Path != "q/0000000000" {
		t.Fatalf("%+v, %v", done, err)
	}
	if page, err := f.List(t.Context(), "q", ListOptions{Limit: 10}); err != nil || len(page.Entries) != 1 {
		t.Errorf("%d keys, %v; want 1", len(page.Entries), err)
	}
}

func TestWhatIsWrongWithARequestIsRefusedBeforeTheLog(t *testing.T) {
	f := newFake(t, coordination.Config{})
	h := newHandler(t, f)
	many := `{"operations":[` + strings.Repeat(`{"op":"check","path":"a"},`, maxTxn) + `{"op":"check","path":"a"}]}`
	for name, test := range map[string]struct {
		method, target, body string
		status               int
	}{
		"mode":                  {"POST", "/v1/kv/a?mode=eternal", "", 400},
		"ttl without mode":      {"POST", "/v1/kv/a?ttl=1s", "", 400},
		"mode ttl without time": {"POST", "/v1/kv/a?mode=ttl", "", 400},
		"ttl of nothing":        {"POST", "/v1/kv/a?mode=ttl&ttl=1us", "", 400},
		"ttl negative":          {"POST", "/v1/kv/a?mode=ttl&ttl=-1s", "", 400},
		"version to create":     {"POST", "/v1/kv/a?version=1", "", 400},
		"acl malformed":         {"POST", "/v1/kv/a?acl=[", "", 400},
		"acl letters":           {"POST", `/v1/kv/a?acl=[{"scheme":"world","id":"anyone","permissions":"x"}]`, "", 400},
		"no key":                {"POST", "/v1/kv/", "", 400},
		"txn empty":             {"POST", "/v1/txn", `{"operations":[]}`, 400},
		"txn not JSON":          {"POST", "/v1/txn", `x`, 400},
		"txn unknown field":     {"POST", "/v1/txn", `{"operations":[{"op":"put","path":"a","vlaue":"x"}]}`, 400},
		"txn unknown op":        {"POST", "/v1/txn", `{"operations":[{"op":"move","path":"a"}]}`, 400},
		"txn foreign field":     {"POST", "/v1/txn", `{"operations":[{"op":"put","path":"a","sequential":true}]}`, 400},
		"txn value of a check":  {"POST", "/v1/txn", `{"operations":[{"op":"check","path":"a","value":"x"}]}`, 400},
		"txn check of nothing":  {"POST", "/v1/txn", `{"operations":[{"op":"check","path":"a","version":0}]}`, 400},
		"txn bad path":          {"POST", "/v1/txn", `{"operations":[{"op":"put","path":"a//b"}]}`, 400},
		"txn of 1025":           {"POST", "/v1/txn", many, 400},
		"txn of 5 MiB":          {"POST", "/v1/txn", strings.Repeat(" ", 5<<20), 413},
		"session not JSON":      {"POST", "/v1/sessions", "x", 400},
		"session field":         {"POST", "/v1/sessions", `{"timout":"1s"}`, 400},
		"session time":          {"POST", "/v1/sessions", `{"timeout":"soon"}`, 400},
		"session key":           {"POST", "/v1/sessions", `{"key":"ab"}`, 400},
		"session long":          {"POST", "/v1/sessions", strings.Repeat(" ", maxSessionRequest+1), 413},
		"end of no number":      {"DELETE", "/v1/sessions/x", "", 400},
		"close without token":   {"DELETE", "/v1/session", "", 400},
		"touch without token":   {"POST", "/v1/session/touch", "", 400},
		"connect by GET":        {"GET", "/v1/session/connect?number=1", "", 400},
		"quota negative":        {"PUT", "/v1/quota/a", `{"nodes":-1}`, 400},
		"quota not JSON":        {"PUT", "/v1/quota/a", `[`, 400},
		"acl of what":           {"PUT", "/v1/acl/a", `{"list":[]}`, 400},
		"watch of both":         {"GET", "/v1/kv/a?watch&recursive&children", "", 400},
	} {
		w := request(h, test.method, strings.NewReplacer(`"`, "%22", "[", "%5B", "]", "%5D", "{", "%7B", "}", "%7D").Replace(test.target), test.body)
		if w.Code != test.status || f.at != 0 {
			t.Errorf("%s: %d %.200s, %d operations in the log; want %d and none", name, w.Code, w.Body, f.at, test.status)
		}
	}
}

func TestARequestWithAWrongTokenDoesNothing(t *testing.T) {
	f := newFake(t, coordination.Config{})
	h := newHandler(t, f)
	_, addr := serve(t, Config{Backend: f})
	_, id := rawSession(t, newTestClient(t, addr), "10s")
	stolen := sessionToken(id, newPassword())
	for _, line := range []string{"PUT /v1/kv/a", "POST /v1/kv/a", "POST /v1/kv/a?mode=ephemeral", "DELETE /v1/session", "POST /v1/txn"} {
		method, target, _ := strings.Cut(line, " ")
		body := ""
		if target == "/v1/txn" {
			body = `{"operations":[{"op":"put","path":"a"}]}`
		}
		w := request(h, method, target, body, headerSession, stolen)
		if w.Code != http.StatusGone || !strings.Contains(w.Body.String(), string(CodeSession)) {
			t.Errorf("%s: %d %s, want %s", line, w.Code, w.Body, CodeSession)
		}
		if strings.Contains(w.Body.String(), stolen[3:]) {
			t.Errorf("%s: the answer repeats the password", line)
		}
	}
	if w := request(h, "POST", "/v1/kv/a?mode=ephemeral", ""); w.Code != http.StatusGone || !strings.Contains(w.Body.String(), "needs a session, and none was named") {
		t.Errorf("an ephemeral key of no session: %d %s", w.Code, w.Body)
	}
	if _, _, err := f.Get(t.Context(), "a", ReadOptions{}); CodeOf(err) != CodeNotFound {
		t.Errorf("something was written: %v", err)
	}
}
