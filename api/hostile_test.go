package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// served asks for the health over a new connection, and returns how long that takes.
func served(t *testing.T, addr string) time.Duration {
	t.Helper()
	began := time.Now()
	conn, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	response.Body.Close()
	return time.Since(began)
}

// Whoever opens connections and says nothing, or never the end of it, keeps nobody out: long before the time for the
// headers is over (20 s) a place is taken from one that has had a second.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	for name, c := range map[string]struct {
		connections int
		says        string
	}{
		"that say nothing":            {10_000, ""},
		"that say half a request":     {1_000, "GET /livez HTTP/1.1\r\nX-Slow: "},
		"that say half a second one":  {1_000, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /li"},
		"that speak another language": {1_000, "\x16\x03\x01"},
		"that promise a body":         {1_000, "POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && c.connections > 1000 {
				t.Skip("-short: opens 10,000 connections")
			}
			most := 500
			if c.connections > 1000 {
				most = 4096
			}
			var files syscall.Rlimit
			if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur < uint64(c.connections+most+100) {
				t.Skipf("%d files may be open, %v: too few", files.Cur, err)
			}
			_, addr := serve(t, Config{Backend: newFake(t, coordination.Config{}), MaxConnections: most, HeaderTimeout: 20 * time.Second})
			for range c.connections {
				conn, err := net.DialTimeout("tcp", addr, 20*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				io.WriteString(conn, c.says)
			}
			took := served(t, addr)
			t.Logf("behind %d connections, of %d that may be open, a client is served after %v", c.connections, most, took)
			if took > 15*time.Second {
				t.Errorf("a client waits for %v", took)
			}
		})
	}
}

func TestDeepJSONIsRefused(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	deep := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	for path, body := range map[string]string{
		"/v1/txn":      `{"operations":%s}`,
		batchPath:      `{"method":"GET","path":%s}`,
		"/v1/sessions": `{"timeout":%s}`,
	} {
		w := request(h, "POST", path, fmt.Sprintf(body, deep(1000)))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "nested deeper than 64") {
			t.Errorf("%s: %d %.200s", path, w.Code, w.Body)
		}
	}
	for text, want := range map[string]bool{deep(64): true, deep(65): false, `"` + deep(99) + `"`: true, `"\"` + deep(99): true, `"\\"` + deep(99): false, "": true} {
		if err := CheckDepth([]byte(text)); (err == nil) != want {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}
