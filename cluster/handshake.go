package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
)

// Versions of the link's protocol: frames, Hello and the registered kinds. Two
// nodes speak the newest version that both know.
const (
	ProtocolVersion    = 1
	MinProtocolVersion = 1
)

// maxHello bounds a handshake frame.
const maxHello = 4 << 10

// HandshakeError says why a peer was refused, by it or by us.
type HandshakeError struct {
	Reason string
	Copied bool // for good: the refused process must not go on with its directory

	foreign bool // nothing but the cluster is wrong
}

func (e *HandshakeError) Error() string { return "cluster: handshake refused: " + e.Reason }

func refuse(format string, args ...any) *HandshakeError {
	return &HandshakeError{Reason: fmt.Sprintf(format, args...)}
}

func (l *Link) hello() *messages.Hello {
	return &messages.Hello{
		Version: ProtocolVersion, MinVersion: MinProtocolVersion,
		Cluster: *l.cluster.Load(), Node: uint64(l.config.Self), Name: l.config.Name, Epoch: l.config.Epoch,
		Position: l.position(),
	}
}

// greet is the dialling side: Hello, then the Hello or Refusal of the peer, which
// should be p.
func (l *Link) greet(conn net.Conn, p *peer) (*messages.Hello, error) {
	_ = conn.SetDeadline(time.Now().Add(l.config.HandshakeTimeout))
	own := l.hello()
	own.To = uint64(p.id)
	if err := writeHandshake(conn, kindHello, own); err != nil {
		return nil, err
	}
	hello, err := readHello(conn)
	if refused, ok := errors.AsType[*HandshakeError](err); ok && refused.Copied {
		l.copied(conn, p.id, refused.Reason)
	}
	if err == nil {
		err = l.check(conn, hello)
	}
	if err == nil && NodeID(hello.Node) == p.id {
		err = p.recognise(hello)
	}
	if err != nil {
		return nil, err
	}
	return hello, conn.SetDeadline(time.Time{})
}

// welcome is the accepting side. A peer that is refused is told why.
func (l *Link) welcome(conn net.Conn) (*peer, *messages.Hello, error) {
	_ = conn.SetDeadline(time.Now().Add(l.config.HandshakeTimeout))
	hello, err := readHello(conn)
	if err != nil {
		return nil, nil, err
	}
	p, err := l.judge(conn, hello)
	if err != nil {
		if refused, ok := errors.AsType[*HandshakeError](err); ok && refused.foreign && l.config.OnForeign != nil {
			l.config.OnForeign(hello.Name, hello.Cluster)
		}
		l.sayWhy(conn, err)
		return nil, nil, err
	}
	if err = writeHandshake(conn, kindHello, l.hello()); err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		l.forget(p)
		return nil, nil, err
	}
	return p, hello, nil
}

// judge decides whether whoever says hello is let in, and returns who it is.
func (l *Link) judge(conn net.Conn, hello *messages.Hello) (*peer, error) {
	if err := l.check(conn, hello); err != nil {
		return nil, err
	}
	// Who looks for the node that was here before must not replace its connection to this one.
	if to := NodeID(hello.To); to != 0 && to != l.config.Self {
		return nil, refuse("this is node %s, not %s", l.config.Self, to)
	}
	p, err := l.incomingPeer(NodeID(hello.Node))
	if err != nil {
		return nil, err
	}
	if err := p.recognise(hello); err != nil {
		l.forget(p)
		return nil, err
	}
	return p, nil
}

func (l *Link) sayWhy(conn net.Conn, err error) {
	if refused, ok := errors.AsType[*HandshakeError](err); ok {
		_ = writeHandshake(conn, kindRefusal, &messages.Refusal{Reason: refused.Reason, Copied: refused.Copied})
	}
}

// check judges the Hello of the other side, whoever dialled. With TLS the name
// in it is proven, the id is not: whose it is, Admit has to know.
func (l *Link) check(conn net.Conn, h *messages.Hello) error {
	switch {
	case h.Version < MinProtocolVersion || h.MinVersion > ProtocolVersion || h.MinVersion > h.Version:
		return refuse("protocol versions %d to %d, this node speaks %d to %d",
			h.MinVersion, h.Version, MinProtocolVersion, ProtocolVersion)
	case h.Node == 0 || h.Epoch == 0 || h.Name == "" || len(h.Name) > maxName:
		return refuse("a hello without node, epoch or name")
	case NodeID(h.Node) == l.config.Self:
		return refuse("node %s is this node", l.config.Self)
	}
	if t, ok := conn.(*tls.Conn); ok {
		id, err := peerIdentity(t.ConnectionState())
		if err != nil {
			return refuse("%v", err)
		}
		if id.Name != h.Name {
			return refuse("name %q, but the certificate is for %q", h.Name, id.Name)
		}
	}
	if own := *l.cluster.Load(); Succeeds(own, h.Cluster) {
		refused := refuse("its cluster %q was replaced by %q, a forced new configuration: what it holds counts no more", h.Cluster, own)
		refused.Copied = true
		return refused
	}
	if l.foreign(h) { // after all that does not depend on the cluster: OnForeign believes it
		refused := refuse("cluster %q, this node belongs to %q", h.Cluster, *l.cluster.Load())
		refused.foreign = true
		return refused
	}
	if err := l.admits(NodeID(h.Node), h.Name); err != nil {
		return refuse("%v", err)
	}
	return nil
}

// foreign reports whether the other side belongs to another cluster.
func (l *Link) foreign(h *messages.Hello) bool {
	own := *l.cluster.Load()
	return h.Cluster != "" && own != "" && h.Cluster != own
}

// admits asks Admit.
func (l *Link) admits(id NodeID, name string) error {
	if l.config.Admit == nil {
		return nil
	}
	return l.config.Admit(id, name)
}

func writeHandshake(conn net.Conn, kind Kind, m proto.Message) error {
	data, err := appendFrame(nil, kind, "", m, maxHello)
	if err != nil {
		return err
	}
	_, err = conn.Write(data)
	return err
}

// readFrame reads one frame of the link itself, exactly, so that nothing after it
// is lost.
func readFrame(conn net.Conn) (frame, error) {
	data := make([]byte, frameExtra, 256)
	if _, err := io.ReadFull(conn, data); err != nil {
		return frame{}, err
	}
	size, err := frameSize(data, maxHello)
	if err != nil {
		return frame{}, err
	}
	data = append(data, make([]byte, size-frameExtra)...)
	if _, err := io.ReadFull(conn, data[frameExtra:]); err != nil {
		return frame{}, err
	}
	return decodeFrame(data)
}

// readHello reads a Hello, or why there is none.
func readHello(conn net.Conn) (*messages.Hello, error) {
	f, err := readFrame(conn)
	if err != nil {
		return nil, err
	}
	switch f.kind {
	case kindHello:
		h := new(messages.Hello)
		return h, proto.Unmarshal(f.body, h)
	case kindRefusal:
		r := new(messages.Refusal)
		if err := proto.Unmarshal(f.body, r); err != nil {
			return nil, err
		}
		return nil, &HandshakeError{Reason: r.Reason, Copied: r.Copied}
	}
	return nil, errMalformed
}
