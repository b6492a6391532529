package proposer

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

// Actor is the proposers of one node. The fields belong to its goroutine.
type Actor struct {
	cfg    Config
	host   *decree.Handle
	handle *Handle
	log    *decree.Log
	timer  *decree.Timer
	random *rand.Rand
	hints  *decree.Hints

	founding  *decree.Founding
	foundNext paxos.Time // when to ask the acceptors again, until the set is founded
	waiting   []*call    // for that
	proposals map[string]*proposal

	// base is below every round of a proposer that begins now, and durable beyond
	// every round that any has used (P2).
	base, durable uint64

	records []storage.Record // of this turn
	sends   []decree.Outgoing
}

// Receive has one case for each thing that can happen to the actor.
func (a *Actor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.start()
	case *actors.Batch:
		a.turn(m.Messages)
	case *actor.Restarting:
		a.timer.Stop()
	case *actor.Stopping:
		a.timer.Stop()
		a.handle.stop()
	}
}

// start begins anew, beyond every round that was reserved.
func (a *Actor) start() {
	a.handle.endAll(decree.ErrRestarted)
	var saved founding.State
	a.log = a.host.Begin(a.cfg.Host, func(r storage.Record) (err error) {
		switch {
		case r.Type == decree.RecordSet:
			saved, err = decree.DecodeState(r.Data)
		case r.Type == decree.RecordRound && len(r.Data) == 8:
			a.durable = binary.LittleEndian.Uint64(r.Data)
		default:
			err = fmt.Errorf("proposer: record type %d of %d bytes", r.Type, len(r.Data))
		}
		return err
	})
	a.base = a.durable
	a.random = rand.New(rand.NewPCG(uint64(a.cfg.ID), a.base))
	a.proposals = make(map[string]*proposal)
	var err error
	if a.founding, err = decree.NewFounding(a.cfg.Acceptors, saved); err != nil {
		panic(&actors.FailStop{Err: err})
	}
	a.cfg.Record(decree.Event{Role: decree.Proposer, Kind: "recovered",
		Note: fmt.Sprintf("rounds up to %d are used, acceptors %v", a.base, saved.Set)})
	a.timer = a.host.NewTimer(a.cfg.Clock)
	a.hint()
	a.turn(nil)
}

func (a *Actor) turn(items []actors.Item) {
	now := a.cfg.Clock()
	for _, item := range items {
		switch m := item.Message.(type) {
		case *messages.DecreeMessage:
			a.onMessage(now, m)
		case *call:
			a.onCall(now, m)
		case giveUp:
			a.onGiveUp(now, m.call)
		case decree.Hints:
			a.onHints(now, m)
		case decree.Task:
			m()
		}
	}
	a.tick(now)
	a.carryOut()
	a.putAway()
}

// onHints takes who may be an acceptor, and who is the distinguished proposer.
func (a *Actor) onHints(now paxos.Time, hints decree.Hints) {
	same := a.hints.Proposer == hints.Proposer
	*a.hints = hints
	a.hint()
	a.foundNext = 0
	if same {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(a.proposals)) {
		p := a.proposals[name]
		a.told(now, name, decree.Event{Kind: "distinguished", To: hints.Proposer})
		a.take(now, name, p, p.core.Distinguish(now, hints.Proposer))
	}
}

func (a *Actor) hint() {
	for name, id := range a.hints.Acceptors {
		a.founding.Hint(name, id)
	}
}

func (a *Actor) onMessage(now paxos.Time, w *messages.DecreeMessage) {
	if !a.cfg.Mine(w) {
		return
	}
	switch body := w.GetBody().(type) {
	case *messages.DecreeMessage_Pinned:
		a.cfg.Received(decree.Proposer, w, false, now)
		a.onFounding(now, w)
		return
	case *messages.DecreeMessage_Refusal:
		a.cfg.Received(decree.Proposer, w, false, now)
		a.onRefusal(now, w, founding.Reason(min(body.Refusal.GetReason(), 255)))
		return
	}
	m, err := decree.Decode(w)
	if err != nil || !decree.ValidName(w.GetDecree()) || !a.founding.Done() || w.GetAcceptors() != a.founding.Digest() {
		a.cfg.Received(decree.Proposer, w, false, now)
		return
	}
	p := a.proposals[w.GetDecree()]
	if p == nil {
		p = a.asked(now, w.GetDecree(), m)
	}
	a.cfg.Received(decree.Proposer, w, p != nil, now)
	if p == nil {
		return
	}
	a.take(now, w.GetDecree(), p, p.core.Step(now, paxos.ID(w.GetFrom()), m))
}

// asked makes a proposer for a decree that others want it to work on. Everything
// else is an answer to one that was put away.
func (a *Actor) asked(now paxos.Time, name string, m paxos.Message) *proposal {
	switch m.(type) {
	case paxos.Propose, paxos.Finish:
		if len(a.proposals) < a.cfg.MaxCalls+a.cfg.MaxIdle {
			return a.proposal(now, name)
		}
	}
	return nil
}

// onFounding takes an answer about the acceptors' set. Once it is founded, the
// calls that waited for it begin.
func (a *Actor) onFounding(now paxos.Time, w *messages.DecreeMessage) {
	if a.founding.Done() {
		return
	}
	record, err := a.founding.Step(w)
	if err != nil {
		a.cfg.Logger.Warn("answer of an acceptor", "error", err)
	}
	a.askToFound(false)
	if record == nil {
		return
	}
	a.records = append(a.records, *record)
	a.cfg.Record(decree.Event{Role: decree.Proposer, Kind: "founded", Note: a.founding.Set().String()})
	waiting := a.waiting
	a.waiting = nil
	for _, c := range waiting {
		a.begin(now, c)
	}
}

// onRefusal notes who will not take part whatever the ballot. A call that is left
// without a quorum ends, and what other nodes have asked for is let go: they ask again.
func (a *Actor) onRefusal(now paxos.Time, w *messages.DecreeMessage, reason founding.Reason) {
	p, from := a.proposals[w.GetDecree()], paxos.ID(w.GetFrom())
	switch {
	case !a.founding.Done():
		a.onFounding(now, w)
	case p != nil && a.founding.Set().Has(from):
		p.refused[from] = reason
		if n := len(a.founding.Set().IDs()); n-len(p.refused) > n/2 {
			return
		}
		if p.begun {
			a.told(now, w.GetDecree(), decree.Event{Kind: "gave up"})
			a.take(now, w.GetDecree(), p, p.core.GiveUp(now))
		}
		if len(p.calls) == 0 {
			a.drop(w.GetDecree(), p)
		}
	}
}

func (a *Actor) askToFound(again bool) {
	for _, o := range a.founding.Requests(again) {
		a.sends = append(a.sends, o.Fill(a.cfg.ID, "", 0))
	}
}

// onCall takes a call of this process.
func (a *Actor) onCall(now paxos.Time, c *call) {
	if a.handle.under() >= a.cfg.MaxCalls {
		c.Refused()
		return
	}
	a.handle.take(c)
	if !a.founding.Done() {
		a.waiting = append(a.waiting, c)
		return
	}
	a.begin(now, c)
}

func (a *Actor) begin(now paxos.Time, c *call) {
	p := a.proposal(now, c.decree)
	p.calls = append(p.calls, c)
	a.next(now, c.decree, p)
}

// onGiveUp ends a call nobody waits for: one that never began has left nothing
// behind.
func (a *Actor) onGiveUp(now paxos.Time, c *call) {
	never := outcome{paxos.Result{Fate: paxos.SurelyNot}, nil}
	if i := slices.Index(a.waiting, c); i >= 0 {
		a.waiting = slices.Delete(a.waiting, i, i+1)
		never.err = fmt.Errorf("%w: %s", ErrNotFounded, a.founding.Waiting())
		a.handle.end(c, never)
		return
	}
	p := a.proposals[c.decree]
	if p == nil {
		return
	}
	switch i := slices.Index(p.calls, c); {
	case i == 0 && p.begun:
		a.told(now, c.decree, decree.Event{Kind: "gave up"})
		a.take(now, c.decree, p, p.core.GiveUp(now))
	case i >= 0:
		p.calls = slices.Delete(p.calls, i, i+1)
		a.handle.end(c, never)
	}
}

// told records what a decree's core is about to be told, messages apart.
func (a *Actor) told(now paxos.Time, name string, e decree.Event) {
	e.Role, e.Decree, e.Taken, e.At = decree.Proposer, name, true, now
	a.cfg.Record(e)
}

// reserveBlock is how many rounds are reserved at a time, for all decrees together.
const reserveBlock = 1 << 16

// reserve makes round durable before what the turn sends, unless it is.
func (a *Actor) reserve(round uint64) {
	if round <= a.durable {
		return
	}
	a.durable = min(round+reserveBlock, max(round, paxos.MaxRound))
	a.records = append(a.records, storage.Record{Type: decree.RecordRound,
		Data: binary.LittleEndian.AppendUint64(nil, a.durable)})
}

// tick lets time pass for those whose deadline has come, in the order of names.
func (a *Actor) tick(now paxos.Time) {
	if !a.founding.Done() && now >= a.foundNext {
		a.foundNext = now + paxos.Time(a.cfg.FoundEvery)
		a.askToFound(true)
	}
	var due []string
	for name, p := range a.proposals {
		if p.core.Deadline() <= now {
			due = append(due, name)
		}
	}
	slices.Sort(due)
	for _, name := range due {
		a.told(now, name, decree.Event{Kind: "tick"})
		a.take(now, name, a.proposals[name], a.proposals[name].core.Tick(now))
	}
}

// carryOut saves what the turn has to save and lets go of its messages then.
func (a *Actor) carryOut() {
	records, sends := a.records, a.sends
	a.records, a.sends = nil, nil
	if len(records) > 0 || len(sends) > 0 {
		a.log.Save(records, func() { a.cfg.Deliver(decree.Proposer, sends) })
	}
	deadline := decree.Never
	if !a.founding.Done() {
		deadline = a.foundNext
	}
	for _, p := range a.proposals {
		deadline = min(deadline, p.core.Deadline())
	}
	a.timer.Set(deadline)
	a.host.SetMissing(a.founding.Waiting)
}
