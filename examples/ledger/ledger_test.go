package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/synod-go/synod"
)

// transfer hands a transfer to whoever leads. A leader that was cut off may not know it yet: then somebody else is asked.
func transfer(ctx context.Context, t *testing.T, c *synod.LocalCluster, what Transfer) string {
	t.Helper()
	command, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	id := synod.NewRequestID() // however often it is sent, it is carried out once
	for ctx.Err() == nil {
		node, _, err := c.Leader(ctx, "ledger")
		if err != nil {
			t.Fatal(err)
		}
		result, err := node.Group("ledger").ProposeOnce(ctx, id, command)
		switch notLeader := new(synod.NotLeaderError); {
		case err == nil:
			return string(result.Value)
		case errors.As(err, &notLeader), errors.Is(err, synod.ErrNoLeader), errors.Is(err, synod.ErrUnknownOutcome), errors.Is(err, synod.ErrStopped):
		default:
			t.Fatal(err)
		}
	}
	t.Fatal(ctx.Err())
	return ""
}

// balance asks a node, which waits for nobody where no leader is known, as between two of them.
func balance(ctx context.Context, t *testing.T, node *synod.Node, account string) (balance int) {
	t.Helper()
	for {
		err := node.Group("ledger").Read(ctx, synod.Linearizable, func(m synod.StateMachine, _ uint64) { balance = m.(*Ledger).Balance(account) })
		switch {
		case err == nil:
			return balance
		case !errors.Is(err, synod.ErrNoLeader) || ctx.Err() != nil:
			t.Fatal(err)
		}
	}
}

func TestNoMoneyIsLostWhenTheLeaderDies(t *testing.T) {
	ctx := t.Context()
	c := synod.Local(t, 3, synod.GroupConfig{Name: "ledger", New: func() synod.StateMachine { return New() }})
	if got := transfer(ctx, t, c, Transfer{To: "ann", Amount: 10}); got != "done" {
		t.Fatal(got)
	}
	_, leader, err := c.Leader(ctx, "ledger")
	if err != nil {
		t.Fatal(err)
	}
	c.Kill(leader) // as a power cut: what it had not flushed is gone
	if got := transfer(ctx, t, c, Transfer{From: "ann", To: "bob", Amount: 7}); got != "done" {
		t.Fatal(got)
	}
	if err := c.Restart(ctx, leader); err != nil {
		t.Fatal(err)
	}
	c.Isolate((leader + 1) % 3) // a majority is left
	if got := transfer(ctx, t, c, Transfer{From: "ann", To: "bob", Amount: 7}); got != "refused: ann has 3" {
		t.Fatalf("%s: want that the second transfer finds what the first has left", got)
	}
	c.Heal()
	for i := range 3 {
		if has := balance(ctx, t, c.Node(i), "bob"); has != 7 {
			t.Errorf("node %d: bob has %d: want 7", i, has)
		}
	}
}
