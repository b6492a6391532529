package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustOpen(t *testing.T, dir string, token uint64) *store {
	t.Helper()
	s, err := openStore(dir, token, "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.running.Close() })
	return s
}

func TestAnOldLeaderWritesNothingAfterANewOne(t *testing.T) {
	dir := t.TempDir()
	old := mustOpen(t, dir, 5)
	if err := old.add("of the old one"); err != nil {
		t.Fatal(err)
	}
	old.running.Close() // as if it were dead
	young := mustOpen(t, dir, 9)
	if err := old.add("too late"); !errors.Is(err, errFenced) {
		t.Errorf("the old leader's write: %v", err)
	}
	if err := old.witness(t.Context()); !errors.Is(err, errFenced) {
		t.Errorf("the old leader runs on: %v", err)
	}
	if err := young.add("of the new one"); err != nil {
		t.Error(err)
	}
	cells, err := young.cells()
	if err != nil || len(cells) != 2 || cells[0].Text != "of the old one" || cells[1].Text != "of the new one" || cells[1].Token != 9 {
		t.Errorf("cells are %v, %v", cells, err)
	}
}

func TestASecondNotebookDoesNotBegin(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir, 5)
	if _, err := openStore(dir, 9, "10.0.0.2"); !errors.Is(err, errTwo) {
		t.Errorf("beside one that runs: %v", err)
	}
	if told, err := os.ReadFile(filepath.Join(dir, "notebook", "overlaps")); err != nil || !strings.Contains(string(told), "token 9 at 10.0.0.2") {
		t.Errorf("nobody is told of it: %q, %v", told, err)
	}
}

func TestARunIsWrittenDown(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, 5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.witness(ctx)
	if data, err := os.ReadFile(filepath.Join(dir, "notebook", "runs", "5")); err != nil || !strings.Contains(string(data), `"member":"10.0.0.1"`) {
		t.Errorf("it wrote %q, %v", data, err)
	}
}

func TestThePageAsksForTheToken(t *testing.T) {
	h := newPage(mustOpen(t, t.TempDir(), 5), "secret")
	ask := func(r *http.Request) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	with := func(method, path, body, header, value string) *http.Request {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set(header, value)
		return r
	}
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/", nil), httptest.NewRequest("GET", "/?token=wrong", nil),
		with("GET", "/api/cells", "", "Authorization", "token wrong"), with("POST", "/api/cells", "x", "Cookie", cookie+"=wrong"),
	} {
		if w := ask(r); w.Code != http.StatusForbidden {
			t.Errorf("%s %s: %d without the token", r.Method, r.URL, w.Code)
		}
	}
	if w := ask(with("POST", "/api/cells", "<b>1 & 2</b>", "Authorization", "token secret")); w.Code != http.StatusOK {
		t.Errorf("a cell: %d %s", w.Code, w.Body)
	}
	w := ask(httptest.NewRequest("GET", "/?token=secret", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "&lt;b&gt;1 &amp; 2") || !strings.Contains(w.Header().Get("Set-Cookie"), cookie+"=secret") {
		t.Errorf("the page: %d %s %v", w.Code, w.Body, w.Header())
	}
	if w := ask(with("POST", "/api/cells", "", "Cookie", cookie+"=secret")); w.Code != http.StatusBadRequest {
		t.Errorf("an empty cell: %d", w.Code)
	}
}
