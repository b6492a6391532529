package learner

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

// Actor is the learners of one node. The fields belong to its goroutine.
type Actor struct {
	cfg    Config
	host   *decree.Handle
	handle *Handle
	log    *decree.Log
	timer  *decree.Timer
	hints  *decree.Hints

	founding  *decree.Founding
	foundNext paxos.Time       // when to ask the acceptors again, until the set is founded
	rows      *decree.Table    // what was learned
	open      map[string]*open // what was not, as far as is known

	records []storage.Record // of this turn
	saving  int              // bytes of records
	sends   []decree.Outgoing
	learned []learned
}

// open is a decree whose value is not known yet.
type open struct {
	core  *paxos.Learner
	heard bool // of a vote or of the choice, so that the value is wanted whoever waits
}

type learned struct {
	decree string
	value  paxos.Value
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

// start takes what was learned from the log, and goes on with what is waited for.
func (a *Actor) start() {
	var saved founding.State
	var rows []storage.Record
	a.log = a.host.Begin(a.cfg.Host, func(r storage.Record) (err error) {
		switch r.Type {
		case decree.RecordSet:
			saved, err = decree.DecodeState(r.Data)
		case decree.RecordRow:
			r.Data = slices.Clone(r.Data)
			rows = append(rows, r)
		default:
			err = fmt.Errorf("learner: unknown record type %d", r.Type)
		}
		return err
	})
	a.rows = decree.NewTable(a.log, a.cfg.Limits)
	for _, r := range rows {
		if err := a.rows.Load(r); err != nil {
			panic(&actors.FailStop{Err: err})
		}
	}
	var err error
	if a.founding, err = decree.NewFounding(a.cfg.Acceptors, saved); err != nil {
		panic(&actors.FailStop{Err: err})
	}
	a.cfg.Record(decree.Event{Role: decree.Learner, Kind: "recovered",
		Note: fmt.Sprintf("%d decrees, acceptors %v", a.rows.Len(), saved.Set)})
	a.open = make(map[string]*open)
	a.timer = a.host.NewTimer(a.cfg.Clock)
	a.hint()
	for _, name := range a.handle.wanted() {
		a.want(a.cfg.Clock(), name)
	}
	a.turn(nil)
}

func (a *Actor) turn(items []actors.Item) {
	now := a.cfg.Clock()
	for _, item := range items {
		switch m := item.Message.(type) {
		case *messages.DecreeMessage:
			a.onMessage(now, m)
		case learn:
			a.want(now, m.call.decree)
		case forget:
			a.forget(m.decree)
		case decree.Hints:
			a.onHints(now, m)
		case decree.Task:
			m()
		}
	}
	a.tick(now)
	a.carryOut()
}

func (a *Actor) hint() {
	for name, id := range a.hints.Acceptors {
		a.founding.Hint(name, id)
	}
}

// onHints takes who tells whom. Open decrees begin to be learned again with that;
// what the cores had counted they will ask for.
func (a *Actor) onHints(now paxos.Time, hints decree.Hints) {
	same := a.hints.Equal(hints)
	*a.hints = hints
	a.hint()
	a.foundNext = 0
	if same || !a.founding.Done() {
		return
	}
	for name, o := range a.open {
		o.core = a.core(now, name, paxos.Vote{})
	}
}

// want makes sure that a decree somebody waits for is learned, or is told at once.
func (a *Actor) want(now paxos.Time, name string) {
	switch vote, known := a.row(name); {
	case known:
		a.learned = append(a.learned, learned{name, vote.Value})
	case !a.founding.Done():
	case a.opened(now, name) == nil:
		a.handle.endAll(name, outcome{err: ErrOverloaded})
	}
}

// opened returns an open decree, nil if there are too many.
func (a *Actor) opened(now paxos.Time, name string) *open {
	o := a.open[name]
	if o == nil && len(a.open) < a.cfg.MaxOpen {
		o = &open{core: a.core(now, name, paxos.Vote{})}
		a.open[name] = o
	}
	return o
}

// forget stops asking for a decree that nobody waits for and no vote is known of.
func (a *Actor) forget(name string) {
	if o := a.open[name]; o != nil && !o.heard && !a.handle.isWanted(name) {
		delete(a.open, name)
	}
}

func (a *Actor) onMessage(now paxos.Time, w *messages.DecreeMessage) {
	if !a.cfg.Mine(w) {
		return
	}
	switch w.GetBody().(type) {
	case *messages.DecreeMessage_Pinned, *messages.DecreeMessage_Refusal:
		a.cfg.Received(decree.Learner, w, false, now)
		a.onFounding(now, w)
		return
	}
	m, err := decree.Decode(w)
	if err != nil || !decree.ValidName(w.GetDecree()) || !a.founding.Done() || w.GetAcceptors() != a.founding.Digest() {
		a.cfg.Received(decree.Learner, w, false, now)
		return
	}
	if a.log.Behind(a.saving) { // the disk does not keep up; what is lost here is asked for
		a.cfg.Received(decree.Learner, w, false, now)
		return
	}
	core := a.taker(now, w.GetDecree(), paxos.ID(w.GetFrom()), m)
	a.cfg.Received(decree.Learner, w, core != nil, now)
	if core != nil {
		a.effects(w.GetDecree(), core.Step(paxos.ID(w.GetFrom()), m))
	}
}

// taker returns the core that takes a message: of a decree that is learned, one
// with its value; of one that is not, its own, and a new one for a vote or a choice.
// A stranger's vote opens none.
func (a *Actor) taker(now paxos.Time, name string, from paxos.ID, m paxos.Message) *paxos.Learner {
	if vote, known := a.row(name); known {
		return a.core(now, name, vote)
	}
	switch m.(type) {
	case paxos.Accepted, paxos.Chosen:
		vote, isVote := m.(paxos.Accepted)
		heard := !isVote || !vote.Ballot.IsZero()
		if o := a.open[name]; o != nil {
			o.heard = o.heard || heard
			return o.core
		}
		if isVote && !a.founding.Set().Has(from) {
			return nil
		}
		if o := a.opened(now, name); o != nil {
			o.heard = heard
			return o.core
		}
	}
	return nil
}

// onFounding takes an answer about the acceptors' set. Once it is founded, what is
// waited for is learned.
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
	a.cfg.Record(decree.Event{Role: decree.Learner, Kind: "founded", Note: a.founding.Set().String()})
	for _, name := range a.handle.wanted() {
		a.want(now, name)
	}
}

func (a *Actor) askToFound(again bool) {
	for _, o := range a.founding.Requests(again) {
		a.sends = append(a.sends, o.Fill(a.cfg.ID, "", 0))
	}
}

func (a *Actor) core(now paxos.Time, name string, chosen paxos.Vote) *paxos.Learner {
	config := a.cfg.core(a.founding.Quorums())
	config.Scheme, config.Learners, config.Distinguished = a.hints.Scheme(a.cfg.Scheme), a.hints.Learners, a.hints.Distinguished
	config.Proposers, config.Chosen = a.hints.Proposers, chosen
	core, err := paxos.NewLearner(config, now)
	if err != nil {
		panic(&actors.FailStop{Err: err})
	}
	a.cfg.Record(decree.Event{Role: decree.Learner, Kind: "begins", At: now, Decree: name, Start: &decree.Start{
		Vote: chosen, Acceptors: config.Quorums.Acceptors(), Learners: config.Learners, Distinguished: config.Distinguished,
		Scheme: config.Scheme, Proposers: config.Proposers, Wait: config.Timeout, WaitMost: config.MaxTimeout,
		MaxValueBytes: config.MaxValueBytes}})
	return core
}

func (a *Actor) effects(name string, out paxos.Output) {
	a.cfg.Alarms(decree.Learner, name, out.Alarms)
	for _, e := range out.Send {
		o := decree.Outgoing{To: e.To, Message: decree.Encode(e.Message)}
		a.sends = append(a.sends, o.Fill(a.cfg.ID, name, a.founding.Digest()))
	}
	if out.Chosen == nil {
		return
	}
	delete(a.open, name)
	data := encodeVote(*out.Chosen)
	if a.rows.Room(name, len(data)) {
		row := a.rows.Put(name, data)
		a.records, a.saving = append(a.records, row), a.saving+len(row.Data)
	}
	a.learned = append(a.learned, learned{name, out.Chosen.Value})
	a.cfg.Record(decree.Event{Role: decree.Learner, Kind: "learned", Decree: name,
		Ballot: out.Chosen.Ballot, Value: out.Chosen.Value})
}

// tick lets time pass for those whose deadline has come, in the order of names.
func (a *Actor) tick(now paxos.Time) {
	if !a.founding.Done() && now >= a.foundNext {
		a.foundNext = now + paxos.Time(a.cfg.FoundEvery)
		a.askToFound(true)
	}
	var due []string
	for name, o := range a.open {
		if o.core.Deadline() <= now {
			due = append(due, name)
		}
	}
	slices.Sort(due)
	for _, name := range due {
		if !a.handle.isWanted(name) && !a.rows.Room(name, voteHeader+a.cfg.MaxValueBytes) {
			delete(a.open, name) // or it would be learned and forgotten again and again
			continue
		}
		a.cfg.Record(decree.Event{Role: decree.Learner, Kind: "tick", Decree: name, Taken: true, At: now})
		a.effects(name, a.open[name].core.Tick(now))
	}
}

// carryOut saves what the turn has learned; then callers are told and messages
// leave.
func (a *Actor) carryOut() {
	records, sends, learned := a.records, a.sends, a.learned
	a.records, a.saving, a.sends, a.learned = nil, 0, nil, nil
	if len(records) > 0 || len(sends) > 0 || len(learned) > 0 {
		a.log.Save(records, func() {
			a.cfg.Deliver(decree.Learner, sends)
			for _, l := range learned {
				a.handle.endAll(l.decree, outcome{value: l.value})
			}
		})
	}
	a.rows.Compact()
	deadline := decree.Never
	if !a.founding.Done() {
		deadline = a.foundNext
	}
	for _, o := range a.open {
		deadline = min(deadline, o.core.Deadline())
	}
	a.timer.Set(deadline)
	a.host.SetMissing(a.founding.Waiting)
}

// What is kept of a decree (decree.RecordRow): the ballot that was counted, round
// u64 and node u64 little-endian, then the chosen value.
const voteHeader = 16

func encodeVote(v paxos.Vote) []byte {
	data := binary.LittleEndian.AppendUint64(nil, v.Ballot.Round)
	data = binary.LittleEndian.AppendUint64(data, uint64(v.Ballot.Node))
	return append(data, v.Value...)
}

// DecodeVote reads what is kept of a decree.
func DecodeVote(data []byte) (paxos.Vote, error) {
	if len(data) <= voteHeader {
		return paxos.Vote{}, fmt.Errorf("learner: chosen value of %d bytes", len(data))
	}
	return paxos.Vote{Ballot: paxos.Ballot{Round: binary.LittleEndian.Uint64(data),
		Node: paxos.ID(binary.LittleEndian.Uint64(data[8:]))}, Value: data[voteHeader:]}, nil
}

// row returns what was learned of a decree.
func (a *Actor) row(name string) (paxos.Vote, bool) {
	data, ok := a.rows.Get(name)
	if !ok {
		return paxos.Vote{}, false
	}
	vote, err := DecodeVote(data)
	if err != nil {
		panic(&actors.FailStop{Err: fmt.Errorf("learner: decree %q: %w", name, err)})
	}
	return vote, true
}
