package api

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/coordination"
)

func TestAFlightIsOneEventALineOrOneDocument(t *testing.T) {
	h := newHandler(t, newFake(t, coordination.Config{}))
	const at = `"time":"0001-01-01T00:00:00Z",`
	accept := `{` + at + `"direction":"out","kind":"Accept","peer":"00000000000000ab","peer_name":"n2","ballot":"5.2.0","first":3,"last":4}`
	follower := `{` + at + `"direction":"self","kind":"follower"}`
	for _, c := range []struct {
		path, accept string
		status       int
		want         string
	}{
		{"/v1/groups/g/flight", "*/*", 200, accept + "\n" + follower + "\n"},
		{"/v1/groups/g/flight?limit=1", "*/*", 200, follower + "\n"},
		{"/v1/groups/g/flight?limit=1", "application/json", 200, `{"node":"n1","group":"g","events":[` + follower + "]}\n"},
		{"/v1/groups/g/flight?limit=0", "*/*", 400, ""},
		{"/v1/groups/g/flight?last=1", "*/*", 400, ""},
		{"/v1/groups/nosuch/flight", "*/*", 404, ""},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || c.want != "" && w.Body.String() != c.want {
			t.Errorf("%s as %s: %d\n%swant %d\n%s", c.path, c.accept, w.Code, w.Body, c.status, c.want)
		}
	}
}

// backendOf is the Backend of the first node of a cluster that has that engine.
func backendOf(t *testing.T, engine synod.Engine) Backend {
	t.Helper()
	tree, err := NewTree(coordination.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := synod.Local(t, 1, synod.GroupConfig{Name: "g", Engine: engine, New: func() synod.StateMachine { return tree.New() }})
	b, err := NewBackend(c.Node(0), "g", tree)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheInterfaceOfAPaxosGroupSpeaksOfBallots(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := backendOf(t, synod.Paxos)
	s, err := b.Status(ctx)
	if err != nil || s.Engine != "paxos" || strings.Count(s.Ballot, ".") != 2 || s.Epoch != 1 {
		t.Errorf("status %+v, %v; want engine paxos, a ballot, epoch 1", s, err)
	}
	if check := b.Checks()[0]; check.Name != "paxos:g" || !strings.HasSuffix(check.Reason, " leads with ballot "+s.Ballot) {
		t.Errorf("check %+v, want paxos:g and the ballot", check)
	}
	for _, m := range b.Metrics() {
		if strings.Contains(m.Name, "raft") {
			t.Errorf("metric %s of a Paxos group", m.Name)
		}
	}
	f, err := b.Flight(ctx, "g", 3)
	if err != nil || f.Node == "" || f.Group != "g" || len(f.Events) != 3 {
		t.Fatalf("flight %+v, %v; want the 3 newest events", f, err)
	}
	if !slices.ContainsFunc(f.Events, func(e FlightEvent) bool { return e.Kind == "leader" && e.PeerName == f.Node && len(e.Peer) == 16 }) {
		t.Errorf("events %+v, want that it leads", f.Events)
	}
	if _, err := b.Flight(ctx, "nosuch", 0); CodeOf(err) != CodeNotFound {
		t.Errorf("flight of no group: %v, want %s", err, CodeNotFound)
	}
}

func TestTheInterfaceOfARaftGroupSpeaksOfTerms(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := backendOf(t, synod.Raft)
	s, err := b.Status(ctx)
	if err != nil || s.Engine != "raft" || s.Term == 0 || s.Ballot != "" || s.Epoch != 0 {
		t.Errorf("status %+v, %v; want engine raft and a term alone", s, err)
	}
	if check := b.Checks()[0]; check.Name != "raft:g" || !strings.Contains(check.Reason, " leads term ") {
		t.Errorf("check %+v, want raft:g and the term", check)
	}
	f, err := b.Flight(ctx, "g", 0)
	if err != nil || !slices.ContainsFunc(f.Events, func(e FlightEvent) bool { return e.Kind == "leader" && e.Term == s.Term && e.PeerName == f.Node }) {
		t.Errorf("flight %+v, %v; want that it leads in term %d", f, err, s.Term)
	}
}
