package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// A hashicorpEngine is hashicorp/raft with raft-wal behind a LogCache of 512
// entries, as Consul and Nomad run it, over its own TCP transport. Timers are
// the defaults.
type hashicorpEngine struct {
	batch bool // BatchApplyCh and the largest MaxAppendEntries
	table *table
	raft  *raft.Raft
	wal   *wal.WAL
	trans *raft.NetworkTransport
}

const hashicorpCacheEntries = 512

func (e *hashicorpEngine) start(c engineConfig) error {
	e.table = newTable()
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr})
	dir := filepath.Join(c.Dir, "wal")
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return err
	}
	if e.wal, err = wal.Open(dir, wal.WithLogger(logger)); err != nil {
		return err
	}
	cache, err := raft.NewLogCache(hashicorpCacheEntries, e.wal)
	if err != nil {
		return err
	}
	e.trans, err = raft.NewTCPTransportWithLogger(c.Peers[c.ID-1], nil, 3, 10*time.Second, logger)
	if err != nil {
		return err
	}
	config := raft.DefaultConfig()
	config.LocalID = hashicorpID(c.ID)
	config.Logger = logger
	if e.batch {
		config.BatchApplyCh = true
		config.MaxAppendEntries = 1024
	}
	snapshots := raft.NewDiscardSnapshotStore()
	var members raft.Configuration
	for i, address := range c.Peers {
		members.Servers = append(members.Servers, raft.Server{ID: hashicorpID(i + 1), Address: raft.ServerAddress(address)})
	}
	if err := raft.BootstrapCluster(config, cache, e.wal, snapshots, e.trans, members); err != nil {
		return err
	}
	e.raft, err = raft.NewRaft(config, hashicorpMachine{e.table}, cache, e.wal, snapshots, e.trans)
	return err
}

func hashicorpID(id int) raft.ServerID { return raft.ServerID(strconv.Itoa(id)) }

func (e *hashicorpEngine) leads() bool { return e.raft.State() == raft.Leader }

func (e *hashicorpEngine) write(_ context.Context, key uint64, value []byte) error {
	command := appendCommand(make([]byte, 0, keyBytes+len(value)), key, value)
	return e.raft.Apply(command, 0).Error()
}

func (e *hashicorpEngine) read(_ context.Context, key uint64, _ readLevel) error {
	if err := e.raft.VerifyLeader().Error(); err != nil {
		return err
	}
	e.table.get(key)
	return nil
}

func (e *hashicorpEngine) stop() {
	if e.raft != nil {
		e.raft.Shutdown().Error() // the process ends anyway
	}
	if e.trans != nil {
		e.trans.Close()
	}
	if e.wal != nil {
		e.wal.Close()
	}
}

// A hashicorpMachine applies to the table, in batches where raft offers them.
type hashicorpMachine struct{ table *table }

func (m hashicorpMachine) Apply(entry *raft.Log) any {
	m.table.put(entry.Data)
	return nil
}

func (m hashicorpMachine) ApplyBatch(entries []*raft.Log) []any {
	m.table.mutex.Lock()
	defer m.table.mutex.Unlock()
	for _, entry := range entries {
		if entry.Type == raft.LogCommand {
			m.table.putLocked(entry.Data)
		}
	}
	return make([]any, len(entries))
}

func (m hashicorpMachine) Snapshot() (raft.FSMSnapshot, error) { return emptySnapshot{}, nil }
func (m hashicorpMachine) Restore(r io.ReadCloser) error       { return r.Close() }

// emptySnapshot is never restored: no run lasts until a snapshot is due.
type emptySnapshot struct{}

func (emptySnapshot) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (emptySnapshot) Release()                             {}
