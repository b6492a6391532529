package synod

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/raft"
)

// A node that lost its disk and the member whose place it takes have one name.
func TestAMemberThatSharesItsNameIsChangedByItsID(t *testing.T) {
	c := Local(t, 3, GroupConfig{Name: "g", New: func() StateMachine { return nothing{} }})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	leader, i, err := c.Leader(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	g, other := leader.Group("g"), c.Node((i+1)%3)
	const twin = raft.ID(0x77)
	addMember(t, ctx, g, raft.Member{ID: twin, Name: other.Name(), Address: "x:1"})
	before := g.handle.View().Configuration.Version
	for _, action := range []MemberAction{RemoveMember, PromoteMember, DemoteMember, AddMember} {
		err := g.ChangeMember(ctx, MemberChange{Action: action, Name: other.Name()})
		if !errors.Is(err, ErrAmbiguous) || !strings.Contains(err.Error(), cluster.NodeID(twin).String()) ||
			!strings.Contains(err.Error(), cluster.NodeID(other.ID()).String()) {
			t.Errorf("%s: error %v, want ErrAmbiguous with both ids", action, err)
		}
	}
	if after := g.handle.View().Configuration.Version; after != before {
		t.Fatalf("version %d became %d", before, after)
	}
	if err := g.TransferLeadership(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("transfer to nobody: %v, want ErrNotFound", err)
	}
	if err := g.ChangeMember(ctx, MemberChange{Action: RemoveMember, Name: cluster.NodeID(twin).String()}); err != nil {
		t.Fatal(err)
	}
	now := g.handle.View().Configuration
	if _, there := now.Find(twin); there {
		t.Error("the member with the id is still there")
	}
	if m, there := now.Find(raft.ID(other.ID())); !there || !m.Voter {
		t.Errorf("the member that shared its name is %+v, want it to vote", m)
	}
}

func TestPick(t *testing.T) {
	all := []raft.Member{{ID: 1, Name: "n1"}, {ID: 2, Name: "n2"}, {ID: 3, Name: "n2"}, {ID: 4, Name: "0000000000000001"}}
	for _, test := range []struct {
		name string
		want raft.ID
		err  error
	}{
		{"n1", 1, nil},
		{"n2", 0, ErrAmbiguous},
		{"0000000000000002", 2, nil},
		{"0000000000000003", 3, nil},
		{"0000000000000001", 4, nil}, // a name goes before an id
		{"0000000000000009", 0, ErrNotFound},
		{"2", 0, ErrNotFound},
		{"", 0, ErrNotFound},
	} {
		i, err := pick(all, test.name, identify)
		if !errors.Is(err, test.err) || err == nil && all[i].ID != test.want {
			t.Errorf("%q: %d, %v; want member %d, %v", test.name, i, err, test.want, test.err)
		}
	}
}
