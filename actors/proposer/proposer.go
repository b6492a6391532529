package proposer

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

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

// proposal is the proposer of one decree with its callers. The core has the first
// of them.
type proposal struct {
	core     *paxos.Proposer
	reserved uint64 // the last SaveRound
	calls    []*call
	begun    bool // the core has calls[0]
	// refused are the acceptors that look at nothing, since the call has begun.
	refused map[paxos.ID]founding.Reason
}

// idle reports whether nobody waits for the proposal.
func (p *proposal) idle() bool { return len(p.calls) == 0 && p.core.Deadline() == decree.Never }

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

// proposal returns the proposer of a decree, beginning above all rounds that one
// before it may have used.
func (a *Actor) proposal(now paxos.Time, name string) *proposal {
	p := a.proposals[name]
	if p == nil {
		config := a.cfg.core(a.founding.Quorums())
		config.Round, config.Rand = a.base, a.random
		core, err := paxos.NewProposer(config)
		if err != nil {
			panic(&actors.FailStop{Err: err})
		}
		a.cfg.Record(decree.Event{Role: decree.Proposer, Kind: "begins", At: now, Decree: name, Start: &decree.Start{
			Round: config.Round, Acceptors: config.Quorums.Acceptors(), Wait: config.Retransmit, WaitMost: config.HoldBack,
			MaxValueBytes: config.MaxValueBytes}})
		a.told(now, name, decree.Event{Kind: "distinguished", To: a.hints.Proposer})
		core.Distinguish(now, a.hints.Proposer) // nothing comes of it yet
		p = &proposal{core: core, reserved: a.base, refused: make(map[paxos.ID]founding.Reason)}
		a.proposals[name] = p
	}
	return p
}

// next hands the first waiting call to the core, until one is under way.
func (a *Actor) next(now paxos.Time, name string, p *proposal) {
	for len(p.calls) > 0 && !p.begun {
		p.begun = true
		clear(p.refused)
		a.told(now, name, decree.Event{Kind: "wanted", Value: p.calls[0].value})
		out, err := a.propose(now, p.core, p.calls[0])
		if err != nil {
			a.ended(p, outcome{paxos.Result{Fate: paxos.SurelyNot}, err})
			continue
		}
		a.effects(name, p, out)
	}
}

func (a *Actor) propose(now paxos.Time, core *paxos.Proposer, c *call) (paxos.Output, error) {
	if c.value == nil {
		return core.Finish(now)
	}
	return core.Propose(now, c.value)
}

// ended ends the call that the core had.
func (a *Actor) ended(p *proposal, o outcome) {
	a.handle.end(p.calls[0], o)
	p.calls, p.begun = p.calls[1:], false
}

// refusals is an error that names who has refused to take part, nil if nobody has.
func (a *Actor) refusals(p *proposal) error {
	var said []string
	for _, m := range a.founding.Set().Members() {
		if reason := p.refused[m.ID]; reason != founding.Accepted {
			said = append(said, m.Name+" "+reason.String())
		}
	}
	if said == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrRefused, strings.Join(said, "; "))
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

// take carries out an Output and goes on with the next call if one has ended.
func (a *Actor) take(now paxos.Time, name string, p *proposal, out paxos.Output) {
	a.effects(name, p, out)
	a.next(now, name, p)
}

func (a *Actor) effects(name string, p *proposal, out paxos.Output) {
	a.cfg.Alarms(decree.Proposer, name, out.Alarms)
	if out.SaveRound > a.durable+maxLeap {
		a.abandon(name, p, out.SaveRound)
		return
	}
	if out.SaveRound != 0 {
		p.reserved = out.SaveRound
		a.reserve(out.SaveRound)
	}
	for _, e := range out.Send {
		o := decree.Outgoing{To: e.To, Message: decree.Encode(e.Message)}
		a.sends = append(a.sends, o.Fill(a.cfg.ID, name, a.founding.Digest()))
	}
	if out.Chosen != nil {
		a.cfg.Record(decree.Event{Role: decree.Proposer, Kind: "learned", Decree: name,
			Ballot: out.Chosen.Ballot, Value: out.Chosen.Value})
	}
	if out.Result != nil {
		a.cfg.Record(decree.Event{Role: decree.Proposer, Kind: "ended", Decree: name, Value: out.Result.Value,
			Note: out.Result.Fate.String()})
		o := outcome{result: *out.Result}
		if o.result.Value == nil {
			o.err = a.refusals(p)
		}
		a.ended(p, o)
	}
}

// reserveBlock is how many rounds are reserved at a time, for all decrees together.
const reserveBlock = 1 << 16

// maxLeap is how far one decree may take the rounds of the node: no honest
// proposer gets near. Otherwise one hostile ballot close to the last possible one
// would leave the node no round for any decree.
const maxLeap = 1 << 32

// abandon ends a decree in which somebody used a round beyond reason. What the
// Output would have sent has not left, nor is its round used.
func (a *Actor) abandon(name string, p *proposal, round uint64) {
	now := a.cfg.Clock()
	a.cfg.Record(decree.Event{Role: decree.Proposer, Kind: "abandoned", Decree: name, Ballot: p.core.Ballot(),
		Note: fmt.Sprintf("somebody uses a round near %d", round)})
	o := outcome{paxos.Result{Fate: paxos.SurelyNot}, fmt.Errorf("%w: round %d is promised", ErrRefused, round)}
	if out := p.core.GiveUp(now); out.Result != nil {
		first := o
		first.result = *out.Result
		a.ended(p, first)
	}
	for len(p.calls) > 0 {
		a.ended(p, o)
	}
	a.drop(name, p)
}

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

// putAway forgets proposers that nobody waits for, if there are many.
func (a *Actor) putAway() {
	if len(a.proposals) <= a.cfg.MaxIdle {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(a.proposals)) {
		if p := a.proposals[name]; p.idle() {
			a.drop(name, p)
		}
	}
}

// drop forgets a decree's proposer, for which no call waits. The next one begins above
// its rounds.
func (a *Actor) drop(name string, p *proposal) {
	a.base = max(a.base, p.reserved)
	delete(a.proposals, name)
}
