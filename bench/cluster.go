package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A cluster is three replica processes of one engine, each with a directory of
// its own on one disk, and for an engine that is driven over the network a client
// process.
type cluster struct {
	kind     kind
	dir      string
	config   engineConfig
	replicas []*process
	client   *process // nil: clients are in the leader
	leader   int      // index into replicas
}

const (
	replicaCount   = 3
	startPatience  = 45 * time.Second
	leaderPatience = 30 * time.Second
)

// startCluster returns when one replica leads and, if there is one, the client is
// connected. dir is where the cluster makes its own directory.
func startCluster(k kind, dir string) (*cluster, error) {
	return startClusterWith(k, dir, engineConfig{})
}

// startClusterWith gives the replicas more than addresses.
func startClusterWith(k kind, dir string, config engineConfig) (*cluster, error) {
	own, err := os.MkdirTemp(dir, k.name+"-")
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(3 * replicaCount)
	if err != nil {
		return nil, err
	}
	c := &cluster{kind: k, dir: own, config: config}
	c.config.Peers, addresses = addresses[:replicaCount], addresses[replicaCount:]
	c.config.Clients, c.config.Gossip = addresses[:replicaCount], addresses[replicaCount:]
	for _, step := range []func() error{c.startReplicas, c.findLeader, c.startClient} {
		if err := step(); err != nil {
			c.stop()
			return nil, fmt.Errorf("start %s: %w", k.name, err)
		}
	}
	return c, nil
}

// freeAddresses finds ports that nobody uses now. Another program may take one
// before a replica does; then the start fails and is repeated.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // only when all are found, so that they differ
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

func (c *cluster) startReplicas() error {
	for id := 1; id <= replicaCount; id++ {
		p, err := c.startOne(id, fmt.Sprintf("replica%d", id))
		if err != nil {
			return err
		}
		c.replicas = append(c.replicas, p)
	}
	for _, p := range c.replicas {
		if _, err := p.wait("started", startPatience); err != nil {
			return err
		}
	}
	return nil
}

// startAgain starts the replica at place i, which has ended, on its old disk.
func (c *cluster) startAgain(i int) (*process, error) {
	p, err := c.startOne(i+1, fmt.Sprintf("replica%d", i+1))
	if err == nil {
		c.replicas[i] = p
	}
	return p, err
}

// startOne starts a replica, or with id 0 the client.
func (c *cluster) startOne(id int, name string, flags ...string) (*process, error) {
	config := c.config
	config.ID, config.Dir = id, filepath.Join(c.dir, name)
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	arguments := append([]string{"serve", "-config", string(encoded)}, flags...)
	return startProcess(config.Dir+".stderr", append(arguments, c.kind.name)...)
}

// findLeader waits until one replica says that it leads.
func (c *cluster) findLeader() error {
	for begun := time.Now(); time.Since(begun) < leaderPatience; time.Sleep(errorPause) {
		for i, p := range c.replicas {
			select {
			case e, open := <-p.events:
				if !open {
					return fmt.Errorf("replica %d ended: %s", i+1, p.complaints())
				}
				if e.Kind == "leading" {
					c.leader, c.config.Leader = i, i+1
					return nil
				}
			default:
			}
		}
	}
	return fmt.Errorf("no leader after %v", leaderPatience)
}

func (c *cluster) startClient() error {
	if c.kind.newClient == nil {
		return nil
	}
	p, err := c.startOne(0, "client", "-client")
	if err != nil {
		return err
	}
	c.client = p
	_, err = p.wait("started", startPatience)
	return err
}

// driver is the process in which the clients run.
func (c *cluster) driver() *process {
	if c.client != nil {
		return c.client
	}
	return c.replicas[c.leader]
}

// pids are those of the leader, the followers and the client, in this order.
func (c *cluster) pids() []int {
	pids := []int{c.replicas[c.leader].pid()}
	for i, p := range c.replicas {
		if i != c.leader {
			pids = append(pids, p.pid())
		}
	}
	if c.client != nil {
		pids = append(pids, c.client.pid())
	}
	return pids
}

// load has the driver execute o and returns its result.
func (c *cluster) load(o loadOrder) (*loadResult, error) {
	o.PIDs = c.pids()
	if err := c.driver().send(order{Load: &o}); err != nil {
		return nil, err
	}
	e, err := c.driver().wait("result", o.Warm+o.Time+fillTime+2*finishPatience)
	if err != nil {
		return nil, err
	}
	if e.Result.StuckClient > 0 {
		return nil, fmt.Errorf("%d clients hang: %s", e.Result.StuckClient, c.driver().complaints())
	}
	return e.Result, nil
}

// stop ends all processes and removes their data.
func (c *cluster) stop() {
	if c.client != nil {
		c.client.end()
	}
	for _, p := range c.replicas {
		p.end()
	}
	if err := os.RemoveAll(c.dir); err != nil {
		report("remove data", err)
	}
}
