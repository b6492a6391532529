package chaos

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// smallCluster starts a cluster for tests of bad input.
func smallCluster(t *testing.T, nodes int, change func(*ClusterConfig)) *Cluster {
	t.Helper()
	needs(t, true)
	argv, err := program()
	if err != nil {
		t.Fatalf("build the node: %v", err)
	}
	host, err := NewHost(true)
	if err != nil {
		t.Skipf("needs namespaces: %v", err)
	}
	t.Cleanup(host.Close)
	config := ClusterConfig{Program: argv, Engine: *engineFlag, Nodes: nodes, Dir: runDir(t), Host: host}
	if change != nil {
		change(&config)
	}
	c, err := StartCluster(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// write puts a value and fails the test if it is not acknowledged within limit.
func write(t *testing.T, c *Cluster, key, value string, limit time.Duration) {
	t.Helper()
	err := poll(limit, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
		defer cancel()
		o := Operation{Kind: Put, Key: key, Value: value}
		c.HTTP.Do(ctx, c.Nodes[0].API, &o)
		if o.Outcome != Done {
			return fmt.Errorf("%v", &o)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("write: %v", err)
	}
}

func TestBadInputOnEveryPort(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		c := smallCluster(t, 3, nil)
		hammered(t, c, hammeredAgent(t, c), Hostile{Name: "n9", Engine: *engineFlag}, nil)
	})
	t.Run("TLS", func(t *testing.T) {
		var made *Certificates
		c := smallCluster(t, 3, func(c *ClusterConfig) {
			var err error
			if made, err = NewCertificates(c.Program, filepath.Join(c.Dir, "tls"), "n1", "n2", "n3", "n9"); err != nil {
				t.Fatal(err)
			}
			if c.TLS, err = made.Client(); err != nil {
				t.Fatal(err)
			}
			c.Arguments = made.Arguments
		})
		peer, err := made.Config("n9")
		if err != nil {
			t.Fatal(err)
		}
		agent := hammeredAgent(t, c, made.agentArguments(t, "a1")...)
		hammered(t, c, agent, Hostile{Name: "n9", Engine: *engineFlag, TLS: peer}, c.config.TLS)
	})
}

// agentArguments issues an agent's certificate, and returns what the agent needs for TLS.
func (c *Certificates) agentArguments(t *testing.T, name string) []string {
	t.Helper()
	if err := c.run("tls", "issue", name, "--role", "agent", "--dir", c.dir); err != nil {
		t.Fatal(err)
	}
	return []string{"--tls-ca", c.file("ca.pem"), "--tls-cert", c.file(name + ".pem"), "--tls-key", c.file(name + "-key.pem")}
}

// agentPort is where the agent of a hammered cluster listens.
const agentPort = "4705"

// hammeredAgent starts an agent of c and waits until it is registered.
func hammeredAgent(t *testing.T, c *Cluster, arguments ...string) *Process {
	t.Helper()
	argv := slices.Concat(c.config.Program, []string{"agent", "--name", "a1", "--master", strings.Join(c.all(), ","), "--work", filepath.Join(c.config.Dir, "work"),
		"--resources", "cpus:1;mem:64", "--cgroup", "-", "--listen", c.address(len(c.Nodes)), "--port", agentPort}, arguments)
	p, err := StartProcess(c.config.Host, nil, "a1", filepath.Join(c.config.Dir, "a1.log"), argv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if _, err := registered(t, c); err != nil {
		t.Fatal(err)
	}
	return p
}

// registered waits until one agent is registered, and returns its id.
func registered(t *testing.T, c *Cluster) (id string, err error) {
	t.Helper()
	err = poll(40*time.Second, func() error {
		var list struct{ Agents []agentSeen }
		if err := c.HTTP.JSON(t.Context(), c.Nodes[0].API, "/v1/agents", &list); err != nil {
			return err
		}
		if len(list.Agents) != 1 || list.Agents[0].State != "registered" {
			return fmt.Errorf("the agents are %+v", list.Agents)
		}
		id = list.Agents[0].ID
		return nil
	})
	return id, err
}

// hammered sends bad input to all ports of c and of its agent, and from a peer that is let in, and
// fails the test unless the cluster goes on as if nothing had been.
func hammered(t *testing.T, c *Cluster, agent *Process, peer Hostile, client *tls.Config) {
	id, err := registered(t, c)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c, "before", "1", 10*time.Second)
	length := 5 * time.Second
	if *minutesFlag > 0 {
		length = time.Duration(*minutesFlag * float64(time.Minute))
	}
	s := seed()
	t.Logf("seed %d for %v", s, length)
	if peer.Nodes, err = c.HostileTargets(t.Context()); err != nil {
		t.Fatal(err)
	}
	var targets []Target
	for _, node := range c.Nodes {
		for _, target := range node.Targets() {
			switch {
			case target.HTTP:
				target.TLS = client
			case target.Address == node.Link:
				target.TLS = peer.TLS
			}
			targets = append(targets, target)
		}
	}
	// Of the peer's certificates an agent takes that of a node: behind it are logs, files and commands.
	targets = append(targets, Target{Network: "tcp", Address: net.JoinHostPort(c.address(len(c.Nodes)), agentPort), HTTP: true, TLS: peer.TLS})
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	met := make(chan map[string]HostileCounts)
	go func() { met <- HammerPeers(ctx, c.config.Host.Dial, peer, s) }()
	sent := Hammer(ctx, c.config.Host.Dial, targets, s)
	counts := <-met
	for _, target := range targets {
		if sent[target] < int(length/time.Second) {
			t.Errorf("void: %v got only %d inputs", target, sent[target])
		}
	}
	for _, node := range c.Nodes {
		n := counts[node.Name]
		if least := int(length / time.Second); n.Greeted < least || n.Refused < least || n.Frames < 10*least {
			t.Errorf("void: %s met too little: %+v", node.Name, n)
		}
		if n.Forged > 0 {
			t.Errorf("%s let %d connections in that claimed to be another node", node.Name, n.Forged)
		}
	}
	t.Logf("inputs: %v\npeers: %+v", sent, counts)
	if err := c.Unplanned(); err != nil {
		t.Fatal(err)
	}
	write(t, c, "after", "2", 10*time.Second)
	if err := c.WaitHealthy(t.Context(), 10*time.Second); err != nil {
		t.Error(err)
	}
	if _, err := c.WaitEqual(t.Context(), 10*time.Second); err != nil {
		t.Error(err)
	}
	after, err := c.HostileTargets(t.Context())
	if err != nil || !slices.Equal(after, peer.Nodes) {
		t.Errorf("the members are %v, %v, and were %v", after, err, peer.Nodes)
	}
	if still, err := registered(t, c); err != nil || still != id || !agent.Alive() {
		t.Errorf("the agent %s is %s afterwards, %v; its process lives: %v", id, still, err, agent.Alive())
	}
	t.Logf("the nodes took %d MiB at most, the agent %d", c.MaxRSS()>>20, agent.MaxRSS()>>20)
	if most := max(c.MaxRSS(), agent.MaxRSS()); most > 512<<20 {
		t.Errorf("a process took %d MiB", most>>20)
	}
	for n := range c.Nodes {
		if err := c.Stop(n, 15*time.Second); err != nil {
			t.Error(err)
		}
	}
}

// endless is a body without an end.
type endless struct{ sent int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.sent += int64(len(p))
	return len(p), nil
}

func TestOversizedValuesAreRefused(t *testing.T) {
	c := smallCluster(t, 3, nil)
	client := &http.Client{Transport: &http.Transport{DialContext: c.config.Host.Dial}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	for name, body := range map[string]io.Reader{
		"of known size":   bytes.NewReader(make([]byte, 64<<20)),
		"of unknown size": &endless{},
	} {
		request, err := http.NewRequest(http.MethodPut, "http://"+c.Nodes[1].API+"/v1/kv/big", body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			// The server may close the connection before the client has read.
			t.Logf("%s: %v", name, err)
			continue
		}
		answer, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		response.Body.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge || !bytes.Contains(answer, []byte("E-TOOLARGE")) {
			t.Errorf("%s: %s %s", name, response.Status, answer)
		}
	}
	if stream, _ := c.Status(t.Context(), 1); stream.Leader == "" {
		t.Error("no leader afterwards")
	}
	write(t, c, "after", "1", 10*time.Second)
	if most := c.MaxRSS(); most > 256<<20 {
		t.Errorf("a node took %d MiB", most>>20)
	}
}

func TestAFullDiskRefusesWritesAndRecovers(t *testing.T) {
	needs(t, true, "mkfs.ext4", "mount")
	c := smallCluster(t, 3, func(c *ClusterConfig) { c.Disk = "ext4" })
	write(t, c, "before", "1", 10*time.Second)
	for _, node := range c.Nodes {
		if err := node.Disk.Fill(0); err != nil {
			t.Fatal(err)
		}
	}
	// What is reserved is used up by and by; then the answer must say so.
	value := strings.Repeat("x", 512<<10)
	full := poll(60*time.Second, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+c.Nodes[0].API+"/v1/kv/big", strings.NewReader(value))
		if err != nil {
			return fatal{err}
		}
		response, err := c.HTTP.client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		answer, _ := io.ReadAll(response.Body)
		if err := c.Unplanned(); err != nil {
			return fatal{err}
		}
		if response.StatusCode == http.StatusInsufficientStorage && bytes.Contains(answer, []byte("E-DISKFULL")) {
			return nil
		}
		return fmt.Errorf("%s %.300s", response.Status, answer)
	})
	if full != nil {
		t.Fatalf("a full disk is not reported: %v", full)
	}
	if err := poll(recoverLimit, func() error { // the leader may be handing over
		o := Operation{Kind: Get, Level: LevelLinearizable, Key: "before"}
		if c.HTTP.Do(t.Context(), c.Nodes[0].API, &o); o.Outcome != Done || o.Value != "1" {
			return fmt.Errorf("%v", &o)
		}
		return nil
	}); err != nil {
		t.Errorf("reads stop with a full disk: %v", err)
	}
	for _, node := range c.Nodes {
		if err := node.Disk.Unfill(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, c, "after", "2", 30*time.Second)
	if err := c.Unplanned(); err != nil {
		t.Fatal(err)
	}
}
