package acceptor

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
	"github.com/synod-go/synod/storage"
)

// Config of a node's acceptor.
type Config struct {
	decree.Host
	// Scheme says which learners are told of a vote; the same on all nodes.
	Scheme paxos.Scheme
}

// Handle is the actor as others in the process see it.
type Handle struct{ *decree.Handle }

// Hint tells the acceptor who the learners are.
func (h *Handle) Hint(hints decree.Hints) { h.Tell(hints) }

// Spawn starts the actor under name. Its supervisor restarts it after a panic; it
// then knows what the log holds, like a restarted process.
func Spawn(system *actor.ActorSystem, c Config, name string, strategy actor.SupervisorStrategy) (*Handle, error) {
	var err error
	if c.Host, err = c.WithDefaults(decree.Acceptor); err != nil {
		return nil, err
	}
	hints := new(decree.Hints) // outlives a restart
	h, err := c.Spawn(system, name, strategy, func(h *decree.Handle) actor.Actor {
		return &Actor{cfg: c, handle: h, hints: hints}
	})
	if err != nil {
		return nil, err
	}
	return &Handle{h}, nil
}

// Actor is the acceptors of one node. The fields belong to its goroutine.
type Actor struct {
	cfg    Config
	handle *decree.Handle
	log    *decree.Log
	pin    *founding.Pin
	rows   *decree.Table
	cores  map[string]*paxos.Acceptor // of the rows that have been looked at
	chosen int                        // bytes of the chosen values that cores remember
	hints  *decree.Hints

	// Of this turn:
	records []storage.Record
	saving  int // bytes of records
	sends   []decree.Outgoing
}

// Receive has one case for each thing that can happen to the actor.
func (a *Actor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.start()
	case *actors.Batch:
		a.turn(m.Messages)
	}
}

// start rebuilds everything from the log.
func (a *Actor) start() {
	var saved founding.State
	var rows []storage.Record
	a.log = a.handle.Begin(a.cfg.Host, func(r storage.Record) (err error) {
		switch r.Type {
		case decree.RecordSet:
			saved, err = decree.DecodeState(r.Data)
		case decree.RecordRow:
			r.Data = append([]byte(nil), r.Data...)
			rows = append(rows, r)
		default:
			err = fmt.Errorf("acceptor: unknown record type %d", r.Type)
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
	a.pin, err = founding.NewPin(founding.Member{Name: a.cfg.Name, ID: a.cfg.ID}, a.cfg.Acceptors, saved)
	if err != nil {
		panic(&actors.FailStop{Err: err})
	}
	a.cores, a.chosen = make(map[string]*paxos.Acceptor), 0
	a.cfg.Record(decree.Event{Role: decree.Acceptor, Kind: "recovered",
		Note: fmt.Sprintf("%d decrees, acceptors %v", a.rows.Len(), saved.Set)})
}

func (a *Actor) turn(items []actors.Item) {
	for _, item := range items {
		switch m := item.Message.(type) {
		case *messages.DecreeMessage:
			a.onMessage(m)
		case decree.Hints:
			a.onHints(m)
		case decree.Task:
			m()
		}
	}
	a.carryOut()
}

// onHints takes the learners. The cores are made again with them, from what they
// have saved.
func (a *Actor) onHints(hints decree.Hints) {
	if !a.hints.Equal(hints) {
		*a.hints = hints
		a.forget()
	}
}

// forget drops the cores, and what they have been told is chosen.
func (a *Actor) forget() {
	clear(a.cores)
	a.chosen = 0
}

func (a *Actor) onMessage(w *messages.DecreeMessage) {
	if !a.cfg.Mine(w) {
		return
	}
	if body, ok := w.GetBody().(*messages.DecreeMessage_Found); ok {
		a.cfg.Received(decree.Acceptor, w, false, 0)
		a.onFound(paxos.ID(w.GetFrom()), body.Found)
		return
	}
	m, err := decree.Decode(w)
	if err != nil || !decree.ValidName(w.GetDecree()) {
		a.cfg.Received(decree.Acceptor, w, false, 0)
		return
	}
	a.onDecree(w, m)
}

// onFound answers what set this acceptor belongs to.
func (a *Actor) onFound(from paxos.ID, m *messages.DecreeFound) {
	set, err := decree.DecodeSet(m.GetMembers())
	if err != nil {
		return
	}
	save, reason := a.pin.Found(set)
	if reason != founding.Accepted {
		a.send(from, "", decree.EncodeRefusal(reason, a.pin.State().Set))
		return
	}
	a.savePin(save)
	a.send(from, "", decree.EncodePinned(a.cfg.Name, a.pin.State()))
}

func (a *Actor) savePin(save *founding.State) {
	if save != nil {
		a.records = append(a.records, storage.Record{Type: decree.RecordSet, Data: decree.EncodeState(*save)})
	}
}

// onDecree has the decree's core take a message, unless it is of another set, or
// there is no room for what the core would have to remember. While the disk does not
// keep up, requests are lost: their senders repeat them.
func (a *Actor) onDecree(w *messages.DecreeMessage, m paxos.Message) {
	from, name := paxos.ID(w.GetFrom()), w.GetDecree()
	if asksToRemember(m) && a.log.Behind(a.saving) {
		a.cfg.Received(decree.Acceptor, w, false, 0)
		return
	}
	save, reason := a.pin.Admit(w.GetAcceptors())
	a.savePin(save)
	if reason == founding.Accepted && !a.rows.Room(name, stateBytes(m)) && asksToRemember(m) {
		reason = founding.Full
	}
	if reason != founding.Accepted {
		a.cfg.Received(decree.Acceptor, w, false, 0)
		if _, told := m.(paxos.Chosen); !told {
			a.send(from, name, decree.EncodeRefusal(reason, a.pin.State().Set))
		}
		return
	}
	core := a.core(name)
	a.cfg.Received(decree.Acceptor, w, true, 0)
	a.effects(name, core, core.Step(from, m))
}

// effects keeps a core of which something is saved, and only such a one: so no
// question can fill the memory. What cores know to be chosen they may forget.
func (a *Actor) effects(name string, core *paxos.Acceptor, out paxos.Output) {
	a.cfg.Alarms(decree.Acceptor, name, out.Alarms)
	if out.Save != nil {
		row := a.rows.Put(name, encodeState(*out.Save))
		a.records, a.saving = append(a.records, row), a.saving+len(row.Data)
	}
	if !core.State().Promised.IsZero() {
		if out.Chosen != nil && a.chosen+len(out.Chosen.Value) > a.cfg.Limits.Bytes {
			a.forget()
		}
		if out.Chosen != nil {
			a.chosen += len(out.Chosen.Value)
		}
		a.cores[name] = core
	}
	for _, e := range out.Send {
		a.send(e.To, name, decree.Encode(e.Message))
	}
}

// asksToRemember tells the messages that may grow what is kept of a decree.
func asksToRemember(m paxos.Message) bool {
	switch m.(type) {
	case paxos.Prepare, paxos.Accept:
		return true
	}
	return false
}

// core returns the decree's core, from what was saved unless it was kept.
func (a *Actor) core(name string) *paxos.Acceptor {
	if core, ok := a.cores[name]; ok {
		return core
	}
	var state paxos.AcceptorState
	if data, ok := a.rows.Get(name); ok {
		var err error
		if state, err = DecodeState(data); err != nil {
			panic(&actors.FailStop{Err: fmt.Errorf("acceptor: decree %q: %w", name, err)})
		}
	}
	config := paxos.AcceptorConfig{ID: a.cfg.ID, Scheme: a.hints.Scheme(a.cfg.Scheme),
		Learners: a.hints.Learners, Distinguished: a.hints.Distinguished, MaxValueBytes: a.cfg.MaxValueBytes}
	core, err := paxos.NewAcceptor(config, state)
	if err != nil {
		panic(&actors.FailStop{Err: fmt.Errorf("acceptor: decree %q: %w", name, err)})
	}
	a.cfg.Record(decree.Event{Role: decree.Acceptor, Kind: "begins", Decree: name, Start: &decree.Start{
		Promised: state.Promised, Vote: state.Accepted, Learners: config.Learners, Distinguished: config.Distinguished,
		Scheme: config.Scheme, MaxValueBytes: config.MaxValueBytes}})
	return core
}

func (a *Actor) send(to paxos.ID, name string, m *messages.DecreeMessage) {
	a.sends = append(a.sends, decree.Outgoing{To: to, Message: m}.Fill(a.cfg.ID, name, a.pin.State().Set.Digest()))
}

// carryOut saves what the turn has to save and lets go of its answers then.
func (a *Actor) carryOut() {
	records, sends := a.records, a.sends
	a.records, a.saving, a.sends = nil, 0, nil
	if len(records) > 0 || len(sends) > 0 {
		a.log.Save(records, func() { a.cfg.Deliver(decree.Acceptor, sends) })
	}
	a.rows.Compact()
}
