package raft

import (
	"testing"

	"github.com/synod-go/synod/consensus"
)

// Raft 6: in a joint configuration agreement needs separate majorities from
// both the old and the new one.
func TestQuorum(t *testing.T) {
	tests := []struct {
		in, out []ID
		values  map[ID]uint64
		want    uint64
	}{
		{nil, nil, nil, 0},
		{[]ID{1}, nil, map[ID]uint64{1: 5}, 5},
		{[]ID{1, 2}, nil, map[ID]uint64{1: 5, 2: 3}, 3},
		{[]ID{1, 2, 3}, nil, map[ID]uint64{1: 5, 2: 3, 3: 4}, 4},
		{[]ID{1, 2, 3}, nil, map[ID]uint64{1: 5}, 0},
		{[]ID{1, 2, 3, 4}, nil, map[ID]uint64{1: 5, 2: 5, 3: 2, 4: 1}, 2},
		{[]ID{1, 2, 3, 4, 5}, nil, map[ID]uint64{1: 9, 2: 8, 3: 7, 4: 6, 5: 5}, 7},
		{[]ID{1, 2, 3}, []ID{3, 4, 5}, map[ID]uint64{1: 9, 2: 9, 3: 9}, 0},
		{[]ID{1, 2, 3}, []ID{3, 4, 5}, map[ID]uint64{3: 9, 4: 9, 5: 9}, 0},
		{[]ID{1, 2, 3}, []ID{3, 4, 5}, map[ID]uint64{1: 4, 3: 9, 4: 6}, 4},
		{[]ID{1}, []ID{2}, map[ID]uint64{1: 4, 2: 3}, 3},
		{[]ID{1, 2, 3}, []ID{1, 2, 3}, map[ID]uint64{1: 4, 2: 3, 3: 2}, 3},
	}
	for _, test := range tests {
		c := configurationOf(test.in, test.out)
		if got := c.Quorum(func(id ID) uint64 { return test.values[id] }); got != test.want {
			t.Errorf("voters %v, outgoing %v, values %v: %d, want %d", test.in, test.out, test.values, got, test.want)
		}
	}
}

// A non-voter counts in no quorum.
func TestNonVotersDoNotCount(t *testing.T) {
	c := configurationOf([]ID{1, 2, 3}, nil)
	c.Members = append(c.Members, Member{ID: 4}, Member{ID: 5, Promote: true})
	values := map[ID]uint64{1: 1, 4: 9, 5: 9}
	if got := c.Quorum(func(id ID) uint64 { return values[id] }); got != 0 {
		t.Errorf("quorum %d, want 0", got)
	}
}

// A quorum is reached exactly if the definition says so: for every set of those
// who agree, among up to five voters in each half.
func TestQuorumAgreesWithTheDefinition(t *testing.T) {
	for in := 1; in < 32; in++ {
		for out := range 32 {
			c := configurationOf(members(in), members(out))
			for agree := range 32 {
				got := c.Quorum(func(id ID) uint64 { return uint64(agree >> (id - 1) & 1) }) == 1
				want := more(in, agree) && (out == 0 || more(out, agree))
				if got != want {
					t.Fatalf("voters %v, outgoing %v, agreed %v: %v", members(in), members(out), members(agree), got)
				}
			}
		}
	}
}

func more(half, agree int) bool { return 2*len(members(half&agree)) > len(members(half)) }

func members(bits int) (ids []ID) {
	for id := ID(1); id <= 5; id++ {
		if bits>>(id-1)&1 == 1 {
			ids = append(ids, id)
		}
	}
	return ids
}

func configurationOf(in, out []ID) Configuration {
	all := map[ID]Member{}
	for _, id := range in {
		all[id] = Member{ID: id, Voter: true}
	}
	for _, id := range out {
		m := all[id]
		m.ID, m.Outgoing = id, true
		all[id] = m
	}
	var list []Member
	for _, m := range all {
		list = append(list, m)
	}
	return Configuration{Members: consensus.SortMembers(list)}
}
