package synod

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/raft"
)

// greeting tells the joiner that messages to a peer will leave.
type greeting struct{ to cluster.NodeID }

// Control lets the greeting into a full mailbox.
func (greeting) Control() {}

// joinEvery is how often a node without a place asks for one.
const joinEvery = 300 * time.Millisecond

// joiner is the actor that asks the other nodes for a place in each group, and
// that gives one to who asks if this node leads. Gossip tells it whom to ask;
// the place itself comes from the group's log. It also introduces this node to
// whom the link reaches.
type joiner struct {
	node    *Node
	timer   *time.Timer
	refused uint64 // who asked last with another engine
}

type joinTick struct{}

// Control lets the tick into a full mailbox.
func (joinTick) Control() {}

func (j *joiner) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		self := ctx.Self()
		j.timer = time.AfterFunc(joinEvery/10, func() { ctx.ActorSystem().Root.Send(self, joinTick{}) })
	case *actor.Stopping, *actor.Restarting:
		j.timer.Stop()
	case *actors.Batch:
		for _, item := range m.Messages {
			switch m := item.Message.(type) {
			case joinTick:
				j.ask(ctx)
				j.timer.Reset(joinEvery)
			case *messages.JoinRequest:
				if refusal := j.refusal(m); refusal != nil {
					ctx.Send(j.node.link.PID(cluster.NodeID(m.GetFrom()), joinReceiver), refusal)
				}
				j.admit(m)
			case *messages.JoinRefusal:
				if wrong := j.node.refused(m); wrong != nil {
					j.node.fail(wrong)
				}
			case greeting:
				ctx.Send(j.node.link.PID(m.to, joinReceiver), j.node.introduction())
			case *messages.Introduction:
				j.node.introduced(m)
			}
		}
	}
}

// asksForPlace: a node that once had a place and has none now was removed.
func (g *Group) asksForPlace() bool {
	view := g.handle.View()
	_, member := view.Configuration.Find(raft.ID(g.node.ID()))
	return view.Fresh && !member
}

// ask sends a request to all known nodes for each group that does not know us.
func (j *joiner) ask(ctx actor.Context) {
	n := j.node
	for _, g := range n.groups {
		if !g.asksForPlace() {
			continue
		}
		request := &messages.JoinRequest{From: n.ID(), Group: uint32(g.id), Name: n.cfg.Name,
			Link: n.cfg.Advertise.Link, Priority: int32(n.cfg.Priority),
			Engine: string(g.config.Engine), Roles: uint32(g.roles())}
		for _, peer := range n.knownPeers() {
			ctx.Send(n.link.PID(peer, joinReceiver), request)
		}
	}
}

// askedLately is how long a request for a place counts.
const askedLately = 4 * joinEvery

// asks remembers who has asked for a place lately.
type asks struct {
	mu sync.Mutex
	at map[uint64]time.Time
}

func (a *asks) note(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == nil {
		a.at = map[uint64]time.Time{}
	}
	a.forget()
	a.at[id] = time.Now()
}

func (a *asks) lately() []uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget()
	return slices.Collect(maps.Keys(a.at))
}

func (a *asks) forget() {
	maps.DeleteFunc(a.at, func(_ uint64, at time.Time) bool { return time.Since(at) > askedLately })
}

// admit gives the sender a place, if this node leads the group, and reports
// whether it has begun to. A request that cannot be met now is repeated by the
// sender: one a group is under way, as the core allows no more anyway. The link has
// checked that id and name are the sender's.
func (j *joiner) admit(m *messages.JoinRequest) (begun bool) {
	i := slices.IndexFunc(j.node.groups, func(g *Group) bool { return uint32(g.id) == m.GetGroup() })
	if i < 0 || !nodeName.MatchString(m.GetName()) || len(m.GetLink()) > maxAddress {
		return false
	}
	g := j.node.groups[i]
	g.asks.note(m.GetFrom())
	if engine := cmp.Or(Engine(m.GetEngine()), Raft); engine != g.config.Engine {
		j.refuseEngine(m, g)
		return false
	}
	roles, known := g.rolesIn(m.GetRoles())
	view := g.handle.View()
	if _, member := view.Configuration.Find(raft.ID(m.GetFrom())); !known || view.Role != raft.Leader || member {
		return false
	}
	if !g.admitting.CompareAndSwap(false, true) {
		return false
	}
	newcomer := raft.Member{ID: raft.ID(m.GetFrom()), Name: m.GetName(), Address: m.GetLink(), Priority: m.GetPriority(), Roles: roles}
	go j.node.admit(g, newcomer, view.Configuration.Version)
	return true
}

// refusal is the answer to a newcomer that would run another engine than the group:
// it would wait for ever. Only who has a place in the group knows the engine.
func (j *joiner) refusal(m *messages.JoinRequest) *messages.JoinRefusal {
	for _, g := range j.node.groups {
		_, member := g.handle.View().Configuration.Find(raft.ID(j.node.ID()))
		if uint32(g.id) == m.GetGroup() && member && cmp.Or(Engine(m.GetEngine()), Raft) != g.config.Engine {
			return &messages.JoinRefusal{From: j.node.ID(), Group: m.GetGroup(), Engine: string(g.config.Engine)}
		}
	}
	return nil
}

// refused is why a newcomer that would run another engine than the group must end.
// Who has a place, or had one, knows better: nil.
func (n *Node) refused(m *messages.JoinRefusal) *EngineError {
	for _, g := range n.groups {
		if uint32(g.id) == m.GetGroup() && g.asksForPlace() && Engine(m.GetEngine()) == g.config.Engine.other() {
			return &EngineError{Group: g.name, Founded: g.config.Engine.other(), Wanted: g.config.Engine}
		}
	}
	return nil
}

// refuseEngine says once of each newcomer that it would run another engine.
func (j *joiner) refuseEngine(m *messages.JoinRequest, g *Group) {
	if j.refused != m.GetFrom() {
		j.refused = m.GetFrom()
		j.node.log.Warn("join refused, the group has another engine", "member", m.GetName(), "group", g.name,
			"engine", string(g.config.Engine), "wanted", m.GetEngine())
	}
}

// admit proposes a place and tells when it is committed. It gives up before the
// newcomer has asked often.
func (n *Node) admit(g *Group, m raft.Member, version raft.Index) {
	defer g.admitting.Store(false)
	defer func() {
		if reason := recover(); reason != nil { // what a newcomer asks for must not end the node
			n.log.Error("place could not be proposed", "member", m.Name, "reason", reason)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 2*joinEvery)
	defer cancel()
	index, err := g.handle.Admit(ctx, m, n.cfg.Voters, version)
	if err == nil {
		err = g.handle.WaitApplied(ctx, index)
	}
	switch {
	case err == nil:
		n.emit(Event{Kind: "member joined", Group: g.name, Attrs: map[string]string{"member": m.Name}})
	case errors.Is(err, group.ErrPlaceVotes) && g.refusedPlace.Swap(uint64(m.ID)) != uint64(m.ID):
		n.log.Warn("join refused, remove the old member first: it is an acceptor, and the newcomer is none", "member", m.Name,
			"group", g.name, "roles", m.Roles.String())
	case !errors.Is(err, raft.ErrChangePending):
		n.log.Debug("join refused", "member", m.Name, "error", err)
	}
}

// introduction tells what gossip tells of this node, and where its gossip is.
func (n *Node) introduction() *messages.Introduction {
	return &messages.Introduction{From: n.ID(), Name: n.cfg.Name, Gossip: n.cfg.Advertise.Gossip, Meta: n.meta()}
}

// introduced remembers where a node says it is: without seeds that is how gossip
// comes together again after all nodes were restarted.
func (n *Node) introduced(m *messages.Introduction) {
	if !nodeName.MatchString(m.GetName()) || len(m.GetGossip()) > maxAddress || proto.Size(m.GetMeta()) > cluster.MaxMeta {
		return
	}
	n.seen.introduce(cluster.Member{ID: cluster.NodeID(m.GetFrom()), Name: m.GetName(), Gossip: m.GetGossip(), Meta: m.GetMeta()})
}

// maxAddress bounds an address that another node tells, in bytes.
const maxAddress = 255
