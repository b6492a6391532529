package api

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/mesos"
)

// atAgentOf serves a node of which requests for /v1/tasks/f/t/... are passed on to an agent at an address.
func atAgentOf(t *testing.T, address string) *Client {
	t.Helper()
	s := must(NewServer(Config{Backend: newFake(t, coordination.Config{})}))
	mux := http.NewServeMux()
	for _, what := range []string{"logs", "files", "exec"} {
		handle := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(headerNode, "n1")
			s.proxyAgent(w, r, agentURL(false, address, mesos.ContainerID{7}, what, r), mesos.AgentInfo{ID: "id", Hostname: "a1", Address: address})
		}
		mux.HandleFunc("/v1/tasks/f/t/"+what, handle)
		mux.HandleFunc("/v1/tasks/f/t/"+what+"/{path...}", handle)
	}
	node := httptest.NewServer(s.timely(mux))
	t.Cleanup(node.Close)
	return newTestClient(t, node.Listener.Addr().String())
}

const container = "/v1/containers/07000000000000000000000000000000/"

func TestARequestAboutATaskIsAnsweredByItsAgent(t *testing.T) {
	r, agent := newRoutes(t)
	client := atAgentOf(t, agent.config.Addrs[0])
	r.mux.HandleFunc(container+"logs", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get(headerSession) != "" {
			t.Error("what a client has shown to the node is shown to the agent")
		}
		w.Header().Set(headerOffset, "0")
		fmt.Fprint(w, r.URL.RawQuery)
	})
	r.mux.HandleFunc(container+"exec", execServer(wc))
	client.config.User, client.config.Session = "me", "1-2"
	var log bytes.Buffer
	if err := client.TaskLog(t.Context(), "f", "t", LogOptions{Stream: "stderr", Tail: 3}, &log); err != nil || log.String() != "stream=stderr&tail=3" {
		t.Errorf("log %q, %v", log.String(), err)
	}
	var out bytes.Buffer
	code, err := client.Exec(t.Context(), "f", "t", ExecOptions{Argv: []string{"wc"}, Stdin: strings.NewReader("abc"), Stdout: &out, Stderr: io.Discard})
	if err != nil || code != 7 || out.String() != "abc" {
		t.Errorf("exec: %d, %v, %q", code, err, out.String())
	}
}

func TestALogIsPassedOnAsItComes(t *testing.T) {
	r, agent := newRoutes(t)
	seen := make(chan struct{})
	r.mux.HandleFunc(container+"logs", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "one\n")
		http.NewResponseController(w).Flush()
		<-seen // the end comes when the beginning was read
		io.WriteString(w, "two\n")
	})
	var got bytes.Buffer
	err := atAgentOf(t, agent.config.Addrs[0]).TaskLog(t.Context(), "f", "t", LogOptions{Follow: true}, writerFunc(func(p []byte) (int, error) {
		if got.Len() == 0 {
			close(seen)
		}
		return got.Write(p)
	}))
	if err != nil || got.String() != "one\ntwo\n" {
		t.Errorf("got %q, %v", got.String(), err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAPathInASandboxReachesTheAgentAsItIs(t *testing.T) {
	r, agent := newRoutes(t)
	client := atAgentOf(t, agent.config.Addrs[0])
	r.mux.HandleFunc(container+"files/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
	response, err := http.Get("http://" + client.config.Addrs[0] + "/v1/tasks/f/t/files/a%20dir/b%3Fc%25")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != container+"files/a dir/b?c%" {
		t.Errorf("the agent was asked for %q, %v", body, err)
	}
}

func TestAnAgentThatCannotBeReachedIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	client := atAgentOf(t, l.Addr().String())
	client.config.Timeout = 1 // a nanosecond: it is not asked again
	err = client.TaskLog(t.Context(), "f", "t", LogOptions{}, io.Discard)
	if CodeOf(err) != CodeAgent || !strings.Contains(err.Error(), "a1") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v, want E-AGENT with the agent and the reason", err)
	}
}
