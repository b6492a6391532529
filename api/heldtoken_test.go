package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/actors/agent"
)

// lasting sends a request that shows a token, and returns its connection when the answer has begun.
func lasting(t *testing.T, addr, token, request string, header ...string) *agentWire {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	lines := append([]string{request + " HTTP/1.1", "Host: localhost", "Authorization: Bearer " + token}, header...)
	fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	w := &agentWire{t: t, conn: conn, r: bufio.NewReader(conn)}
	if w.answer, err = http.ReadResponse(w.r, nil); err != nil {
		t.Fatal(err)
	}
	if w.answer.StatusCode != http.StatusOK && w.answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s: %s", request, w.answer.Status)
	}
	return w
}

func upgrade(to string) []string { return []string{"Connection: Upgrade", "Upgrade: " + to} }

// lastingAgent serves an agent, a task of which says nothing and ends when it is told.
func lastingAgent(t *testing.T, tokens *Tokens) (addr string) {
	t.Helper()
	s := must(NewAgentServer(AgentServerConfig{Tokens: tokens, Logger: slog.New(slog.DiscardHandler), ExecBeat: time.Hour,
		Agent: &fakeAgent{following: make(chan struct{}), exec: func(ctx context.Context, _ agent.Exec) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}}}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.http.Close() })
	return l.Addr().String()
}

func TestWhatLastsEndsWithItsToken(t *testing.T) {
	tokens, shown := tokensOf(t, "gone/operate", "a1", "kept/use")
	m := newManagerWith(t, 1, tokens)
	m.leads()
	client, err := NewClient(ClientConfig{Addrs: m.addrs, Token: shown[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	session, _ := rawSession(t, client, "30s")
	node, at := m.addrs[0], lastingAgent(t, tokens)
	const watch = "GET /v1/kv/?watch&recursive"
	kept := lasting(t, node, shown[2], watch)
	ends := map[string]*agentWire{
		"a watch":    lasting(t, node, shown[0], watch, "Connection: close"),
		"events":     lasting(t, node, shown[0], "GET /v1/events", "Connection: close"),
		"a session":  lasting(t, node, shown[0], "GET "+connectPath+"?number=1", append(upgrade(sessionProtocol), headerSession+": "+session)...),
		"an agent":   lasting(t, node, shown[1], "GET "+agentConnectPath, upgrade(agentProtocol)...),
		"a log":      lasting(t, at, shown[0], "GET /v1/containers/"+fakeContainer+"/logs?follow=true"),
		"a command":  lasting(t, at, shown[0], "POST /v1/containers/"+fakeContainer+"/exec?arg=x", upgrade(execProtocol)...),
		"happenings": lasting(t, node, shown[0], "GET /v1/happenings?follow=true", "Connection: close"),
	}
	ends["an agent"].register("a1")
	_, list, _ := strings.Cut(string(must(os.ReadFile(tokens.file))), "\n")
	_, list, _ = strings.Cut(list, "\n")
	if err := os.WriteFile(tokens.file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, w := range ends {
		told, err := io.ReadAll(w.r)
		if isTimeout(err) {
			t.Errorf("%s goes on without its token", what)
		}
		if says := what == "a watch" || what == "events" || what == "a session"; says && !strings.Contains(string(told), string(CodeAccess)) {
			t.Errorf("%s ends with %q, %v", what, told, err)
		}
	}
	other, err := NewClient(ClientConfig{Addrs: m.addrs, Token: shown[2]})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Put(t.Context(), "later", nil, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(kept.answer.Body); ; {
		if !lines.Scan() {
			t.Fatalf("a watch whose token is still there ends: %v", lines.Err())
		}
		if strings.Contains(lines.Text(), "later") {
			return
		}
	}
}
