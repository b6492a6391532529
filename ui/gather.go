package ui

import (
	"context"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
)

// lookEntries is how many entries of each log are asked for.
const lookEntries = 48

// answer is what came of one look at a node.
type answer struct {
	node string
	look api.Look
	err  error
}

// gather looks at the nodes until ctx ends, after former has been closed, and publishes what it
// sees. It alone uses the world.
func (p *Page) gather(ctx context.Context, former <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	if former != nil {
		<-former
	}
	g := &gatherer{page: p, answers: make(chan answer), asked: map[string]context.CancelFunc{}}
	defer g.wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.ask(ctx, selfNode, p.config.Look, p.world.cursor(p.world.self)) // what it told earlier is in the story
	tick := time.NewTicker(p.config.Frame)
	defer tick.Stop()
	p.world.begin(time.Now())
	for {
		select {
		case a := <-g.answers:
			p.world.take(a, time.Now())
			g.follow(ctx)
		case now := <-tick.C:
			p.world.publish(p.hub, now)
		case <-ctx.Done():
			return
		}
	}
}

// selfNode is the node that serves the page until it has told its name.
const selfNode = ""

// gatherer asks each node on a goroutine of its own, so that one that does not answer delays
// nobody else.
type gatherer struct {
	page    *Page
	answers chan answer
	wait    sync.WaitGroup
	asked   map[string]context.CancelFunc // by name and address
}

// follow asks the members that the serving node knows, and no others.
func (g *gatherer) follow(ctx context.Context) {
	wanted := map[string]bool{}
	for name, addr := range g.page.world.others(g.page.config.MaxNodes) {
		key := name + " " + addr
		wanted[key] = true
		if g.asked[key] != nil {
			continue
		}
		look, err := g.page.config.ask(name, addr)
		if err != nil {
			continue // gossip told an address that is none
		}
		own, cancel := context.WithCancel(ctx)
		g.asked[key] = cancel
		g.ask(own, name, look, g.page.world.cursor(name))
	}
	for key, cancel := range g.asked {
		if !wanted[key] {
			cancel()
			delete(g.asked, key)
		}
	}
}

// ask looks at one node again and again.
func (g *gatherer) ask(ctx context.Context, name string, look looker, o api.LookOptions) {
	g.wait.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			o.Entries = lookEntries
			ask, cancel := context.WithTimeout(ctx, time.Second)
			l, err := look(ask, o)
			cancel()
			if err == nil {
				o = seen(o, l)
			}
			select {
			case g.answers <- answer{name, l, err}:
			case <-ctx.Done():
				return
			}
			select {
			case <-time.After(max(g.page.config.Every-time.Since(began), g.page.config.Every/4)):
			case <-ctx.Done():
			}
		}
	})
}

// seen is what to ask for after a look.
func seen(o api.LookOptions, l api.Look) api.LookOptions {
	o.Event, o.Process = l.EventCount, l.Process
	if l.Master != nil {
		if n := len(l.Master.Happenings); n > 0 {
			o.Happening = l.Master.Happenings[n-1].Sequence
		} else if o.Term != l.Master.Term {
			o.Happening = 0
		}
		o.Term = l.Master.Term
	}
	return o
}
