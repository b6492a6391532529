package browser

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
)

// A node that starts, or has too many pages, answers with an error for a while. A browser does not ask again after
// that by itself.
func TestThePageGoesOnAfterItsNodeHasRefusedIt(t *testing.T) {
	p := open(t, another())
	node, err := url.Parse("http://" + running.addrs[p.node])
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(node); r.Out.Host = node.Host }, FlushInterval: -1}
	var refused atomic.Int32
	lost, lose := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/page/events" {
			proxy.ServeHTTP(w, r)
			return
		}
		if lost.Err() == nil {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			context.AfterFunc(lost, cancel)
			r = r.WithContext(ctx)
		} else if refused.Add(1) <= 2 {
			http.Error(w, "it starts", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.CloseClientConnections)
	p.visitAt(server.URL)
	lose()
	p.wait(`document.body.dataset.connected === 'false'`)
	p.wait(`document.body.dataset.connected === 'true'`)
	if n := refused.Load(); n != 3 {
		t.Errorf("the page asked %d times after its stream broke, want 2 refusals and one stream", n)
	}
}
