package raftnode

import (
	"context"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/raft"
)

// Tail is the end of a replica's log.
type Tail struct {
	Commit  raft.Index
	Entries []raft.Entry // nobody may change them
}

// ReadTail returns the last entries of a Raft group's replica, at most most of them. It panics
// if the group has another engine.
func ReadTail(ctx context.Context, h *group.Handle, most int) (Tail, error) {
	return group.Inspect(ctx, h, func(e group.Engine) (Tail, error) {
		node := e.(*engine).Node
		return Tail{Commit: node.Commit(), Entries: node.Tail(most)}, nil
	})
}
