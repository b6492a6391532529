package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// slowClients is how many clients ask for something long and never read it.
const slowClients = 120

// slowLimit is the most that a node may hold for them, with everything else.
const slowLimit = 512 << 20

// askAndIdle opens n connections that each ask for path and read nothing.
func askAndIdle(t *testing.T, c *Cluster, n int, path string) (conns []net.Conn) {
	t.Helper()
	for range n {
		conn, err := c.config.Host.Dial(t.Context(), "tcp", c.Nodes[0].API)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if tcp, is := conn.(*net.TCPConn); is {
			_ = tcp.SetReadBuffer(4 << 10) // so that the kernel holds little of the answer
		}
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, c.Nodes[0].API); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	return conns
}

// listing reads a long page, as soon as there is room for it.
func listing(client *http.Client, address string, limit time.Duration) error {
	return poll(limit, func() error {
		response, err := client.Get("http://" + address + pathKV + "big?list")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK || len(body) < 4*6<<20 {
			return fmt.Errorf("%s, %d bytes, %v", response.Status, len(body), err)
		}
		return nil
	})
}

func TestClientsThatNeverReadAreBounded(t *testing.T) {
	c := smallCluster(t, 1, nil)
	value := bytes.Repeat([]byte("<"), 1<<20) // JSON makes six bytes of each
	client := &http.Client{Transport: &http.Transport{DialContext: c.config.Host.Dial}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for n := range 6 {
		request, err := http.NewRequest(http.MethodPut, fmt.Sprintf("http://%s%sbig/%d", c.Nodes[0].API, pathKV, n), bytes.NewReader(value))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("write %d: %v %v", n, response, err)
		}
		response.Body.Close()
	}
	before := c.memories()
	for _, path := range []string{pathKV + "big?list", pathKV + "big/0"} {
		conns := askAndIdle(t, c, slowClients, path)
		began, served, slowest, most := time.Now(), 0, time.Duration(0), int64(0)
		// As long as SlowClient of package api, and a little more.
		for time.Since(began) < 12*time.Second {
			took, err := serveShort(t, c, client)
			most = max(most, c.memories()[0].Now)
			if err != nil {
				t.Errorf("%s: another client is not served: %v", path, err)
				break
			}
			served, slowest = served+1, max(slowest, took)
		}
		t.Logf("%s: %d MiB before, at most %d; %d requests of others in %v, the slowest took %v", path, before[0].Now>>20, most>>20,
			served, time.Since(began).Round(time.Second), slowest.Round(time.Millisecond))
		// They are cut off by now, so that there is room for others.
		if err := listing(client, c.Nodes[0].API, 5*time.Second); err != nil {
			t.Errorf("%s: a listing afterwards: %v", path, err)
		}
		if served < 100 {
			t.Errorf("void: only %d requests of others", served)
		}
		for _, conn := range conns {
			conn.Close()
		}
	}
	if err := c.Unplanned(); err != nil {
		t.Fatal(err)
	}
	if most := c.memories()[0].Most; most > slowLimit {
		t.Errorf("the node took %d MiB, at most %d are expected", most>>20, slowLimit>>20)
	}
}

// serveShort is another client that writes and reads something short.
func serveShort(t *testing.T, c *Cluster, client *http.Client) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	began := time.Now()
	for _, method := range []string{http.MethodPut, http.MethodGet} {
		request, err := http.NewRequestWithContext(ctx, method, "http://"+c.Nodes[0].API+pathKV+"short", bytes.NewReader([]byte("s")))
		if err != nil {
			return 0, err
		}
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		answer, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%s: %s %s %v", method, response.Status, answer, err)
		}
	}
	return time.Since(began), nil
}
