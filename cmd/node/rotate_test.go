package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// secured is a cluster of three nodes, each with its own copies of what is in dir.
type secured struct {
	*fleet
	dir    string
	client *api.Client
	logs   *lockedFile
}

func (s *secured) of(name, file string) string { return filepath.Join(s.dir, name, file) }

// copyTo gives a holder the files as they are in dir now.
func (s *secured) copyTo(t *testing.T, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"ca.pem": "ca.pem", "gossip.key": "gossip.key", name + ".pem": "cert.pem", name + "-key.pem": "key.pem"} {
		text, err := os.ReadFile(filepath.Join(s.dir, from))
		if err == nil {
			err = replaceSecret(s.of(name, to), text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (s *secured) tls(name string) []string {
	return []string{"--tls-ca", s.of(name, "ca.pem"), "--tls-cert", s.of(name, "cert.pem"), "--tls-key", s.of(name, "key.pem")}
}

func mustNode(t *testing.T, args ...string) string {
	t.Helper()
	code, out, text := runNode(args...)
	if code != 0 {
		t.Fatalf("node %v: exit %d, %s", args, code, text)
	}
	return out
}

// startSecured starts its nodes with flags besides.
func startSecured(t *testing.T, flags ...string) *secured {
	t.Helper()
	s := &secured{dir: t.TempDir(), logs: &lockedFile{}}
	mustNode(t, "tls", "init", "--dir", s.dir, "--cluster", "demo")
	for name, role := range map[string]string{"n1": "node", "n2": "node", "n3": "node", "a1": "agent", "alice": "client", "eve": "client"} {
		mustNode(t, "tls", "issue", name, "--dir", s.dir, "--role", role)
		s.copyTo(t, name)
	}
	for _, file := range []string{"eve.pem", "eve-key.pem"} { // nobody renews hers
		if err := os.Remove(filepath.Join(s.dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.fleet, err = newFleet(3, 0, filepath.Join(s.dir, "data"), func(*child) io.Writer { return s.logs }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	s.name = "demo"
	s.command = func(c *child) []string {
		if c.tasks != "" {
			return append(s.args(c), s.tls(c.name)...)
		}
		return slices.Concat(s.args(c), s.tls(c.name), []string{"--gossip-key", s.of(c.name, "gossip.key")}, flags)
	}
	for _, c := range s.nodes {
		if err := s.start(c); err != nil {
			t.Fatal(err)
		}
	}
	if s.client, err = api.NewClient(api.ClientConfig{Addrs: s.addrs(), TLS: s.clientConfig(t, "alice"), Timeout: 20 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	s.awaitChecks(t, "the start", func(map[string]string) bool { return true })
	return s
}

func (s *secured) clientConfig(t *testing.T, name string) *tls.Config {
	t.Helper()
	material, err := cluster.LoadTLS(cluster.TLSFiles{Authorities: s.of(name, "ca.pem"), Certificate: s.of(name, "cert.pem"), Key: s.of(name, "key.pem")})
	if err != nil {
		t.Fatal(err)
	}
	return material.ClientConfig(cluster.RoleNode)
}

// runTask starts an agent and a task on it.
func (s *secured) runTask(t *testing.T) {
	t.Helper()
	if err := s.addAgents(1); err != nil {
		t.Fatal(err)
	}
	if err := s.start(s.agents[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextFor(time.Minute)
	defer cancel()
	if err := s.awaitAgents(ctx, s.client); err != nil {
		t.Fatalf("%v\n%s", err, s.logs.String())
	}
	if _, err := s.client.PutJobs(ctx, []byte("name: patient\nshell: sleep 1000\nmemory: 16MiB\n"), 0); err != nil {
		t.Fatal(err)
	}
}

// settled waits until the one agent is registered and its one task runs, and returns that.
func (s *secured) settled(t *testing.T) api.Task {
	t.Helper()
	ctx, cancel := contextFor(time.Minute)
	defer cancel()
	for {
		agents, err := s.client.Agents(ctx)
		tasks, wrong := s.client.Tasks(ctx, api.TaskFilter{})
		if err == nil && wrong == nil && len(agents) == 1 && agents[0].State == "registered" && len(tasks) == 1 && tasks[0].State == "RUNNING" {
			return tasks[0]
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("agents %+v, %v; tasks %+v, %v\n%s", agents, err, tasks, wrong, s.logs.String())
		}
	}
}

// listen opens a stream that ends with its connection alone, and tells when that is.
func (s *secured) listen(t *testing.T, name string) <-chan struct{} {
	t.Helper()
	conn, err := tls.Dial("tcp", s.nodes[0].api(), s.clientConfig(t, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	first := bufio.NewReader(conn)
	if status, err := first.ReadString('\n'); err != nil || !strings.Contains(status, "200") {
		t.Fatalf("the stream of %s begins with %q, %v", name, status, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, first)
	}()
	return ended
}

// awaitChecks waits until all three nodes are ready, hear each other by gossip, and say what is wanted of their secrets.
func (s *secured) awaitChecks(t *testing.T, what string, good func(map[string]string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	last := ""
	for {
		ready := 0
		for _, c := range s.nodes {
			last = ""
			list, err := readChecks(ctx, s.client, c.api())
			said := map[string]string{}
			for _, check := range list {
				said[check.Name] = check.Reason
				if !check.OK {
					last += c.name + ": " + check.Name + ": " + check.Reason + "; "
				}
			}
			if last += fmt.Sprint(err, said); err == nil && good(said) {
				ready++
			}
		}
		status, err := s.client.Status(ctx, false)
		if err == nil && ready == len(s.nodes) && status.Healthy && status.Up == len(s.nodes) {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s: %d nodes are as wanted, %v; the last: %s\n%s", what, ready, err, last, s.logs.String())
		}
	}
}

// chain writes one key over and over, each time only if it is as it was left: a write that is lost, or done twice,
// breaks it.
type chain struct {
	mu     sync.Mutex
	writes uint64
	err    error
}

func (c *chain) run(ctx context.Context, client *api.Client) {
	for ctx.Err() == nil {
		c.mu.Lock()
		expect := c.writes
		c.mu.Unlock()
		_, err := client.Put(context.WithoutCancel(ctx), "chain", []byte(fmt.Sprint(expect)), api.WriteOptions{Version: &expect})
		c.mu.Lock()
		if c.err = err; err == nil {
			c.writes++
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *chain) count() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes, c.err
}

// TestKeysAndAuthoritiesAreReplacedUnderWrites replaces the gossip key, the authority and all certificates of a running
// cluster, one node after the other, while a task runs. Connections of the old authority end with it.
func TestKeysAndAuthoritiesAreReplacedUnderWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster of three processes")
	}
	s := startSecured(t)
	s.runTask(t)
	task, left := s.settled(t), s.listen(t, "eve")
	pids := map[string]int{}
	for _, c := range append(s.nodes, s.agents...) {
		pids[c.name] = c.pid()
	}
	writing, stop := context.WithCancel(t.Context())
	written, ended := &chain{}, make(chan struct{})
	go func() { defer close(ended); written.run(writing, s.client) }()
	for _, step := range []struct {
		args   string
		check  string
		parts  int
		signer int // which authority has signed the nodes' certificates, if it is to be looked at
	}{
		{"rotate gossip add", "gossip key", 2, 0}, {"rotate gossip use", "gossip key", 2, 0}, {"rotate gossip remove", "gossip key", 1, 0},
		{"rotate authority add", "authorities", 2, 0}, {"rotate authority use", "authorities", 2, 0},
		{"renew n1 n2 n3 a1 alice", "authorities", 2, 1}, {"rotate authority remove", "authorities", 1, 1},
	} {
		before := fileText(t, filepath.Join(s.dir, "gossip.key")) + fileText(t, filepath.Join(s.dir, "ca.pem"))
		mustNode(t, append(append([]string{"tls"}, strings.Fields(step.args)...), "--dir", s.dir)...)
		wanted := s.wants(t, step.check)
		authorities := strings.Split(strings.TrimPrefix(s.wants(t, "authorities"), "trusts "), ", ")
		if n := strings.Count(wanted, ",") + 1; n != step.parts {
			t.Fatalf("%s: %q, want %d parts", step.args, wanted, step.parts)
		}
		if !strings.HasPrefix(step.args, "renew") && before == fileText(t, filepath.Join(s.dir, "gossip.key"))+fileText(t, filepath.Join(s.dir, "ca.pem")) {
			t.Fatalf("%s has changed nothing", step.args)
		}
		select {
		case <-left:
			t.Fatalf("%s: a client was put out while its authority is trusted", step.args)
		default:
		}
		for _, name := range []string{"n1", "n2", "a1", "alice", "n3"} {
			s.copyTo(t, name)
		}
		s.awaitChecks(t, step.args, func(said map[string]string) bool {
			return said[step.check] == wanted && (step.signer == 0 || strings.Contains(said["certificate"], "signed by "+authorities[step.signer-1]))
		})
	}
	select {
	case <-left:
	case <-time.After(30 * time.Second):
		t.Error("the stream of a client goes on whose authority was taken away")
	}
	for deadline := time.Now().Add(30 * time.Second); strings.Count(s.logs.String(), "registered agent=") < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the agent keeps the link that it has made with its old certificate\n%s", s.logs.String())
		}
	}
	if now := s.settled(t); now.ID != task.ID || now.Container != task.Container || now.Since != task.Since {
		t.Errorf("the task was %+v and is %+v", task, now)
	}
	stop()
	<-ended
	n, err := written.count()
	if err != nil || n < 50 {
		t.Errorf("%d writes, %v: want many and no failure", n, err)
	}
	entry, _, err := s.client.Get(t.Context(), "chain", api.ReadOptions{})
	if err != nil || entry.Version != n || string(entry.Value) != fmt.Sprint(n-1) {
		t.Errorf("version %d, value %s after %d writes, %v: one was lost or done twice", entry.Version, entry.Value, n, err)
	}
	for _, c := range append(s.nodes, s.agents...) {
		if c.pid() != pids[c.name] {
			t.Errorf("%s was process %d and is %d", c.name, pids[c.name], c.pid())
		}
	}
	t.Logf("%d writes", n)
}

func fileText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(text))
}

// wants is what a check of all nodes says when they have the files of dir: what the step before has printed.
func (s *secured) wants(t *testing.T, check string) string {
	t.Helper()
	said, err := toldByNodes(map[string]string{"gossip key": "gossip", "authorities": "authority"}[check], s.dir)
	if err != nil {
		t.Fatal(err)
	}
	return said
}
