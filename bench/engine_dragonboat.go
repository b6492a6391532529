package main

import (
	"context"
	"io"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/statemachine"
)

// A dragonboatEngine is dragonboat v4 with its tan log. Its round trip unit is
// 100 ms, so that an election takes ten of them like everywhere else here.
type dragonboatEngine struct {
	id      uint64
	host    *dragonboat.NodeHost
	session *client.Session
	table   *table
}

const dragonboatShard = 1

func (e *dragonboatEngine) start(c engineConfig) error {
	for _, name := range []string{"dragonboat", "raft", "rsm", "transport", "grpc", "logdb", "raftpb", "config", "settings", "tan", "registry"} {
		logger.GetLogger(name).SetLevel(logger.ERROR)
	}
	e.id, e.table = uint64(c.ID), newTable()
	expert := config.GetDefaultExpertConfig()
	expert.LogDBFactory = tan.Factory
	host, err := dragonboat.NewNodeHost(config.NodeHostConfig{
		NodeHostDir:    c.Dir,
		RTTMillisecond: uint64(tickInterval / time.Millisecond),
		RaftAddress:    c.Peers[c.ID-1],
		Expert:         expert,
	})
	if err != nil {
		return err
	}
	e.host, e.session = host, host.GetNoOPSession(dragonboatShard)
	members := make(map[uint64]dragonboat.Target)
	for i, address := range c.Peers {
		members[uint64(i+1)] = address
	}
	create := func(uint64, uint64) statemachine.IConcurrentStateMachine { return dragonboatMachine{e.table} }
	return host.StartConcurrentReplica(members, false, create, config.Config{
		ReplicaID:    e.id,
		ShardID:      dragonboatShard,
		ElectionRTT:  electionTicks,
		HeartbeatRTT: 1,
		CheckQuorum:  true,
	})
}

func (e *dragonboatEngine) leads() bool {
	leader, _, known, err := e.host.GetLeaderID(dragonboatShard)
	return err == nil && known && leader == e.id
}

func (e *dragonboatEngine) write(ctx context.Context, key uint64, value []byte) error {
	command := appendCommand(make([]byte, 0, keyBytes+len(value)), key, value)
	_, err := e.host.SyncPropose(ctx, e.session, command)
	return err
}

func (e *dragonboatEngine) read(ctx context.Context, key uint64, _ readLevel) error {
	_, err := e.host.SyncRead(ctx, dragonboatShard, key)
	return err
}

func (e *dragonboatEngine) stop() {
	if e.host != nil {
		e.host.Close()
	}
}

// A dragonboatMachine applies to the table in batches.
type dragonboatMachine struct{ table *table }

func (m dragonboatMachine) Update(entries []statemachine.Entry) ([]statemachine.Entry, error) {
	m.table.mutex.Lock()
	defer m.table.mutex.Unlock()
	for i := range entries {
		m.table.putLocked(entries[i].Cmd)
		entries[i].Result.Value = 1
	}
	return entries, nil
}

func (m dragonboatMachine) Lookup(key any) (any, error)   { return m.table.get(key.(uint64)), nil }
func (m dragonboatMachine) PrepareSnapshot() (any, error) { return nil, nil }

func (m dragonboatMachine) SaveSnapshot(any, io.Writer, statemachine.ISnapshotFileCollection, <-chan struct{}) error {
	return nil
}

func (m dragonboatMachine) RecoverFromSnapshot(io.Reader, []statemachine.SnapshotFile, <-chan struct{}) error {
	return nil
}

func (m dragonboatMachine) Close() error { return nil }
