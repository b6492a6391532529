package proposer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
)

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
