package synod

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/raft"
)

type nothing struct{}

func (nothing) Apply(uint64, int64, []byte) []byte { return nil }
func (nothing) Snapshot() (io.WriterTo, error)     { return strings.NewReader(""), nil }
func (nothing) Restore(io.Reader) error            { return nil }

func TestARemovedNodeDoesNotAskForItsPlaceAgain(t *testing.T) {
	c := Local(t, 3, GroupConfig{Name: "g", New: func() StateMachine { return nothing{} }})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	leader, i, err := c.Leader(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	gone := (i + 1) % 3
	removed := c.Node(gone)
	if err := leader.Group("g").ChangeMember(ctx, MemberChange{Action: RemoveMember, Name: removed.Name()}); err != nil {
		t.Fatal(err)
	}
	if removed.Group("g").asksForPlace() {
		t.Error("a removed node asks for a place")
	}
	c.Kill(gone)
	if err := c.Restart(ctx, gone); err != nil {
		t.Fatal(err)
	}
	again := c.Node(gone)
	if err := again.await(ctx, func() bool { return again.Group("g").handle.Replica() != nil }); err != nil {
		t.Fatal(err)
	}
	if again.Group("g").asksForPlace() {
		t.Error("a removed node asks for a place after a restart")
	}
	if _, member := leader.Group("g").handle.View().Configuration.Find(raft.ID(again.ID())); member {
		t.Error("the removed node is a member")
	}
}
