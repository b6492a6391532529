package api

import (
	"context"
	"errors"
	"slices"

	"github.com/synod-go/synod/coordination"
)

// sessionPump sends the changes that the watches of one connection want. All watches
// share one cursor into the tree's history, so nothing is queued for a client that reads
// slowly. It runs, as a goroutine, only while there is something to do: the dispatcher
// and the reader of the connection wake it.
//
// The fields of the first part are guarded by sessionConn.mu, the others belong to whoever
// runs it.
type sessionPump struct {
	running bool
	orders  []sessionLine // what the client has asked for since the last look
	woken   uint64        // the first index that the dispatcher has told since then
	blind   bool          // or it may have missed some
	sent    uint64        // everything up to here that any watch wants has been sent

	id      uint64 // that of the dispatcher; 0: there was no watch yet
	cursor  uint64 // everything up to here has been sent, but to watches that catch up
	behind  bool   // there is more to look at behind cursor
	watches map[uint64]*sessionWatch
	places  map[place][]*sessionWatch
	syncs   []uint64 // indexes that the client waits for, in the order of arrival
}

// sessionWatch is one watch of a session.
type sessionWatch struct {
	number uint64
	watch  coordination.Watch
	once   bool
	// after is the index up to which the watch wants nothing or has been told. Below
	// catchUp it is told alone, from there on by the common cursor.
	after, catchUp uint64
	first          uint64 // the index of its first change
}

// place is what a watch watches.
type place struct {
	path  string
	scope coordination.Scope
}

func placeOf(w coordination.Watch) place { return place{w.Path, w.Scope} }

// maxOrders bounds what a client may ask for ahead.
const maxOrders = 2 * maxSessionWatches

// request hands a line over to the pump.
func (c *sessionConn) request(m sessionLine) error {
	c.mu.Lock()
	full := len(c.pump.orders) == maxOrders
	if !full {
		c.pump.orders = append(c.pump.orders, m)
	}
	c.mu.Unlock()
	if full {
		return &Error{Code: CodeOverloaded, Message: "the session asks for more than it reads"}
	}
	c.kick()
	return nil
}

// wake implements waker.
func (c *sessionConn) wake(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.pump
	if p.woken == 0 {
		p.woken = index
	}
	p.blind = p.blind || index == 0
	c.startLocked()
}

// kick lets the pump look whether there is something to do.
func (c *sessionConn) kick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startLocked()
}

func (c *sessionConn) startLocked() {
	if !c.pump.running {
		c.pump.running = true
		go c.runPump()
	}
}

// reached is the index up to which everything has been sent. The caller holds c.out, so
// that this is still so when it says so.
func (c *sessionConn) reached() uint64 {
	at := c.server.dispatcher.at.Load() // before the look whether somebody was woken up to there
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := &c.pump; !p.running && p.id != 0 {
		p.sent = max(p.sent, at)
	}
	return c.pump.sent
}

// runPump does what there is to do and ends.
func (c *sessionConn) runPump() {
	defer func() {
		if c.survived(recover()) {
			c.letGo()
		}
	}()
	p := &c.pump
	for {
		at := c.server.dispatcher.at.Load()
		c.mu.Lock()
		orders, woken, blind := p.orders, p.woken, p.blind
		p.orders, p.woken, p.blind = nil, 0, false
		idle := !p.behind && !blind && len(orders)+len(p.syncs) == 0 && woken == 0 && p.laggard() == nil
		if c.closed || idle {
			closed := c.closed
			p.running = closed // nothing runs after the last time
			c.mu.Unlock()
			if closed {
				c.letGo()
			}
			return
		}
		c.mu.Unlock()
		p.skip(at, woken, blind)
		if err := c.step(orders, woken > 0 || blind); err != nil {
			c.giveUp(err)
		}
		c.mu.Lock()
		p.sent = p.told()
		c.mu.Unlock()
	}
}

// skip moves the cursor to where something of interest begins: it was woken for
// everything of interest up to at.
func (p *sessionPump) skip(at, woken uint64, blind bool) {
	switch {
	case p.behind || blind || p.id == 0:
	case woken > 0:
		p.cursor = max(p.cursor, woken-1)
	default:
		p.cursor = max(p.cursor, at)
	}
}

// laggard is a watch that catches up, nil if there is none.
func (p *sessionPump) laggard() *sessionWatch {
	for _, w := range p.watches {
		if w.after < w.catchUp {
			return w
		}
	}
	return nil
}

// told is the index up to which every watch has been told everything.
func (p *sessionPump) told() uint64 {
	told := p.cursor
	for _, w := range p.watches {
		if w.after < w.catchUp {
			told = min(told, w.after)
		}
	}
	return told
}

// step does a little: what was asked for first, then one portion of changes.
func (c *sessionConn) step(orders []sessionLine, woken bool) error {
	p := &c.pump
	p.behind = p.behind || woken
	for _, m := range orders {
		if err := c.order(m); err != nil {
			return err
		}
	}
	if w := p.laggard(); w != nil {
		return c.catchUp(w)
	}
	if !p.behind && p.answered() {
		return c.answerSyncs()
	}
	return c.advance()
}

// answered reports whether everything that the client waits for has been sent.
func (p *sessionPump) answered() bool {
	return len(p.watches) == 0 || len(p.syncs) == 0 || slices.Max(p.syncs) <= p.cursor
}

// order carries out what the client has asked for.
func (c *sessionConn) order(m sessionLine) error {
	switch m.kind {
	case lineWatch:
		return c.watch(m)
	case lineUnwatch:
		if w := c.pump.watches[m.number]; w != nil {
			c.drop(w)
		}
	case lineSync:
		if len(c.pump.syncs) == maxOrders {
			return &Error{Code: CodeOverloaded, Message: "the session waits for too much"}
		}
		c.pump.syncs = append(c.pump.syncs, m.number)
	}
	return nil
}

// watch begins a watch and says so.
func (c *sessionConn) watch(m sessionLine) error {
	p := &c.pump
	switch {
	case p.watches[m.number] != nil:
		return badRequest("the session has a watch with that number", "each has a number of its own")
	case len(p.watches) == maxSessionWatches:
		return &Error{Code: CodeOverloaded, Message: "the session has too many watches", Why: "the limit is 1024"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmTime)
	defer cancel()
	at, err := c.attend(ctx, m.watch)
	if err != nil {
		return err
	}
	w := &sessionWatch{number: m.number, watch: m.watch, once: m.once, after: max(m.from, 1) - 1}
	if len(p.watches) == 0 && !p.behind {
		p.cursor = max(p.cursor, at)
	}
	w.catchUp = max(at, p.cursor)
	p.put(w)
	if m.from == 0 {
		if w.after, err = c.server.applied(ctx); err != nil {
			return err
		}
	}
	// From its line on, what is said to have been sent is meant of this watch too.
	c.mu.Lock()
	p.sent = min(p.sent, w.after)
	c.mu.Unlock()
	return c.send(appendWatching(nil, w.number, w.after))
}

// attend sees to it that the dispatcher wakes us for a watch, from at on.
func (c *sessionConn) attend(ctx context.Context, watch coordination.Watch) (at uint64, err error) {
	p, d := &c.pump, c.server.dispatcher
	if p.id == 0 {
		p.id = d.join(c)
		p.watches, p.places = map[uint64]*sessionWatch{}, map[place][]*sessionWatch{}
	}
	if len(p.places[placeOf(watch)]) > 0 {
		return p.cursor, nil
	}
	return d.add(ctx, p.id, watch)
}

func (p *sessionPump) put(w *sessionWatch) {
	p.watches[w.number] = w
	p.places[placeOf(w.watch)] = append(p.places[placeOf(w.watch)], w)
}

// drop ends a watch.
func (c *sessionConn) drop(w *sessionWatch) {
	p, at := &c.pump, placeOf(w.watch)
	delete(p.watches, w.number)
	left := slices.DeleteFunc(p.places[at], func(other *sessionWatch) bool { return other == w })
	if p.places[at] = left; len(left) == 0 {
		delete(p.places, at)
		c.server.dispatcher.remove(p.id, w.watch)
	}
}

// letGo ends all watches of a connection that is closed.
func (c *sessionConn) letGo() {
	p := &c.pump
	for _, w := range p.watches {
		c.drop(w)
	}
	if p.id != 0 {
		c.server.dispatcher.leave(p.id)
	}
}

// giveUp ends the connection when it cannot go on.
func (c *sessionConn) giveUp(err error) {
	if e, is := errors.AsType[*Error](err); is {
		c.end(appendBye(nil, e))
		return
	}
	c.slowly(err)
}

// catchUp tells one watch a portion of what it has missed.
func (c *sessionConn) catchUp(w *sessionWatch) error {
	page, err := c.server.changes(context.Background(), ReadOptions{Level: Stale}, c.caller, w.watch, w.after, nil)
	if CodeOf(err) == CodeGone {
		c.drop(w)
		return c.send(appendUnwatched(nil, w.number, asError(err)))
	}
	if err != nil {
		return err
	}
	for i, change := range page.changes {
		if change.Index > w.catchUp {
			page.changes, page.next = page.changes[:i], w.catchUp
			break
		}
	}
	err = c.tell(page.changes, func(change Change, told []uint64) []uint64 {
		return w.take(change, told)
	})
	w.after = min(page.next, w.catchUp)
	return errors.Join(err, c.endOnce())
}

// take adds the watch to those who are told a change, if it still wants any.
func (w *sessionWatch) take(change Change, told []uint64) []uint64 {
	if w.once && w.first != 0 && w.first != change.Index {
		return told
	}
	w.first = change.Index
	return append(told, w.number)
}

// endOnce ends the watches that wanted the changes of one index.
func (c *sessionConn) endOnce() error {
	for _, w := range c.pump.watches {
		if w.once && w.first != 0 {
			c.drop(w)
			if err := c.send(appendUnwatched(nil, w.number, nil)); err != nil {
				return err
			}
		}
	}
	return nil
}

// advance moves the common cursor on by a portion, at least as far as the client waits for.
func (c *sessionConn) advance() error {
	p := &c.pump
	options := ReadOptions{Level: Stale}
	if len(p.syncs) > 0 {
		options = ReadOptions{Level: Sequential, MinIndex: slices.Min(p.syncs)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmTime)
	defer cancel()
	page, err := c.server.changes(ctx, options, c.caller, p.common(), p.cursor, p.wants)
	if CodeOf(err) == CodeGone {
		return c.endAll(asError(err))
	}
	if err != nil {
		return err
	}
	err = c.tell(page.changes, func(change Change, told []uint64) []uint64 {
		p.each(change.Kind, "/"+change.Path, func(w *sessionWatch) {
			if change.Index > w.catchUp && change.Index > w.after && change.shows(w.watch) {
				told = w.take(change, told)
			}
		})
		slices.Sort(told)
		return slices.Compact(told)
	})
	if err != nil {
		return err
	}
	p.cursor, p.behind = page.next, page.more
	if err := c.endOnce(); err != nil {
		return err
	}
	return c.answerSyncs()
}
