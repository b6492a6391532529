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
type HandshakeError struct{ Reason string }

func (e *HandshakeError) Error() string { return "cluster: handshake refused: " + e.Reason }

func refuse(format string, args ...any) error {
	return &HandshakeError{Reason: fmt.Sprintf(format, args...)}
}

func (l *Link) hello() *messages.Hello {
	return &messages.Hello{
		Version: ProtocolVersion, MinVersion: MinProtocolVersion,
		Cluster: *l.cluster.Load(), Node: uint64(l.config.Self), Name: l.config.Name, Epoch: l.config.Epoch,
	}
}

// greet is the dialling side: Hello, then the peer's Hello or Refusal.
func (l *Link) greet(conn net.Conn) (*messages.Hello, error) {
	_ = conn.SetDeadline(time.Now().Add(l.config.HandshakeTimeout))
	if err := writeHandshake(conn, kindHello, l.hello()); err != nil {
		return nil, err
	}
	hello, err := readHello(conn)
	if err == nil {
		err = l.check(conn, hello)
	}
	if err != nil {
		return nil, err
	}
	return hello, conn.SetDeadline(time.Time{})
}

// welcome is the accepting side. A peer that is refused is told why.
func (l *Link) welcome(conn net.Conn) (*messages.Hello, error) {
	_ = conn.SetDeadline(time.Now().Add(l.config.HandshakeTimeout))
	hello, err := readHello(conn)
	if err != nil {
		return nil, err
	}
	if l.foreign(hello) && l.config.OnForeign != nil {
		l.config.OnForeign(hello.Name, hello.Cluster)
	}
	if err = l.check(conn, hello); err != nil {
		l.sayWhy(conn, err)
		return nil, err
	}
	if err := writeHandshake(conn, kindHello, l.hello()); err != nil {
		return nil, err
	}
	return hello, conn.SetDeadline(time.Time{})
}

func (l *Link) sayWhy(conn net.Conn, err error) {
	if refused, ok := errors.AsType[*HandshakeError](err); ok {
		_ = writeHandshake(conn, kindRefusal, &messages.Refusal{Reason: refused.Reason})
	}
}

// check judges the Hello of the other side, whoever dialled. With TLS the name
// in it is proven, the id is not: whose it is, Admit has to know.
func (l *Link) check(conn net.Conn, h *messages.Hello) error {
	switch {
	case h.Version < MinProtocolVersion || h.MinVersion > ProtocolVersion || h.MinVersion > h.Version:
		return refuse("protocol versions %d to %d, this node speaks %d to %d",
			h.MinVersion, h.Version, MinProtocolVersion, ProtocolVersion)
	case l.foreign(h):
		return refuse("cluster %q, this node belongs to %q", h.Cluster, *l.cluster.Load())
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

// readHello reads one frame, exactly, so that nothing after it is lost.
func readHello(conn net.Conn) (*messages.Hello, error) {
	data := make([]byte, frameExtra, 256)
	if _, err := io.ReadFull(conn, data); err != nil {
		return nil, err
	}
	size, err := frameSize(data, maxHello)
	if err != nil {
		return nil, err
	}
	data = append(data, make([]byte, size-frameExtra)...)
	if _, err := io.ReadFull(conn, data[frameExtra:]); err != nil {
		return nil, err
	}
	f, err := decodeFrame(data)
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
		return nil, refuse("%s", r.Reason)
	}
	return nil, errMalformed
}
