package main

import (
	"context"
	"encoding/binary"
	"io"
	"log"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// An etcdraftEngine is go.etcd.io/raft with etcd's write-ahead log and framed
// TCP. One goroutine owns the RawNode. In each turn it takes all that arrived,
// steps it, proposes all waiting writes as one message, asks for all waiting
// reads with one ReadIndex, and handles what is Ready. A leader sends before it
// syncs its own log (Raft thesis 10.2.1), as etcd does.
type etcdraftEngine struct {
	self     uint64
	node     *raft.RawNode
	storage  *raft.MemoryStorage
	wal      *wal.WAL
	table    *table
	mailbox  etcdraftMailbox
	network  *etcdraftNetwork
	closed   chan struct{}
	stopping sync.Once
	leading  atomic.Bool // leader with an entry of its own term applied

	// The rest belongs to the goroutine of run.
	role      raft.StateType
	applied   uint64
	sequence  uint64                     // of the last proposal
	writes    []*etcdraftCall            // proposed and not applied, in order
	reads     map[uint64][]*etcdraftCall // by the id of the ReadIndex request
	readID    uint64
	confirmed []etcdraftRead // reads that wait for the state machine
	commands  [][]byte
}

// An etcdraftCall is one write or read of a client.
type etcdraftCall struct {
	data     []byte // of a write: origin and sequence, then the command
	sequence uint64
	done     chan error
}

type etcdraftRead struct {
	index uint64
	calls []*etcdraftCall
}

const (
	etcdraftHeaderBytes = 8 // replica in the top byte, sequence in the others
	etcdraftKeepEntries = 100_000
)

var etcdraftCalls = sync.Pool{New: func() any { return &etcdraftCall{done: make(chan error, 1)} }}

func (e *etcdraftEngine) start(c engineConfig) error {
	e.self, e.table, e.closed = uint64(c.ID), newTable(), make(chan struct{})
	e.reads = make(map[uint64][]*etcdraftCall)
	e.mailbox.wake = make(chan struct{}, 1)
	log, err := wal.Create(nil, filepath.Join(c.Dir, "wal"), nil)
	if err != nil {
		return err
	}
	e.wal = log
	if err := e.bootstrap(len(c.Peers)); err != nil {
		return err
	}
	if e.network, err = connectEtcdraft(c, &e.mailbox, e.closed); err != nil {
		return err
	}
	if c.ID == 1 {
		if err := e.node.Campaign(); err != nil {
			return err
		}
	}
	go e.run()
	return nil
}

// bootstrap begins a log whose first snapshot holds the three voters.
func (e *etcdraftEngine) bootstrap(voters int) error {
	var members raftpb.ConfState
	for id := range voters {
		members.Voters = append(members.Voters, uint64(id+1))
	}
	const index, term = uint64(1), uint64(1)
	first := &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: &members, Index: new(index), Term: new(term)}}
	e.storage = raft.NewMemoryStorage()
	if err := e.storage.ApplySnapshot(first); err != nil {
		return err
	}
	if err := e.wal.SaveSnapshot(&walpb.Snapshot{Index: new(index), Term: new(term), ConfState: &members}); err != nil {
		return err
	}
	e.applied = index
	node, err := raft.NewRawNode(&raft.Config{
		ID:                        e.self,
		ElectionTick:              electionTicks,
		HeartbeatTick:             1,
		Storage:                   e.storage,
		Applied:                   index,
		MaxSizePerMsg:             1 << 20,
		MaxInflightMsgs:           256,
		CheckQuorum:               true,
		PreVote:                   true,
		DisableProposalForwarding: true,
		Logger:                    &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
	})
	e.node = node
	return err
}

func (e *etcdraftEngine) leads() bool { return e.leading.Load() }

func (e *etcdraftEngine) stop() { e.stopping.Do(func() { close(e.closed) }) }

func (e *etcdraftEngine) write(_ context.Context, key uint64, value []byte) error {
	data := make([]byte, etcdraftHeaderBytes, etcdraftHeaderBytes+keyBytes+len(value))
	return e.call(appendCommand(data, key, value))
}

func (e *etcdraftEngine) read(_ context.Context, key uint64, _ readLevel) error {
	if err := e.call(nil); err != nil {
		return err
	}
	e.table.get(key)
	return nil
}

// call hands a write, or with nil a read, to run and waits for its end.
func (e *etcdraftEngine) call(data []byte) error {
	if !e.leads() {
		return errNotLeader
	}
	c := etcdraftCalls.Get().(*etcdraftCall)
	c.data = data
	e.mailbox.putCall(c)
	select {
	case err := <-c.done:
		c.data = nil
		etcdraftCalls.Put(c)
		return err
	case <-e.closed:
		return errStopped
	}
}

func (e *etcdraftEngine) run() {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	defer e.network.close()
	for e.handleReady() {
		select {
		case <-e.mailbox.wake:
		case <-ticker.C:
			e.node.Tick()
			e.compact()
		case <-e.closed:
			return
		}
		e.takeMail()
	}
	e.stop()
}

func (e *etcdraftEngine) takeMail() {
	mail := e.mailbox.take()
	for _, m := range mail.messages {
		_ = e.node.Step(m) // an unwelcome message is no failure of ours
	}
	for _, id := range mail.unreachable {
		e.node.ReportUnreachable(id)
	}
	if len(mail.writes) > 0 {
		e.propose(mail.writes)
	}
	if len(mail.reads) > 0 {
		e.askReadIndex(mail.reads)
	}
}

// propose appends all writes with one message.
func (e *etcdraftEngine) propose(calls []*etcdraftCall) {
	entries := make([]raftpb.Entry, len(calls))
	pointers := make([]*raftpb.Entry, len(calls))
	for i, c := range calls {
		e.sequence++
		c.sequence = e.sequence
		binary.LittleEndian.PutUint64(c.data, e.self<<56|c.sequence)
		entries[i].Data = c.data
		pointers[i] = &entries[i]
	}
	err := e.node.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: &e.self, Entries: pointers})
	if err != nil {
		finish(calls, err)
		return
	}
	e.writes = append(e.writes, calls...)
}

func (e *etcdraftEngine) askReadIndex(calls []*etcdraftCall) {
	if e.role != raft.StateLeader {
		finish(calls, errNotLeader)
		return
	}
	e.readID++
	e.reads[e.readID] = append([]*etcdraftCall(nil), calls...)
	e.node.ReadIndex(binary.LittleEndian.AppendUint64(nil, e.readID))
}

// handleReady reports false when the log can no longer be written.
func (e *etcdraftEngine) handleReady() bool {
	for e.node.HasReady() {
		ready := e.node.Ready()
		if ready.SoftState != nil {
			e.changeRole(ready.SoftState.RaftState)
		}
		if e.role == raft.StateLeader {
			e.network.send(ready.Messages)
		}
		if err := e.save(ready); err != nil {
			report("etcdraft: save", err)
			return false
		}
		if e.role != raft.StateLeader {
			e.network.send(ready.Messages)
		}
		e.apply(ready.CommittedEntries)
		e.confirmReads(ready.ReadStates)
		e.node.Advance(ready)
	}
	return true
}

func (e *etcdraftEngine) save(ready raft.Ready) error {
	if err := e.wal.Save(ready.HardState, ready.Entries); err != nil {
		return err
	}
	if !raft.IsEmptyHardState(ready.HardState) {
		if err := e.storage.SetHardState(ready.HardState); err != nil {
			return err
		}
	}
	return e.storage.Append(ready.Entries)
}

func (e *etcdraftEngine) changeRole(role raft.StateType) {
	if e.role == raft.StateLeader && role != raft.StateLeader {
		e.leading.Store(false)
		finish(e.writes, errNotLeader)
		e.writes = nil
		for id, calls := range e.reads {
			finish(calls, errNotLeader)
			delete(e.reads, id)
		}
	}
	e.role = role
}

func (e *etcdraftEngine) apply(entries []*raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	e.commands = e.commands[:0]
	for _, entry := range entries {
		if data := entry.GetData(); len(data) >= etcdraftHeaderBytes {
			e.commands = append(e.commands, data[etcdraftHeaderBytes:])
		}
	}
	e.table.put(e.commands...)
	clear(e.commands)
	last := entries[len(entries)-1]
	e.applied = last.GetIndex()
	for _, entry := range entries {
		e.finishWrite(entry.GetData())
	}
	if e.role == raft.StateLeader && !e.leading.Load() {
		e.leading.Store(last.GetTerm() == e.node.BasicStatus().GetTerm())
	}
}

// finishWrite ends the write that this replica proposed as data.
func (e *etcdraftEngine) finishWrite(data []byte) {
	if len(data) < etcdraftHeaderBytes || len(e.writes) == 0 {
		return
	}
	header := binary.LittleEndian.Uint64(data)
	if header>>56 != e.self || header&(1<<56-1) != e.writes[0].sequence {
		return
	}
	e.writes[0].done <- nil
	e.writes[0] = nil
	e.writes = e.writes[1:]
}

// confirmReads ends the reads whose index is applied.
func (e *etcdraftEngine) confirmReads(states []raft.ReadState) {
	for _, s := range states {
		id := binary.LittleEndian.Uint64(s.RequestCtx)
		e.confirmed = append(e.confirmed, etcdraftRead{s.Index, e.reads[id]})
		delete(e.reads, id)
	}
	n := 0
	for ; n < len(e.confirmed) && e.confirmed[n].index <= e.applied; n++ {
		finish(e.confirmed[n].calls, nil)
	}
	e.confirmed = e.confirmed[:copy(e.confirmed, e.confirmed[n:])]
}

func finish(calls []*etcdraftCall, err error) {
	for _, c := range calls {
		c.done <- err
	}
}

// compact keeps the newest entries in memory, and on the leader all that a
// follower lacks: this harness sends no snapshots.
func (e *etcdraftEngine) compact() {
	first, err := e.storage.FirstIndex()
	if err != nil || e.applied < first+2*etcdraftKeepEntries {
		return
	}
	index := e.applied - etcdraftKeepEntries
	e.node.WithProgress(func(_ uint64, _ raft.ProgressType, p tracker.Progress) {
		index = min(index, p.Match)
	})
	if index > first {
		if err := e.storage.Compact(index); err != nil {
			report("etcdraft: compact", err)
		}
	}
}
