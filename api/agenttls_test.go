package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/mesos"
)

func newTestCA(t *testing.T, name string) *cluster.CA {
	t.Helper()
	ca, err := cluster.NewCA(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issued(t *testing.T, ca *cluster.CA, role cluster.Role) *cluster.TLS {
	t.Helper()
	certificate, key, err := ca.Issue(cluster.IssueOptions{Role: role, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	material, err := cluster.NewTLS(ca.CertificatePEM, certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return material
}

// Whoever reaches an agent's server can run commands: only the cluster's nodes do.
func TestAnAgentsServerLetsInNodesOnly(t *testing.T) {
	ours, others := newTestCA(t, "ours"), newTestCA(t, "ours")
	agentTLS := issued(t, ours, cluster.RoleNode)
	s, err := NewAgentServer(AgentServerConfig{Agent: &fakeAgent{}, Name: "a1", TLS: agentTLS.ServerConfig(cluster.RoleNode), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-done); err != nil {
			t.Error(err)
		}
	}()
	none := issued(t, ours, cluster.RoleNode).ClientConfig(cluster.RoleNode)
	none.GetClientCertificate = nil
	for name, c := range map[string]struct {
		config *tls.Config
		in     bool
	}{
		"a node":                    {issued(t, ours, cluster.RoleNode).ClientConfig(cluster.RoleNode), true},
		"a client":                  {issued(t, ours, cluster.RoleClient).ClientConfig(cluster.RoleNode), false},
		"a node of another cluster": {unchecked(issued(t, others, cluster.RoleNode).ClientConfig(cluster.RoleNode)), false},
		"nobody":                    {none, false},
		"plain text":                {nil, false},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c.config, DisableKeepAlives: true}, Timeout: 20 * time.Second}
		url := "https://" + l.Addr().String() + "/v1/containers/" + fakeContainer + "/logs"
		if c.config == nil {
			url = "http" + url[len("https"):]
		}
		response, err := client.Get(url)
		if err == nil {
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if in := response.StatusCode == http.StatusOK && len(body) > 0; in != c.in {
				t.Errorf("%s: %s %q", name, response.Status, body)
			}
		} else if c.in {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unchecked lets the client speak with any server, so that the server has to refuse it.
func unchecked(c *tls.Config) *tls.Config {
	c.VerifyConnection = nil
	return c
}

// An agent tells its tasks, and takes orders, from nobody but a node of its cluster.
func TestAnAgentDialsNodesOfItsClusterOnly(t *testing.T) {
	ours := newTestCA(t, "ours")
	agentTLS := issued(t, ours, cluster.RoleNode)
	for name, c := range map[string]struct {
		server *cluster.TLS
		in     bool
	}{
		"a node":                    {issued(t, ours, cluster.RoleNode), true},
		"a client":                  {issued(t, ours, cluster.RoleClient), false},
		"a node of another cluster": {issued(t, newTestCA(t, "ours"), cluster.RoleNode), false},
		"plain text":                {nil, false},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if c.server != nil {
			config := c.server.ServerConfig()
			config.VerifyConnection = nil // it would take anybody, and the agent has to refuse
			config.NextProtos = []string{"h2", "http/1.1"}
			l = tls.NewListener(l, config)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+agentProtocol+"\r\n"+headerTerm+": 7\r\n\r\n")
			if m, err := readAgentFrame(buffered.Reader); err != nil || m != (mesos.Pong{Agent: "a", Term: 3, Sequence: 4}) {
				t.Errorf("%+v, %v", m, err)
			}
		}), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
		go s.Serve(l)
		dial, err := DialMaster([]string{l.Addr().String()}, agentTLS.ClientConfig(cluster.RoleNode))
		if err != nil {
			t.Fatal(err)
		}
		link, err := dial(t.Context())
		switch {
		case !c.in:
			if CodeOf(err) != CodeReach {
				t.Errorf("%s: %v, want %s", name, err, CodeReach)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if err := link.Send(mesos.Pong{Agent: "a", Term: 3, Sequence: 4}); err != nil || link.Term() != 7 {
				t.Errorf("%s: term %d, %v", name, link.Term(), err)
			}
			if _, err := link.Receive(); !errors.Is(err, io.EOF) { // the node has read it, and ends
				t.Errorf("%s: %v", name, err)
			}
		}
		if link != nil {
			link.Close()
		}
		s.Close()
	}
}
