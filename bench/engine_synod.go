package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/synod-go/synod"
)

// A synodEngine is a node of Synod as a Go program embeds it: its own state
// machine, proposals and reads by the calls of the facade. All settings but the
// protocol are the defaults.
type synodEngine struct {
	protocol synod.Engine

	node  *synod.Node
	group *synod.Group
	ready bool // has led with three voters; watchRole's goroutine alone asks
}

const (
	synodGroup     = "bench"
	synodStartTime = 30 * time.Second
	statusTime     = time.Second
)

func newSynodEngine(protocol synod.Engine) func() engine {
	return func() engine { return &synodEngine{protocol: protocol} }
}

func (e *synodEngine) start(c engineConfig) error {
	node, err := startSynod(c, synod.GroupConfig{Name: synodGroup, Engine: e.protocol, SnapshotBytes: c.SnapshotBytes, New: func() synod.StateMachine {
		m := &synodMachine{newTable()}
		return m
	}})
	if err != nil {
		return err
	}
	e.node, e.group = node, node.Group(synodGroup)
	return nil
}

// startSynod starts a node. The first founds the cluster and the others join it
// by gossip, as a user does it.
func startSynod(c engineConfig, group synod.GroupConfig) (*synod.Node, error) {
	ctx, cancel := context.WithTimeout(context.Background(), synodStartTime)
	defer cancel()
	self := c.ID - 1
	config := synod.Config{
		Name:      fmt.Sprintf("n%d", c.ID),
		Dir:       filepath.Join(c.Dir, "synod"),
		Bootstrap: c.ID == 1,
		Listen:    synod.Addresses{API: c.Clients[self], Link: c.Peers[self], Gossip: c.Gossip[self]},
		Groups:    []synod.GroupConfig{group},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if c.ID != 1 {
		config.Join = c.Gossip[:1]
	}
	return synod.Start(ctx, config)
}

// leads waits for the newcomers' votes too: one voter alone would be no contest.
func (e *synodEngine) leads() bool {
	ctx, cancel := context.WithTimeout(context.Background(), statusTime)
	defer cancel()
	s, err := e.group.Status(ctx)
	if err != nil || s.Role != "leader" {
		return false
	}
	voters := 0
	for _, m := range s.Members {
		if m.Voter {
			voters++
		}
	}
	e.ready = e.ready || voters == replicaCount
	return e.ready
}

func (e *synodEngine) write(ctx context.Context, key uint64, value []byte) error {
	_, err := e.group.Propose(ctx, appendCommand(make([]byte, 0, keyBytes+len(value)), key, value))
	return err
}

func (e *synodEngine) applied(ctx context.Context) (uint64, error) {
	s, err := e.group.Status(ctx)
	return s.Applied, err
}

// change takes the last follower's vote or gives it back.
func (e *synodEngine) change(ctx context.Context, promote bool) error {
	s, err := e.group.Status(ctx)
	if err != nil {
		return err
	}
	action := synod.DemoteMember
	if promote {
		action = synod.PromoteMember
	}
	for _, m := range slices.Backward(s.Members) {
		if m.Voter != promote && m.Name != e.node.Name() {
			return e.group.ChangeMember(ctx, synod.MemberChange{Action: action, Name: m.Name})
		}
	}
	return errors.New("no member to change")
}

func (e *synodEngine) read(ctx context.Context, key uint64, level readLevel) error {
	wanted := synod.Linearizable
	if level == lease {
		wanted = synod.Lease
	}
	return e.group.Read(ctx, wanted, func(machine synod.StateMachine, _ uint64) { machine.(*synodMachine).lookup(key) })
}

func (e *synodEngine) stop() {
	if e.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := e.node.Stop(ctx); err != nil {
		report("synod: stop", err)
	}
}

// A synodMachine needs no lock: the replica applies and reads under its own.
type synodMachine struct{ table *table }

func (m *synodMachine) Apply(_ uint64, _ int64, command []byte) []byte {
	m.table.putLocked(command)
	return nil
}

func (m *synodMachine) lookup(key uint64) int { return len(m.table.values[key]) }

// Snapshot copies the map: it is small, as every engine writes the same keys.
func (m *synodMachine) Snapshot() (io.WriterTo, error) { return m.table.picture(), nil }
func (m *synodMachine) Restore(r io.Reader) error      { return m.table.restore(r) }
