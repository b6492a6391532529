package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestProfilesAreServedUntilTheyAreStopped(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	if _, err := serveProfiles(port, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(fmt.Sprint(err), "cannot listen") {
		t.Errorf("a port that is taken: %v", err)
	}
	free.Close()
	stop, err := serveProfiles(port, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/goroutine?debug=1", port)
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(body), "serveProfiles") {
		t.Errorf("no profile of this process (%v): %.200s", err, body)
	}
	stop()
	http.DefaultClient.CloseIdleConnections()
	if answer, err := http.Get(url); err == nil {
		answer.Body.Close()
		t.Error("profiles are served after their end")
	}
}
