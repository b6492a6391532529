package api

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/synod-go/synod/cluster"
)

// Config configures a Server. Backend or Starting is required; every other field
// has a default.
type Config struct {
	// Backend is the node. It may come later, with SetBackend, if Starting is set.
	Backend Backend
	// Starting names what the start of the node waits for. While there is no
	// Backend it is what /readyz tells, and other requests end with CodeStarting.
	Starting func() []Check
	// Name is the node's name, sent along with forwarded requests.
	Name string
	// TLS makes the server speak TLS. It should ask for client certificates
	// without requiring them, and refuse bad ones.
	TLS *tls.Config
	// Who tells whom the certificate names that a connection has shown; ok is false if it has shown none. Its role says
	// what the request may have. TLS has verified the certificate. Default [cluster.PeerIdentity].
	Who func(tls.ConnectionState) (id cluster.Identity, ok bool)
	// Tokens are taken in the place of a certificate. Default nil: none. With neither TLS nor Tokens nobody has to say
	// who it is, and everybody may have everything.
	Tokens *Tokens
	// Super is the [DigestID] of a user who may do everything whatever access lists say.
	// Default "": there is none.
	Super string
	// ForwardTLS is how the server speaks to the leader's API; nil: plain text.
	ForwardTLS *tls.Config
	// AgentTLS is how the server speaks to agents; nil: plain text.
	AgentTLS *tls.Config
	// Faults makes faults on the processes of a demonstration. nil: this is none.
	Faults FaultMaker
	// Dial connects to other nodes and to agents. Default: that of a net.Dialer.
	Dial DialFunc
	// Hosts are Host names, without port, that are let in besides loopback's names, and beyond loopback, where nobody
	// has to say who it is, besides addresses and names of one part.
	Hosts []string

	MaxValue       int64         // bytes of a value. Default 1 MiB
	MaxBodies      int64         // bytes of all values that are being written; more is CodeOverloaded. Default 64 MiB
	MaxAnswers     int64         // bytes of all answers that are being read, without short ones; more is CodeOverloaded. Default 64 MiB
	MaxHeader      int           // bytes of a request's headers. Default 16 KiB
	MaxConnections int           // open connections; when there are as many, idle ones are closed, and those whose request has not come for a second; more wait to be accepted. Of more than 256 that have been idle for a second the rest is closed in any case. Default 4096
	MaxStrangers   int           // open connections of one address that have shown neither a certificate nor a token, where that is asked for; more are closed at once. Loopback's addresses may have any number. Default 100
	MaxWatches     int           // open watches and event streams; more are refused. Default 1024
	MaxSessions    int           // connections of sessions, which count apart from others; more are refused. Default 20,000
	HeaderTimeout  time.Duration // to send the headers, also of the first request of a new connection, and for a TLS handshake. Default 5 s
	BodyTimeout    time.Duration // to send the body. Default 30 s
	IdleTimeout    time.Duration // between requests of a connection. Default 60 s
	// RequestTimeout is how long the node works on a request that does not say
	// so itself (header Synod-Timeout, at most 60 s). Default 5 s.
	RequestTimeout time.Duration
	// Heartbeat is how often a quiet watch sends a sign of life. Default 5 s.
	Heartbeat time.Duration
	// SlowClient is how long an answer or a watch waits for its client to read 64 KiB
	// before it is cut off. Default 10 s.
	SlowClient time.Duration
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

// maxTimeout bounds what a request may ask for in Synod-Timeout.
const maxTimeout = 60 * time.Second

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	if c.MaxValue == 0 {
		c.MaxValue = 1 << 20
	}
	if c.MaxBodies == 0 {
		c.MaxBodies = max(64<<20, 2*c.MaxValue)
	}
	if c.MaxAnswers == 0 {
		c.MaxAnswers = max(64<<20, 2*(pageBytes+c.MaxValue))
	}
	if c.MaxHeader == 0 {
		c.MaxHeader = defaultHeader
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 4096
	}
	if c.MaxStrangers == 0 {
		c.MaxStrangers = defaultStrangers
	}
	if c.MaxWatches == 0 {
		c.MaxWatches = 1024
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 20_000
	}
	set(&c.HeaderTimeout, defaultHeaderTime)
	set(&c.BodyTimeout, 30*time.Second)
	set(&c.IdleTimeout, defaultIdleTime)
	set(&c.RequestTimeout, 5*time.Second)
	set(&c.Heartbeat, 5*time.Second)
	set(&c.SlowClient, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.Backend == nil && c.Starting == nil:
		return errors.New("api: Config.Backend and Config.Starting are nil")
	case c.MaxValue < 0 || c.MaxBodies < 0 || c.MaxAnswers < 0 || c.MaxHeader < 0 || c.MaxConnections < 0 || c.MaxStrangers < 0 || c.MaxWatches < 0 || c.MaxSessions < 0:
		return errors.New("api: a limit in Config is negative")
	case c.HeaderTimeout < 0 || c.BodyTimeout < 0 || c.IdleTimeout < 0 || c.RequestTimeout < 0 || c.Heartbeat < 0 || c.SlowClient < 0:
		return errors.New("api: a time in Config is negative")
	}
	return nil
}
