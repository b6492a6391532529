package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/synod-go/synod/api"
)

// serveHTTP passes requests on until ctx ends. It returns ctx.Err() then.
func serveHTTP(ctx context.Context, l net.Listener, f *follower, wait time.Duration) error {
	server := api.ServerLimits{}.Server(newHTTPProxy(f, wait)) // bodies take as long as the leader waits for them
	defer context.AfterFunc(ctx, func() { server.Close() })()
	err := server.Serve(l)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func newHTTPProxy(f *follower, wait time.Duration) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http"
			r.Out.URL.RawQuery = r.In.URL.RawQuery // also what Go could not parse
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport:     newLeaderTransport(f, wait),
		FlushInterval: -1, // who streams an answer wants it to arrive
		ErrorHandler:  sayWhy,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
}

// leaderTransport sends each request to the leader of the moment.
type leaderTransport struct {
	follower *follower
	base     *http.Transport
}

// newLeaderTransport returns a transport that keeps connections by the leadership under which a
// request asked for them, and connects to whoever leads then: one that is used again goes to the
// leader of the moment or, if it was made just before a change, to a later one.
func newLeaderTransport(f *follower, wait time.Duration) *leaderTransport {
	return &leaderTransport{f, &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			return f.dial(ctx)
		},
		DisableCompression:  true,
		MaxIdleConnsPerHost: 64,
		MaxIdleConns:        256,
		IdleConnTimeout:     30 * time.Second,
	}}
}

func (t *leaderTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	to := *r.URL
	to.Host = fmt.Sprintf("leader-%d", t.follower.changes())
	sent := r.WithContext(r.Context())
	sent.URL = &to
	return t.base.RoundTrip(sent)
}

// sayWhy answers a request that the leader has not answered.
func sayWhy(w http.ResponseWriter, _ *http.Request, err error) {
	status, text := http.StatusBadGateway, "the leader broke off; the request may have been carried out: "+api.Reason(err)
	if nobody, is := errors.AsType[*noLeaderError](err); is {
		status, text = http.StatusServiceUnavailable, nobody.Error()
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, text, status)
}
