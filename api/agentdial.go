package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/mesos"
)

const (
	// agentPatience bounds one attempt of an agent to connect, and each write of its link.
	agentPatience = 5 * time.Second
	// linkSilence is after what time without a sign of life from a master's host its connection is taken for
	// broken. A host that lives answers even if its master is stopped.
	linkSilence = 3 * time.Second
	// mostHints is how many leaders that nodes have named are asked in one attempt.
	mostHints = 3
	// A master is silent when it has sent nothing for so many of the longest pause between two of its last
	// pings, and is not asked again for silentFor: who stands still or is cut off is followed by another. If another
	// node says that it leads still it was the agent that was cut off: it is asked, and has silentPatience to answer.
	silentPings    = 2.5
	silentFor      = 3 * time.Second
	silentPatience = time.Second
	// leastSilence bounds that from below: a busy machine is no silence.
	leastSilence = 2 * time.Second
)

// DialMaster returns how an agent reaches the leading master: by the API addresses (host:port) of any
// nodes, and by those that they name as the leader's. config is nil for plain text.
func DialMaster(addrs []string, config *tls.Config) (agent.Dial, error) {
	return DialMasterVia(addrs, config, "", nil)
}

// DialMasterVia is DialMaster that shows a token, "" for none, to nodes that have no TLS and want one, and whose connections
// are made by what via makes of its own DialFunc; nil: by that.
func DialMasterVia(addrs []string, config *tls.Config, token string, via func(dial DialFunc) DialFunc) (agent.Dial, error) {
	if _, err := NewClient(ClientConfig{Addrs: addrs}); err != nil {
		return nil, err
	}
	d := &masterDialer{addrs: slices.Clone(addrs), tls: config, token: token, via: via}
	return d.dial, nil
}

type masterDialer struct {
	addrs []string
	tls   *tls.Config
	via   func(DialFunc) DialFunc
	token string

	mu     sync.Mutex
	good   string // where the master led last
	silent string // who was to lead and said nothing
	until  time.Time
}

// fellSilent notes that the master at an address says nothing any more.
func (d *masterDialer) fellSilent(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.silent, d.until = addr, time.Now().Add(silentFor); d.good == addr {
		d.good = ""
	}
}

// dial asks one node after the other until one takes the agent: first the one that did last.
func (d *masterDialer) dial(ctx context.Context) (agent.Link, error) {
	d.mu.Lock()
	waiting := []string{d.good}
	asked, hints, silent := map[string]bool{"": true}, 0, ""
	if len(d.addrs) > 1 && time.Now().Before(d.until) {
		silent = d.silent
		asked[silent] = true
	}
	d.mu.Unlock()
	for _, i := range rand.Perm(len(d.addrs)) {
		waiting = append(waiting, d.addrs[i])
	}
	var failed error
	for len(waiting) > 0 && ctx.Err() == nil {
		addr := waiting[0]
		if waiting = waiting[1:]; asked[addr] {
			continue
		}
		asked[addr] = true
		patience := agentPatience
		if addr == silent {
			patience, silent = silentPatience, ""
		}
		link, err := d.connect(ctx, addr, patience)
		if err == nil {
			link.silent = func() { d.fellSilent(addr) }
			d.mu.Lock()
			d.good = addr
			d.mu.Unlock()
			return link, nil
		}
		if e, is := errors.AsType[*Error](err); is && e.Leader != nil && hints < mostHints {
			if hints++; e.Leader.API == silent {
				delete(asked, silent)
			}
			waiting = slices.Insert(waiting, 0, e.Leader.API)
		}
		if failed == nil || CodeOf(failed) == CodeReach {
			failed = err // what a node says is worth more than that another one is silent
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, failed
}

// connect asks one node.
func (d *masterDialer) connect(ctx context.Context, addr string, patience time.Duration) (*agentLink, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := d.open(ctx, addr)
	if err != nil {
		return nil, &Error{Code: CodeReach, Message: "the node at " + addr + " cannot be reached", Why: Reason(err)}
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	link, err := upgradeToAgent(conn, addr, d.token)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if _, is := errors.AsType[*Error](err); is {
			return nil, err
		}
		return nil, &Error{Code: CodeReach, Message: "the node at " + addr + " does not answer", Why: Reason(err)}
	}
	return link, nil
}

func (d *masterDialer) open(ctx context.Context, addr string) (net.Conn, error) {
	// A master whose host was cut off breaks no connection, and its pings say only after a minute that it is silent.
	dialer := &net.Dialer{Timeout: dialPatience, Control: giveUpOn(linkSilence),
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: linkSilence / 3, Interval: linkSilence / 3, Count: 2}}
	dial := DialFunc(dialer.DialContext)
	if d.via != nil {
		dial = d.via(dial)
	}
	connect, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	plain, err := dial(connect, "tcp", addr)
	if err != nil || d.tls == nil {
		return plain, err
	}
	config := d.tls.Clone()
	config.NextProtos = nil // an upgrade takes HTTP/1.1
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	conn := cluster.Client(plain, config, nil)
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// upgradeToAgent asks for the agent's protocol and makes a link of the connection.
func upgradeToAgent(conn net.Conn, addr, token string) (*agentLink, error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+addr+agentConnectPath, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", agentProtocol)
	showToken(request, token)
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReaderSize(conn, 16<<10)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		defer response.Body.Close()
		body, err := readAll(response.Body, maxAnswer)
		var e Error
		if err != nil || json.Unmarshal(body, &e) != nil || e.Code == "" {
			return nil, notSynod(response)
		}
		return nil, &e
	}
	term, _ := strconv.ParseUint(response.Header.Get(headerTerm), 10, 64) // 0: it does not say
	return &agentLink{conn: conn, reader: reader, writer: bufio.NewWriterSize(conn, 16<<10), term: mesos.Term(term)}, nil
}

// agentLink is an agent's link to the leading master.
type agentLink struct {
	conn   net.Conn
	reader *bufio.Reader
	writer *bufio.Writer
	term   mesos.Term

	// pings are when the last two or three came, which say when the next is due. silent is told that none did.
	pings  []time.Time
	silent func()
}

// Send sends a message, within agentPatience.
func (l *agentLink) Send(message any) error {
	_ = l.conn.SetWriteDeadline(time.Now().Add(agentPatience))
	if err := writeAgentFrame(l.writer, message); err != nil {
		return fmt.Errorf("api: send to the master: %w", err)
	}
	return l.writer.Flush()
}

// Receive returns the next message. What nobody understands ends the link, and so does a master
// that has been silent for much longer than between its pings.
func (l *agentLink) Receive() (any, error) {
	if err := l.await(); errors.Is(err, os.ErrDeadlineExceeded) {
		l.silent()
		return nil, fmt.Errorf("api: the master is silent: %w", err)
	}
	_ = l.conn.SetReadDeadline(time.Time{}) // a long message may take its time
	m, err := readAgentFrame(l.reader)
	if _, is := m.(mesos.Ping); is {
		l.pings = append(l.pings[max(0, len(l.pings)-2):], time.Now())
	}
	return m, err
}

// await waits for the first byte of the next message, as long as it may take. Who learns of the deadline much too late
// has stood still itself, as a container that was paused: the pings that came meanwhile are still to be read.
func (l *agentLink) await() error {
	due := l.due()
	_ = l.conn.SetReadDeadline(due)
	_, err := l.reader.Peek(1)
	if errors.Is(err, os.ErrDeadlineExceeded) && time.Since(due) > leastSilence/4 {
		_ = l.conn.SetReadDeadline(l.due())
		_, err = l.reader.Peek(1)
	}
	return err
}

// due is until when the next message has to be there; zero: no one knows, since hardly any ping has come.
func (l *agentLink) due() time.Time {
	if len(l.pings) < 2 {
		return time.Time{}
	}
	longest := time.Duration(0)
	for n, at := range l.pings[1:] {
		longest = max(longest, at.Sub(l.pings[n]))
	}
	return time.Now().Add(max(leastSilence, time.Duration(silentPings*float64(longest))))
}

// Term is the master's.
func (l *agentLink) Term() mesos.Term { return l.term }

// Close ends the link.
func (l *agentLink) Close() error { return l.conn.Close() }
