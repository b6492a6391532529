package sim

import (
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/actors/paxosnode"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/multipaxos"
)

// paxosActors runs groups of the Paxos log. Votes of a leader for its own proposals
// never go over the network: what is chosen it knows from what leaders say is.
type paxosActors struct {
	w        *ActorWorld
	configs  map[uint32]consensus.Configuration // by epoch, as leaders have told
	prepared map[multipaxos.Ballot]life
	promised map[multipaxos.Ballot]map[consensus.ID]bool // who has sent a whole Promise
	leaders  map[multipaxos.Ballot]consensus.ID
	proposed map[proposedAt]uint64 // hashes of entries
	told     map[multipaxos.Ballot]consensus.Index
	chosen   map[consensus.Index]claim
	said     map[consensus.ID]*paxosStatement
}

type proposedAt struct {
	ballot multipaxos.Ballot
	slot   consensus.Index
}

// claim is a value that somebody has said to be chosen.
type claim struct {
	value  uint64
	ballot multipaxos.Ballot // with which it is; never, if that is not known
}

const unknownBallot = ^multipaxos.Ballot(0)

// paxosStatement is what a replica has said about its disk.
type paxosStatement struct {
	promised multipaxos.Ballot
	votes    map[consensus.Index]multipaxos.Ballot // not of what it has trimmed
	last     consensus.Index                       // the greatest slot of votes
}

func newPaxosActors(w *ActorWorld) *paxosActors {
	w.weather.on &^= Roles
	return &paxosActors{w, map[uint32]consensus.Configuration{}, map[multipaxos.Ballot]life{},
		map[multipaxos.Ballot]map[consensus.ID]bool{}, map[multipaxos.Ballot]consensus.ID{}, map[proposedAt]uint64{},
		map[multipaxos.Ballot]consensus.Index{}, map[consensus.Index]claim{}, map[consensus.ID]*paxosStatement{}}
}

func (o *paxosActors) protocol(h *host) group.Protocol {
	c := o.w.weather.paxosConfig(o.w.plan.Seed, &node{id: h.id, life: h.life})
	c.CatchUpBytes = o.w.limits.catchUpBytes
	return paxosnode.New(paxosnode.Config{Core: c})
}

func (o *paxosActors) campaign(e group.Engine) { paxosnode.Core(e).Campaign() }

// damaged implements actorEngine.
func (o *paxosActors) damaged(message proto.Message, d draw) (proto.Message, bool) {
	m, own := message.(*messages.PaxosMessage)
	if len(m.GetInstallSnapshot().GetData()) == 0 {
		return nil, own
	}
	bad := proto.CloneOf(m)
	data := bad.GetInstallSnapshot().GetData()
	data[d.below(len(data))] ^= 1 << (d.split() % 8)
	return bad, true
}

// short implements actorEngine.
func (o *paxosActors) short(message proto.Message) string {
	if m, ok := message.(*messages.PaxosMessage); ok {
		if own, err := paxosnode.Decode(m); err == nil {
			return paxosEngine{}.show(own)
		}
	}
	return spaced(message)
}

// leaves checks what a message says beside what was said before.
func (o *paxosActors) leaves(h *host, message proto.Message) {
	wire, ok := message.(*messages.PaxosMessage)
	if !ok {
		return
	}
	m, err := paxosnode.Decode(wire)
	if err != nil {
		o.w.note("wire", "replica %d sends what nobody can read: %v", h.id, err)
		return
	}
	switch m := m.(type) {
	case multipaxos.Prepare:
		o.prepares(h, m.Ballot)
	case multipaxos.Promise:
		o.promises(h, m)
	case multipaxos.Accept:
		o.proposes(h, m)
		o.tells(h.id, m.Ballot, m.Start, m.Chosen)
	case multipaxos.Accepted:
		o.accepts(h, m)
	case multipaxos.Heartbeat:
		o.lead(h.id, m.Ballot)
		o.tells(h.id, m.Ballot, m.Start, m.Chosen)
	case multipaxos.Learned:
		o.reports(h.id, m.Entries)
	case multipaxos.InstallSnapshot:
		o.w.sometimes.count(sawSnapshotSent)
	}
}

// prepares is P1: a ballot is for one process, ever.
func (o *paxosActors) prepares(h *host, b multipaxos.Ballot) {
	self := life{h.id, h.life}
	if had, ok := o.prepared[b]; ok && had != self {
		o.w.note("P1", "replica %d prepares ballot %s in life %d, replica %d has in life %d", h.id, multipaxos.FormatBallot(b), h.life, had.id, had.count)
	}
	o.prepared[b] = self
}

// promises is P5: a promise reports every vote that was told before.
func (o *paxosActors) promises(h *host, m multipaxos.Promise) {
	s := o.statement(h.id)
	reported := map[consensus.Index]multipaxos.Ballot{}
	for _, r := range m.Runs {
		for _, e := range r.Entries {
			reported[e.Index] = r.Ballot
			if r.Chosen {
				reported[e.Index] = m.Ballot
			}
		}
		if r.Chosen {
			o.reports(h.id, r.Entries)
		}
	}
	for slot, b := range s.votes {
		asked := slot >= m.From && (m.Next == 0 || slot < m.Next) && multipaxos.Epoch(b) == multipaxos.Epoch(m.Ballot) && b < m.Ballot
		switch {
		case slot <= m.Trimmed:
			delete(s.votes, slot)
		case asked && reported[slot] < b:
			o.w.note("P5", "replica %d promises %s and does not report its vote with %s in slot %d", h.id,
				multipaxos.FormatBallot(m.Ballot), multipaxos.FormatBallot(b), slot)
		}
	}
	s.promised = max(s.promised, m.Ballot)
	if m.Next == 0 {
		if o.promised[m.Ballot] == nil {
			o.promised[m.Ballot] = map[consensus.ID]bool{}
		}
		o.promised[m.Ballot][h.id] = true
	}
}

// proposes is P2, one value for a ballot and a slot, and P3: none but the chosen one
// if a lower ballot has it.
func (o *paxosActors) proposes(h *host, m multipaxos.Accept) {
	o.lead(h.id, m.Ballot)
	o.elected(h.id, m.Ballot)
	for _, e := range m.Entries {
		at, value := proposedAt{m.Ballot, e.Index}, decreeOf(e).value
		if had, ok := o.proposed[at]; ok && had != value {
			o.w.note("P2", "replica %d proposes two values with ballot %s in slot %d", h.id, multipaxos.FormatBallot(m.Ballot), e.Index)
		}
		o.proposed[at] = value
		if c, ok := o.chosen[e.Index]; ok && c.ballot < m.Ballot && c.value != value {
			o.w.note("P3", "replica %d proposes another value with ballot %s in slot %d than was chosen with %s", h.id,
				multipaxos.FormatBallot(m.Ballot), e.Index, multipaxos.FormatBallot(c.ballot))
		}
	}
}

// accepts keeps what a replica says that its disk holds.
func (o *paxosActors) accepts(h *host, m multipaxos.Accepted) {
	s := o.statement(h.id)
	s.promised = max(s.promised, m.Ballot)
	s.last = max(s.last, m.Last)
	for i := m.First; i <= m.Last; i++ {
		s.votes[i] = max(s.votes[i], m.Ballot)
	}
}

func (o *paxosActors) statement(id consensus.ID) *paxosStatement {
	if o.said[id] == nil {
		o.said[id] = &paxosStatement{votes: map[consensus.Index]multipaxos.Ballot{}}
	}
	return o.said[id]
}

// tells is a leader that says how far its own proposals are chosen.
func (o *paxosActors) tells(id consensus.ID, b multipaxos.Ballot, start, upTo consensus.Index) {
	for i := max(start, o.told[b]+1); i <= upTo; i++ {
		if value, ok := o.proposed[proposedAt{b, i}]; ok {
			o.claims(id, i, claim{value, b})
		}
	}
	o.told[b] = max(o.told[b], upTo)
}

// reports are entries that a replica says are chosen.
func (o *paxosActors) reports(id consensus.ID, entries []consensus.Entry) {
	for _, e := range entries {
		o.claims(id, e.Index, claim{decreeOf(e).value, unknownBallot})
	}
}

// claims is P6 and P1: one value is chosen in a slot.
func (o *paxosActors) claims(id consensus.ID, slot consensus.Index, c claim) {
	had, ok := o.chosen[slot]
	if ok && had.value != c.value {
		o.w.note("P6", "replica %d says that another value is chosen in slot %d than was said before", id, slot)
	}
	if !ok || c.ballot < had.ballot {
		o.chosen[slot] = c
	}
}

// leads implements actorEngine.
func (o *paxosActors) leads(h *host, v group.View) {
	if v.Configuration.Epoch == multipaxos.Epoch(v.Term) {
		o.configs[v.Configuration.Epoch] = v.Configuration
	}
	o.lead(h.id, v.Term)
	o.elected(h.id, v.Term)
}

// lead is P1 once more.
func (o *paxosActors) lead(id consensus.ID, b multipaxos.Ballot) {
	if other, ok := o.leaders[b]; ok && other != id {
		o.w.note("P1", "replicas %d and %d both lead with ballot %s", other, id, multipaxos.FormatBallot(b))
	}
	o.leaders[b] = id
}

// elected is P3: a quorum has promised the ballot of a leader. Its own promise goes
// over no network.
func (o *paxosActors) elected(id consensus.ID, b multipaxos.Ballot) {
	c, known := o.configs[multipaxos.Epoch(b)]
	if known && !majorityOf(&c, func(of consensus.ID) bool { return of == id || o.promised[b][of] }) {
		o.w.note("P3", "replica %d leads with ballot %s, which no quorum has promised", id, multipaxos.FormatBallot(b))
	}
}

// remembers is P5: what was promised and voted for is there.
func (o *paxosActors) remembers(h *host, s consensus.Status) {
	said := o.statement(h.id)
	if s.Term < said.promised {
		o.w.note("P5", "replica %d starts with the promise %s, it has said %s", h.id, multipaxos.FormatBallot(s.Term), multipaxos.FormatBallot(said.promised))
	}
	if b := said.votes[said.last]; b != 0 && multipaxos.Epoch(b) == s.Configuration.Epoch && s.LastIndex < said.last {
		o.w.note("P5", "replica %d starts with slots up to %d, it has voted with %s in slot %d", h.id, s.LastIndex, multipaxos.FormatBallot(b), said.last)
	}
}
