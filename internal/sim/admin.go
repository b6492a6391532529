package sim

import (
	"slices"

	"github.com/synod-go/synod/consensus"
)

// changeSome asks the leader for a random change, as an operator would.
func (w *World) changeSome(d draw) {
	if n := w.leader(w.nodes[d.below(len(w.nodes))]); n.up {
		w.put(n, input{kind: inChange, a: uint64(d.split())})
	}
}

// change draws a change from the configuration that the replica has now. It
// never leaves a group without a quorum of replicas whose disks are whole.
func (w *World) change(n *node, in *input) {
	s := n.core.Status()
	if s.Role != consensus.Leader || w.healed {
		return
	}
	d := draw(in.a)
	members := w.target(slices.Clone(s.Configuration.Members), d)
	for i := range members {
		w.engine.cast(w, &members[i])
	}
	wanted := consensus.Configuration{Members: members}
	if !w.survives(&wanted, w.safe) {
		return
	}
	version := s.Configuration.Version
	if d.split().split().perMille(50) && version > 0 {
		version-- // an operator who has not seen the last change
	}
	index, err := n.core.ChangeMembership(members, version)
	if err != nil {
		w.trace("change    replica %d: %v", n.id, err)
		return
	}
	if version != s.Configuration.Version {
		violated("R11", "leader %d takes a change of version %d, the configuration has %d", n.id, version, s.Configuration.Version)
	}
	w.stats.Changes++
	w.trace("change    replica %d at %d: %v", n.id, index, wanted)
}

// target is the wanted membership: lost replicas are replaced, and by chance
// others join, leave, or change places.
func (w *World) target(members []consensus.Member, d draw) []consensus.Member {
	members = slices.DeleteFunc(members, func(m consensus.Member) bool { return !m.Voter && !m.Outgoing && !w.safe(m.ID) })
	for i := range members {
		members[i].Outgoing, members[i].Leaving = false, false
	}
	for i := range members {
		if m := members[i]; !w.safe(m.ID) {
			return w.replace(members, m, d)
		}
	}
	switch choice := d.below(10); {
	case choice < 3:
		return w.join(members, d.split(), consensus.Member{Promote: true})
	case choice < 5 && len(members) > 2:
		return slices.Delete(members, 0, 1+d.split().below(min(2, len(members)-2)))
	case choice < 7 && len(members) > 1:
		i := d.split().below(len(members))
		members = slices.Delete(members, i, i+1)
		return w.join(members, d.split().split(), consensus.Member{Voter: true})
	case choice < 8:
		return w.join(members, d.split(), consensus.Member{})
	case choice < 9:
		members[d.split().below(len(members))].Priority = int32(d.split().split().below(4))
		return members
	}
	m := &members[d.split().below(len(members))]
	m.Voter = !m.Voter || countVoters(members) == 1
	return members
}

func countVoters(members []consensus.Member) (n int) {
	for _, m := range members {
		n += int(bit01(m.Voter))
	}
	return n
}

// replace lets the replica that the machine of a lost one has now take its
// place: through a non-voter that is promoted, or at once.
func (w *World) replace(members []consensus.Member, lost consensus.Member, d draw) []consensus.Member {
	id := w.nodes[slotOf(lost.ID)].id
	if id == lost.ID || slices.ContainsFunc(members, func(m consensus.Member) bool { return m.ID == id }) {
		return slices.DeleteFunc(members, func(m consensus.Member) bool { return m.ID == lost.ID })
	}
	if d.perMille(700) {
		return append(members, consensus.Member{ID: id, Promote: true, Replaces: lost.ID})
	}
	members = slices.DeleteFunc(members, func(m consensus.Member) bool { return m.ID == lost.ID })
	return append(members, consensus.Member{ID: id, Voter: true})
}

// join adds one machine that is not a member.
func (w *World) join(members []consensus.Member, d draw, as consensus.Member) []consensus.Member {
	first := d.below(len(w.nodes))
	for i := range w.nodes {
		n := w.nodes[(first+i)%len(w.nodes)]
		if n.lost || slices.ContainsFunc(members, func(m consensus.Member) bool { return m.ID == n.id }) {
			continue
		}
		as.ID = n.id
		return append(members, as)
	}
	return members
}
