package group

import (
	"slices"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/consensus"
)

// inbox collects what happened since the actor's last turn.
type inbox struct {
	proposals []*call
	bytes     int // of proposals
	reads     []*call
	saved     uint64
	lost      []consensus.ID
	tasks     []func(*Actor)
}

// tell runs f inside the actor at its next turn, if there is one. It is for the
// actor's own children, who tell a few things each.
func (h *Handle) tell(f func(*Actor)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed == nil {
		h.in.tasks = append(h.in.tasks, f)
		h.wakeLocked()
	}
}

// wake asks for a turn of the actor.
func (h *Handle) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wakeLocked()
}

// savedUpTo reports a finished save. wake is false when nobody waits for it.
func (h *Handle) savedUpTo(save uint64, wake bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in.saved = max(h.in.saved, save)
	if wake || h.wanted != 0 && h.wanted <= save {
		h.wanted = 0
		h.wakeLocked()
	}
}

// wantSaved asks for a wake when save is durable.
func (h *Handle) wantSaved(save uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = save
	if h.in.saved >= save {
		h.wakeLocked()
	}
}

// wakeLocked sends at most one wake message per turn of the actor.
func (h *Handle) wakeLocked() {
	if h.claimTurn() {
		h.system.Root.Send(h.pid, wake{})
	}
}

// claimTurn reports whether the caller has to send the wake message.
func (h *Handle) claimTurn() bool {
	claimed := !h.awake && !h.turning
	h.awake = true
	return claimed
}

// rest ends a turn. gather is the core's word on which proposals are worth the
// next one (Engine.Gather); everything else that came meanwhile always is.
func (h *Handle) rest(gather int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turning, h.gather = false, gather
	if h.awake || len(h.in.proposals) > 0 && h.in.bytes >= gather {
		h.awake = false
		h.wakeLocked()
	}
}

// take begins a turn: it hands the inbox to the actor and leaves the emptied
// one in its place.
func (h *Handle) take(in *inbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turning = true
	saved := h.in.saved
	*in, h.in = h.in, inbox{
		proposals: in.proposals[:0],
		reads:     in.reads[:0],
		lost:      in.lost[:0],
		tasks:     in.tasks[:0],
		saved:     saved,
	}
	h.awake = false
}

// putBack returns proposals that could not be taken yet to the front of the
// inbox. Those beyond the bound are refused.
func (h *Handle) putBack(proposals []*call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	room := max(0, h.cfg.MaxProposals-len(h.in.proposals))
	if h.closed != nil {
		room = 0
	}
	kept := proposals[:min(room, len(proposals))]
	for _, c := range proposals[len(kept):] {
		c.finish(outcome{err: ErrOverloaded})
	}
	for _, c := range kept {
		h.in.bytes += len(c.command)
	}
	h.in.proposals = slices.Insert(h.in.proposals, 0, kept...)
}

// renew starts a new instance's life: what waited for the one before ends as
// unknown, since nobody can tell any more. It reports whether there was one.
func (h *Handle) renew() (again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.started {
		h.started = true // what waits was meant for the first instance
		return false
	}
	if h.closed != nil { // the node is about to end, and nobody is to be served until then
		panic(&actors.FailStop{Err: h.closed})
	}
	close(h.gone)
	h.gone = make(chan struct{})
	h.calls.end()
	h.in = inbox{}
	h.awake, h.turning, h.gather = false, false, 0
	h.wanted = 0
	h.lease.Store(0)
	return true
}

// close ends the handle for good: calls that wait and further ones fail.
func (h *Handle) close(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != nil {
		return
	}
	h.closed = err
	h.lease.Store(0)
	for _, c := range h.in.proposals {
		c.finish(outcome{err: err}) // never left the inbox: surely not done
	}
	h.in = inbox{}
	h.calls.end()
	close(h.gone)
}
