package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

func TestWhatTheUserGaveUpIsNoFailureOfABench(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { interrupt() }))
	defer server.Close()
	client, err := api.NewClient(api.ClientConfig{Addrs: []string{server.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	f := &benchFlags{op: "put", clients: 4, keys: 1, duration: time.Minute}
	if r := f.load(ctx, client, []byte("x")); r.Failed != 0 || r.Why != "" {
		t.Fatalf("%d failed (%s), want none", r.Failed, r.Why)
	}
}
