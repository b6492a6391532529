package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/mesos"
)

// manager is a cluster with masters, in this process.
type manager struct {
	*synod.LocalCluster
	t       *testing.T
	addrs   []string
	servers []*Server
}

func newManager(t *testing.T, n int) *manager {
	t.Helper()
	return newManagerWith(t, n, nil)
}

// newManagerWith is newManager whose servers take tokens, if there are any.
func newManagerWith(t *testing.T, n int, tokens *Tokens) *manager {
	t.Helper()
	tree, err := NewTree(coordination.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t}
	var listeners []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners, m.addrs = append(listeners, l), append(m.addrs, l.Addr().String())
	}
	newRegistry := func() synod.StateMachine {
		r, err := mesos.NewRegistry(mesos.RegistryConfig{})
		if err != nil {
			panic(err)
		}
		return r
	}
	m.LocalCluster, err = synod.NewLocalClusterAt(t.Context(), m.addrs, slog.New(slog.DiscardHandler),
		synod.GroupConfig{Name: "coordination", Sessions: true, New: func() synod.StateMachine { return tree.New() }},
		synod.GroupConfig{Name: "registry", Engine: synod.Paxos, New: newRegistry, Master: &synod.MasterConfig{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.LocalCluster.Stop)
	for i, l := range listeners {
		backend, err := NewBackend(m.Node(i), "coordination", tree)
		if err != nil {
			t.Fatal(err)
		}
		server, err := NewServer(Config{Backend: backend, Name: m.Node(i).Name(), Heartbeat: 100 * time.Millisecond, Tokens: tokens})
		if err != nil {
			t.Fatal(err)
		}
		server.SetMaster(m.Node(i).Group("registry").Master())
		m.servers = append(m.servers, server)
		go server.Serve(l)
		t.Cleanup(func() { m.shut(i) })
	}
	return m
}

func (m *manager) shut(i int) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.servers[i].Shutdown(ended) // which cuts what is open
}

// leads returns which node's master leads, once one does.
func (m *manager) leads() int {
	m.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		for i := range m.servers {
			if n := m.Node(i); n != nil && n.Group("registry").Master().Leads() == nil {
				return i
			}
		}
		select {
		case <-deadline:
			m.t.Fatal("no master leads")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// dial makes an agent's link to the node that leads, by way of node i.
func (m *manager) dial(i int) *agentWire {
	m.t.Helper()
	return m.dialAs(i, "")
}

// dialAs is dial by an agent that shows a token.
func (m *manager) dialAs(i int, token string) *agentWire {
	m.t.Helper()
	conn, err := net.Dial("tcp", m.addrs[i])
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: %s\r\nAuthorization: Bearer %s\r\n\r\n", agentConnectPath, agentProtocol, token)
	w := &agentWire{t: m.t, conn: conn, r: bufio.NewReader(conn)}
	if w.answer, err = http.ReadResponse(w.r, nil); err != nil {
		m.t.Fatal(err)
	}
	return w
}

// agentWire is an agent's end of a link.
type agentWire struct {
	t      *testing.T
	conn   net.Conn
	r      *bufio.Reader
	answer *http.Response
}

func (a *agentWire) send(message any) {
	a.t.Helper()
	w := bufio.NewWriter(a.conn)
	if err := errors.Join(writeAgentFrame(w, message), w.Flush()); err != nil {
		a.t.Fatal(err)
	}
}

func receive[M any](a *agentWire) M {
	a.t.Helper()
	for {
		message, err := readAgentFrame(a.r)
		if err != nil {
			a.t.Fatal(err)
		}
		if m, is := message.(M); is {
			return m
		}
	}
}

func (a *agentWire) register(name string) mesos.AgentID {
	a.t.Helper()
	resources, err := mesos.ParseResources("cpus:4;mem:4096")
	if err != nil {
		a.t.Fatal(err)
	}
	a.send(mesos.Register{Info: mesos.AgentInfo{Hostname: name, Address: name + ":4705", Resources: resources}, Boot: "b", Attempt: 1, Sequence: 1})
	return receive[mesos.Registered](a).Agent
}

func TestAnyNodeAnswersForTheLeadingMasterAlsoWhenItDies(t *testing.T) { // M-1, M-3
	m := newManager(t, 3)
	first := m.leads()
	a := m.dial(first)
	if a.answer.StatusCode != http.StatusSwitchingProtocols || a.answer.Header.Get(headerTerm) == "" {
		t.Fatalf("the link: %v", a.answer)
	}
	id := a.register("a1")
	for i := range m.addrs {
		list, err := newTestClient(t, m.addrs[i]).Agents(t.Context())
		if err != nil || len(list) != 1 || list[0].ID != string(id) || list[0].State != "registered" {
			t.Errorf("node %d says %+v, %v", i, list, err)
		}
	}
	other := (first + 1) % 3
	if b := m.dial(other); b.answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a node that does not lead takes a link: %v", b.answer)
	} else {
		var e Error
		if err := json.NewDecoder(b.answer.Body).Decode(&e); err != nil || e.Code != CodeNoLeader || e.Leader == nil || e.Leader.API != m.addrs[first] {
			t.Errorf("it says %+v, %v", e, err)
		}
	}
	m.Kill(first)
	m.shut(first)
	if _, err := readAgentFrame(a.r); err == nil {
		if _, err = io.Copy(io.Discard, a.r); err != nil {
			t.Log(err) // a reset is an end as well
		}
	}
	list, err := newTestClient(t, m.addrs[other]).Agents(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != string(id) || list[0].State != "recovered" {
		t.Errorf("after the death of the first: %+v, %v", list, err)
	}
	if next := m.leads(); next == first {
		t.Errorf("node %d leads", next)
	}
}

func TestHappeningsAreFollowedThroughAnotherNode(t *testing.T) {
	m := newManager(t, 3)
	first := m.leads()
	other := (first + 1) % 3
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.addrs[other]+"/v1/happenings?follow", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.Header.Get(headerNode) != m.Node(first).Name() {
		t.Errorf("answered by %q", answer.Header.Get(headerNode))
	}
	lines := bufio.NewScanner(answer.Body)
	wait := func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatalf("%q has not happened: %v", text, lines.Err())
	}
	wait("leads as master")
	id := m.dial(first).register("a1")
	wait("registered with 0 tasks (a1)")
	if _, err := newTestClient(t, m.addrs[other]).ChangeAgent(ctx, string(id), AgentDrain, time.Minute); err != nil {
		t.Fatal(err)
	}
	wait("draining")
	m.Kill(first)
	m.shut(first)
	for lines.Scan() {
	}
	if ctx.Err() != nil {
		t.Error("the stream goes on after its master's end")
	}
}

func TestOperatorsAreToldWhatTheyDidWrong(t *testing.T) {
	m := newManager(t, 1)
	m.leads()
	for _, c := range []struct {
		method, path string
		status       int
		code         Code
	}{
		{"POST", "/v1/agents/none/drain", http.StatusNotFound, CodeNotFound},
		{"POST", "/v1/agents/none/drain?deadline=x", http.StatusBadRequest, CodeRequest},
		{"POST", "/v1/agents/none/gone?deadline=1s", http.StatusBadRequest, CodeRequest},
		{"POST", "/v1/agents/none/kick", http.StatusNotFound, CodeNotFound},
		{"POST", "/v1/agents/a%20b/drain", http.StatusBadRequest, CodeRequest},
		{"DELETE", "/v1/frameworks/none", http.StatusNotFound, CodeNotFound},
		{"DELETE", "/v1/frameworks/synod", http.StatusBadRequest, CodeRequest},
		{"POST", "/v1/frameworks/none/allow", http.StatusNotFound, CodeNotFound},
		{"GET", "/v1/tasks?frame=x", http.StatusBadRequest, CodeRequest},
		{"GET", "/v1/agent/connect", http.StatusBadRequest, CodeRequest},
		{"GET", "/v1/happenings?after=x", http.StatusBadRequest, CodeRequest},
	} {
		answer := request(m.servers[0].Handler(), c.method, "http://localhost"+c.path, "")
		var e Error
		if err := json.Unmarshal(answer.Body.Bytes(), &e); err != nil || answer.Code != c.status || e.Code != c.code {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, answer.Code, answer.Body, c.status, c.code)
		}
	}
}

func TestANodeWithoutAMasterSaysSo(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	for _, path := range []string{"/v1/agents", "/v1/happenings"} {
		if answer := request(h, "GET", path, ""); answer.Code != http.StatusMisdirectedRequest || !strings.Contains(answer.Body.String(), string(CodeNoState)) {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
}

func TestAnAgentThatSendsNonsenseIsCutOff(t *testing.T) {
	m := newManager(t, 1)
	m.leads()
	for _, bytes := range []string{"\xff\xff\xff\xff", "\x00\x00\x00\x02zz", "\x00\x00\x00\x00"} {
		a := m.dial(0)
		io.WriteString(a.conn, bytes)
		if _, err := readAgentFrame(a.r); err == nil {
			t.Errorf("%q is answered", bytes)
		}
	}
	a := m.dial(0)
	a.register("a1") // others are not disturbed
}

func TestMetricsTellWhoLeadsAndWhatThereIs(t *testing.T) {
	m := newManager(t, 1)
	m.leads()
	m.dial(0).register("a1")
	text := request(m.servers[0].Handler(), "GET", "http://localhost/metrics", "").Body.String()
	for _, line := range []string{"synod_master_leads 1", "synod_master_term 1", `synod_agents{state="registered"} 1`, `synod_master_connections{from="agent"} 1`,
		`synod_tasks{state="RUNNING"} 0`, `synod_frameworks{connected="true"} 1`} { // the built-in framework and the agent
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %q in the metrics", line)
		}
	}
}

func TestReadyTellsWhoseMasterLeads(t *testing.T) {
	m := newManager(t, 3)
	lead := m.leads()
	for i, server := range m.servers {
		want := "[+] master:registry: " + m.Node(lead).Name() + " leads"
		if i == lead {
			want = "[+] master:registry: this node's master leads"
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			text := request(server.Handler(), "GET", "http://localhost/readyz?verbose", "").Body.String()
			if strings.Contains(text, want) && strings.HasSuffix(text, "\nready\n") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s says %q, want %q", m.Node(i).Name(), text, want)
			}
		}
	}
	last := (lead + 1) % 3
	for i := range m.servers {
		if i != last {
			m.Kill(i)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		text := request(m.servers[last].Handler(), "GET", "http://localhost/readyz", "").Body.String()
		if strings.Contains(text, "[-] master:registry: no master leads") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("without a majority it says %q", text)
		}
	}
}

func TestAMemberIsRemovedFromTheRegistryToo(t *testing.T) {
	m := newManager(t, 3)
	gone := (m.leads() + 1) % 3
	other := 3 - m.leads() - gone
	name := m.Node(gone).Name()
	m.Kill(gone)
	m.shut(gone)
	client := newTestClient(t, m.addrs[other])
	// A removal that was done in the registry alone is repeated as a whole.
	for range 2 {
		deadline := time.Now().Add(30 * time.Second)
		for {
			_, err := client.ChangeMember(t.Context(), MemberChange{Action: "remove", Name: name})
			if err == nil || CodeOf(err) == CodeNotFound {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	for _, group := range []string{"coordination", "registry"} {
		node, _, err := m.Leader(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		status, err := node.Group(group).Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range status.Members {
			if member.Name == name {
				t.Errorf("%s is still a member of %s", name, group)
			}
		}
	}
}
