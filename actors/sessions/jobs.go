package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/messages"
)

// What runs beside the actor comes back as one of these. There is at most one of each kind
// under way in a reign.
type (
	// claimed: the sessions are this node's to end, and those are they.
	claimed struct {
		reign    *reign
		epoch    uint64
		sessions []coordination.SessionInfo
		err      error
	}
	// looked: what the tree says, and if rounds were to be confirmed, says after they arrived.
	looked struct {
		reign    *reign
		rounds   []*messages.SignsOfLife
		all      bool // sessions are all there are
		epoch    uint64
		sessions []coordination.SessionInfo // opened since
		absent   [][]uint32                 // places in rounds whose sessions are none
		attach   coordination.Operation     // of connections that the tree does not know
		unknown  [][]uint32                 // places in rounds of those connections
		attached error                      // why they are unknown still
		ttl      int64
		err      error
	}
	// expired: what became of the sessions that were to end.
	expired struct {
		reign      *reign
		ended      []uint64 // they have, or had before
		closed     int      // of those: had before
		kept       []uint64 // nothing was done
		again      []uint64 // nobody knows
		superseded bool
		err        error
	}
	// reaped: what became of the nodes whose TTL had passed.
	reaped struct {
		reign      *reign
		nodes      uint64
		superseded bool
		err        error
	}
)

// Control lets it into a full mailbox; so do those below.
func (claimed) Control() {}
func (looked) Control()  {}
func (expired) Control() {}
func (reaped) Control()  {}

// pageSessions is how many sessions are read while the tree stands still.
const pageSessions = 4096

// beside runs f beside the actor, with as much time as a proposal has, and brings the
// actor what it returns.
func (k *keeper) beside(f func(ctx context.Context) any) {
	ctx, cancel := context.WithTimeout(k.ctx, k.cfg.ProposeTimeout)
	k.cfg.Beside(func() {
		defer cancel()
		k.handle.tell(f(ctx))
	})
}

// propose replicates an operation and returns how it ended.
func (c *Config) propose(ctx context.Context, o coordination.Operation) (coordination.Result, error) {
	value, err := c.Group.Propose(ctx, o.Append(nil))
	if err != nil {
		return coordination.Result{}, err
	}
	return coordination.DecodeResult(value)
}

// claim makes this node the one that ends sessions, and reads which there are.
func (k *keeper) claim() {
	r := &reign{}
	k.reign = r
	k.beside(func(ctx context.Context) any {
		result, err := k.cfg.propose(ctx, coordination.Operation{Kind: coordination.ClaimSessions})
		if err == nil {
			err = result.Err()
		}
		if err != nil {
			return claimed{reign: r, err: err}
		}
		m := claimed{reign: r, epoch: result.Index}
		m.sessions, m.err = k.cfg.readSessions(ctx, result.Index)
		return m
	})
}

// errBehind: the replica has begun again and has not applied the claim yet.
var errBehind = errors.New("sessions: the tree is behind")

// readSessions returns all sessions of a tree that has applied the claim epoch, page by page.
func (c *Config) readSessions(ctx context.Context, epoch uint64) (all []coordination.SessionInfo, err error) {
	for full, cursor := true, uint64(0); full; {
		behind := false
		err := c.Group.Read(ctx, false, func(tree Tree) {
			page := tree.SessionsAfter(cursor, pageSessions)
			behind, full = tree.Epoch() < epoch, len(page) == pageSessions
			all = append(all, page...)
		})
		switch {
		case err != nil:
			return nil, err
		case behind:
			return nil, errBehind
		}
		if len(all) > 0 {
			cursor = all[len(all)-1].ID
		}
	}
	return all, nil
}

// look reads what has changed in the tree. If rounds wait, it reads what holds after they
// came: as long as the last claim is this reign's then, nobody else ends a session before it
// has had its full Timeout once more. All sessions are read when many of those that are
// tracked may have been closed since: the tree must not be older than what was tracked from it.
func (k *keeper) look(r *reign) {
	m := looked{reign: r, rounds: k.rounds, absent: make([][]uint32, len(k.rounds)), unknown: make([][]uint32, len(k.rounds)),
		all: r.tracker.Len() > 2*r.listed+pageSessions}
	k.rounds, r.looking = nil, true
	cursor := r.cursor
	if m.all {
		cursor = 0
	}
	k.beside(func(ctx context.Context) any {
		m.err = k.cfg.Group.Read(ctx, len(m.rounds) > 0 || m.all, func(tree Tree) { m.read(tree, cursor) })
		if m.err == nil && m.epoch == r.epoch {
			m.attached = k.cfg.attach(ctx, m.attach, r.epoch)
		}
		return m
	})
}

// attach notes in the tree which connections are about to be confirmed, so that the next
// leader takes none that came before them for the last one. If the log takes no writes these
// connections wait, and no others do.
func (c *Config) attach(ctx context.Context, o coordination.Operation, epoch uint64) error {
	part := coordination.Operation{Kind: coordination.AttachSessions, Epoch: epoch}
	for sessions, connections := o.Sessions, o.Connections; len(sessions) > 0; {
		n := min(len(sessions), coordination.MaxExpired)
		part.Sessions, part.Connections = sessions[:n], connections[:n]
		sessions, connections = sessions[n:], connections[n:]
		result, err := c.propose(ctx, part)
		if err == nil {
			err = result.Err()
		}
		if err != nil {
			return fmt.Errorf("sessions: attach %d: %w", n, err)
		}
	}
	return nil
}

// read may run twice: the second time counts.
func (m *looked) read(tree Tree, cursor uint64) {
	m.epoch, m.sessions, m.ttl = tree.Epoch(), nil, 0
	for full := true; full; {
		page := tree.SessionsAfter(cursor, pageSessions)
		if full = len(page) == pageSessions; len(page) > 0 {
			cursor = page[len(page)-1].ID
		}
		m.sessions = append(m.sessions, page...)
	}
	if deadline, ok := tree.NextTTL(); ok {
		m.ttl = deadline
	}
	m.attach = coordination.Operation{}
	for i, round := range m.rounds {
		m.absent[i], m.unknown[i] = m.absent[i][:0], m.unknown[i][:0]
		m.readRound(tree, i, round)
	}
}

func (m *looked) readRound(tree Tree, i int, round *messages.SignsOfLife) {
	gone := round.GetGone()
	for place, id := range round.GetSessions() {
		s, open := tree.Session(id)
		if !open {
			m.absent[i] = append(m.absent[i], uint32(place))
		}
		if len(gone) > 0 && gone[0] == uint32(place) {
			gone = gone[1:]
			continue
		}
		connection := round.GetConnections()[place]
		if open && (connection > s.Connection || connection == 0 && !s.Unbound) {
			m.attach.Sessions = append(m.attach.Sessions, id)
			m.attach.Connections = append(m.attach.Connections, connection)
			m.unknown[i] = append(m.unknown[i], uint32(place))
		}
	}
}

// expireDue ends the next sessions that were silent for too long, unless others are being ended.
func (k *keeper) expireDue(now time.Duration, r *reign) {
	if r.expiring || now < r.expireAt {
		r.tracker.Expire(now, 0)
		return
	}
	due := r.tracker.Expire(now, k.cfg.ExpireSessions-min(len(r.again), k.cfg.ExpireSessions))
	ids := append(r.again, due...)
	if r.again = nil; len(ids) == 0 {
		return
	}
	r.expiring = true
	k.beside(func(ctx context.Context) any {
		m := expired{reign: r}
		k.cfg.expire(ctx, &m, r.epoch, ids)
		return m
	})
}

// expire ends sessions, a part at a time, until one part is not done.
func (c *Config) expire(ctx context.Context, m *expired, epoch uint64, ids []uint64) {
	parts, err := c.parts(ctx, m, epoch, ids)
	if err != nil { // nothing was proposed
		m.kept, m.err = ids, err
		return
	}
	for i, part := range parts {
		result, err := c.propose(ctx, coordination.Operation{Kind: coordination.ExpireSessions, Sessions: part, Epoch: epoch})
		if err == nil && result.Code == coordination.CodeOK {
			m.ended = append(m.ended, part[:result.Expired]...)
			m.again = append(m.again, part[result.Expired:]...) // they were too many for one operation
			continue
		}
		m.superseded = err == nil && result.Code == coordination.CodeEpoch
		if m.err = err; err == nil {
			m.err = fmt.Errorf("sessions: expire %d sessions: %w", len(part), result.Err())
		}
		if err == nil || c.Group.SurelyNot(err) {
			m.kept = append(m.kept, part...)
		} else {
			m.again = append(m.again, part...)
		}
		for _, rest := range parts[i+1:] {
			m.kept = append(m.kept, rest...)
		}
		return
	}
}

// parts cuts ids into parts that one operation can end in a short time. Those that are
// closed already have ended.
func (c *Config) parts(ctx context.Context, m *expired, epoch uint64, ids []uint64) (parts [][]uint64, err error) {
	behind := false
	err = c.Group.Read(ctx, false, func(tree Tree) {
		parts, m.ended = nil, m.ended[:0]
		var part []uint64
		nodes := 0
		for _, id := range ids {
			s, open := tree.Session(id)
			if !open {
				m.ended = append(m.ended, id)
				continue
			}
			if len(part) > 0 && nodes+s.Ephemerals > c.ExpireNodes {
				parts, part, nodes = append(parts, part), nil, 0
			}
			part, nodes = append(part, id), nodes+s.Ephemerals
		}
		if len(part) > 0 {
			parts = append(parts, part)
		}
		m.closed, behind = len(m.ended), tree.Epoch() < epoch
	})
	if err == nil && behind {
		m.ended, m.closed, err = nil, 0, errBehind
	}
	return parts, err
}

func (k *keeper) onExpired(now time.Duration, m expired) {
	r := m.reign
	if r != k.reign {
		return
	}
	r.expiring = false
	for _, id := range m.ended {
		r.tracker.Remove(id)
	}
	for _, id := range m.kept {
		r.tracker.Keep(id, now)
	}
	r.again = m.again
	if n := len(m.ended) - m.closed; n > 0 {
		k.handle.metrics.expired.Add(uint64(n))
		k.cfg.Logger.Info("sessions expired", "group", k.cfg.Name, "sessions", n, "epoch", r.epoch)
	}
	switch {
	case m.superseded:
		k.superseded(now, r)
	case m.err != nil:
		k.cfg.Logger.Warn("sessions not expired", "group", k.cfg.Name, "error", m.err, "kept", len(m.kept), "unknown", len(m.again))
		r.unexpired++
		r.expireAt = now + backoff(r.unexpired)
	default:
		r.unexpired = 0
	}
}

// reap deletes nodes whose TTL has passed.
func (k *keeper) reap(r *reign) {
	r.reaping = true
	k.beside(func(ctx context.Context) any {
		result, err := k.cfg.propose(ctx, coordination.Operation{Kind: coordination.Reap, Epoch: r.epoch})
		if err == nil && result.Code != coordination.CodeEpoch {
			err = result.Err()
		}
		return reaped{reign: r, nodes: result.Nodes, superseded: err == nil && result.Code == coordination.CodeEpoch, err: err}
	})
}

func (k *keeper) onReaped(now time.Duration, m reaped) {
	r := m.reign
	if r != k.reign {
		return
	}
	r.reaping, r.ttl = false, 0 // a look during it may have brought what was reaped
	k.handle.metrics.reaped.Add(m.nodes)
	switch {
	case m.superseded:
		k.superseded(now, r)
	case m.err != nil: // the next look says again that it is due
		k.cfg.Logger.Warn("nodes not reaped", "group", k.cfg.Name, "error", m.err)
	case m.nodes > 0:
		r.lookAt = now // there may be more
	}
}
