package api

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/synod-go/synod/coordination"
)

// A web page may point its own name at a machine of a network whose people look at it: what their browsers then send has
// that name as Host and Origin, and is of one origin.
func TestAPageWithANameOfItsOwnIsNotServed(t *testing.T) {
	tokens, _ := tokensOf(t, "ann/view")
	at := map[string]net.Addr{"loopback": &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, "network": &net.TCPAddr{IP: net.IPv4zero}}
	for _, c := range []struct {
		at, host string
		closed   bool // callers have to say who they are
		refused  bool
	}{
		{"network", "evil.example:4700", false, true}, {"network", "evil.example.:4700", false, true}, {"network", "10.0.0.1.evil.example", false, true},
		{"network", "x:y:evil", false, true}, {"network", "evil.example:4700", true, false},
		{"network", "10.0.0.1:4700", false, false}, {"network", "[fd00::1]:4700", false, false}, {"network", "[fd00::1]", false, false},
		{"network", "localhost:4700", false, false}, {"network", "n1:4700", false, false}, {"network", "N1.Corp.Example:4700", false, false},
		{"network", "n1.corp.example.", false, false}, {"network", "", false, false},
		{"loopback", "evil.example:4700", false, true}, {"loopback", "evil.example:4700", true, true}, {"loopback", "n1:4700", false, true},
		{"loopback", "10.0.0.1:4700", false, true}, {"loopback", "localhost:4700", false, false}, {"loopback", "[::1]:4700", false, false},
		{"loopback", "n1.corp.example:4700", false, false},
	} {
		node := Config{Backend: newFake(t, coordination.Config{}), Hosts: []string{"n1.corp.example"}}
		agent := AgentServerConfig{Agent: &fakeAgent{}, Hosts: node.Hosts, Logger: slog.New(slog.DiscardHandler)}
		if c.closed {
			node.Tokens, agent.Tokens, agent.TLS = tokens, tokens, &tls.Config{}
		}
		s, a := must(NewServer(node)), must(NewAgentServer(agent))
		s.hosts.listensAt(at[c.at])
		a.hosts.listensAt(at[c.at])
		for what, handler := range map[string]http.Handler{"a node": s.Handler(), "an agent": a.Handler()} {
			r := httptest.NewRequest("PUT", "/v1/kv/a", strings.NewReader("x"))
			r.Host = c.host
			r.Header = http.Header{"Origin": {"http://" + c.host}, "Sec-Fetch-Site": {"same-origin"}}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if refused := w.Code == http.StatusMisdirectedRequest; refused != c.refused {
				t.Errorf("%s on the %s, which asks who it is: %v, asked as %q: %d %s", what, c.at, c.closed, c.host, w.Code, w.Body)
			}
		}
	}
}
