package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/moby/moby/client"
)

// Config of an Engine. Cluster and Owner are required.
type Config struct {
	// Host is where the engine listens: unix:///var/run/docker.sock, tcp://... Default DOCKER_HOST, or that socket. With
	// DOCKER_CERT_PATH set, tcp is TLS with the ca.pem, cert.pem and key.pem there, and the engine's certificate is checked.
	Host string
	// Cluster begins the names of containers: letters, digits, and "_.-" after the first. Owner is whose they are: see the package.
	Cluster, Owner string
	// Version is that of the engine when it last answered, "" if none ever has. With it an engine that does not answer
	// Open is as one that has gone away: see the package, and Engine.Away.
	Version string
	// Credentials is a config.json as docker login writes it, read at each pull. "" is none.
	Credentials string
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// callTimeout is for one answer of an engine, if its caller's context does not allow less. After that none answers.
const callTimeout = 2 * time.Minute

// connectTimeout is for the first answers of an engine, and for its events to begin; infoTimeout is for what can be done
// without. Tests make them less.
var connectTimeout, infoTimeout = 10 * time.Second, 3 * time.Second

// Engine is a connection to a Docker engine. It is safe for concurrent use. A container is named by the 32
// hexadecimal digits of a mesos.ContainerID.
//
// All its errors but those of ctx wrap one of this package's, or are a *RefusedError. Calls that are answered at
// once (all but Image, Copy, Logs, and Exec once the command has started) say ErrNoEngine also when ctx's deadline passes: nobody has answered.
type Engine struct {
	cfg   Config
	conn  atomic.Pointer[connection] // nil: it has not answered yet
	first error                      // why it did not answer Open
	watch watch
	end   context.CancelFunc
	ended chan struct{} // closed when the watch has
}

// connection is what is known of the engine since it last came up.
type connection struct {
	api *client.Client
	// raw is for what is no HTTP after its first line.
	raw     *client.Client
	version string
	cpus    int // 0: not known
}

// nameRule is Docker's for a container's name, of which a cluster's name is the beginning.
var nameRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Open connects to an engine that answers within ctx, and at most 10 s. Without one the error wraps ErrNoEngine
// and says why, unless Config.Version is known. Close it.
func Open(ctx context.Context, c Config) (*Engine, error) {
	c.Host = cmp.Or(c.Host, os.Getenv(client.EnvOverrideHost), client.DefaultDockerHost)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if !nameRule.MatchString(c.Cluster) || len(c.Cluster) > 128 || c.Owner == "" {
		return nil, fmt.Errorf("docker: containers of the cluster %.80q and owner %.80q cannot be named: "+
			"up to 128 letters, digits and _.- are a cluster's name, and an owner is needed", c.Cluster, c.Owner)
	}
	e := &Engine{cfg: c, ended: make(chan struct{})}
	conn, err := connect(ctx, c.Host, c.Version != "")
	if err != nil && c.Version == "" {
		return nil, err
	}
	e.first = err
	e.conn.Store(conn)
	watching, end := context.WithCancel(context.Background())
	e.end = end
	go e.follow(watching)
	return e, nil
}

// connect asks an engine who it is. One that was known before need not tell its state, for which it asks all its parts:
// with one of them at a stand it still tells of containers and ends them.
func connect(ctx context.Context, host string, known bool) (*connection, error) {
	within, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	api, raw, err := dial(within, host)
	if err != nil {
		return nil, fmt.Errorf("%w at %.200s: %w", ErrNoEngine, host, err)
	}
	version, err := api.ServerVersion(within, client.ServerVersionOptions{})
	if err != nil {
		return nil, noAnswer("version", host, err)
	}
	if version.Os != "linux" {
		return nil, fmt.Errorf("%w at %.200s: it runs containers of %.80q, not of linux", ErrNoEngine, host, version.Os)
	}
	if known {
		shorter, cancel := context.WithTimeout(within, infoTimeout)
		defer cancel()
		within = shorter
	}
	info, err := api.Info(within, client.InfoOptions{})
	if err != nil && !known {
		return nil, noAnswer("info", host, err)
	}
	return &connection{api: api, raw: raw, version: version.Version, cpus: info.Info.NCPU}, nil
}

// processors is how many the engine has, 0 if it does not tell.
func (c *connection) processors(ctx context.Context) int {
	if c.cpus > 0 {
		return c.cpus
	}
	within, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, _ := c.api.Info(within, client.InfoOptions{}) // of an error it is 0
	return info.Info.NCPU
}

// noAnswer is why an engine is none for us.
func noAnswer(call, host string, err error) error {
	if err = wrong(call, err); errors.Is(err, ErrNoEngine) {
		return err
	}
	return fmt.Errorf("%w at %.200s: %w", ErrNoEngine, host, err)
}

// Version of the engine: "20.10.24". That of Config if it has not answered yet.
func (e *Engine) Version() string {
	if conn := e.conn.Load(); conn != nil {
		return conn.version
	}
	return e.cfg.Version
}

// Away is why the engine did not answer Open, nil if it has answered then or since.
func (e *Engine) Away() error {
	if e.conn.Load() != nil {
		return nil
	}
	return e.first
}

// connected returns what is known of the engine, or ErrNoEngine.
func (e *Engine) connected(call string) (*connection, error) {
	conn := e.conn.Load()
	if conn == nil {
		return nil, fmt.Errorf("%w at %.200s: %s: it has not answered yet", ErrNoEngine, e.cfg.Host, call)
	}
	return conn, nil
}

// Close ends the watch. Containers go on, and calls that are under way are for their callers to end.
func (e *Engine) Close() {
	e.end()
	<-e.ended
}

// ask makes one call that is answered at once.
func (e *Engine) ask(ctx context.Context, call string, f func(context.Context, *connection) error) error {
	conn, err := e.connected(call)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = wrong(call, f(within, conn))
	switch {
	case err == nil || ctx.Err() == nil || !errors.Is(err, ErrNoEngine):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("docker: %s: %w", call, ctx.Err())
	}
	return fmt.Errorf("%w: %s: %w", ErrNoEngine, call, ctx.Err())
}
