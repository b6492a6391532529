package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/mesos"
)

// leadingNode takes agents, and shows the connections of those that come.
func leadingNode(t *testing.T, term string) (addr string, conns chan net.Conn) {
	t.Helper()
	conns = make(chan net.Conn, 4)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != agentConnectPath || r.Header.Get("Upgrade") != agentProtocol {
			t.Errorf("asked for %s, %v", r.URL, r.Header)
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+agentProtocol+"\r\n"+headerTerm+": "+term+"\r\n\r\n")
		conns <- conn
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), conns
}

// refusingNode leads nothing and names who does.
func refusingNode(t *testing.T, e *Error) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeError(w, e) }))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestAnAgentFollowsTheHintToTheLeadingMaster(t *testing.T) {
	leader, conns := leadingNode(t, "12")
	hint := refusingNode(t, &Error{Code: CodeNoLeader, Message: "not here", Leader: &Leader{Name: "n2", API: leader}})
	dial, err := DialMaster([]string{"127.0.0.1:1", hint}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it goes there at once
		link, err := dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		far := <-conns
		if link.Term() != 12 {
			t.Errorf("term %d", link.Term())
		}
		if err := link.Send(mesos.Pong{Agent: "a", Term: 3, Sequence: 4}); err != nil {
			t.Fatal(err)
		}
		if m, err := readAgentFrame(bufio.NewReader(far)); err != nil || m != (mesos.Pong{Agent: "a", Term: 3, Sequence: 4}) {
			t.Errorf("%+v, %v", m, err)
		}
		w := bufio.NewWriter(far)
		if err := errors.Join(writeAgentFrame(w, mesos.Ping{Term: 3, Sequence: 5}), w.Flush()); err != nil {
			t.Fatal(err)
		}
		if m, err := link.Receive(); err != nil || m != (mesos.Ping{Term: 3, Sequence: 5}) {
			t.Errorf("%+v, %v", m, err)
		}
		far.Close()
		if _, err := link.Receive(); err == nil {
			t.Error("a closed connection has not ended")
		}
		link.Close()
	}
}

// A master that is cut off or stands still closes no connection.
func TestAnAgentLeavesAMasterThatIsSilentAndAsksOthersFirst(t *testing.T) {
	old, olds := leadingNode(t, "12")
	next, nexts := leadingNode(t, "13")
	addrs := []string{old, refusingNode(t, &Error{Code: CodeNoLeader, Message: "not here", Leader: &Leader{Name: "n1", API: old}})}
	d := &masterDialer{addrs: addrs}
	link, err := d.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	far := <-olds
	defer far.Close() // and is not collected before
	w := bufio.NewWriter(far)
	for n := range 3 {
		if err := errors.Join(writeAgentFrame(w, mesos.Ping{Term: 3, Sequence: uint64(n)}), w.Flush()); err != nil {
			t.Fatal(err)
		}
		if _, err := link.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if m, err := link.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < leastSilence*9/10 {
		t.Fatalf("%+v, %v after %v", m, err, time.Since(began))
	}
	d.addrs = []string{old, next}
	if link, err := d.dial(t.Context()); err != nil || link.Term() != 13 {
		t.Errorf("%v, %v", link, err)
	}
	<-nexts
	alone := &masterDialer{addrs: []string{old}}
	alone.fellSilent(old)
	if link, err := alone.dial(t.Context()); err != nil || link.Term() != 12 {
		t.Errorf("the only one is not asked: %v, %v", link, err)
	}
}

// Whoever was cut off itself, and is no more, finds the silent master leading still.
func TestAnAgentAsksASilentMasterAgainOfWhichOthersSayThatItLeads(t *testing.T) {
	old, _ := leadingNode(t, "12")
	names := func(leader string) string {
		return refusingNode(t, &Error{Code: CodeNoLeader, Message: "not here", Leader: &Leader{Name: "n", API: leader}})
	}
	d := &masterDialer{addrs: []string{old, names(old)}}
	d.fellSilent(old)
	if link, err := d.dial(t.Context()); err != nil || link.Term() != 12 {
		t.Errorf("%v, %v", link, err)
	}
	// One that stands still takes connections and does not answer: nobody waits for it for long, nor twice.
	still, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer still.Close()
	next, _ := leadingNode(t, "13")
	silent := still.Addr().String()
	for range 3 { // the others are asked in any order
		d = &masterDialer{addrs: []string{silent, names(silent), names(silent), names(next)}}
		d.fellSilent(silent)
		began := time.Now()
		if link, err := d.dial(t.Context()); err != nil || link.Term() != 13 || time.Since(began) > agentPatience*9/10 {
			t.Errorf("%v, %v after %v", link, err, time.Since(began))
		}
	}
}

func TestAnAgentSaysWhyItReachesNoMaster(t *testing.T) {
	circle := &Error{Code: CodeNoLeader, Message: "no master leads"}
	node := refusingNode(t, circle)
	circle.Leader = &Leader{API: node} // itself: asked once
	garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer garbage.Close()
	for _, c := range []struct {
		addrs []string
		code  Code
	}{
		{[]string{"127.0.0.1:1"}, CodeReach},
		{[]string{"127.0.0.1:1", node}, CodeNoLeader},
		{[]string{strings.TrimPrefix(garbage.URL, "http://")}, CodeReach},
	} {
		dial, err := DialMaster(c.addrs, nil)
		if err != nil {
			t.Fatal(err)
		}
		if link, err := dial(t.Context()); CodeOf(err) != c.code || link != nil {
			t.Errorf("%v: %v, want %s", c.addrs, err, c.code)
		}
	}
	for _, addrs := range [][]string{nil, {"nonsense"}} {
		if _, err := DialMaster(addrs, nil); CodeOf(err) != CodeUsage {
			t.Errorf("%v: %v", addrs, err)
		}
	}
}

func TestADialEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and answers none
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial, err := DialMaster([]string{l.Addr().String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := dial(ctx)
		done <- err
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAFrameThatIsTooLongOrTornEndsTheLink(t *testing.T) {
	for name, data := range map[string]string{"too long": "\xff\xff\xff\xff", "torn head": "\x00\x00", "torn body": "\x00\x00\x00\x09abc", "nonsense": "\x00\x00\x00\x03abc"} {
		if m, err := readAgentFrame(bufio.NewReader(strings.NewReader(data))); err == nil {
			t.Errorf("%s: %v", name, m)
		}
	}
}

// lateConn tells of a deadline late by as long as its process stood still.
type lateConn struct {
	net.Conn
	stood time.Duration
}

func (c *lateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		time.Sleep(c.stood)
		c.stood = 0
	}
	return n, err
}

// A container that was paused finds the pings of that time when it goes on; a master that says nothing then is silent.
func TestAnAgentThatStoodStillDoesNotTakeTheMasterForSilent(t *testing.T) {
	for name, c := range map[string]struct {
		stood time.Duration
		pings bool
		want  bool // the master is silent
	}{
		"stood still, and pings came":   {time.Minute, true, false},
		"stood still, and none came":    {time.Minute, false, true},
		"was awake, and none came":      {0, false, true},
		"was late as on a busy machine": {leastSilence / 8, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer ours.Close()
				defer theirs.Close()
				silent := false
				l := &agentLink{conn: &lateConn{ours, c.stood}, silent: func() { silent = true }, pings: []time.Time{time.Now().Add(-time.Second), time.Now()}}
				l.reader = bufio.NewReader(l.conn)
				if c.pings {
					go func() { // while we sleep in Read
						time.Sleep(c.stood / 2)
						w := bufio.NewWriter(theirs)
						_ = errors.Join(writeAgentFrame(w, mesos.Ping{}), w.Flush())
					}()
				}
				m, err := l.Receive()
				if _, is := m.(mesos.Ping); silent != c.want || is == c.want {
					t.Errorf("received %v, %v; silent is %t", m, err, silent)
				}
			})
		})
	}
}
