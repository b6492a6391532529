package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// LinkConfig says what a Link needs. System, Self, Name, Epoch and Lookup must
// be set; everything else has a default.
type LinkConfig struct {
	// System is the actor system whose PIDs the link serves. Nothing may have
	// been spawned in it yet.
	System *actor.ActorSystem

	// Network carries the connections. Default TCP{}.
	Network Network

	// Listen is the address to accept connections at. Default ":0".
	Listen string

	// Self and Name are this node's. With TLS, Name must be the one in its
	// certificate.
	Self NodeID
	Name string

	// Cluster is the id of the cluster, "" until the node belongs to one; see
	// SetCluster. A peer of another cluster is refused; one without a cluster
	// is let in, since that is how it joins.
	Cluster string

	// Epoch is of this process and grows with each start of the node: the
	// start time in nanoseconds, for example.
	Epoch uint64

	// Position is how many batches the log of the data directory surely holds: it
	// never falls, and so tells peers an older copy of the directory. Called from
	// goroutines of the link. nil: always 0.
	Position func() uint64

	// OnCopied tells that a peer refuses this process for good, since its data
	// directory is a copy or has lost something: see original.go. The process must
	// not go on. It may be called often, and must not block.
	OnCopied func(by NodeID, reason string)

	// TLS makes both sides prove that they are nodes. nil: plain text.
	TLS *TLS

	// Lookup returns the address at which a node listens. Called from any
	// goroutine, before each attempt to connect.
	Lookup func(NodeID) (addr string, ok bool)

	// Admit, if set, may refuse a peer, whoever dialled, after the link has
	// accepted its Hello: it is what binds ids to names, since a certificate
	// proves a name alone. The error's text goes to a peer that dialled. Called
	// from any goroutine; it must not block nor call the link. See Reconsider.
	Admit func(id NodeID, name string) error

	// OnForeign, if set, is told of a node of another cluster that dials this one,
	// which is refused for that and nothing else: it has this address from its own
	// cluster. Called from any goroutine; it must not block nor call the link.
	OnForeign func(name, cluster string)

	// OnUp and OnDown tell that messages to a peer will leave from now on, and
	// that a connection to or from it was lost: the strongest sign there is
	// that its process ended, but no proof. Calls for one peer come in order,
	// on a goroutine of the link; they must not block nor call the link.
	OnUp, OnDown func(NodeID)

	// OnDrop, if set, is told of each message that could not be queued, on the
	// sender's goroutine. It must not block nor call the link.
	OnDrop func(peer NodeID, message any, why Drop)

	// Lane picks the queue of a message. Default DefaultLane.
	Lane func(proto.Message) Lane

	// MaxFrame is the largest frame, in bytes, in and out. Default 16 MiB.
	MaxFrame int

	// MaxControl and MaxBulk are how many bytes may wait in a lane of a peer
	// before messages are dropped; each may be passed by one frame. Defaults 4 MiB, 64 MiB.
	MaxControl, MaxBulk int

	// MaxConnections and MaxHandshakes bound what comes in: all connections,
	// and those whose peer is not known yet. More are closed at once. A peer
	// has one connection: a newer one replaces the older. Defaults 1024, 64.
	MaxConnections, MaxHandshakes int

	// DialTimeout and HandshakeTimeout bound an attempt to connect. Defaults 1 s, 3 s.
	DialTimeout, HandshakeTimeout time.Duration

	// WriteTimeout is how long a peer may take nothing before its connection is
	// closed. Default 10 s.
	WriteTimeout time.Duration

	// Logger's default logs nothing.
	Logger *slog.Logger
}

func (c LinkConfig) withDefaults() LinkConfig {
	if c.Network == nil {
		c.Network = TCP{}
	}
	if c.Lane == nil {
		c.Lane = DefaultLane
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Listen = cmp.Or(c.Listen, ":0")
	c.MaxFrame = cmp.Or(c.MaxFrame, 16<<20)
	c.MaxControl = cmp.Or(c.MaxControl, 4<<20)
	c.MaxBulk = cmp.Or(c.MaxBulk, 64<<20)
	c.MaxConnections = cmp.Or(c.MaxConnections, 1024)
	c.MaxHandshakes = cmp.Or(c.MaxHandshakes, 64)
	c.DialTimeout = cmp.Or(c.DialTimeout, time.Second)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, 3*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	return c
}

func (c LinkConfig) check() error {
	switch {
	case c.System == nil:
		return errors.New("cluster: LinkConfig.System is missing")
	case c.Self == 0:
		return errors.New("cluster: LinkConfig.Self is missing")
	case c.Epoch == 0:
		return errors.New("cluster: LinkConfig.Epoch is missing")
	case c.Lookup == nil:
		return errors.New("cluster: LinkConfig.Lookup is missing")
	case c.Name == "" || len(c.Name) > maxName || len(c.Cluster) > maxName:
		return fmt.Errorf("cluster: LinkConfig.Name %q and Cluster %q: want 1 to %d and 0 to %[3]d bytes", c.Name, c.Cluster, maxName)
	case c.TLS != nil && c.TLS.Identity().Name != c.Name:
		return fmt.Errorf("cluster: LinkConfig.Name is %q but the certificate says %q", c.Name, c.TLS.Identity().Name)
	case c.TLS != nil && c.TLS.Identity().Role != RoleNode:
		return fmt.Errorf("cluster: the certificate is for a %s, a link needs one for a node", c.TLS.Identity().Role)
	}
	return nil
}

// Link carries actor messages between nodes. A message sent to a PID whose
// Address is a node's id leaves through that node's connection; it arrives
// at most once, in order within its lane, and never after the connection it
// waited for has broken. Safe for concurrent use.
type Link struct {
	config  LinkConfig
	system  *actor.ActorSystem
	log     *slog.Logger
	started time.Time
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	kinds     atomic.Pointer[kindTable]
	published atomic.Pointer[map[string]published]
	cluster   atomic.Pointer[string]
	refused   refusedCounters // of connections without a peer
	running   atomic.Bool     // Start was called: before it nothing leaves

	mu          sync.Mutex
	peers       map[NodeID]*peer
	listener    net.Listener
	connections int // incoming ones, handshakes included
	handshakes  int
	closed      bool
	wait        sync.WaitGroup
}

// NewLink makes a link and registers it with the actor system, which from then
// on calls itself by Self. Register and Publish what shall be reachable, then
// Start: until then messages to peers are dropped, and OnUp is not called.
func NewLink(c LinkConfig) (*Link, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Link{config: c, system: c.System, log: c.Logger, started: time.Now(), ctx: ctx, cancel: cancel,
		peers: map[NodeID]*peer{}}
	l.kinds.Store(&kindTable{byKind: map[Kind]protoreflect.MessageType{}, byType: map[reflect.Type]Kind{}})
	l.published.Store(&map[string]published{})
	l.cluster.Store(&c.Cluster)
	c.System.ProcessRegistry.Address = c.Self.String()
	c.System.ProcessRegistry.RegisterAddressResolver(l.resolve)
	return l, nil
}

// Start listens, lets peers in and reaches those that are wanted.
func (l *Link) Start() error {
	listener, err := l.config.Network.Listen(l.config.Listen)
	if err != nil {
		return fmt.Errorf("cluster: link: %w", err)
	}
	l.mu.Lock()
	busy := l.closed || l.listener != nil
	if !busy {
		l.listener = listener
	}
	l.mu.Unlock()
	if busy {
		_ = listener.Close()
		return errors.New("cluster: link was started or closed before")
	}
	if !l.spawn(func() { l.accept(listener) }) || l.config.Position != nil && !l.spawn(l.tellPositions) {
		return net.ErrClosed
	}
	l.running.Store(true)
	for _, p := range l.allPeers() {
		p.reach()
	}
	return nil
}

// Addr returns the address the link listens at, nil before Start.
func (l *Link) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		return nil
	}
	return l.listener.Addr()
}

// System returns the actor system whose messages the link carries.
func (l *Link) System() *actor.ActorSystem { return l.system }

// SetCluster tells which cluster the node belongs to from now on.
func (l *Link) SetCluster(id string) { l.cluster.Store(&id) }

// Receiver takes all messages of one read from a peer at once, in their order, on
// the goroutine that reads. It must not block, and does not keep the slice.
type Receiver interface{ Deliver(messages ...any) }

// published is who gets what is sent to a name.
type published struct {
	pid      *actor.PID
	receiver Receiver // nil: the actor system
}

// Publish makes a local actor reachable for peers as name; nil takes the name
// back. Peers' messages go to receiver, the actor's mailbox for example, or, if it
// is nil, through the actor system.
func (l *Link) Publish(name string, pid *actor.PID, receiver Receiver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := maps.Clone(*l.published.Load())
	if pid == nil {
		delete(next, name)
	} else {
		next[name] = published{pid, receiver}
	}
	l.published.Store(&next)
}

// PID returns the address of what peer has published as name. Send to it like
// to any actor; for Self it is the local actor of that name.
func (l *Link) PID(peer NodeID, name string) *actor.PID {
	if peer == l.config.Self {
		if to, ok := (*l.published.Load())[name]; ok {
			return to.pid
		}
	}
	return actor.NewPID(peer.String(), name)
}

// Reach makes the link try at once to connect to a peer it has messages for:
// its address changed, or gossip says that it is alive.
func (l *Link) Reach(id NodeID) {
	l.mu.Lock()
	p := l.peers[id]
	l.mu.Unlock()
	if p != nil {
		p.reach()
	}
}

// Reconsider asks Admit again about every peer that has said its name, and ends
// the connections with those it refuses now: call it when Admit has learned who
// has which id. Of what has come from them before, a little may still be delivered.
func (l *Link) Reconsider() {
	for _, p := range l.allPeers() {
		p.reconsider()
	}
}

// Connect makes the link reach a peer even before anybody has a message for it:
// so all members know each other's processes, and tell a copy from the original.
func (l *Link) Connect(id NodeID) {
	if id == 0 || id == l.config.Self {
		return
	}
	l.mu.Lock()
	p := l.peerLocked(id)
	p.addressed.Store(true)
	l.mu.Unlock()
	p.reach()
}

func (l *Link) allPeers() []*peer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.peers))
}

// Stats returns the counters of all peers.
func (l *Link) Stats() LinkStats {
	peers := l.allPeers()
	slices.SortFunc(peers, func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
	s := LinkStats{Refused: l.refused.snapshot()}
	for _, p := range peers {
		s.Peers = append(s.Peers, p.stats())
	}
	return s
}

// Close ends all connections and waits up to 2 s for the link's goroutines.
// What waits to leave is lost. Later messages are dropped.
func (l *Link) Close() error {
	l.mu.Lock()
	already, listener := l.closed, l.listener
	l.closed = true
	l.mu.Unlock()
	if already {
		return nil
	}
	l.cancel()
	if listener != nil {
		_ = listener.Close()
	}
	done := make(chan struct{})
	go func() {
		l.wait.Wait()
		close(done)
	}()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return errors.New("cluster: link: a connection or callback did not end within 2 s")
	}
}

// spawn runs f on a goroutine that Close waits for; false once closed.
func (l *Link) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.wait.Go(f)
	return true
}

// resolve is the actor system's address resolver: one stable object a peer,
// because PIDs keep it for ever.
func (l *Link) resolve(pid *actor.PID) (actor.Process, bool) {
	id, err := ParseNodeID(pid.Address)
	if err != nil || id == 0 || id == l.config.Self {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peerLocked(id)
	p.addressed.Store(true)
	return p, true
}

func (l *Link) peerLocked(id NodeID) *peer {
	p, ok := l.peers[id]
	if !ok {
		p = newPeer(l, id)
		l.peers[id] = p
	}
	return p
}
