package paxosnode

import (
	"context"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/multipaxos"
)

// Tail is the end of an acceptor's log.
type Tail struct {
	Promised multipaxos.Ballot // see multipaxos.Node.Promised
	Slots    []multipaxos.Slot // nobody may change them
}

// ReadTail returns the last slots of a Paxos group's replica, at most most of them. It panics
// if the group has another engine.
func ReadTail(ctx context.Context, h *group.Handle, most int) (Tail, error) {
	return group.Inspect(ctx, h, func(e group.Engine) (Tail, error) {
		node := e.(*engine).Node
		return Tail{Promised: node.Promised(), Slots: node.Tail(most)}, nil
	})
}
