package paxosnode

import (
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/multipaxos"
	"github.com/synod-go/synod/storage"
)

// Begin is as if the snapshot were the group's beginning: the first epoch, and nobody has
// led it.
func (p protocol) Begin(g storage.Group, index consensus.Index, first consensus.Member) (consensus.SnapshotMeta, []storage.Record) {
	meta := multipaxos.Bootstrap(first)
	meta.Index, meta.Configuration.Version = index, index
	writer := multipaxos.Writer{High: index}
	var records []storage.Record
	for _, r := range writer.Records(&multipaxos.Output{HardState: &multipaxos.HardState{}, Base: &meta}) {
		records = append(records, storage.Record{Group: g, Type: r.Type, Index: r.Index, Data: r.Data})
	}
	return meta, records
}

// Tail is what is chosen behind the snapshot, and what this acceptor has voted for.
func (r *recovery) Tail(snapshot consensus.SnapshotMeta, released consensus.Index) ([]consensus.Entry, consensus.Index, error) {
	state, err := r.records.State(snapshot, released)
	if err != nil {
		return nil, 0, err
	}
	return state.Tail()
}
