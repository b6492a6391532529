package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// zookeeper is Apache ZooKeeper as Debian packages it.
type zookeeper struct {
	java      string // the program
	classPath string
}

const (
	zookeeperMain = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
	// zookeeperBuffer is for what a client reads and sends. go-zookeeper would take
	// 1.5 MB for each connection.
	zookeeperBuffer = 16 << 10
)

func (zookeeper) name() string { return "zookeeper" }

// command writes the server's files and returns how to run it: the package's
// zkServer.sh without its log files and its monitoring agent. As there, the Java
// virtual machine chooses the size of its heap.
func (z zookeeper) command(i int, dir string, addresses [replicaCount][3]string) ([]string, error) {
	host, port, err := net.SplitHostPort(addresses[i][0])
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("tickTime=2000\ninitLimit=10\nsyncLimit=5\nforceSync=yes\ndataDir=%s\nclientPort=%s\nclientPortAddress=%s\n"+
		"maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=srvr\n", filepath.Join(dir, "data"), port, host)
	for k, a := range addresses {
		_, election, err := net.SplitHostPort(a[2])
		if err != nil {
			return nil, err
		}
		config += fmt.Sprintf("server.%d=%s:%s\n", k+1, a[1], election)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"zoo.cfg":   config,
		"data/myid": fmt.Sprintln(i + 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return []string{z.java, "-cp", z.classPath, "-Dzookeeper.jmx.log4j.disable=true", zookeeperMain, filepath.Join(dir, "zoo.cfg")}, nil
}

func (zookeeper) leader(ctx context.Context, clients []string) (int, error) {
	leader := -1
	for i, address := range clients {
		answer, err := askZooKeeper(ctx, address)
		switch {
		case err != nil:
			return 0, err
		case strings.Contains(answer, "Mode: leader"):
			leader = i
		case !strings.Contains(answer, "Mode: follower"):
			return 0, fmt.Errorf("zookeeper: server %d says %q", i+1, strings.TrimSpace(answer))
		}
	}
	if leader < 0 {
		return 0, errors.New("zookeeper: no server leads")
	}
	return leader, nil
}

// askZooKeeper asks a server how it is: the command of four letters srvr.
func askZooKeeper(ctx context.Context, address string) (string, error) {
	var d net.Dialer
	connection, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if deadline, has := ctx.Deadline(); has {
		if err := connection.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	if _, err := io.WriteString(connection, "srvr"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(io.LimitReader(connection, 4096))
	return string(answer), err
}

// A zookeeperSession is a connection of go-zookeeper.
type zookeeperSession struct{ connection *zk.Conn }

func (zookeeper) open(ctx context.Context, clients []string, timeout time.Duration) (session, error) {
	connection, events, err := zk.Connect(clients, timeout, zk.WithLogger(silent{}), zk.WithLogInfo(false), zk.WithHostProvider(&inOrder{servers: clients}),
		zk.WithMaxBufferSize(zookeeperBuffer), zk.WithMaxConnBufferSize(zookeeperBuffer))
	if err != nil {
		return nil, err
	}
	for {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				return zookeeperSession{connection}, nil
			}
		case <-ctx.Done():
			connection.Close()
			return nil, ctx.Err()
		}
	}
}

// silent is a logger of what the errors of calls say too.
type silent struct{}

func (silent) Printf(string, ...any) {}

// inOrder has a client try the servers in the order given, and not in a random one.
// go-zookeeper calls it from one goroutine.
type inOrder struct {
	servers   []string
	next      int
	connected int
	tried     bool
}

func (h *inOrder) Init([]string) error { return nil } // they are shuffled
func (h *inOrder) Len() int            { return len(h.servers) }

// Next reports too whether all have been tried since the last connection.
func (h *inOrder) Next() (string, bool) {
	at := h.next
	h.next = (h.next + 1) % len(h.servers)
	again := h.tried && at == h.connected
	h.tried = true
	return h.servers[at], again
}

func (h *inOrder) Connected() { h.connected = (h.next + len(h.servers) - 1) % len(h.servers) }

func (s zookeeperSession) create(_ context.Context, path string, value []byte, k createKind) (string, error) {
	return s.connection.Create("/"+path, value, zookeeperFlags[k], zookeeperOpen)
}

var zookeeperFlags = map[createKind]int32{persistent: zk.FlagPersistent, ephemeral: zk.FlagEphemeral, ephemeralSequential: zk.FlagEphemeralSequential}

var zookeeperOpen = zk.WorldACL(zk.PermAll)

func (s zookeeperSession) set(_ context.Context, path string, value []byte) error {
	_, err := s.connection.Set("/"+path, value, -1)
	return err
}

func (s zookeeperSession) get(_ context.Context, path string, level readLevel) error {
	if level == linearizable {
		// There is none; a sync before the read comes nearest.
		if _, err := s.connection.Sync("/" + path); err != nil {
			return err
		}
	}
	_, _, err := s.connection.Get("/" + path)
	return err
}

func (s zookeeperSession) remove(_ context.Context, path string) error {
	return s.connection.Delete("/"+path, -1)
}

// watch arms a one-shot watch again and again: the client has no standing ones.
func (s zookeeperSession) watch(ctx context.Context, path string, changed func()) error {
	_, _, events, err := s.connection.GetW("/" + path)
	if err != nil {
		return err
	}
	go func() {
		for err == nil {
			select {
			case e := <-events:
				if e.Err != nil {
					return
				}
				changed()
			case <-ctx.Done():
				return
			}
			_, _, events, err = s.connection.GetW("/" + path)
		}
	}()
	return nil
}

func (s zookeeperSession) count(_ context.Context, path string) (int, error) {
	_, stat, err := s.connection.Get("/" + path)
	if err != nil {
		return 0, err
	}
	return int(stat.NumChildren), nil
}

func (s zookeeperSession) connected() bool { return s.connection.State() == zk.StateHasSession }

func (s zookeeperSession) over() bool { return s.connection.State() == zk.StateExpired }

func (s zookeeperSession) close() { s.connection.Close() }
