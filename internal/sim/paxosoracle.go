package sim

import (
	"math/bits"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
)

// paxosOracle is the oracle of the Paxos log. It knows every ballot that was
// prepared, every promise and vote that has ever become durable, and so what is
// chosen, before any replica does. The rules are named in doc.go.
type paxosOracle struct {
	w       *World
	records map[consensus.ID]*paxosRecord

	// epochs are the configurations by epoch, the first one at 0; of the chosen
	// prefix alone. settled is the newest that a quorum of its acceptors has
	// entered: those before it are needed no more.
	epochs  []consensus.Configuration
	settled int
	seals   []seal // proposed in the newest epoch, chosen or not

	log  []decree // by slot: the chosen prefix; log[0] is none
	lead multipaxos.Ballot

	prepared map[multipaxos.Ballot]life
	promised map[multipaxos.Ballot]uint64 // who has promised it, by place in its epoch
	leaders  map[multipaxos.Ballot]consensus.ID
	decrees  map[instance]*proposals
}

// seal is a configuration that may come to be in force.
type seal struct {
	value  uint64 // of its decree
	config consensus.Configuration
}

// life is one process of a replica.
type life struct {
	id    consensus.ID
	count uint32
}

// instance is one instance of the Synod: a slot as an epoch sees it.
type instance struct {
	slot  consensus.Index
	epoch uint32
}

// proposals are what was proposed in one instance, by ballot.
type proposals struct {
	list   []proposal
	chosen *proposal
}

type proposal struct {
	ballot multipaxos.Ballot
	decree decree
	votes  uint64 // of acceptors, by place in the epoch
}

// decree is what an entry says, without its data.
type decree struct {
	term  multipaxos.Ballot
	kind  consensus.EntryKind
	value uint64 // a hash of everything
	ghost bool   // behind a LEAD marker of a higher ballot
}

func decreeOf(e consensus.Entry) decree {
	return decree{term: e.Term, kind: e.Kind, value: mix(digest(e.Data)) ^ mix(uint64(e.Term)<<8^uint64(e.Kind))}
}

func newPaxosOracle(w *World) *paxosOracle {
	return &paxosOracle{
		w: w, records: map[consensus.ID]*paxosRecord{}, log: []decree{{}}, prepared: map[multipaxos.Ballot]life{},
		promised: map[multipaxos.Ballot]uint64{}, leaders: map[multipaxos.Ballot]consensus.ID{}, decrees: map[instance]*proposals{},
	}
}

func (o *paxosOracle) begin(c consensus.Configuration) { o.epochs = []consensus.Configuration{c} }

func (o *paxosOracle) committed() consensus.Index { return consensus.Index(len(o.log) - 1) }

func (o *paxosOracle) record(id consensus.ID) *paxosRecord {
	r := o.records[id]
	if r == nil {
		r = &paxosRecord{id: id, durable: newAcceptorDisk()}
		o.records[id] = r
	}
	return r
}

// liveConfigurations are those from the last epoch on that a quorum has entered:
// until the next one's acceptors have promised, the old ones hold the log alone.
// A SEAL that is proposed may be chosen at any time.
func (o *paxosOracle) liveConfigurations() (list []*consensus.Configuration) {
	for i := o.settled; i < len(o.epochs); i++ {
		list = append(list, &o.epochs[i])
	}
	for i := range o.seals {
		list = append(list, &o.seals[i].config)
	}
	return list
}

// epoch is the configuration that a ballot counts in (P9).
func (o *paxosOracle) epoch(id consensus.ID, b multipaxos.Ballot) *consensus.Configuration {
	e := int(multipaxos.Epoch(b))
	if e == 0 || e > len(o.epochs) {
		violated("P9", "replica %d speaks of ballot %s, no SEAL has opened its epoch", id, multipaxos.FormatBallot(b))
	}
	return &o.epochs[e-1]
}

// place is the bit of a member that is an acceptor, or 0.
func place(c *consensus.Configuration, id consensus.ID) uint64 {
	for i := range c.Members {
		if c.Members[i].ID == id && c.Members[i].Voter {
			return 1 << i
		}
	}
	return 0
}

func quorumOf(c *consensus.Configuration, set uint64) bool {
	acceptors := 0
	for i := range c.Members {
		acceptors += int(bit01(c.Members[i].Voter))
	}
	return 2*bits.OnesCount64(set) > acceptors
}

// promises notes a promise that can never be taken back.
func (o *paxosOracle) promises(id consensus.ID, b multipaxos.Ballot) {
	if b == 0 {
		return
	}
	c := o.epoch(id, b)
	o.promised[b] |= place(c, id)
	if e := int(multipaxos.Epoch(b)) - 1; e > o.settled && quorumOf(c, o.promised[b]) {
		o.settled = e
	}
}

// proposes notes that a value was proposed with a ballot in a slot: one only for
// each (P2), and the chosen one if there is one (P3).
func (o *paxosOracle) proposes(id consensus.ID, b multipaxos.Ballot, e consensus.Entry) *proposal {
	key := instance{e.Index, multipaxos.Epoch(b)}
	in := o.decrees[key]
	if in == nil {
		in = &proposals{}
		o.decrees[key] = in
	}
	d := decreeOf(e)
	for i := range in.list {
		if p := &in.list[i]; p.ballot == b {
			if p.decree != d {
				violated("P2", "two values with ballot %s in slot %d, the second at replica %d", multipaxos.FormatBallot(b), e.Index, id)
			}
			return p
		}
	}
	if c := in.chosen; c != nil && c.ballot < b && c.decree != d {
		violated("P3", "ballot %s proposes another value in slot %d than was chosen with ballot %s", multipaxos.FormatBallot(b), e.Index,
			multipaxos.FormatBallot(c.ballot))
	}
	o.sealed(b, e)
	in.list = append(in.list, proposal{ballot: b, decree: d})
	return &in.list[len(in.list)-1]
}

// sealed keeps a configuration that is proposed.
func (o *paxosOracle) sealed(b multipaxos.Ballot, e consensus.Entry) {
	if e.Kind != consensus.EntryConfiguration || int(multipaxos.Epoch(b)) < len(o.epochs) {
		return
	}
	if c, err := consensus.DecodeConfiguration(e.Data); err == nil {
		c.Version = e.Index
		o.seals = append(o.seals, seal{decreeOf(e).value, c})
	}
}

// votes notes a durable vote, and what it makes chosen: P1.
func (o *paxosOracle) votes(id consensus.ID, b multipaxos.Ballot, e consensus.Entry) {
	c := o.epoch(id, b)
	p := o.proposes(id, b, e)
	p.votes |= place(c, id)
	in := o.decrees[instance{e.Index, multipaxos.Epoch(b)}]
	if !quorumOf(c, p.votes) {
		return
	}
	if in.chosen == nil {
		chosen := *p
		in.chosen = &chosen
	}
	if in.chosen.decree != p.decree {
		violated("P1", "two values are chosen in slot %d, with ballots %s and %s", e.Index, multipaxos.FormatBallot(in.chosen.ballot),
			multipaxos.FormatBallot(b))
	}
	for _, later := range in.list {
		if later.ballot > b && later.decree != p.decree {
			violated("P3", "slot %d is chosen with ballot %s, but ballot %s has proposed another value", e.Index, multipaxos.FormatBallot(b),
				multipaxos.FormatBallot(later.ballot))
		}
	}
	o.advance()
}

// advance lengthens the chosen prefix. Which epoch decides a slot follows from the
// slots before it.
func (o *paxosOracle) advance() {
	for {
		next := o.committed() + 1
		in := o.decrees[instance{next, uint32(len(o.epochs))}]
		if in == nil || in.chosen == nil {
			return
		}
		d := in.chosen.decree
		d.ghost = d.term < o.lead
		o.log = append(o.log, d)
		o.w.fold(d.value)
		switch {
		case d.ghost:
			o.w.sometimes.count(sawGhost)
		case d.kind == consensus.EntryLead:
			o.lead = d.term
		case d.kind == consensus.EntryConfiguration:
			o.opens(next, d.value)
		}
	}
}

// opens begins the epoch that the SEAL in a slot brings.
func (o *paxosOracle) opens(at consensus.Index, value uint64) {
	for _, s := range o.seals {
		if s.config.Version == at && s.value == value {
			if int(s.config.Epoch) != len(o.epochs)+1 {
				violated("P10", "the SEAL in slot %d opens epoch %d after epoch %d", at, s.config.Epoch, len(o.epochs))
			}
			o.epochs = append(o.epochs, s.config)
			break
		}
	}
	o.seals = nil
	o.w.trace("epoch     %d behind slot %d: %v", len(o.epochs), at, o.epochs[len(o.epochs)-1].Members)
}

// chosen is the decree of a slot of the chosen prefix.
func (o *paxosOracle) chosen(rule string, id consensus.ID, i consensus.Index) decree {
	if i > o.committed() {
		violated(rule, "replica %d takes slot %d for chosen, the chosen prefix ends at %d", id, i, o.committed())
	}
	return o.log[i]
}

// learned checks an entry that a replica takes, or reports, as chosen (P6).
func (o *paxosOracle) learned(id consensus.ID, e consensus.Entry) {
	d := o.chosen("P6", id, e.Index)
	if d.value != decreeOf(e).value {
		violated("P6", "replica %d takes an entry of ballot %s for chosen in slot %d, chosen is one of ballot %s", id,
			multipaxos.FormatBallot(e.Term), e.Index, multipaxos.FormatBallot(d.term))
	}
}
