package chaos

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/synod-go/synod/internal/stranger"
)

// Hostile is a peer that the nodes let in, as they let in a newcomer, and that
// means them no good.
//
// With a certificate for a node it may say what it wants as itself. That it cannot
// forge an entry is an assumption of both engines and not tested here: they bear
// nodes that stop, not nodes that lie, and who holds a node's certificate is a node.
// forged_test.go tells what a lying proposer meets nevertheless. What a hostile peer
// must not do is to speak as another one, to reach what is not meant for peers, or
// to end a process.
type Hostile struct {
	Name   string
	Engine string          // of the nodes
	TLS    *tls.Config     // with the certificate of Name; nil for plain text
	Nodes  []HostileTarget // whom it meets
}

// HostileTarget is one node as its peers know it.
type HostileTarget struct {
	Name, Link string
	ID         uint64
}

// HostileCounts is what has become of the connections to one node.
type HostileCounts struct {
	Greeted int // Hello was answered by Hello
	Refused int // Hello was answered by a reason
	Frames  int // sent after a Hello that was answered
	Forged  int // Greeted under another's id or name: none may be
}

// hostileIDs is how many ids of its own the peer has for each connection at a time.
const hostileIDs = 4

// HammerPeers shakes hands with all nodes again and again until ctx ends, and sends
// frames that are wrong somewhere. What is sent comes from seed.
func HammerPeers(ctx context.Context, dial Dial, h Hostile, seed uint64) map[string]HostileCounts {
	var mu sync.Mutex
	counts := make(map[string]HostileCounts)
	var done sync.WaitGroup
	for i := range h.Nodes {
		for j := range hammerConnections {
			worker := i*hammerConnections + j
			random := rand.New(rand.NewPCG(seed, uint64(1<<32+worker)))
			done.Go(func() {
				for ctx.Err() == nil {
					one := h.meet(ctx, dial, h.Nodes[i], uint64(worker), random)
					mu.Lock()
					sum := counts[h.Nodes[i].Name]
					counts[h.Nodes[i].Name] = HostileCounts{sum.Greeted + one.Greeted, sum.Refused + one.Refused,
						sum.Frames + one.Frames, sum.Forged + one.Forged}
					mu.Unlock()
				}
			})
		}
	}
	done.Wait()
	return counts
}

// meet is one connection to one node.
func (h Hostile) meet(ctx context.Context, dial Dial, to HostileTarget, worker uint64, random *rand.Rand) (c HostileCounts) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := dial(ctx, "tcp", to.Link)
	if err != nil {
		return c
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if h.TLS != nil {
		conn = tls.Client(conn, h.TLS)
	}
	own := 0xbad0_0000 + worker*hostileIDs + random.Uint64N(hostileIDs)
	hello, forged := h.hello(to, own, random)
	refused, err := stranger.Greet(conn, hello)
	switch {
	case err != nil:
		return c
	case refused != "":
		c.Refused++
		return c
	case forged:
		c.Forged++
		return c
	}
	c.Greeted++
	for range 1 + random.IntN(50) {
		frame, ends := h.frame(to, own, random)
		if _, err := conn.Write(frame); err != nil {
			return c
		}
		c.Frames++
		if ends {
			break
		}
	}
	if random.IntN(2) == 0 { // an answer never comes on this connection
		_ = conn.SetReadDeadline(time.Now().Add(time.Duration(random.IntN(50)) * time.Millisecond))
		_, _ = conn.Read(make([]byte, 1))
	}
	return c
}

// hello draws a Hello, and tells whether it claims to be another node. In plain
// text nothing proves a name: there only an id with a name that is not its own is
// forged in a way that a node can see.
func (h Hostile) hello(to HostileTarget, own uint64, random *rand.Rand) (hello stranger.Hello, forged bool) {
	hello = stranger.Hello{Node: own, Name: h.Name, Epoch: 1 + random.Uint64N(1<<40)}
	victim := h.Nodes[random.IntN(len(h.Nodes))]
	switch random.IntN(8) {
	case 0: // an id under the wrong name
		hello.Node = victim.ID
		return hello, true
	case 1: // both, which takes a certificate
		if h.TLS != nil && victim.Name != to.Name {
			hello.Node, hello.Name = victim.ID, victim.Name
			return hello, true
		}
	case 2: // a name, as if it had lost its disk
		if h.TLS != nil {
			hello.Name = victim.Name
			return hello, true
		}
	case 3:
		hello.Cluster = "ffffffffffffffff"
		return hello, true
	}
	return hello, false
}

// frame draws a frame that is wrong somewhere; ends tells that the node must close
// the connection after it.
func (h Hostile) frame(to HostileTarget, own uint64, random *rand.Rand) (frame []byte, ends bool) {
	name, kind, said := "raft/coordination", stranger.KindRaft, raftBodies
	if h.Engine == enginePaxos {
		name, kind, said = "paxos/coordination", stranger.KindPaxos, paxosBodies
	}
	victim := h.Nodes[random.IntN(len(h.Nodes))]
	pick := func(options ...string) string { return options[random.IntN(len(options))] }
	noise := randomBytes(random, random.IntN(600))
	group := groupNumber("coordination")
	draw := random.IntN(19)
	if draw < 16 { // what does not end the connection comes more often
		draw %= 8
	}
	switch draw {
	case 0: // kinds that nobody registered, the handshake's among them
		kind := uint16(random.Uint32())
		if kind >= stranger.KindRaft && kind <= stranger.KindPaxos {
			kind = stranger.KindHello
		}
		return stranger.Frame(kind, name, noise), false
	case 1: // receivers that nobody published, or for the other engine
		name := pick("", "guardian$1", "eventstream", "activator", "future$3", "raft", "raft/", "raft/nosuch", "join/x", "paxos",
			"paxos/nosuch", "raft/coordination", "paxos/coordination", string(noise[:min(len(noise), 255)]))
		return stranger.Frame(pickKind(random, stranger.KindRaft, stranger.KindPaxos), name, stranger.Raft(own, to.ID, group, 1)), false
	case 2: // a sender that is somebody else
		return stranger.Frame(kind, name, append(stranger.Raft(victim.ID, to.ID, group, 1<<40), someBody(random, said.all)...)), false
	case 3:
		return stranger.Frame(stranger.KindJoin, "join", stranger.JoinRequest(pick2(random, own, victim.ID), group, victim.Name, "127.0.0.1:1")), false
	case 4:
		return stranger.Frame(stranger.KindIntroduction, "join", stranger.Introduction(pick2(random, own, victim.ID), victim.Name, string(noise))), false
	case 5: // bodies that are noise
		return stranger.Frame(stranger.KindRaft+uint16(random.IntN(5)), pick(name, "join"), noise), false
	case 6: // a body that is a message, but not of the receiver's
		return stranger.Frame(pickKind(random, kind, stranger.KindJoin), pick("join", name), stranger.Raft(own, random.Uint64(), uint32(random.Uint64()), random.Uint64())), false
	case 7: // answers to questions that nobody asked, from who is no member
		if random.IntN(4) == 0 {
			return stranger.Frame(stranger.KindGroup, name, append(stranger.Group(own, to.ID, group), someBody(random, groupBodies)...)), false
		}
		return stranger.Frame(kind, name, append(stranger.Raft(own, to.ID, group, random.Uint64N(1<<40)), someBody(random, said.borne)...)), false
	case 16: // a length that no frame may have
		frame := stranger.Frame(kind, name, noise)
		binary.LittleEndian.PutUint32(frame, 16<<20+uint32(random.Uint64N(1<<31)))
		return frame, true
	case 17: // a length that one may have, and then too little
		frame := stranger.Frame(kind, name, noise)
		binary.LittleEndian.PutUint32(frame, uint32(16<<20-8-random.IntN(1<<20)))
		return frame, true
	}
	frame = stranger.Frame(kind, name, noise)
	frame[4+random.IntN(len(frame)-4)] ^= byte(1 + random.IntN(255)) // the checksum says so
	return frame, true
}

// bodies are those of an engine's message, by field: all, and those that a peer may
// say who is no member.
type bodies struct{ all, borne []protowire.Number }

var (
	// What a candidate or a leader says is believed from whoever has won an election,
	// a newcomer too.
	raftBodies = bodies{
		all:   []protowire.Number{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17},
		borne: []protowire.Number{6, 8, 10, 12, 14, 15, 16, 17},
	}
	// A ballot belongs to a member, so that no acceptor hears another proposer.
	paxosBodies = bodies{all: everyPaxosBody, borne: everyPaxosBody}

	everyPaxosBody = []protowire.Number{5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
	// groupBodies are those of a GroupMessage.
	groupBodies = []protowire.Number{4, 5}
)

// someBody draws a body of one of the kinds.
func someBody(random *rand.Rand, kinds []protowire.Number) []byte {
	field := kinds[random.IntN(len(kinds))]
	body := make([]byte, 0, 64)
	for number := range 1 + random.IntN(6) {
		body = protowire.AppendVarint(protowire.AppendTag(body, protowire.Number(1+number), protowire.VarintType), random.Uint64()>>random.IntN(64))
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), body)
}

func pick2(random *rand.Rand, a, b uint64) uint64 { return [...]uint64{a, b}[random.IntN(2)] }

func pickKind(random *rand.Rand, kinds ...uint16) uint16 { return kinds[random.IntN(len(kinds))] }

// groupNumber is what the wire calls a group.
func groupNumber(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return h.Sum32()
}

// HostileTargets asks a node who they are.
func (c *Cluster) HostileTargets(ctx context.Context) ([]HostileTarget, error) {
	var list struct {
		Members []struct{ Name, ID string }
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if err := c.HTTP.JSON(ctx, c.Nodes[0].API, "/v1/members?local", &list); err != nil {
		return nil, err
	}
	var targets []HostileTarget
	for _, m := range list.Members {
		for _, node := range c.Nodes {
			if node.Name != m.Name {
				continue
			}
			id, err := strconv.ParseUint(m.ID, 16, 64)
			if err != nil {
				return nil, fmt.Errorf("chaos: id of %s: %w", m.Name, err)
			}
			targets = append(targets, HostileTarget{m.Name, node.Link, id})
		}
	}
	if len(targets) != len(c.Nodes) {
		return nil, fmt.Errorf("chaos: %d of %d nodes are members", len(targets), len(c.Nodes))
	}
	return targets, nil
}
