package mesos

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
)

func TestARenewedRegistryIsFarAheadOfTheOldOnesTerms(t *testing.T) {
	for _, elected := range []bool{false, true} {
		r, err := NewRegistry(RegistryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if elected {
			r.Carry(1, RegistryCommand{Term: 7, Operations: []RegistryOperation{ElectMaster{Name: "n1"}}})
		}
		was := r.Master().Term
		r.Renew(1_000_000_000_000, 0)
		if r.Master().Term < was+1_000_000 || r.Applied() != 1_000_000_000_000 {
			t.Errorf("term %d after %d, applied %d", r.Master().Term, was, r.Applied())
		}
		picture, err := r.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := picture.WriteTo(&content); err != nil {
			t.Fatal(err)
		}
		again, _ := NewRegistry(RegistryConfig{})
		if err := again.Restore(&content); err != nil || again.Master() != r.Master() {
			t.Errorf("elected %t: its snapshot holds %+v, %v", elected, again.Master(), err)
		}
	}
}

// The ids of agents, frameworks and offers have the term of the master that gives them.
func TestIDsOfARenewedRegistrysMasterAreNoneOfTheOldOnes(t *testing.T) {
	given := map[string]Term{}
	ids := func(r *Registry) Term {
		m, err := NewMaster(MasterConfig{Name: "n1", Rand: rand.New(rand.NewPCG(1, 2))}, r.Master().Term+1, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		m.registry = r
		for _, id := range []string{string(m.nextAgentID()), string(m.nextFrameworkID())} {
			if term, twice := given[id]; twice {
				t.Errorf("%s is given in term %d and in term %d", id, term, m.term)
			}
			given[id] = m.term
		}
		return m.term
	}
	old, _ := NewRegistry(RegistryConfig{})
	old.Carry(1, RegistryCommand{Term: 7, Operations: []RegistryOperation{ElectMaster{Name: "n1"}}})
	restored := old.Clone()
	restored.Renew(1_000_000_000_000, 0)
	for term := Term(8); term < 100; term++ { // what the old cluster has had since
		ids(old)
		old.Carry(uint64(term), RegistryCommand{Term: term, Operations: []RegistryOperation{ElectMaster{Name: "n1"}}})
	}
	if term := ids(restored); term < 1_000_000_000 {
		t.Errorf("the new cluster's first master has term %d", term)
	}
}

func TestDocumentsAreRenewedByTheirWriterAlsoAfterARestore(t *testing.T) {
	r, _ := NewRegistry(RegistryConfig{})
	r.OnRenew(func(_ iter.Seq[Document], apart uint64) []PutDocument {
		return []PutDocument{{Name: "n", Data: fmt.Append(nil, apart)}}
	})
	empty, _ := NewRegistry(RegistryConfig{})
	if err := r.Restore(bytes.NewReader(snapshotOf(t, empty))); err != nil {
		t.Fatal(err)
	}
	r.Renew(5_000_000, 0)
	if d, ok := r.Document("n"); !ok || string(d.Data) != "5000" {
		t.Errorf("%q, %t: want 5000", d.Data, ok)
	}
}
