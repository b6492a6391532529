package multipaxos

import (
	"testing"

	"github.com/synod-go/synod/consensus"
)

// solo is one node that a test drives by hand. Nothing becomes durable before
// save.
type solo struct {
	*Node
	t testing.TB
}

// newSolo starts replica id of members with what is in s beside the snapshot.
func newSolo(t testing.TB, id ID, members []Member, s State, change ...func(*Config)) *solo {
	t.Helper()
	if s.Snapshot.Index == 0 {
		s.Snapshot = Bootstrap(members...)
	}
	c := testConfig(id)
	for _, f := range change {
		f(&c)
	}
	n, err := New(c, s)
	if err != nil {
		t.Fatal(err)
	}
	r := &solo{Node: n, t: t}
	r.at(1000 * millisecond)
	r.at(r.now + n.cfg.Lease) // what may have been promised before is over
	return r
}

// at moves the clock and returns what is due.
func (r *solo) at(now Time) Output {
	r.Tick(now)
	return r.Output()
}

// step hands over messages of from in one batch.
func (r *solo) step(from ID, messages ...Message) Output {
	r.Tick(r.now)
	for _, m := range messages {
		r.Step(from, m)
	}
	return r.Output()
}

// save makes everything asked for durable.
func (r *solo) save() Output {
	r.Saved(r.saves.issued)
	return r.Output()
}

// candidate makes r prepare with the votes of peers for its poll, and returns its
// ballot.
func (r *solo) candidate(peers ...ID) Ballot {
	r.t.Helper()
	r.Campaign()
	r.at(max(r.now, r.election.at))
	for _, id := range peers {
		r.step(id, PollReply{Epoch: r.epoch(), Granted: true})
	}
	r.save() // the ballot
	if r.role != Candidate {
		r.t.Fatalf("%v, want candidate", r.role)
	}
	return r.ballot
}

// isElected makes r the leader with empty promises of peers and its own, and its LEAD
// marker chosen.
func (r *solo) isElected(peers ...ID) Ballot {
	r.t.Helper()
	b := r.candidate(peers...)
	r.save()
	for _, id := range peers {
		r.step(id, Promise{Ballot: b, From: r.chosen + 1})
	}
	r.save()
	for _, id := range peers {
		r.step(id, Accepted{Ballot: b, First: r.lead.start, Last: r.lead.marker})
	}
	if r.role != Leader || r.chosen < r.lead.marker {
		r.t.Fatalf("%v, chosen %d; want a leader with its marker chosen", r.role, r.chosen)
	}
	return b
}

// messages returns those of kind M in order.
func messages[M Message](envelopes []Envelope) (list []M) {
	for _, e := range envelopes {
		if m, ok := e.Message.(M); ok {
			list = append(list, m)
		}
	}
	return list
}

// only returns the one message of kind M, for whomever.
func only[M Message](t testing.TB, envelopes []Envelope) M {
	t.Helper()
	list := messages[M](envelopes)
	if len(list) != 1 {
		var m M
		t.Fatalf("%d messages %T, want one, in %v", len(list), m, envelopes)
	}
	return list[0]
}

// entriesFrom returns commands in the slots from first on, first proposed with term.
func entriesFrom(first Index, term Ballot, commands ...string) (list []Entry) {
	for i, c := range commands {
		list = append(list, Entry{Term: term, Index: first + Index(i), Data: []byte(c)})
	}
	return list
}

func sealEntry(at Index, b Ballot, c Configuration) Entry {
	return Entry{Term: b, Index: at, Kind: EntrySeal, Data: consensus.EncodeConfiguration(c)}
}
