package synod

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
)

// The one receiver that a process of decrees has for others, and the kind of its
// messages. They never change.
const (
	decreesReceiver = "decrees"
	kindDecree      = cluster.FirstKind + 8
)

// decreeNet is how a process of decrees reaches the others.
type decreeNet struct {
	system *actor.ActorSystem
	link   *cluster.Link
	book   *cluster.Book
	gossip *cluster.Gossip // nil with DecreesConfig.Local

	mu    sync.Mutex
	names map[paxos.ID]string // by what the link has shaken hands with
	seen  map[paxos.ID]cluster.Member
	pids  sync.Map // paxos.ID to *actor.PID: a PID remembers its process
}

// maxNames bounds what others can make a process remember.
const maxNames = 4096

// name returns what people call a process, "" if it is not known.
func (n *decreeNet) name(id paxos.ID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return cmp.Or(n.names[id], n.seen[id].Name)
}

// admit notes the name of a peer that the link shakes hands with. With TLS its
// certificate proves it.
func (n *decreeNet) admit(id cluster.NodeID, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch known, ok := n.names[paxos.ID(id)]; {
	case ok && known != name:
		return fmt.Errorf("synod: %v is %s, not %s", id, known, name)
	case !ok && len(n.names) >= maxNames:
		return fmt.Errorf("synod: more than %d peers", maxNames)
	}
	n.names[paxos.ID(id)] = name
	return nil
}

// openLink makes the link known to a fresh actor system, before anything runs in it.
func (d *Decrees) openLink() (err error) {
	n := &d.net
	n.system, n.book = actors.NewSystem(d.cfg.Logger), cluster.NewBook()
	n.names, n.seen = map[paxos.ID]string{d.id: d.cfg.Name}, make(map[paxos.ID]cluster.Member)
	config := cluster.LinkConfig{
		System: n.system, Listen: d.cfg.Listen.Link, Self: cluster.NodeID(d.id), Name: d.cfg.Name,
		Cluster: d.clusterID(), Epoch: d.epoch, TLS: d.cfg.TLS, Lookup: n.book.Lookup, Logger: d.cfg.Logger,
		Admit: n.admit, Position: d.store.Position, OnCopied: d.refusedAsCopy,
		MaxFrame: d.cfg.MaxValueBytes + 64<<10, // a value, and what goes around it
	}
	if d.cfg.Local != nil {
		config.Network = d.cfg.Local.network.Host(d.cfg.Name)
	}
	if n.link, err = cluster.NewLink(config); err != nil {
		return err
	}
	return n.link.Register(kindDecree, &messages.DecreeMessage{})
}

// startNet lets peers in and looks for them.
func (d *Decrees) startNet() (err error) {
	n := &d.net
	n.link.Publish(decreesReceiver, d.handles()[0].PID(), decreeReceiver{d})
	if err := n.link.Start(); err != nil {
		return err
	}
	self := cluster.Member{ID: cluster.NodeID(d.id), Name: d.cfg.Name, Gossip: d.cfg.Advertise.Gossip, Meta: d.meta()}
	if d.cfg.Local != nil {
		d.cfg.Local.started(d, self)
		return nil
	}
	d.onMembers([]cluster.Member{self})
	config := cluster.GossipConfig{
		Self: cluster.NodeID(d.id), Name: d.cfg.Name, Listen: d.cfg.Listen.Gossip, Advertise: d.cfg.Advertise.Gossip,
		Label: d.clusterID(), Meta: d.meta(), Seeds: d.cfg.Join, Book: n.book,
		OnChange: d.onMembers, OnAlive: n.link.Reach, Logger: d.cfg.Logger,
	}
	if len(d.cfg.GossipKey) > 0 {
		config.Keys = append([][]byte{d.cfg.GossipKey}, d.cfg.GossipAlso...)
	}
	gossip, err := cluster.StartGossip(config)
	if err == nil {
		n.gossip = gossip
	}
	return err
}

func (d *Decrees) meta() *messages.NodeMeta {
	meta := &messages.NodeMeta{Node: uint64(d.id), Epoch: d.epoch, Cluster: d.clusterID(), Link: d.cfg.Advertise.Link}
	for _, role := range d.cfg.Roles {
		meta.Roles = append(meta.Roles, string(role))
	}
	return meta
}

// onMembers tells the roles whom gossip holds for alive. An acceptor that it does
// not see remains one.
func (d *Decrees) onMembers(alive []cluster.Member) {
	n := &d.net
	n.mu.Lock()
	clear(n.seen)
	for _, m := range alive {
		n.seen[paxos.ID(m.ID)] = m
	}
	hints := d.hints()
	n.mu.Unlock()
	if d.acceptor != nil {
		d.acceptor.Hint(hints)
	}
	if d.proposer != nil {
		d.proposer.Hint(hints)
	}
	if d.learner != nil {
		d.learner.Hint(hints)
	}
}

// hints reads the roles out of what gossip says. Of two processes with one name the
// one started later is meant: the other has lost its disk.
func (d *Decrees) hints() decree.Hints {
	hints := decree.Hints{Acceptors: make(map[string]paxos.ID)}
	byName := make(map[string]cluster.Member)
	for _, id := range slices.Sorted(maps.Keys(d.net.seen)) {
		m := d.net.seen[id]
		if old, ok := byName[m.Name]; !ok || old.Meta.GetEpoch() < m.Meta.GetEpoch() {
			byName[m.Name] = m
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		m := byName[name]
		id, roles := paxos.ID(m.ID), m.Meta.GetRoles()
		if slices.Contains(roles, string(RoleAcceptor)) {
			hints.Acceptors[name] = id
		}
		if slices.Contains(roles, string(RoleProposer)) {
			hints.Proposers = append(hints.Proposers, id)
			if name == d.cfg.Proposer {
				hints.Proposer = id
			}
		}
		if slices.Contains(roles, string(RoleLearner)) {
			hints.Learners = append(hints.Learners, id)
		}
	}
	for _, name := range d.cfg.Distinguished {
		if id := paxos.ID(byName[name].ID); slices.Contains(hints.Learners, id) {
			hints.Distinguished = append(hints.Distinguished, id)
		}
	}
	return hints
}

// send brings a message to the roles of a process, or loses it.
func (d *Decrees) send(to paxos.ID, m *messages.DecreeMessage) {
	if local := d.cfg.Local; local != nil {
		if tamper := local.tamper.Load(); tamper != nil {
			(*tamper)(m, func() { d.sendNow(to, m) })
			return
		}
	}
	d.sendNow(to, m)
}

func (d *Decrees) sendNow(to paxos.ID, m *messages.DecreeMessage) {
	if to == d.id {
		d.dispatch(m)
		return
	}
	pid, ok := d.net.pids.Load(to)
	if !ok {
		if _, known := d.net.book.Lookup(cluster.NodeID(to)); !known {
			return // a PID stays for ever, and anything may stand in a message
		}
		pid, _ = d.net.pids.LoadOrStore(to, d.net.link.PID(cluster.NodeID(to), decreesReceiver))
	}
	d.net.system.Root.Send(pid.(*actor.PID), m)
}

// decreeReceiver takes peers' messages from the link.
type decreeReceiver struct{ d *Decrees }

// Deliver hands each message to the roles that it is for.
func (r decreeReceiver) Deliver(batch ...any) {
	for _, message := range batch {
		m, ok := message.(*messages.DecreeMessage)
		if !ok {
			continue
		}
		// A name is believed of whoever has shaken hands with it, and of nobody else.
		if pinned := m.GetPinned(); pinned != nil && pinned.GetName() != r.d.net.name(paxos.ID(m.GetFrom())) {
			continue
		}
		r.d.dispatch(m)
	}
}

func (d *Decrees) dispatch(m *messages.DecreeMessage) {
	for _, role := range decree.Receivers(m) {
		switch {
		case role == RoleAcceptor && d.acceptor != nil:
			d.acceptor.Tell(m)
		case role == RoleProposer && d.proposer != nil:
			d.proposer.Tell(m)
		case role == RoleLearner && d.learner != nil:
			d.learner.Tell(m)
		}
	}
}

// close leaves the others, with or without a word.
func (n *decreeNet) close(farewell bool) {
	if n.gossip != nil {
		if farewell {
			_ = n.gossip.Leave(leaveTimeout) // that nobody hears it is no error
		}
		_ = n.gossip.Close()
	}
	if n.link != nil {
		_ = n.link.Close()
	}
}

// actorStrategy restarts actors after a panic, and ends the process if that must
// not be.
func actorStrategy(logger *slog.Logger, fail func(error)) *actors.Strategy {
	return actors.NewStrategy(actors.StrategyConfig{Logger: logger, OnFailStop: func(child *actor.PID, reason any) {
		err, ok := reason.(error)
		if !ok {
			err = errors.New(fmt.Sprint(reason))
		}
		fail(fmt.Errorf("synod: actor %s: %w", child.Id, err))
	}})
}
