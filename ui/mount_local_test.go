package ui_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/ui"
)

// awaitStates reads a page's stream until its nodes are in these states, n1 first.
func awaitStates(t *testing.T, lines *bufio.Scanner, states map[string]string, want string) {
	t.Helper()
	for lines.Scan() {
		data, is := strings.CutPrefix(lines.Text(), "data: ")
		var m struct {
			Parts map[string]json.RawMessage `json:"parts"`
		}
		if !is || json.Unmarshal([]byte(data), &m) != nil {
			continue
		}
		for _, name := range []string{"n1", "n2", "n3"} {
			var node struct {
				State string `json:"state"`
			}
			if part := m.Parts["node/"+name]; part != nil && json.Unmarshal(part, &node) == nil {
				states[name] = node.State
			}
		}
		if states["n1"]+" "+states["n2"]+" "+states["n3"] == want {
			return
		}
	}
	t.Fatalf("the page shows %v, want %s: %v", states, want, lines.Err())
}

func TestThePageOfALocalClusterShowsAllItsNodes(t *testing.T) {
	c := synod.Local(t, 3, synod.GroupConfig{Name: "log", New: func() synod.StateMachine { return &tally{} }})
	mux := http.NewServeMux()
	ui.Mount(mux, c.Node(0))
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/page/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines, states := bufio.NewScanner(answer.Body), map[string]string{}
	lines.Buffer(nil, 1<<20)
	awaitStates(t, lines, states, "up up up")
	c.Kill(2)
	awaitStates(t, lines, states, "up up dead")
	if err := c.Restart(ctx, 2); err != nil {
		t.Fatal(err)
	}
	awaitStates(t, lines, states, "up up up")
}
