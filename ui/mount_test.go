package ui_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/ui"
)

// tally is a state machine that counts its commands.
type tally struct{ n uint64 }

func (t *tally) Apply(uint64, int64, []byte) []byte { t.n++; return nil }
func (t *tally) Snapshot() (io.WriterTo, error)     { return strings.NewReader(fmt.Sprint(t.n)), nil }
func (t *tally) Restore(r io.Reader) error          { _, err := fmt.Fscan(r, &t.n); return err }

func TestAProgramShowsItsNodesInOneLine(t *testing.T) {
	c := synod.Local(t, 3, synod.GroupConfig{Name: "log", New: func() synod.StateMachine { return &tally{} }},
		synod.GroupConfig{Name: "votes", Engine: synod.Paxos, New: func() synod.StateMachine { return &tally{} }})
	for _, group := range []string{"log", "votes"} {
		leader, _, err := c.Leader(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		result, err := leader.Group(group).Propose(t.Context(), []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		ui.Mount(mux, leader)
		server := httptest.NewServer(mux)
		defer server.Close()
		l := look(t, server.URL)
		i := slices.IndexFunc(l.Groups, func(g api.GroupLook) bool { return g.Name == group })
		g := l.Groups[i]
		if l.Node != leader.Name() || len(l.Members) != 3 || g.Role != "leader" || len(g.Voters) != 3 {
			t.Errorf("the look at the leader of %s is %+v", group, l)
		}
		at := slices.IndexFunc(g.Entries, func(e api.LogEntryLook) bool { return e.Index == result.Index })
		if at < 0 || g.Entries[at].Kind != "" || !g.Entries[at].Chosen || g.Entries[at].Term != g.Term || (group == "votes") != (g.Entries[at].Vote != "" && g.Promised != "") {
			t.Errorf("entry %d of %s is not among %+v", result.Index, group, g)
		}
		if !slices.ContainsFunc(l.Actors, func(a api.ActorLook) bool { return strings.HasSuffix(a.Name, "/"+group) }) {
			t.Errorf("the actor of %s is not among %+v", group, l.Actors)
		}
	}
}

// look asks a program for what its page shows.
func look(t *testing.T, url string) (l api.Look) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+api.LookPath+"?entries=64", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&l); err != nil {
		t.Fatal(err)
	}
	return l
}

func ExampleMount() {
	count, err := synod.Open(context.Background(), synod.Config{Name: "n1", Bootstrap: true}, 0,
		func(sum *int, add int) int { *sum += add; return *sum })
	if err != nil {
		fmt.Println(err)
		return
	}
	defer count.Close()
	mux := http.NewServeMux()
	ui.Mount(mux, count.Node())
	page := httptest.NewRecorder()
	mux.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(page.Code, page.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
