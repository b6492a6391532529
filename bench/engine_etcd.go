package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// An etcdEngine is a member of an etcd cluster. Clients either call the server in
// this process or come through an etcdClient in another.
type etcdEngine struct {
	etcd *embed.Etcd
}

const (
	etcdStartTime  = 30 * time.Second
	etcdQuotaBytes = 8 << 30
	etcdKeyPrefix  = "bench/"
)

func (e *etcdEngine) start(c engineConfig) error {
	config := embed.NewConfig()
	config.Name = etcdName(c.ID)
	config.Dir = filepath.Join(c.Dir, "etcd")
	config.LogLevel = "error"
	config.LogOutputs = []string{"stderr"}
	config.QuotaBackendBytes = etcdQuotaBytes
	peer, client := localURL(c.Peers[c.ID-1]), localURL(c.Clients[c.ID-1])
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.InitialCluster = ""
	for i, address := range c.Peers {
		if i > 0 {
			config.InitialCluster += ","
		}
		member := localURL(address)
		config.InitialCluster += etcdName(i+1) + "=" + member.String()
	}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	e.etcd = etcd
	select {
	case <-etcd.Server.ReadyNotify():
		return nil
	case <-time.After(etcdStartTime):
		return fmt.Errorf("etcd: not ready after %v", etcdStartTime)
	}
}

func etcdName(id int) string          { return fmt.Sprintf("member%d", id) }
func localURL(address string) url.URL { return url.URL{Scheme: "http", Host: address} }

func etcdKey(key uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(etcdKeyPrefix), key)
}

func (e *etcdEngine) leads() bool {
	s := e.etcd.Server
	return s.Leader() == s.MemberID()
}

func (e *etcdEngine) write(ctx context.Context, key uint64, value []byte) error {
	_, err := e.etcd.Server.Put(ctx, &pb.PutRequest{Key: etcdKey(key), Value: value})
	return err
}

func (e *etcdEngine) read(ctx context.Context, key uint64, _ readLevel) error {
	_, err := e.etcd.Server.Range(ctx, &pb.RangeRequest{Key: etcdKey(key)})
	return err
}

func (e *etcdEngine) stop() {
	if e.etcd != nil {
		e.etcd.Close()
	}
}

// An etcdClient drives the leading member over gRPC with eight connections.
type etcdClient struct {
	clients [8]*clientv3.Client
	next    atomic.Uint32
}

func (e *etcdClient) start(c engineConfig) error {
	for i := range e.clients {
		client, err := clientv3.New(clientv3.Config{
			Endpoints:   []string{c.Clients[c.Leader-1]},
			DialTimeout: 5 * time.Second,
			Logger:      zap.NewNop(),
		})
		if err != nil {
			return err
		}
		e.clients[i] = client
	}
	return nil
}

func (e *etcdClient) leads() bool { return true }

// client takes the connections in turn.
func (e *etcdClient) client() *clientv3.Client {
	return e.clients[e.next.Add(1)%uint32(len(e.clients))]
}

func (e *etcdClient) write(ctx context.Context, key uint64, value []byte) error {
	_, err := e.client().Put(ctx, string(etcdKey(key)), string(value))
	return err
}

func (e *etcdClient) read(ctx context.Context, key uint64, _ readLevel) error {
	_, err := e.client().Get(ctx, string(etcdKey(key)))
	return err
}

func (e *etcdClient) stop() {
	for _, c := range e.clients {
		if c != nil {
			c.Close()
		}
	}
}
