package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
)

// What the tests of bad input know of sessions on the wire. It is written down here
// again, like the rest of the interface.
const (
	headerSession = "Synod-Session"
	pathSessions  = "/v1/sessions"
	pathConnect   = "/v1/session/connect"
	sessionWire   = "synod-session/1"
)

// wireSession is an open session.
type wireSession struct {
	ID    uint64 `json:"session"`
	Token string `json:"token"`
}

// rawCluster sends requests to a cluster, good ones and bad ones.
type rawCluster struct {
	*testing.T
	c          *Cluster
	client     *http.Client
	leaderless *atomic.Int64 // answers that no node leads
}

func newRawCluster(t *testing.T, c *Cluster) *rawCluster {
	client := &http.Client{Transport: &http.Transport{DialContext: c.config.Host.Dial, MaxIdleConnsPerHost: 16}, Timeout: 30 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	return &rawCluster{t, c, client, new(atomic.Int64)}
}

// with is the same for a subtest.
func (r *rawCluster) with(t *testing.T) *rawCluster {
	return &rawCluster{t, r.c, r.client, r.leaderless}
}

// ask sends a request to a node and returns the status and the body.
func (r *rawCluster) ask(method, path, token string, body []byte) (status int, answer []byte, err error) {
	return r.askNode(0, method, path, token, body)
}

func (r *rawCluster) askNode(node int, method, path, token string, body []byte) (status int, answer []byte, err error) {
	return r.askOnce(node, method, path, token, "", body)
}

// settled is ask, again while no node leads or the answer was lost with the leader. What changes a key does so once.
func (r *rawCluster) settled(method, path, token string, body []byte) (status int, answer []byte, err error) {
	id := ""
	if strings.HasPrefix(path, "/v1/kv/") && method != http.MethodGet || path == "/v1/txn" {
		id = ulid.Make().String()
	}
	for deadline := time.Now().Add(recoverLimit); ; _ = hold(r.Context(), 20*time.Millisecond) {
		status, answer, err = r.askOnce(0, method, path, token, id, body)
		if !leaderless(answer) || time.Now().After(deadline) {
			return status, answer, err
		}
		r.leaderless.Add(1)
	}
}

// leaderless reports whether an answer says that nobody leads, or that the leader was deposed meanwhile: a leader whose disk
// stands still hands over.
func leaderless(answer []byte) bool {
	return bytes.Contains(answer, []byte(`"E-NOLEADER"`)) || bytes.Contains(answer, []byte(`"E-UNKNOWN"`))
}

func (r *rawCluster) askOnce(node int, method, path, token, id string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(r.Context(), method, "http://"+r.c.Nodes[node].API+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if id != "" {
		request.Header.Set(headerRequest, id)
	}
	if token != "" {
		request.Header.Set(headerSession, token)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	return response.StatusCode, answer, err
}

// refused asks for something that must be refused with a code, and with words.
func (r *rawCluster) refused(code, method, path, token string, body []byte) {
	r.Helper()
	status, answer, err := r.settled(method, path, token, body)
	var failure wireError
	if err == nil {
		err = json.Unmarshal(answer, &failure)
	}
	if err != nil || failure.Code != code || failure.Message == "" || status < 400 || status == http.StatusInternalServerError {
		r.Errorf("%s %.100q: want %s, got %d %.300s %v", method, path, code, status, answer, err)
	}
}

// done asks for something that must succeed.
func (r *rawCluster) done(method, path, token string, body []byte) (answer []byte) {
	r.Helper()
	status, answer, err := r.settled(method, path, token, body)
	if err != nil || status != http.StatusOK {
		r.Fatalf("%s %s: %d %.300s %v", method, path, status, answer, err)
	}
	return answer
}

// open opens a session.
func (r *rawCluster) open(timeout, linger string) (s wireSession) {
	r.Helper()
	answer := r.done(http.MethodPost, pathSessions, "", fmt.Appendf(nil, `{"timeout":%q,"linger":%q}`, timeout, linger))
	if err := json.Unmarshal(answer, &s); err != nil || s.ID == 0 || s.Token == "" {
		r.Fatalf("opened %s: %v", answer, err)
	}
	return s
}

// rawConn is the connection of a session.
type rawConn struct {
	net.Conn
	lines *bufio.Reader
}

// dial opens a connection to a node.
func (r *rawCluster) dial(node int) net.Conn {
	r.Helper()
	conn, err := r.c.config.Host.Dial(r.Context(), "tcp", r.c.Nodes[node].API)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { conn.Close() })
	return conn
}

func (r *rawCluster) upgrade(node int, token string, number int) string {
	return fmt.Sprintf("GET %s?number=%d HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n",
		pathConnect, number, r.c.Nodes[node].API, sessionWire, headerSession, token)
}

// connect makes the connection of a session, which must succeed. early is sent along.
func (r *rawCluster) connect(node int, token string, number int, early string) *rawConn {
	r.Helper()
	conn, response := r.tryConnect(node, token, number, early)
	if response.StatusCode != http.StatusSwitchingProtocols {
		answer, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
		r.Fatalf("connect: %s %s", response.Status, answer)
	}
	return conn
}

func (r *rawCluster) tryConnect(node int, token string, number int, early string) (*rawConn, *http.Response) {
	r.Helper()
	conn := &rawConn{Conn: r.dial(node)}
	conn.lines = bufio.NewReader(conn.Conn)
	if _, err := io.WriteString(conn, r.upgrade(node, token, number)+early); err != nil {
		r.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	response, err := http.ReadResponse(conn.lines, nil)
	if err != nil {
		r.Fatalf("connect: %v", err)
	}
	return conn, response
}

// send sends a line.
func (c *rawConn) send(format string, args ...any) error {
	_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, err := fmt.Fprintf(c, format+"\n", args...)
	return err
}

// await reads lines until one holds want, at most for limit.
func (c *rawConn) await(want string, limit time.Duration) error {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	for {
		line, err := c.lines.ReadString('\n')
		if strings.Contains(line, want) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("no line with %q: %w", want, err)
		}
	}
}

// ended reads until the other side has closed the connection, and returns the last line.
func (c *rawConn) ended(limit time.Duration) (last string, err error) {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	for {
		line, err := c.lines.ReadString('\n')
		if line != "" {
			last = line
		}
		if err == nil {
			continue
		}
		if timedOut(err) {
			return last, fmt.Errorf("still open after %v", limit)
		}
		return last, nil
	}
}

// timedOut reports whether a read ended because of its deadline.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// others are clients that mean well: they must be served all the while.
type others struct {
	began   time.Time
	served  int
	slowest time.Duration
	failed  error
	stop    context.CancelFunc
	done    chan struct{}
}

func (r *rawCluster) startOthers() *others {
	ctx, cancel := context.WithCancel(r.Context())
	o := &others{began: time.Now(), stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		for ctx.Err() == nil {
			took, err := serveShort(r.T, r.c, r.client)
			if err != nil && leaderless([]byte(err.Error())) {
				r.leaderless.Add(1)
				_ = hold(ctx, 20*time.Millisecond)
				continue
			}
			if err != nil {
				o.failed = err
				return
			}
			o.served, o.slowest = o.served+1, max(o.slowest, took)
			_ = hold(ctx, 20*time.Millisecond)
		}
	}()
	return o
}

// end fails the test unless they were served.
func (o *others) end(t *testing.T) {
	o.stop()
	<-o.done
	t.Logf("%d requests of others, the slowest took %v", o.served, o.slowest.Round(time.Millisecond))
	if o.failed != nil || o.served < 1+int(time.Since(o.began)/time.Second) {
		t.Errorf("others are not served: %d requests, then %v", o.served, o.failed)
	}
}
