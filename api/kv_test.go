package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/synod-go/synod/coordination"
)

func readerOf(s string) io.Reader { return strings.NewReader(s) }

func newHandler(t testing.TB, f *fake) http.Handler {
	t.Helper()
	server, err := NewServer(Config{Backend: f, Name: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	return server.Handler()
}

func TestAWriteIsReadBackRawWithIndexAndVersion(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	if w := request(h, "PUT", "/v1/kv/app/colour", "bl\x00ue"); w.Code != 200 || w.Header().Get(headerVersion) != "1" {
		t.Fatalf("put: %d %s", w.Code, w.Body)
	}
	w := request(h, "GET", "/v1/kv/app/colour", "")
	if w.Code != 200 || w.Body.String() != "bl\x00ue" {
		t.Fatalf("get: %d %q, want the bytes written", w.Code, w.Body)
	}
	if w.Header().Get(headerIndex) != "1" || w.Header().Get(headerVersion) != "1" {
		t.Fatalf("headers %v, want index and version 1", w.Header())
	}
}

func TestJSONHoldsTextOrBase64(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	for value, want := range map[string]string{"blau ü": `"value":"blau ü"`, "\xff\xfe": `"value_base64":"//4="`, "": `"value":""`} {
		request(h, "PUT", "/v1/kv/a", value)
		w := request(h, "GET", "/v1/kv/a", "", "Accept", "application/json")
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("value %q: got %s, want %s in it", value, w.Body, want)
		}
		var entry Entry
		if err := json.Unmarshal(w.Body.Bytes(), &entry); err != nil || string(entry.Value) != value {
			t.Errorf("value %q: decoded %q, %v", value, entry.Value, err)
		}
	}
}

func TestCompareAndSetTakesEffectOnlyAtTheVersionNamed(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	steps := []struct {
		method, query string
		status        int
	}{
		{"PUT", "?version=3", 412}, // does not exist
		{"PUT", "?version=0", 200}, // must not exist
		{"PUT", "?version=0", 412},
		{"PUT", "?version=1", 200},
		{"PUT", "?version=1", 412},
		{"DELETE", "?version=1", 412},
		{"DELETE", "?version=0", 400},
		{"DELETE", "?version=2", 200},
		{"DELETE", "", 404},
	}
	for i, step := range steps {
		if w := request(h, step.method, "/v1/kv/a"+step.query, ""); w.Code != step.status {
			t.Fatalf("step %d %s %s: %d %s, want %d", i, step.method, step.query, w.Code, w.Body, step.status)
		}
	}
}

func TestALostCompareAndSetTellsTheVersionFound(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	request(h, "PUT", "/v1/kv/a", "1")
	request(h, "PUT", "/v1/kv/a", "2")
	var e Error
	w := request(h, "PUT", "/v1/kv/a?version=1", "3")
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if e.Code != CodeConflict || e.Version == nil || *e.Version != 2 {
		t.Fatalf("got %s, want %s with version 2", w.Body, CodeConflict)
	}
}

func TestARepeatedRequestIDWritesOnce(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	id := NewRequestID().String()
	first := request(h, "PUT", "/v1/kv/a?version=0", "x", headerRequestID, id)
	again := request(h, "PUT", "/v1/kv/a?version=0", "x", headerRequestID, id)
	if first.Code != 200 || again.Code != 200 || first.Body.String() != again.Body.String() {
		t.Fatalf("first %d %s, again %d %s: want the same answer", first.Code, first.Body, again.Code, again.Body)
	}
}

func TestListingGoesThroughPages(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	want := []string{"d/1", "d/2", "d/3", "d/3/x", "d/4"}
	for _, path := range want {
		request(h, "PUT", "/v1/kv/"+path, path)
	}
	var got []string
	after := ""
	for range 10 {
		var page Listing
		w := request(h, "GET", "/v1/kv/d?list&recursive&limit=2&after="+url.QueryEscape(after), "")
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		for _, entry := range page.Entries {
			got = append(got, entry.Path)
		}
		if after = page.After; after == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestALongPageEndsEarlyAndGoesOn(t *testing.T) {
	f := newFake(t, coordination.Config{})
	h := newHandler(t, f)
	big := strings.Repeat("x", 1<<20)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		request(h, "PUT", "/v1/kv/d/"+name, big)
	}
	first, err := f.List(t.Context(), "d", ListOptions{Limit: 100})
	if err != nil || len(first.Entries) >= 7 || first.After == "" {
		t.Fatalf("first page: %d entries, after %q, %v: want fewer than 7", len(first.Entries), first.After, err)
	}
	rest, err := f.List(t.Context(), "d", ListOptions{Limit: 100, After: first.After})
	if err != nil || len(first.Entries)+len(rest.Entries) != 7 || rest.After != "" {
		t.Fatalf("%d and %d entries, %v: want 7 in all", len(first.Entries), len(rest.Entries), err)
	}
}

func TestARequestThatIsWrongIsRefusedWithACode(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	cases := []struct {
		method, target string
		headers        []string
		status         int
		code           Code
	}{
		{"PUT", "/v1/kv/", nil, 400, CodeRequest},
		{"GET", "/v1/kv/a/%2e%2e/b", nil, 400, CodeRequest},
		{"PUT", "/v1/kv/a%00b", nil, 400, CodeRequest},
		{"PUT", "/v1/kv/a%ffb", nil, 400, CodeRequest},
		{"PUT", "/v1/kv/a/", nil, 400, CodeRequest},
		{"PUT", "/v1/kv/" + strings.Repeat("a/", 200) + "a", nil, 400, CodeRequest},
		{"PUT", "/v1/kv/a?versoin=1", nil, 400, CodeRequest},
		{"PUT", "/v1/kv/a?version=-1", nil, 400, CodeRequest},
		{"PUT", "/v1/kv/a?version=99999999999999999999", nil, 400, CodeRequest},
		{"PUT", "/v1/kv/a?version=18446744073709551615", nil, 400, CodeRequest},
		{"PUT", "/v1/kv/a?version=1&version=2", nil, 400, CodeRequest},
		{"GET", "/v1/kv/a?level=fresh", nil, 400, CodeRequest},
		{"GET", "/v1/kv/a?index=3", nil, 400, CodeRequest},
		{"GET", "/v1/kv/a?%zz", nil, 400, CodeRequest},
		{"GET", "/v1/kv/a?list&limit=0", nil, 400, CodeRequest},
		{"GET", "/v1/kv/a?watch&from=x", nil, 400, CodeRequest},
		{"GET", "/v1/kv/a?watch", []string{"Last-Event-ID", "x"}, 400, CodeRequest},
		{"PUT", "/v1/kv/a", []string{headerRequestID, "7"}, 400, CodeRequest},
		{"PUT", "/v1/kv/a", []string{headerTimeout, "1h"}, 400, CodeRequest},
		{"PUT", "/v1/kv/a", []string{headerTimeout, "-1s"}, 400, CodeRequest},
		{"GET", "/v1/kv/nosuch", nil, 404, CodeNotFound},
		{"GET", "/nosuch", nil, 404, CodeNotFound},
		{"PATCH", "/v1/kv/a", nil, 405, CodeMethod},
		{"POST", "/v1/status", nil, 405, CodeMethod},
		{"POST", "/v1/members/explode?name=n1", nil, 400, CodeRequest},
		{"POST", "/v1/members/add", nil, 400, CodeRequest},
		{"POST", "/v1/members/add?name=n1&version=3", nil, 412, CodeConflict},
		{"PUT", "/v1/kv/a", []string{"Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"}, 403, CodeOrigin},
	}
	for _, c := range cases {
		w := request(h, c.method, c.target, "", c.headers...)
		var e Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Errorf("%s %s: %v: %q", c.method, c.target, err, w.Body)
			continue
		}
		if w.Code != c.status || e.Code != c.code || e.Message == "" {
			t.Errorf("%s %.60s: %d %s, want %d %s", c.method, c.target, w.Code, w.Body, c.status, c.code)
		}
	}
}

func TestAValueAboveTheLimitIsRefusedBeforeItIsRead(t *testing.T) {
	f := newFake(t, coordination.Config{})
	server, err := NewServer(Config{Backend: f, MaxValue: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range []bool{true, false} {
		body := &countingReader{r: strings.NewReader(strings.Repeat("x", 1000))}
		r, _ := http.NewRequest("PUT", "/v1/kv/a", body)
		if known {
			r.ContentLength = 1000
		}
		w := newRecorder()
		server.Handler().ServeHTTP(w, r)
		if w.Code != 413 || body.n > 11 && !known || known && body.n > 0 {
			t.Errorf("length known %v: %d after %d bytes, want 413", known, w.Code, body.n)
		}
		if want := map[bool]string{true: "1000 bytes, the limit is 10 bytes", false: "more than the limit of 10 bytes"}[known]; !strings.Contains(w.Body.String(), want) {
			t.Errorf("length known %v: %s, want %q in it", known, w.Body, want)
		}
	}
	if w := request(server.Handler(), "PUT", "/v1/kv/a", "0123456789"); w.Code != 200 {
		t.Errorf("a value of exactly the limit: %d %s", w.Code, w.Body)
	}
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p[:min(len(p), 11)])
	c.n += n
	return n, err
}
