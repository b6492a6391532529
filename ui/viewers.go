package ui

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/synod-go/synod/api"
)

// viewer is one open page.
type viewer struct {
	token string // that the other nodes are shown
}

// enter adds a page and has the nodes looked at. It returns nil if there are too many.
func (p *Page) enter(r *http.Request) *viewer {
	v := &viewer{}
	if p.config.Token != nil {
		v.token = p.config.Token(r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.clients) >= p.config.MaxClients {
		return nil
	}
	p.clients = append(p.clients, v)
	if p.linger != nil {
		p.linger.Stop()
		p.linger = nil
	}
	if p.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		ended := p.ended
		p.stop, p.ended = cancel, make(chan struct{})
		go p.gather(ctx, ended, p.ended)
	}
	return v
}

// exit ends the looks some time after the last page has gone.
func (p *Page) exit(v *viewer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients = slices.DeleteFunc(p.clients, func(other *viewer) bool { return other == v })
	if len(p.clients) == 0 {
		p.linger = time.AfterFunc(p.config.Linger, p.rest)
	}
}

func (p *Page) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.clients) == 0 && p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// token is what the other nodes are shown now: what the page shows that was opened last. Nobody is asked with the token
// of one who has gone, and all who look at the page may see what any of them may.
func (p *Page) token() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.clients) == 0 {
		return ""
	}
	return p.clients[len(p.clients)-1].token
}

// askAPI asks a node over its API.
func (p *Page) askAPI(_, addr string) (looker, error) {
	client, err := p.clientFor(addr, "")
	if err != nil {
		return nil, err
	}
	shown := ""
	return func(ctx context.Context, o api.LookOptions) (api.Look, error) { // on one goroutine
		if token := p.token(); token != shown {
			next, err := p.clientFor(addr, token)
			if err != nil {
				return api.Look{}, err
			}
			client.Close()
			client, shown = next, token
		}
		return client.Look(ctx, o)
	}, nil
}

func (p *Page) clientFor(addr, token string) (*api.Client, error) {
	return api.NewClient(api.ClientConfig{Addrs: []string{addr}, TLS: p.config.TLS, Token: token, Rounds: 1})
}
