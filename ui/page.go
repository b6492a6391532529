package ui

import (
	"cmp"
	"context"
	"crypto/tls"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

//go:embed assets
var embedded embed.FS

// Config configures a Page. Look is required.
type Config struct {
	// Look looks at the node that serves the page. The others are those that it names with the
	// address of an API, and are asked for api.LookPath there.
	Look func(ctx context.Context, o api.LookOptions) (api.Look, error)
	// TLS is how the other nodes are spoken to; nil: plain text.
	TLS *tls.Config
	// Token is the token that the other nodes are shown, taken from the request of somebody who looks at the page: they
	// are asked with that of the page that was opened last and is still open. nil: they are shown none.
	Token func(*http.Request) string
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger

	MaxClients int           // open pages; more are refused. Default 32
	MaxNodes   int           // nodes that are asked. Default 64
	Every      time.Duration // between two looks at a node. Default 200 ms
	Frame      time.Duration // the least time between two frames. Default 100 ms
	SlowClient time.Duration // how long a page may take to read a frame before it is cut off. Default 10 s
	Linger     time.Duration // how long nodes are looked at after the last page has gone. Default 3 s

	// ask asks another node, in tests.
	ask func(name, addr string) (looker, error)
}

// looker looks at one node.
type looker func(ctx context.Context, o api.LookOptions) (api.Look, error)

func (c Config) withDefaults() Config {
	c.MaxClients, c.MaxNodes = cmp.Or(c.MaxClients, 32), cmp.Or(c.MaxNodes, 64)
	c.Every, c.Frame = cmp.Or(c.Every, 200*time.Millisecond), cmp.Or(c.Frame, 100*time.Millisecond)
	c.SlowClient, c.Linger = cmp.Or(c.SlowClient, 10*time.Second), cmp.Or(c.Linger, 3*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Page is an http.Handler for /, /ui/ and /v1/page/events. It is safe for concurrent use.
type Page struct {
	config Config
	files  http.Handler
	index  []byte
	hub    *hub

	mu      sync.Mutex
	clients []*viewer // in the order in which they came
	world   *world
	stop    context.CancelFunc // ends the gathering; nil if there is none
	ended   chan struct{}      // closed when it has ended
	linger  *time.Timer
}

// New returns a page that looks at nothing yet.
func New(c Config) (*Page, error) {
	if c.Look == nil {
		return nil, errors.New("ui: Config.Look is nil")
	}
	assets, err := fs.Sub(embedded, "assets")
	if err != nil {
		return nil, fmt.Errorf("ui: assets: %w", err)
	}
	index, err := fs.ReadFile(assets, "index.html")
	if err != nil {
		return nil, fmt.Errorf("ui: assets: %w", err)
	}
	p := &Page{config: c.withDefaults(), files: http.StripPrefix("/ui/", http.FileServerFS(assets)), index: index, hub: newHub(), world: newWorld()}
	if p.config.ask == nil {
		p.config.ask = p.askAPI
	}
	return p, nil
}

// Mount gives mux the page of a node of this process and of all members that it knows, and what
// the pages of those ask it for. The nodes of a synod.LocalCluster are looked at within the process,
// others over the network, in plain text. It panics if mux has one of the paths already. For more
// than that use New.
func Mount(mux *http.ServeMux, node *synod.Node) {
	look := func(ctx context.Context, o api.LookOptions) (api.Look, error) { return api.LookAt(ctx, node, o), nil }
	config := Config{Look: look}
	if _, local := node.Neighbour(node.Name()); local {
		config.ask = func(name, _ string) (looker, error) { return askNeighbour(node, name), nil }
	}
	page, err := New(config)
	if err != nil {
		panic(err) // there is a Look, and the assets are part of the program
	}
	mux.Handle("GET /{$}", page)
	mux.Handle("GET /ui/", page)
	mux.Handle("GET /v1/page/events", page)
	mux.HandleFunc("GET "+api.LookPath, func(w http.ResponseWriter, r *http.Request) {
		o, err := api.ReadLookOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.LookAt(r.Context(), node, o)) // a client that has gone is found by net/http
	})
}

// askNeighbour looks at another node of the same process, whichever bears the name at the time.
func askNeighbour(node *synod.Node, name string) looker {
	return func(ctx context.Context, o api.LookOptions) (api.Look, error) {
		neighbour, _ := node.Neighbour(name)
		if neighbour == nil {
			return api.Look{}, errors.New("it is killed")
		}
		return api.LookAt(ctx, neighbour, o), nil
	}
}

// policy lets the page load nothing but its own files.
const policy = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP answers for the page's files and its stream.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page is only read", http.StatusMethodNotAllowed)
	case r.URL.Path == "/v1/page/events":
		p.serveEvents(w, r)
	case strings.HasPrefix(r.URL.Path, "/ui/"):
		p.files.ServeHTTP(w, r)
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(p.index) // a client that has gone is found by net/http
	}
}
