package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/synod-go/synod/api"
)

// synodService is three processes of the command `node start`.
type synodService struct {
	node   string // the program
	engine string // of the group: raft or paxos
}

func (synodService) name() string { return "synod" }

func (s synodService) command(i int, dir string, addresses [replicaCount][3]string) ([]string, error) {
	argv := []string{s.node, "start", "--name", synodName(i), "--data", dir, "--engine", s.engine, "--log-level", "warn"}
	for k, flag := range []string{"--api-port", "--link-port", "--gossip-port"} {
		_, port, err := net.SplitHostPort(addresses[i][k])
		if err != nil {
			return nil, err
		}
		argv = append(argv, flag, port)
	}
	var others []string
	for k, a := range addresses {
		if k != i {
			others = append(others, a[2])
		}
	}
	argv = append(argv, "--join", strings.Join(others, ","))
	if i == 0 {
		argv = append(argv, "--bootstrap")
	}
	return argv, nil
}

func synodName(i int) string { return fmt.Sprintf("n%d", i+1) }

func (synodService) leader(ctx context.Context, clients []string) (int, error) {
	leader := -1
	for i, address := range clients {
		client, err := api.NewClient(api.ClientConfig{Addrs: []string{address}, Timeout: time.Second, Rounds: 1})
		if err != nil {
			return 0, err
		}
		defer client.Close()
		status, err := client.Status(ctx, true)
		switch {
		case err != nil:
			return 0, err
		case status.Leader == "":
			return 0, fmt.Errorf("synod: server %d knows no leader", i+1)
		case status.Leader == synodName(i):
			leader = i
			if status.Up != replicaCount {
				return 0, fmt.Errorf("synod: %d voters are up", status.Up)
			}
		}
	}
	if leader < 0 {
		return 0, errors.New("synod: no server leads")
	}
	return leader, nil
}

// A synodSession is a session of package api, with a client of its own as every
// process has one.
type synodSession struct {
	client  *api.Client
	session *api.Session
	index   atomic.Uint64 // the highest that an answer has told
}

func (synodService) open(ctx context.Context, clients []string, timeout time.Duration) (session, error) {
	client, err := api.NewClient(api.ClientConfig{Addrs: clients, Timeout: synodHTTPTimeout})
	if err != nil {
		return nil, err
	}
	opened, err := client.OpenSession(ctx, api.SessionOptions{Timeout: timeout})
	if err != nil {
		client.Close()
		return nil, err
	}
	return &synodSession{client: client, session: opened}, nil
}

var synodModes = map[createKind]api.CreateOptions{
	persistent:          {},
	ephemeral:           {Mode: api.Ephemeral},
	ephemeralSequential: {Mode: api.Ephemeral, Sequential: true},
}

func (s *synodSession) create(ctx context.Context, path string, value []byte, k createKind) (string, error) {
	done, err := s.session.Create(ctx, path, value, synodModes[k])
	s.seen(done.Index)
	return done.Path, err
}

func (s *synodSession) set(ctx context.Context, path string, value []byte) error {
	done, err := s.session.Put(ctx, path, value, api.WriteOptions{})
	s.seen(done.Index)
	return err
}

func (s *synodSession) get(ctx context.Context, path string, level readLevel) error {
	o := api.ReadOptions{Level: api.Linearizable}
	if level == local {
		o = api.ReadOptions{Level: api.Sequential, MinIndex: s.index.Load()}
	}
	_, index, err := s.session.Get(ctx, path, o)
	s.seen(index)
	return err
}

func (s *synodSession) remove(ctx context.Context, path string) error {
	done, err := s.session.Delete(ctx, path, api.WriteOptions{})
	s.seen(done.Index)
	return err
}

// seen raises the index below which a local read must not go.
func (s *synodSession) seen(index uint64) {
	for at := s.index.Load(); index > at && !s.index.CompareAndSwap(at, index); {
		at = s.index.Load()
	}
}

func (s *synodSession) watch(ctx context.Context, path string, changed func()) error {
	_, index, err := s.session.Get(ctx, path, api.ReadOptions{})
	if err != nil {
		return err
	}
	go func() {
		err := s.session.Watch(ctx, path, api.WatchOptions{From: index + 1}, func(api.Change) error {
			changed()
			return nil
		})
		if err != nil && ctx.Err() == nil {
			report("synod: watch", err)
		}
	}()
	return nil
}

func (s *synodSession) count(ctx context.Context, path string) (int, error) {
	entry, _, err := s.session.Get(ctx, path, api.ReadOptions{})
	return entry.Children, err
}

func (s *synodSession) connected() bool { return s.session.Connected() }

func (s *synodSession) over() bool {
	select {
	case <-s.session.Lost():
		return true
	default:
		return false
	}
}

func (s *synodSession) close() {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := s.session.Close(ctx); err != nil {
		report("synod: close session", err)
	}
	s.client.Close()
}
