package synod

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// Names under which a node's actors are reached by others, and the kinds of
// messages that cross the link. They never change.
const (
	joinReceiver = "join" // those of groups: Engine.receiver

	kindRaft         = cluster.FirstKind + 0
	kindJoin         = cluster.FirstKind + 1
	kindIntroduction = cluster.FirstKind + 2
	kindGroup        = cluster.FirstKind + 3
	kindPaxos        = cluster.FirstKind + 4
	kindJoinRefusal  = cluster.FirstKind + 5
	kindSigns        = cluster.FirstKind + 6
	kindAnswered     = cluster.FirstKind + 7
)

// Node is one running member of a cluster. It is safe for concurrent use.
type Node struct {
	cfg   Config
	log   *slog.Logger
	store *storage.Store
	id    uint64 // the storage incarnation
	// maxCommand is MaxCommandBytes, or less if the log's records are smaller.
	maxCommand int
	epoch      uint64
	system     *actor.ActorSystem
	link       *cluster.Link
	book       *cluster.Book
	gossip     *cluster.Gossip // nil in a LocalCluster
	gossiping  chan struct{}   // closed when gossip is set
	groups     []*Group
	grouped    atomic.Bool // groups is complete
	joiner     *actor.PID
	events     eventLog
	seen       sightings
	admission  admission

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change of a group
	err     error
	doing   string // what starting or ending the node waits for

	done     chan struct{} // closed when the node has ended
	endOnce  sync.Once
	losing   sync.Once
	failStop chan error // holds the first reason
}

// Start starts a node and returns when it has recovered its state from log and
// snapshots and runs; Ready tells when it has a leader to work with. The node ends
// by Stop, or by itself when it must not go on: then Done is closed and Err says
// why. ctx bounds the start alone: if it ends first, its error says what was
// waited for, and what was begun is undone as soon as that comes back; until then
// a data directory stays locked.
func Start(ctx context.Context, c Config) (*Node, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: c, log: c.Logger.With("node", c.Name), epoch: uint64(time.Now().UnixNano()),
		book: cluster.NewBook(), changed: make(chan struct{}),
		gossiping: make(chan struct{}), done: make(chan struct{}), failStop: make(chan error, 1)}
	started, failed := make(chan error, 1), make(chan error, 1)
	go func() {
		err := n.start(ctx)
		if err != nil {
			failed <- err // before the end waits for something else
			n.end(err)
		}
		started <- err
	}()
	select {
	case err = <-started:
		if err != nil {
			return nil, err
		}
		go n.watchFailStop()
		return n, nil
	case <-ctx.Done():
		go func() {
			if <-started == nil {
				n.end(ErrStopped)
			}
		}()
		what := n.waitsFor()
		select {
		case err = <-failed:
			return nil, err
		default:
			return nil, fmt.Errorf("synod: start: waiting for %s: %w", what, ctx.Err())
		}
	}
}

// start carries out the steps of a start, none of them once ctx has ended.
func (n *Node) start(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"the log", n.openStore}, {"the link", n.openLink},
		{"gossip", func() error { return n.found(ctx) }}, {"the groups", n.startGroups},
		{"the groups", n.awaitGroups}, {"the groups", n.startKeepers}, {"the groups", n.startMasters}, {"the groups", n.startJoiner}, {"the link", n.startLink}, {"gossip", n.startGossip},
	} {
		n.waitFor(step.name)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("synod: start: waiting for %s: %w", step.name, err)
		}
		if err := step.do(); err != nil {
			return err
		}
	}
	return nil
}

// openStore opens the data directory and learns who this node is.
func (n *Node) openStore() error {
	dir, fs := n.cfg.Dir, storage.FS(nil)
	switch {
	case n.cfg.local != nil:
		dir, fs = "data", n.cfg.local.fs
	case dir == "":
		dir, fs = "data", storage.NewMemory(n.epoch)
	}
	options := storage.Options{FS: fs, Node: n.cfg.Name, Logger: n.log, Progress: n.cfg.Progress}
	if fs != nil {
		options.SegmentBytes = memorySegmentBytes
	}
	store, err := storage.Open(dir, options)
	if err != nil {
		return lostError(err)
	}
	n.store, n.id = store, store.Identity().Incarnation
	n.maxCommand = min(MaxCommandBytes, store.MaxRecordBytes()-recordOverhead)
	return nil
}

const (
	// memorySegmentBytes keeps a node in memory small.
	memorySegmentBytes = 1 << 20
	// recordOverhead is more than the envelope and the entry around a command take.
	recordOverhead = 1 << 10
)

// setCluster makes this node belong to a cluster for good.
func (n *Node) setCluster(id string) error {
	if err := n.store.SetCluster(id); err != nil {
		return err
	}
	if n.link != nil {
		n.link.SetCluster(id)
	}
	return nil
}

// openLink makes the link known to a fresh actor system, before anything runs in it.
func (n *Node) openLink() (err error) {
	n.system = actors.NewSystem(n.log)
	config := cluster.LinkConfig{
		System: n.system, Listen: n.cfg.Listen.Link, Self: cluster.NodeID(n.ID()), Name: n.cfg.Name,
		Cluster: n.Cluster(), Epoch: n.epoch, TLS: n.cfg.TLS, Lookup: n.book.Lookup, Logger: n.log,
		Admit: n.admission.admit, OnUp: n.peerUp, OnDown: n.peerDown, OnForeign: n.countedOn,
		Position: n.store.Position, OnCopied: n.refusedAsCopy,
	}
	if n.cfg.local != nil {
		config.Network = n.cfg.local.network
	} else if n.cfg.Faults != nil {
		config.Network = n.cfg.Faults.Over(cluster.TCP{})
	}
	if n.link, err = cluster.NewLink(config); err != nil {
		return err
	}
	return errors.Join(n.link.Register(kindRaft, &messages.RaftMessage{}), n.link.Register(kindJoin, &messages.JoinRequest{}),
		n.link.Register(kindIntroduction, &messages.Introduction{}), n.link.Register(kindGroup, &messages.GroupMessage{}),
		n.link.Register(kindPaxos, &messages.PaxosMessage{}), n.link.Register(kindJoinRefusal, &messages.JoinRefusal{}),
		n.link.Register(kindSigns, &messages.SignsOfLife{}), n.link.Register(kindAnswered, &messages.SignsAnswered{}))
}

// startGroups starts one actor a group. A founder is the only voter at first.
func (n *Node) startGroups() error {
	strategy := actors.NewStrategy(actors.StrategyConfig{Logger: n.log, OnFailStop: n.actorFailed})
	for _, gc := range n.cfg.Groups {
		g := &Group{node: n, name: gc.Name, id: groupID(gc.Name), config: gc, recovered: make(chan struct{})}
		config := n.groupConfig(g)
		if n.cfg.Bootstrap && foundedHere(n.Cluster(), n.id) {
			config.Bootstrap = []raft.Member{{ID: config.ID, Voter: true, Name: n.cfg.Name,
				Address: n.cfg.Advertise.Link, Priority: int32(n.cfg.Priority), Roles: config.Roles}}
		}
		handle, err := group.Spawn(n.system, config, g.receiver(), strategy)
		if err != nil {
			return err
		}
		g.handle = handle
		n.groups = append(n.groups, g)
		n.link.Publish(g.receiver(), handle.PID(), handle)
	}
	n.grouped.Store(true)
	return nil
}

// awaitGroups waits until every group has rebuilt itself from log and snapshot.
func (n *Node) awaitGroups() error {
	for _, g := range n.groups {
		select {
		case <-g.recovered:
		case err := <-n.failStop:
			return err
		}
	}
	select {
	case err := <-n.failStop: // what was recovered must not run
		return err
	default:
		return nil
	}
}

func (n *Node) groupConfig(g *Group) group.Config {
	view := group.View{}
	return group.Config{
		Protocol: g.protocol(),
		ID:       raft.ID(n.ID()), Group: g.id, Name: g.name, Store: n.store, Roles: g.roles(), Machine: g.config.New,
		Replica: replica.Config{Limits: g.config.Limits}, Progress: n.cfg.Progress,
		SnapshotBytes: g.config.SnapshotBytes,
		Clock:         clock, WallClock: n.cfg.wallClock(),
		Peer: n.peers(g.receiver()), Intercept: g.intercept(),
		Changed: func(now group.View) {
			g.members.Store(&now.Configuration)
			n.groupChanged(g, view, now)
			view = now
			g.onceRecovered.Do(func() { close(g.recovered) }) // a replica's first view is of what it has recovered
		},
		Event: func(kind string, attrs ...slog.Attr) {
			e := Event{Kind: kind, Group: g.name, Attrs: map[string]string{}}
			for _, a := range attrs {
				e.Attrs[a.Key] = a.Value.String()
			}
			n.emit(e)
		},
		Note:     g.noteElection,
		FailStop: n.fail,
		Logger:   n.log,
	}
}

func (n *Node) startJoiner() (err error) {
	strategy := actors.NewStrategy(actors.StrategyConfig{Logger: n.log})
	props := actor.PropsFromProducer(actors.Guard(n.log, func() actor.Actor { return &joiner{node: n} }),
		actor.WithMailbox(actors.MailboxConfig{MaxMessages: 1024}.Producer()), actor.WithGuardian(strategy))
	if n.joiner, err = n.system.Root.SpawnNamed(props, joinReceiver); err != nil {
		return fmt.Errorf("synod: spawn joiner: %w", err)
	}
	n.link.Publish(joinReceiver, n.joiner, nil)
	return nil
}

// startLink lets peers in, now that whom they want to reach is there.
func (n *Node) startLink() error { return n.link.Start() }

func (n *Node) peerUp(id cluster.NodeID) {
	n.system.Root.Send(n.joiner, greeting{id}) // the link is not to be called from here
	n.emit(Event{Kind: "peer connected", Attrs: map[string]string{"peer": n.peerName(id)}})
}

// peerDown tells every group at once: the strongest sign of a dead leader.
func (n *Node) peerDown(id cluster.NodeID) {
	for _, g := range n.groups {
		g.handle.PeerLost(raft.ID(id))
	}
	n.emit(Event{Kind: "peer lost", Attrs: map[string]string{"peer": n.peerName(id)}})
}

// ID of the node: its storage incarnation.
func (n *Node) ID() uint64 { return n.id }

// Name of the node.
func (n *Node) Name() string { return n.cfg.Name }

// Cluster is the id of the cluster, empty until the node has joined one.
func (n *Node) Cluster() string { return n.store.Identity().Cluster }

// Group returns the named group, or nil.
func (n *Node) Group(name string) *Group {
	for _, g := range n.groups {
		if g.name == name {
			return g
		}
	}
	return nil
}

// Groups returns all groups in the order of Config.
func (n *Node) Groups() []*Group { return n.groups }

// Ready returns when every group has a leader and this node is a member that
// has applied what was committed when it asked.
func (n *Node) Ready(ctx context.Context) error {
	for _, g := range n.groups {
		for {
			if _, err := g.handle.ReadIndex(ctx); err == nil {
				break
			}
			if err := n.pause(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// pause waits for a change of any group, or a little.
func (n *Node) pause(ctx context.Context) error {
	n.mu.Lock()
	changed := n.changed
	n.mu.Unlock()
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-n.done:
		return n.stoppedError()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
	}
	return nil
}

// await returns when cond holds, looking after each change of a group.
func (n *Node) await(ctx context.Context, cond func() bool) error {
	for !cond() {
		if err := n.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}
