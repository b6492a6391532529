package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/synod-go/synod/api"
)

// breaker makes the faults of a demonstration on the children of a fleet. It kills and stops
// them itself; what is cut and what is slow it tells to each of them, over a socket that no
// cut cuts.
type breaker struct {
	fleet  *fleet
	client *api.Client // to ask who votes
	say    func(format string, args ...any)
	socket string
	http   *http.Server

	making sync.Mutex // held while a fault is made
	mu     sync.Mutex
	last   int // number of the newest fault
	faults []*madeFault
	voters []string
	// What children are told: version counts its changes, and told is what each has.
	version uint64
	changed chan struct{} // closed and replaced at each change of version or told
	told    map[string]uint64
	news    []faultNews // the newest maxFaultNews
}

// madeFault is a fault in force.
type madeFault struct {
	api.Fault
	delay time.Duration
	timer *time.Timer // ends it by itself; nil: nothing does
}

// about reports whether a fault concerns a child.
func (m *madeFault) about(name string) bool { return slices.Contains(m.Nodes, name) }

// faultNews is what children add to their events.
type faultNews struct {
	Version uint64 `json:"version"` // with which it came
	ID      string `json:"id,omitempty"`
	Kind    string `json:"kind"`
	Text    string `json:"text"`
}

const maxFaultNews = 64

func newBreaker(f *fleet, client *api.Client, say func(string, ...any)) *breaker {
	return &breaker{fleet: f, client: client, say: say, changed: make(chan struct{}), told: map[string]uint64{}, version: 1}
}

// Faults lists the faults in force and the processes.
func (b *breaker) Faults(context.Context) (api.FaultList, error) {
	list := api.FaultList{Demo: true, Faults: []api.Fault{}, Nodes: []api.FaultProcess{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.faults {
		list.Faults = append(list.Faults, m.Fault)
	}
	for _, c := range b.children() {
		list.Nodes = append(list.Nodes, api.FaultProcess{Name: c.name, Agent: c.tasks != "", State: b.state(c), PID: c.pid()})
	}
	return list, nil
}

func (b *breaker) children() []*child { return slices.Concat(b.fleet.nodes, b.fleet.agents) }

// state is that of a child's process. b.mu is held.
func (b *breaker) state(c *child) string {
	switch {
	case c.pid() == 0 || b.has(api.FaultKill, c.name): // it may have a moment to answer yet
		return "down"
	case b.has(api.FaultPause, c.name):
		return "paused"
	}
	return "running"
}

// has reports whether a fault of a kind concerns a child. b.mu is held.
func (b *breaker) has(kind api.FaultKind, name string) bool {
	return slices.ContainsFunc(b.faults, func(m *madeFault) bool { return m.Kind == kind && m.about(name) })
}

// makeFault makes or heals faults. from is the child that asks: what would end it is done a
// little after it has its answer.
func (b *breaker) makeFault(ctx context.Context, f api.FaultRequest, from string) (api.FaultsDone, error) {
	if err := f.Check(); err != nil {
		return api.FaultsDone{}, err
	}
	b.making.Lock()
	defer b.making.Unlock()
	targets, err := b.targets(f)
	if err != nil {
		return api.FaultsDone{}, err
	}
	b.learnVoters(ctx)
	if err := b.checkQuorum(f, targets); err != nil {
		return api.FaultsDone{}, err
	}
	switch f.Kind {
	case api.FaultHeal:
		return b.heal(ctx, b.chosen(f))
	case api.FaultRestart:
		return b.restart(targets, from)
	case api.FaultResume:
		return b.heal(ctx, b.pauses(targets))
	}
	return b.begin(ctx, f, targets, from)
}

// targets are the children that a request names, and may be done that to.
func (b *breaker) targets(f api.FaultRequest) ([]*child, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var targets []*child
	for _, name := range f.Targets() {
		c := b.fleet.find(name)
		if c == nil || slices.Contains(b.fleet.helpers, c) {
			return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no node %.100q here", name), Why: "there are " + named(b.children())}
		}
		state := b.state(c)
		refused := f.Kind == api.FaultKill && state == "down" || f.Kind == api.FaultPause && state != "running" || f.Kind == api.FaultResume && state != "paused"
		if refused {
			return nil, &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("%s cannot be done to %s", f.Kind, name), Why: "it is " + state, Do: []string{"node fault ls"}}
		}
		targets = append(targets, c)
	}
	if (f.Kind == api.FaultCut || f.Kind == api.FaultSlow) && len(targets) == len(b.children()) {
		return nil, &api.Error{Code: api.CodeRequest, Message: "there is nobody on the other side", Why: "all nodes and agents are named", Do: []string{"name one side"}}
	}
	if f.ID != "" && !slices.ContainsFunc(b.faults, func(m *madeFault) bool { return m.ID == f.ID }) {
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no fault %.100q is in force", f.ID), Do: []string{"node fault ls"}}
	}
	return targets, nil
}

// named are the names of children as a text.
func named(list []*child) string { return strings.Join(namesOf(list), ", ") }

func namesOf(list []*child) []string {
	names := []string{}
	for _, c := range list {
		names = append(names, c.name)
	}
	return names
}

// begin makes a fault that lasts.
func (b *breaker) begin(ctx context.Context, f api.FaultRequest, targets []*child, from string) (api.FaultsDone, error) {
	delay, lasts := f.Times()
	b.mu.Lock()
	b.last++
	m := &madeFault{Fault: api.Fault{ID: fmt.Sprintf("f-%d", b.last), Kind: f.Kind, Nodes: namesOf(targets), Since: time.Now()}, delay: delay}
	m.Text = b.text(m)
	m.Seen = b.willBeSeen(m)
	if delay > 0 {
		m.Delay = delay.String()
	}
	if lasts > 0 {
		until := m.Since.Add(lasts)
		m.Until = &until
	}
	b.faults = append(b.faults, m)
	version := b.tell(m.Fault, m.Text)
	b.mu.Unlock()
	b.say("fault %s: %s", m.ID, m.Text)
	err := b.awaitTold(ctx, version, without(b.children(), targets, f.Kind))
	b.strike(m, targets, from)
	if lasts > 0 {
		b.mu.Lock()
		if f.Kind != api.FaultCut && f.Kind != api.FaultSlow && slices.ContainsFunc(targets, func(c *child) bool { return c.name == from }) {
			lasts += afterAnswer
		}
		m.timer = time.AfterFunc(lasts, func() { b.endOfTime(m) })
		b.mu.Unlock()
	}
	return api.FaultsDone{Faults: []api.Fault{m.Fault}}, err
}

// without are those of all that a fault of a kind leaves able to listen.
func without(all, targets []*child, kind api.FaultKind) []*child {
	if kind != api.FaultKill && kind != api.FaultPause {
		return all
	}
	return slices.DeleteFunc(all, func(c *child) bool { return slices.Contains(targets, c) })
}

// afterAnswer is how long a child that asked for its own end has for the answer.
const afterAnswer = 300 * time.Millisecond

// strike does to processes what is done to processes.
func (b *breaker) strike(m *madeFault, targets []*child, from string) {
	blow := map[api.FaultKind]syscall.Signal{api.FaultKill: syscall.SIGKILL, api.FaultPause: syscall.SIGSTOP}[m.Kind]
	if blow == 0 {
		return
	}
	for _, c := range targets {
		if c.name == from {
			time.AfterFunc(afterAnswer, func() { b.strikeLate(m, c, blow) })
			continue
		}
		c.strike(blow)
	}
}

// strikeLate strikes one that had an answer to give, unless the fault has been healed meanwhile: nothing
// would heal it a second time.
func (b *breaker) strikeLate(m *madeFault, c *child, blow syscall.Signal) {
	b.making.Lock()
	defer b.making.Unlock()
	b.mu.Lock()
	there := slices.Contains(b.faults, m) && m.about(c.name)
	b.mu.Unlock()
	if there {
		c.strike(blow)
	}
}

// strike returns when a process that is killed has ended.
func (c *child) strike(blow syscall.Signal) {
	done := c.ended()
	c.signal(blow, false)
	if blow == syscall.SIGKILL && done != nil {
		<-done
	}
}

// endOfTime heals a fault whose time is over.
func (b *breaker) endOfTime(m *madeFault) {
	b.making.Lock()
	defer b.making.Unlock()
	b.mu.Lock()
	there := slices.Contains(b.faults, m)
	b.mu.Unlock()
	if there {
		_, _ = b.heal(context.Background(), []*madeFault{m}) // what does not start again is told by say
	}
}

// chosen are the faults that a request heals.
func (b *breaker) chosen(f api.FaultRequest) []*madeFault {
	b.mu.Lock()
	defer b.mu.Unlock()
	targets := f.Targets()
	return slices.DeleteFunc(slices.Clone(b.faults), func(m *madeFault) bool {
		return f.ID != "" && m.ID != f.ID || len(targets) > 0 && !slices.ContainsFunc(targets, m.about)
	})
}

func (b *breaker) pauses(targets []*child) []*madeFault {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.faults), func(m *madeFault) bool {
		return m.Kind != api.FaultPause || !slices.ContainsFunc(targets, func(c *child) bool { return m.about(c.name) })
	})
}

// heal ends faults: what was killed is started again, what was paused goes on.
func (b *breaker) heal(ctx context.Context, over []*madeFault) (api.FaultsDone, error) {
	done := api.FaultsDone{Faults: []api.Fault{}}
	var failed error
	var version uint64
	for _, m := range over {
		b.mu.Lock()
		if m.timer != nil {
			m.timer.Stop()
		}
		b.faults = slices.DeleteFunc(b.faults, func(other *madeFault) bool { return other == m })
		m.Text = healedText(m.Fault)
		m.Seen, m.Until = "", nil
		version = b.tell(m.Fault, m.Text)
		b.mu.Unlock()
		if err := b.undo(m); err != nil {
			failed = err
			continue
		}
		b.say("fault %s is healed: %s", m.ID, m.Text)
		done.Faults = append(done.Faults, m.Fault)
	}
	if failed == nil && version > 0 {
		failed = b.awaitTold(ctx, version, b.children())
	}
	return done, failed
}

// undo starts again or lets go on whom a fault had struck.
func (b *breaker) undo(m *madeFault) error {
	for _, name := range m.Nodes {
		c := b.fleet.find(name)
		switch {
		case m.Kind == api.FaultPause:
			c.signal(syscall.SIGCONT, false)
		case m.Kind == api.FaultKill && c.pid() == 0:
			if err := b.startAgain(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *breaker) startAgain(c *child) error {
	err := b.fleet.start(c)
	if err != nil {
		b.say("%s does not start again: %s", c.name, plain(err))
		return &api.Error{Code: api.CodeInternal, Message: c.name + " does not start again", Why: plain(err)}
	}
	b.say("%s is started again, pid %d", c.name, c.pid())
	return nil
}

// restart starts children again, after those that run have ended: nodes in order, agents by
// SIGKILL, since their tasks are to live on.
func (b *breaker) restart(targets []*child, from string) (api.FaultsDone, error) {
	if len(targets) == 1 && targets[0].name == from {
		time.AfterFunc(afterAnswer, func() { _ = b.again(targets[0]) }) // say has told it
	} else {
		for _, c := range targets {
			if err := b.again(c); err != nil {
				return api.FaultsDone{}, err
			}
		}
	}
	f := api.Fault{Kind: api.FaultRestart, Nodes: namesOf(targets), Since: time.Now(), Text: named(targets) + verb(targets, " is", " are") + " started again"}
	b.mu.Lock()
	b.tell(f, f.Text)
	b.mu.Unlock()
	return api.FaultsDone{Faults: []api.Fault{f}}, nil
}

func (b *breaker) again(c *child) error {
	if done := c.ended(); done != nil && c.pid() != 0 {
		c.signal(syscall.SIGCONT, true)
		if c.tasks == "" {
			c.signal(syscall.SIGTERM, true)
			select {
			case <-done:
			case <-time.After(endPatience):
			}
		}
		c.kill()
	}
	return b.startAgain(c)
}

// started ends what concerned the process that c was before.
func (b *breaker) started(c *child) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.told, c.name)
	for _, m := range b.faults {
		if m.Kind == api.FaultKill || m.Kind == api.FaultPause {
			m.Nodes = slices.DeleteFunc(slices.Clone(m.Nodes), func(name string) bool { return name == c.name })
		}
	}
	b.faults = slices.DeleteFunc(b.faults, func(m *madeFault) bool { return len(m.Nodes) == 0 })
}

// rule is what a child is told of an address.
type rule struct {
	Cut         bool  `json:"cut,omitempty"`
	DelayMillis int64 `json:"delay_ms,omitempty"`
}

// rules are those for a child, by the address of others. b.mu is held.
func (b *breaker) rules(c *child) map[string]rule {
	at := map[string]rule{}
	for _, other := range b.children() {
		r := b.between(c.name, other.name)
		if other == c || r == (rule{}) {
			continue
		}
		for _, port := range other.ports {
			if port != 0 {
				at[net.JoinHostPort("127.0.0.1", fmt.Sprint(port))] = r
			}
		}
	}
	return maps.Clone(at)
}

// between is what holds between two children. b.mu is held.
func (b *breaker) between(x, y string) rule {
	var r rule
	for _, m := range b.faults {
		if m.about(x) == m.about(y) {
			continue
		}
		r.Cut = r.Cut || m.Kind == api.FaultCut
		r.DelayMillis = max(r.DelayMillis, m.delay.Milliseconds())
	}
	return r
}
