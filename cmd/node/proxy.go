package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

// proxy passes connections on to whoever leads an election.
type proxy struct {
	*app
	election string
	listen   string
	http     bool
	wait     time.Duration
	most     int
	follower *follower
	own      string // the address that we listen on
	blinded  bool   // it was told that the election cannot be seen
}

func (a *app) proxyCommand() *cobra.Command {
	p := &proxy{app: a}
	c := &cobra.Command{
		Use: "proxy --election NAME --listen ADDR", Short: "pass connections on to the leader of an election", Args: cobra.NoArgs,
		Long: "Listen on ADDR and pass each connection on to the leader of the election NAME, who announces its host:port as the\n" +
			"value (elect --value). When the leader changes, new connections go to the new one; those that are there are not\n" +
			"cut, and end when one of their ends ends them, or the leader's has not been heard of for 5 s, for 1 s where another\n" +
			"leads. Without a leader new connections wait for --wait, and are closed then. When the cluster cannot be asked the\n" +
			"last leader is the leader.\n\n" +
			"With --http each request goes to the leader of the moment, also on a connection that is kept; upgrades such as\n" +
			"WebSockets pass; what goes wrong is answered with 503 or 502 and a reason. A line tells of each change.\n\n" +
			"An old leader that does not know of the new one yet may still answer on an old connection: only what looks at\n" +
			"fencing tokens is safe from it.",
		Example: a.example("proxy --election web --listen 127.0.0.1:8080", "proxy --election web --listen 127.0.0.1:8080 --http --wait 3s"),
		RunE:    func(c *cobra.Command, _ []string) error { return p.run(c.Context()) },
	}
	flags := c.Flags()
	flags.StringVar(&p.election, "election", "", "the election to follow")
	flags.StringVar(&p.listen, "listen", "", "host:port to listen on; port 0: any that is free")
	flags.BoolVar(&p.http, "http", false, "pass on HTTP requests rather than connections")
	flags.DurationVar(&p.wait, "wait", 10*time.Second, "how long a new connection waits for a leader that can be connected to")
	flags.IntVar(&p.most, "max", 1024, "how many connections at most, 1 to 65536; more are refused")
	return c
}

func (p *proxy) check() error {
	e := &api.Error{Code: api.CodeUsage, Message: "the proxy cannot be started like that", Do: []string{"node proxy --election web --listen 127.0.0.1:8080"}}
	switch {
	case strings.Trim(p.election, "/") == "":
		e.Why = "--election must name the election to follow"
	case p.listen == "":
		e.Why = "--listen must say where to listen"
	case p.wait <= 0:
		e.Why = "--wait must be above 0"
	case p.most < 1 || p.most > 65536:
		e.Why = fmt.Sprintf("--max is 1 to 65536, not %d", p.most)
	default:
		return nil
	}
	return e
}

func (p *proxy) run(ctx context.Context) error {
	if err := p.check(); err != nil {
		return err
	}
	client, err := p.client()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", p.listen)
	if err != nil {
		return &api.Error{Code: api.CodePort, Message: "cannot listen on " + p.listen, Why: api.Reason(err), Do: []string{"--listen 127.0.0.1:0 takes a port that is free"}}
	}
	p.own = listener.Addr().String()
	p.follower = newFollower(strings.Trim(p.election, "/"))
	p.say(proxyLine{Listen: p.own}, "listens on "+p.own)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- p.follower.watch(ctx, client, p.see, p.blind) }()
	go func() {
		ended <- p.serve(ctx, &bounded{Listener: listener, slots: make(chan struct{}, p.most), refuse: p.refuse})
	}()
	err = <-ended
	if errors.Is(err, context.Canceled) {
		return silent(api.ExitOK)
	}
	return err
}

func (p *proxy) serve(ctx context.Context, l *bounded) error {
	if p.http {
		return serveHTTP(ctx, l, p.follower, p.wait)
	}
	return serveTCP(ctx, l, p.follower, p.wait)
}

// proxyLine is a line of the proxy for programs.
type proxyLine struct {
	Listen string `json:"listen,omitempty"`
	Leader string `json:"leader,omitempty"`
	Token  uint64 `json:"token,omitempty"`
	Reason string `json:"reason,omitempty"` // why there is no leader to connect to
}

func (p *proxy) say(line proxyLine, text string) {
	if p.output == "json" {
		_ = p.line(line) // a closed pipe ends the program
		return
	}
	fmt.Fprintln(p.out, text)
}

// see takes note of a leader.
func (p *proxy) see(l recipes.Leader) {
	addr, reason := p.address(l)
	p.follower.set(addr)
	p.blinded = false
	line := proxyLine{Leader: addr, Token: l.Token, Reason: reason}
	if reason != "" {
		p.say(line, reason+": new connections wait")
		return
	}
	p.say(line, fmt.Sprintf("%s leads, token %d: new connections go there", addr, l.Token))
}

// address is where the leader can be connected to, or why nowhere.
func (p *proxy) address(l recipes.Leader) (addr, reason string) {
	if l.Token == 0 {
		return "", "nobody leads " + p.follower.name
	}
	addr = string(l.Value)
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil || host == "" || port == "" || strings.ContainsAny(addr, " \t\n"):
		return "", shown(l.Value) + " leads and has announced no host:port"
	case addr == p.own:
		return "", addr + " leads, which is this proxy itself"
	}
	return addr, ""
}

// blind tells, once, that the election cannot be followed for a while.
func (p *proxy) blind(err error) {
	if p.blinded {
		return
	}
	p.blinded = true
	addr, _ := p.follower.now()
	if addr == "" {
		p.hint("the election cannot be seen: %s; new connections wait", plain(err))
		return
	}
	p.hint("the election cannot be seen: %s; new connections go on to %s", plain(err), addr)
}

// refuse ends a connection that is one too many, in HTTP with a reason.
func (p *proxy) refuse(conn net.Conn) {
	if p.http {
		const body = "the proxy has as many connections as it may\n"
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	conn.Close()
}

// bounded is a listener that hands out a number of connections at most. More are refused at once.
type bounded struct {
	net.Listener
	slots  chan struct{}
	refuse func(net.Conn)
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.slots <- struct{}{}:
			return &boundConn{TCPConn: conn.(*net.TCPConn), slots: b.slots}, nil
		default:
			b.refuse(conn)
		}
	}
}
