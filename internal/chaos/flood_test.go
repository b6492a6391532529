package chaos

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/stranger"
)

// floodConnections is how many connections one peer floods.
const floodConnections = 32

// What another client waits for a write and a linearizable read while one peer sends as much as it can: all are
// answered, each within the limit, and no node ends or takes much.
func TestAFloodKeepsNobodyWaiting(t *testing.T) {
	c := smallCluster(t, 3, nil)
	peers, err := c.HostileTargets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	api, link, gossip := c.Nodes[0].API, c.Nodes[0].Link, c.Nodes[0].Gossip
	request := func(method, path, length string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n", method, path, length)
	}
	deep := strings.Repeat("[", 64<<10)
	giant := stranger.Frame(stranger.KindRaft, "raft/coordination", make([]byte, 15<<20))
	for _, flood := range []struct {
		name string
		send func(ctx context.Context, worker int) error // once
	}{
		{"nothing", nil},
		{"requests", c.sends(api, request("GET", "/v1/kv/a", "0"), "", 0)},
		{"giant bodies", c.sends(api, request("PUT", "/v1/kv/giant", fmt.Sprint(1<<30)), strings.Repeat("x", 1<<20), 16)},
		{"deep JSON", c.sends(api, request("POST", "/v1/txn", fmt.Sprint(len(deep))), deep, 1)},
		{"giant frames of gossip", c.sends(gossip, "\x06\xff\xff\xff\xff", strings.Repeat("x", 1<<20), 16)},
		{"giant frames of the link", func(ctx context.Context, worker int) error {
			return c.sendFrame(ctx, link, stranger.Hello{Node: 0xbad0 + uint64(worker), Name: "n9", Epoch: 1}, giant)
		}},
	} {
		t.Run(flood.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var all sync.WaitGroup
			sent := make([]int, floodConnections)
			for worker := range sent {
				all.Go(func() {
					for flood.send != nil && ctx.Err() == nil {
						if flood.send(ctx, worker) == nil {
							sent[worker]++
						}
					}
				})
			}
			waits := c.waits(t, 5*time.Second)
			cancel()
			all.Wait()
			total := 0
			for _, n := range sent {
				total += n
			}
			if flood.send != nil && total < floodConnections {
				t.Errorf("void: only %d were sent", total)
			}
			slices.Sort(waits)
			t.Logf("sent %d; of %d calls of another client half took %v, 99 of 100 %v, all %v; the nodes took %d MiB at most", total, len(waits),
				waits[len(waits)/2], waits[len(waits)*99/100], waits[len(waits)-1], c.MaxRSS()>>20)
			if most := c.MaxRSS(); most > 1<<30 {
				t.Errorf("a node took %d MiB", most>>20)
			}
			if err := c.Unplanned(); err != nil {
				t.Fatal(err)
			}
		})
	}
	if after, err := c.HostileTargets(t.Context()); err != nil || !slices.Equal(after, peers) {
		t.Errorf("the members are %v, %v, and were %v", after, err, peers)
	}
}

// waits has a client write and read for a time, a call after the other, at the node that is flooded, and returns how
// long each took. What was refused, as the leader has just changed, it calls again: that is part of the wait.
func (c *Cluster) waits(t *testing.T, length time.Duration) (list []time.Duration) {
	t.Helper()
	for began := time.Now(); time.Since(began) < length; {
		for _, call := range []Operation{{Kind: Put, Key: "other", Value: "1"}, {Kind: Get, Key: "other", Level: LevelLinearizable}} {
			asked := time.Now()
			err := poll(30*time.Second, func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				o := call
				if c.HTTP.Do(ctx, c.Nodes[0].API, &o); o.Outcome != Done {
					return fmt.Errorf("%v", &o)
				}
				return nil
			})
			if err != nil {
				t.Fatalf("after %v: %v", time.Since(asked), err)
			}
			list = append(list, time.Since(asked).Round(100*time.Microsecond))
		}
	}
	return list
}

// sends returns a function that sends a head and so many pieces over a connection of its own, and reads what is answered.
func (c *Cluster) sends(to, head, piece string, pieces int) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		conn, err := c.floodDial(ctx, to)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, head); err != nil {
			return err
		}
		for range pieces {
			if _, err := io.WriteString(conn, piece); err != nil {
				return nil // it has had enough
			}
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = conn.Read(make([]byte, 4096))
		return nil
	}
}

// sendFrame shakes hands and sends one frame.
func (c *Cluster) sendFrame(ctx context.Context, to string, hello stranger.Hello, frame []byte) error {
	conn, err := c.floodDial(ctx, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	if refused, err := stranger.Greet(conn, hello); err != nil || refused != "" {
		return fmt.Errorf("refused: %s, %w", refused, err)
	}
	_, err = conn.Write(frame)
	return err
}

func (c *Cluster) floodDial(ctx context.Context, to string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := c.config.Host.Dial(ctx, "tcp", to)
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return conn, err
}
