package raftnode

import (
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/storage"
)

// Begin is as if the snapshot had been taken in term 1, which is over.
func (p protocol) Begin(g storage.Group, index consensus.Index, first consensus.Member) (consensus.SnapshotMeta, []storage.Record) {
	meta := consensus.SnapshotMeta{Index: index, Term: 1,
		Configuration: consensus.Configuration{Version: index, Members: []consensus.Member{first}}}
	return meta, []storage.Record{hardStateRecord(g, raft.HardState{Term: 1}), baseRecord(g, index, meta)}
}

// Tail is the log behind the snapshot: no record says what of it is committed.
func (r *recovery) Tail(snapshot consensus.SnapshotMeta, released consensus.Index) ([]consensus.Entry, consensus.Index, error) {
	r.released = released
	state, err := r.state(snapshot)
	if err != nil {
		return nil, 0, err
	}
	entries, err := state.Tail()
	return entries, snapshot.Index, err
}
