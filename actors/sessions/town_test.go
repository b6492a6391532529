package sessions

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/coordination"
)

// town is a group of nodes with one tree, whose operations are applied at once wherever
// they are proposed, and their keepers.
type town struct {
	t      *testing.T
	start  time.Time
	system *actor.ActorSystem

	mu       sync.Mutex
	index    uint64
	epoch    uint64
	sessions map[uint64]coordination.SessionInfo
	ends     map[uint64]time.Duration // when a session ended
	expiries [][]uint64               // as they were applied
	ttl      int64
	fits     int // how many sessions one operation ends, 0 is all
	inFlight int // expiries that are being proposed
	most     int // of those, at one time

	homes []*home
}

// home is one node.
type home struct {
	*town
	id     uint64
	config Config
	keeper *Handle

	leads Leadership
	// propose, if set, is asked before a proposal, or nil to carry it out.
	propose func(coordination.Operation) error
	// unread makes fresh reads fail; deaf loses all messages to and from it.
	unread, deaf bool
}

var (
	errNotLeader = errors.New("not the leader")
	errUnknown   = errors.New("nobody knows")
)

func newTown(t *testing.T, nodes int, adapt func(*Config)) *town {
	w := &town{t: t, start: time.Now(), system: actors.NewSystem(nil), sessions: make(map[uint64]coordination.SessionInfo), ends: make(map[uint64]time.Duration)}
	for i := range nodes {
		h := &home{town: w, id: uint64(i + 1)}
		h.config = Config{ID: h.id, Number: 5, Name: "g", Group: h, Send: h.send, Clock: w.clock}
		if adapt != nil {
			adapt(&h.config)
		}
		w.homes = append(w.homes, h)
		h.begin()
	}
	t.Cleanup(func() {
		for _, h := range w.homes {
			h.stop()
		}
		w.system.Shutdown()
		time.Sleep(3 * time.Second) // protoactor's goroutines end
	})
	return w
}

// begin starts the keeper of a node, in the place of the one that it had.
func (h *home) begin() {
	if h.keeper != nil {
		h.stop()
	}
	keeper, err := Spawn(h.system, h.config, fmt.Sprintf("sessions/%d", h.id), actors.NewStrategy(actors.StrategyConfig{}))
	if err != nil {
		h.t.Fatal(err)
	}
	h.keeper = keeper
}

func (h *home) stop() { _ = h.system.Root.StopFuture(h.keeper.PID()).Wait() }

func (w *town) clock() time.Duration { return time.Since(w.start) }

func (w *town) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// lead makes node i the leader of a new term, and tells those in told, from 0.
func (w *town) lead(i int, term uint64, told ...int) {
	for _, n := range told {
		h := w.homes[n]
		w.locked(func() { h.leads = Leadership{Term: term, Leader: uint64(i + 1), Leads: n == i} })
		h.keeper.LeaderChanged()
	}
	synctest.Wait()
}

// open puts a session into the tree.
func (w *town) open(timeout, linger time.Duration) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	w.sessions[w.index] = coordination.SessionInfo{ID: w.index, Timeout: timeout.Milliseconds(), Linger: linger.Milliseconds(), Connection: 1}
	return w.index
}

// ended is when a session ended, 0 if it has not.
func (w *town) ended(id uint64) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends[id]
}

// onPropose sets what is asked before a node's proposals.
func (h *home) onPropose(f func(coordination.Operation) error) {
	h.locked(func() { h.propose = f })
}

func (w *town) isOpen(id uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, open := w.sessions[id]
	return open
}

// shows lets a session show itself every period, at node after node, until stop is called.
// Alive must be the answer.
func (w *town) shows(id uint64, every time.Duration, nodes ...int) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			sign, err := w.homes[nodes[i%len(nodes)]].keeper.Touch(ctx, id, uint64(i+1))
			if ctx.Err() == nil && (err != nil || sign != coordination.Alive) {
				w.t.Errorf("session %d at %v: %v, %v", id, w.clock(), sign, err)
				return
			}
			select {
			case <-time.After(every):
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); <-done }
}

func (h *home) send(to uint64, m proto.Message) {
	h.mu.Lock()
	lost := h.deaf || h.homes[to-1].deaf
	h.mu.Unlock()
	if !lost {
		h.homes[to-1].keeper.tell(m)
	}
}

// Propose applies an operation, unless the node does not lead.
func (h *home) Propose(ctx context.Context, command []byte) ([]byte, error) {
	o, err := coordination.DecodeOperation(command)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	hook, leads := h.propose, h.leads.Leads
	if o.Kind == coordination.ExpireSessions {
		h.inFlight++
		h.most = max(h.most, h.inFlight)
	}
	h.mu.Unlock()
	if hook != nil {
		err = hook(o)
	} else if !leads {
		err = errNotLeader
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.Kind == coordination.ExpireSessions {
		h.inFlight--
	}
	if err != nil {
		return nil, err
	}
	r := h.apply(o)
	value := binary.AppendUvarint([]byte{byte(r.Code)}, r.Index)
	value = binary.AppendUvarint(value, r.Nodes) // the form of a result without more
	if r.Expired > 0 {
		value[0] |= 0x80
		value = binary.AppendUvarint(append(value, 7), uint64(r.Expired))
	}
	return value, nil
}

func (w *town) apply(o coordination.Operation) coordination.Result {
	w.index++
	r := coordination.Result{Index: w.index}
	switch {
	case o.Kind == coordination.ClaimSessions:
		w.epoch = w.index
	case o.Epoch != w.epoch:
		r.Code = coordination.CodeEpoch
	case o.Kind == coordination.Reap:
		if w.ttl != 0 {
			r.Nodes, w.ttl = 1, 0
		}
	case o.Kind == coordination.AttachSessions:
		for i, id := range o.Sessions {
			if s, open := w.sessions[id]; open {
				s.Connection, s.Unbound = max(s.Connection, o.Connections[i]), s.Unbound || o.Connections[i] == 0
				w.sessions[id] = s
			}
		}
	case o.Kind == coordination.ExpireSessions:
		if w.fits > 0 {
			o.Sessions = o.Sessions[:min(w.fits, len(o.Sessions))]
		}
		w.expiries = append(w.expiries, slices.Clone(o.Sessions))
		r.Expired = len(o.Sessions)
		for _, id := range o.Sessions {
			if _, open := w.sessions[id]; open {
				w.ends[id] = time.Since(w.start)
			}
			delete(w.sessions, id)
		}
	}
	return r
}

// SurelyNot is true of all errors but one.
func (h *home) SurelyNot(err error) bool { return !errors.Is(err, errUnknown) }

// Read shows the tree of the town.
func (h *home) Read(_ context.Context, fresh bool, f func(Tree)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if fresh && h.unread {
		return errNotLeader
	}
	f(h.town)
	return nil
}

// Leadership is what the node was told.
func (h *home) Leadership() Leadership {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leads
}

// LogTime is the clock's.
func (h *home) LogTime() int64 { return h.clock().Milliseconds() }

// Session, SessionsAfter, Epoch and NextTTL are Tree's.
func (w *town) Session(id uint64) (coordination.SessionInfo, bool) {
	s, ok := w.sessions[id]
	return s, ok
}

func (w *town) SessionsAfter(id uint64, limit int) []coordination.SessionInfo {
	var found []coordination.SessionInfo
	for id++; id <= w.index && len(found) < limit; id++ {
		if s, ok := w.sessions[id]; ok {
			found = append(found, s)
		}
	}
	return found
}

func (w *town) Epoch() uint64 { return w.epoch }

func (w *town) NextTTL() (int64, bool) { return w.ttl, w.ttl != 0 }
