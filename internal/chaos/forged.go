package chaos

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/synod-go/synod/internal/stranger"
)

// impostor speaks for a member of a cluster without TLS whose process has ended: it
// sends to one node what it wants and hears what that one answers.
type impostor struct {
	cluster *Cluster
	self    HostileTarget // whom it claims to be
	to      HostileTarget
	conn    net.Conn    // to the node
	answers chan []byte // PaxosMessages of the node
	stop    func()
}

// impostorEpoch makes the impostor a newer process than the one it speaks for, with
// more in its log.
const impostorEpoch = 1 << 62

func (i *impostor) hello() stranger.Hello {
	return stranger.Hello{Node: i.self.ID, Name: i.self.Name, Epoch: impostorEpoch}
}

// newImpostor takes the place of self, whose process must have ended, towards to.
func newImpostor(ctx context.Context, c *Cluster, self, to HostileTarget) (*impostor, error) {
	i := &impostor{cluster: c, self: self, to: to, answers: make(chan []byte, 1024)}
	var listener net.Listener
	err := c.config.Host.Do(func() (err error) {
		listener, err = net.Listen("tcp", self.Link)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("chaos: in the place of %s: %w", self.Name, err)
	}
	i.stop = func() { listener.Close() }
	up := make(chan struct{}, 1)
	go i.listen(listener, up)
	if i.conn, err = i.dial(ctx, i.hello()); err != nil {
		listener.Close()
		return nil, err
	}
	i.stop = func() { listener.Close(); i.conn.Close() }
	select {
	case <-up:
		return i, nil
	case <-time.After(recoverLimit):
		i.stop()
		return nil, fmt.Errorf("chaos: %s does not connect to who speaks for %s", to.Name, self.Name)
	}
}

// dial shakes hands with the node; the error tells why it refuses.
func (i *impostor) dial(ctx context.Context, hello stranger.Hello) (net.Conn, error) {
	conn, err := i.cluster.config.Host.Dial(ctx, "tcp", i.to.Link)
	if err != nil {
		return nil, err
	}
	if refused, err := stranger.Greet(conn, hello); err != nil || refused != "" {
		conn.Close()
		return nil, fmt.Errorf("chaos: %s refuses %s: %q, %w", i.to.Name, hello.Name, refused, err)
	}
	return conn, nil
}

// listen takes the connections of all nodes, and keeps what the one says.
func (i *impostor) listen(listener net.Listener, up chan<- struct{}) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			node, err := stranger.Welcome(conn, i.hello())
			if err != nil {
				return
			}
			if node == i.to.ID {
				select {
				case up <- struct{}{}:
				default:
				}
			}
			for {
				kind, body, err := stranger.ReadFrame(conn, 16<<20)
				if err != nil {
					return
				}
				if kind == stranger.KindPaxos && node == i.to.ID {
					select {
					case i.answers <- body:
					default: // nobody listens any more
					}
				}
			}
		}()
	}
}

// send sends one PaxosMessage.
func (i *impostor) send(body []byte) error {
	_, err := i.conn.Write(stranger.Frame(stranger.KindPaxos, "paxos/coordination", body))
	return err
}

// await returns the first answer that fits, within limit.
func (i *impostor) await(limit time.Duration, fits func(message []byte) bool) ([]byte, error) {
	timeout := time.After(limit)
	for {
		select {
		case message := <-i.answers:
			if fits(message) {
				return message, nil
			}
		case <-timeout:
			return nil, fmt.Errorf("chaos: %s does not answer as it should within %v", i.to.Name, limit)
		}
	}
}
