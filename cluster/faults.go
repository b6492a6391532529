package cluster

import (
	"context"
	"maps"
	"net"
	"sync"
	"time"
)

// Fault is what becomes of what passes between this process and an address.
type Fault struct {
	// Cut lets nothing pass, like a pulled cable: what is under way arrives after
	// the cut, and a connection breaks only when it lasts longer than cutBreaks.
	Cut bool
	// Delay is how much later everything arrives, each way.
	Delay time.Duration
}

// cutBreaks is how long a cut may last before connections break, as the kernel breaks
// those of TCP, which see no answer for that time.
const cutBreaks = 10 * time.Second

// Faults are the faults of a demonstration, by the address (host:port) that is dialled.
// They act on what this process dials and on the packets that it sends: for both ends of
// a cut to hear nothing, each process is told of the other's addresses. The zero value
// has no faults. Safe for concurrent use.
type Faults struct {
	mu      sync.Mutex
	at      map[string]Fault
	cutAt   map[string]*time.Timer // when connections to a cut address break
	changed chan struct{}          // closed and replaced at each change
	conns   map[*faultyConn]struct{}
}

// Set replaces all faults. An address that is not named has none.
func (f *Faults) Set(at map[string]Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = maps.Clone(at)
	if f.cutAt == nil {
		f.cutAt = map[string]*time.Timer{}
	}
	for addr, timer := range f.cutAt {
		if !at[addr].Cut {
			timer.Stop()
			delete(f.cutAt, addr)
		}
	}
	for addr, fault := range at {
		if fault.Cut && f.cutAt[addr] == nil {
			f.cutAt[addr] = time.AfterFunc(cutBreaks, func() { f.breakAll(addr) })
		}
	}
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// breakAll ends the connections to an address that is still cut.
func (f *Faults) breakAll(addr string) {
	f.mu.Lock()
	var broken []*faultyConn
	for c := range f.conns {
		if c.addr == addr && f.at[addr].Cut {
			broken = append(broken, c)
		}
	}
	f.mu.Unlock()
	for _, c := range broken {
		_ = c.Close()
	}
}

// of returns what holds for an address, and a channel that is closed when that may change.
func (f *Faults) of(addr string) (Fault, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.at[addr], f.changed
}

// pass waits until what has come at a time may pass on. It returns false if stop is closed
// or poke has something first.
func (f *Faults) pass(addr string, came time.Time, stop, poke <-chan struct{}) bool {
	for {
		fault, changed := f.of(addr)
		left := time.Until(came.Add(fault.Delay))
		if !fault.Cut && left <= 0 {
			return true
		}
		due := (<-chan time.Time)(nil)
		if !fault.Cut {
			due = time.After(left)
		}
		select {
		case <-changed:
		case <-due:
		case <-poke:
			return false
		case <-stop:
			return false
		}
	}
}

// Over returns network with these faults.
func (f *Faults) Over(network Network) Network { return faultyNetwork{network, f} }

type faultyNetwork struct {
	Network
	faults *Faults
}

// Dial connects once nothing is cut, and gives up when ctx ends.
func (n faultyNetwork) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return n.faults.dial(ctx, addr, n.Network.Dial)
}

// Dial is a DialContext, of an http.Transport for example, with these faults: dial connects.
func (f *Faults) Dial(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return f.dial(ctx, addr, func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, network, addr) })
	}
}

func (f *Faults) dial(ctx context.Context, addr string, dial func(ctx context.Context, addr string) (net.Conn, error)) (net.Conn, error) {
	if !f.pass(addr, time.Now(), ctx.Done(), nil) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	}
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	c := &faultyConn{Conn: conn, faults: f, addr: addr, closed: make(chan struct{}), poke: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		f.conns = map[*faultyConn]struct{}{}
	}
	f.conns[c] = struct{}{}
	return c, nil
}
