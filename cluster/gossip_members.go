package cluster

import (
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
)

// report hands changes on. memberlist holds its locks while it calls its
// delegates, so those only note the change and this goroutine does the rest.
func (g *Gossip) report() {
	for {
		select {
		case <-g.stop:
			return
		case <-g.notify:
		}
		members, foreign := g.sorted()
		addrs := map[NodeID]string{}
		for _, m := range members {
			if m.ID != g.config.Self && m.Meta.GetLink() != "" {
				addrs[m.ID] = m.Meta.GetLink()
			}
		}
		if g.config.Book != nil {
			for _, id := range g.config.Book.setGossip(addrs) {
				if g.config.OnAlive != nil {
					g.config.OnAlive(id)
				}
			}
		}
		if g.config.OnChange != nil {
			g.config.OnChange(members)
		}
		if g.config.OnForeign != nil {
			for _, m := range foreign {
				g.config.OnForeign(m)
			}
		}
	}
}

// rejoin exchanges the state with seeds and voters again and again.
func (g *Gossip) rejoin() {
	for {
		addrs := slices.Clone(g.config.Seeds)
		if g.config.Extra != nil {
			addrs = append(addrs, g.config.Extra()...)
		}
		self := g.Addr()
		slices.Sort(addrs)
		addrs = slices.DeleteFunc(slices.Compact(addrs), func(a string) bool { return a == "" || a == self })
		if len(addrs) > 0 {
			if _, err := g.Join(addrs...); err != nil {
				g.log.Debug("no seed answers", "seeds", addrs, "error", err)
			}
		}
		timer := time.NewTimer(g.rejoinDelay())
		select {
		case <-timer.C:
		case <-g.stop:
			timer.Stop()
			return
		}
	}
}

// rejoinDelay is short while the node is alone or has no cluster: two nodes that
// start together may have found each other and nobody who could take them in.
func (g *Gossip) rejoinDelay() time.Duration {
	mean := g.config.RejoinInterval
	g.mu.Lock()
	outside := g.cluster == ""
	g.mu.Unlock()
	if outside || g.list.NumMembers() < 2 {
		mean = min(mean, time.Second)
	}
	return time.Duration((0.75 + rand.Float64()/2) * float64(mean))
}

func (g *Gossip) changed() {
	select {
	case g.notify <- struct{}{}:
	default:
	}
}

// set notes a member as memberlist tells it. Metadata that is none leaves the
// member out: whoever sends it is not one of us.
func (g *Gossip) set(n *memberlist.Node) {
	meta := new(messages.NodeMeta)
	if err := proto.Unmarshal(n.Meta, meta); err != nil || meta.Node == 0 {
		g.log.Debug("member without valid metadata", "member", n.Name)
		return
	}
	name, ok := strings.CutSuffix(n.Name, "/"+NodeID(meta.Node).String())
	if !ok {
		g.log.Warn("member whose name and metadata differ", "member", n.Name, "node", NodeID(meta.Node).String())
		return
	}
	g.mu.Lock()
	g.members[n.Name] = Member{ID: NodeID(meta.Node), Name: name, Meta: meta,
		Gossip: net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))}
	foreign, own := g.foreign(meta), g.cluster
	g.mu.Unlock()
	if foreign {
		g.log.Warn("a node of another cluster is ignored: is the seed right?", "member", n.Name, "cluster", meta.Cluster, "own", own)
	}
	g.changed()
}

type gossipEvents struct{ g *Gossip }

func (e gossipEvents) NotifyJoin(n *memberlist.Node)   { e.g.set(n) }
func (e gossipEvents) NotifyUpdate(n *memberlist.Node) { e.g.set(n) }

func (e gossipEvents) NotifyLeave(n *memberlist.Node) {
	e.g.mu.Lock()
	delete(e.g.members, n.Name)
	e.g.mu.Unlock()
	e.g.changed()
}

type gossipDelegate struct{ g *Gossip }

func (d gossipDelegate) NodeMeta(int) []byte {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	return d.g.meta
}

func (gossipDelegate) NotifyMsg([]byte)                {}
func (gossipDelegate) GetBroadcasts(int, int) [][]byte { return nil }
func (gossipDelegate) LocalState(bool) []byte          { return nil }
func (gossipDelegate) MergeRemoteState([]byte, bool)   {}
