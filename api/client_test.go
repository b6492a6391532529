package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// deadAddress is an address where nothing listens.
func deadAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func notLeader(api string) error {
	return &Error{Code: CodeNoLeader, Message: "this node does not lead", Leader: &Leader{Name: "n2", API: api}}
}

func TestAFollowerForwardsAWriteToTheLeader(t *testing.T) {
	leader, follower := newFake(t, coordination.Config{}), newFake(t, coordination.Config{})
	_, leaderAddr := serve(t, Config{Backend: leader, Name: "n2"})
	_, followerAddr := serve(t, Config{Backend: follower, Name: "n1"})
	follower.refuse = func() error { return notLeader(leaderAddr) }
	request, _ := http.NewRequest("PUT", "http://"+followerAddr+"/v1/kv/a%20b", strings.NewReader("x"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 || response.Header.Get(headerNode) != "n2" {
		t.Fatalf("%s from %q, want 200 from n2", response.Status, response.Header.Get(headerNode))
	}
	if entry, _, err := leader.Get(t.Context(), "a b", ReadOptions{}); err != nil || string(entry.Value) != "x" {
		t.Fatalf("the leader has %q, %v: want x", entry.Value, err)
	}
}

func TestARequestIsForwardedOnlyOnce(t *testing.T) {
	a, b := newFake(t, coordination.Config{}), newFake(t, coordination.Config{})
	_, addrA := serve(t, Config{Backend: a, Name: "a"})
	_, addrB := serve(t, Config{Backend: b, Name: "b"})
	var asked atomic.Int64
	a.refuse = func() error { asked.Add(1); return notLeader(addrB) }
	b.refuse = func() error { asked.Add(1); return notLeader(addrA) }
	request, _ := http.NewRequest("DELETE", "http://"+addrA+"/v1/kv/a", nil)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if asked.Load() != 2 || response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || response.Header.Get(headerLeader) != addrA {
		t.Fatalf("%d nodes asked, %s, headers %v: want 2, 503 with Retry-After and a hint", asked.Load(), response.Status, response.Header)
	}
}

func TestADeadLeaderMeansSurelyNotDone(t *testing.T) {
	f := newFake(t, coordination.Config{})
	dead := deadAddress(t)
	f.refuse = func() error { return notLeader(dead) }
	w := request(newHandler(t, f), "PUT", "/v1/kv/a", "x")
	if w.Code != 503 || !strings.Contains(w.Body.String(), string(CodeNoLeader)) {
		t.Fatalf("%d %s, want 503 %s", w.Code, w.Body, CodeNoLeader)
	}
}

// breaking accepts connections, reads a little and closes them.
func breaking(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 10))
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestAnAnswerLostOnTheWayMeansUnknown(t *testing.T) {
	f := newFake(t, coordination.Config{})
	broken := breaking(t)
	f.refuse = func() error { return notLeader(broken) }
	h := newHandler(t, f)
	if w := request(h, "PUT", "/v1/kv/a", "x"); w.Code != 504 || !strings.Contains(w.Body.String(), string(CodeUnknown)) {
		t.Errorf("put: %d %s, want 504 %s", w.Code, w.Body, CodeUnknown)
	}
	if w := request(h, "GET", "/v1/kv/a?level=lease", ""); w.Code != 503 {
		t.Errorf("get: %d %s, want 503: a read changes nothing", w.Code, w.Body)
	}
}

func TestTheClientTriesTheNextAddress(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	client := newTestClient(t, deadAddress(t), addr)
	if _, err := client.Put(t.Context(), "a", []byte("x"), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestTheClientRepeatsAnUnknownWriteWithItsID(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	lost := 2
	f.lose = func() error {
		if lost--; lost >= 0 {
			return &Error{Code: CodeUnknown, Message: "lost"}
		}
		return nil
	}
	zero := uint64(0)
	done, err := newTestClient(t, addr).Put(t.Context(), "a", []byte("x"), WriteOptions{Version: &zero})
	if err != nil || done.Version != 1 || done.Index != 1 {
		t.Fatalf("got %+v, %v: want the first attempt's answer", done, err)
	}
}

func TestTheClientReportsAnUnknownOutcomeWithTheIDToRepeat(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	f.lose = func() error { return &Error{Code: CodeUnknown, Message: "lost"} }
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := newTestClient(t, addr).Put(ctx, "a", []byte("x"), WriteOptions{})
	e := asError(err)
	if e.Code != CodeUnknown {
		t.Fatalf("got %v, want %s", err, CodeUnknown)
	}
	id, err := ParseRequestID(e.RequestID)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.lose = nil
	f.mu.Unlock()
	if done, err := newTestClient(t, addr).Put(t.Context(), "a", []byte("x"), WriteOptions{RequestID: id}); err != nil || done.Index != 1 {
		t.Fatalf("repeated: %+v, %v: want index 1", done, err)
	}
}

// A full disk and a clock that calls the id one of the future are those of the node
// that refuses: the one that has answered nothing may have taken the write.
func TestARefusalAfterALostAnswerLeavesTheOutcomeUnknown(t *testing.T) {
	for _, refusal := range []Code{CodeDiskFull, CodeRequest} {
		f := newFake(t, coordination.Config{})
		_, addr := serve(t, Config{Backend: f})
		f.lose = func() error {
			f.refuse = func() error { return &Error{Code: refusal, Message: "the write was not done"} }
			return &Error{Code: CodeUnknown, Message: "lost"}
		}
		_, err := newTestClient(t, addr).Put(t.Context(), "a", []byte("x"), WriteOptions{})
		if CodeOf(err) != CodeUnknown || f.at != 1 {
			t.Errorf("%s after an answer that was lost: %v with index %d, want %s", refusal, err, f.at, CodeUnknown)
		}
	}
}

func TestTheClientWaitsForALeader(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	refusals := 3
	f.refuse = func() error {
		if refusals--; refusals >= 0 {
			return &Error{Code: CodeNoLeader, Message: "no leader"}
		}
		return nil
	}
	if _, err := newTestClient(t, addr).Put(t.Context(), "a", nil, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestTheClientGivesUpWithTheRightCode(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	f.refuse = func() error { return &Error{Code: CodeNoLeader, Message: "no leader"} }
	cases := map[string]struct {
		addr string
		code Code
	}{
		"nobody listens": {deadAddress(t), CodeReach},
		"no leader":      {addr, CodeNoLeader},
		"breaks off":     {breaking(t), CodeUnknown},
	}
	for name, c := range cases {
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		_, err := newTestClient(t, c.addr).Put(ctx, "a", nil, WriteOptions{})
		cancel()
		if CodeOf(err) != c.code {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
		if text := asError(err).Error(); strings.Contains(text, "context deadline") || strings.Contains(text, "syscall") {
			t.Errorf("%s: %q speaks Go", name, text)
		}
	}
}

func TestClientErrorsAreTheServers(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	client := newTestClient(t, addr)
	if _, _, err := client.Get(t.Context(), "nosuch", ReadOptions{}); CodeOf(err) != CodeNotFound {
		t.Errorf("get: %v", err)
	}
	two := uint64(2)
	if _, err := client.Put(t.Context(), "a", nil, WriteOptions{Version: &two}); CodeOf(err) != CodeConflict {
		t.Errorf("put: %v", err)
	}
	if done, err := client.ChangeMember(t.Context(), MemberChange{Action: "remove", Name: "n1"}); err != nil || done.Version != 8 {
		t.Errorf("remove: %+v, %v", done, err)
	}
	if done, err := client.Transfer(t.Context(), "", "n2"); err != nil || done.Leader != "n2" {
		t.Errorf("transfer: %+v, %v", done, err)
	}
	if done, err := client.Snapshot(t.Context()); err != nil || done.Index != 5 {
		t.Errorf("snapshot: %+v, %v", done, err)
	}
	if members, err := client.Members(t.Context()); err != nil || members.ConfigVersion != 7 {
		t.Errorf("members: %+v, %v", members, err)
	}
}

func TestAForwardedWriteDoesNotWaitForADeposedLeader(t *testing.T) {
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // accepts, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	f := newFake(t, coordination.Config{})
	f.refuse = func() error { return notLeader(hangs.Addr().String()) }
	h := newHandler(t, f)
	go func() {
		if conn, err := hangs.Accept(); err == nil { // the write has been sent on
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1))
			f.leader.raise()
			<-t.Context().Done()
		}
	}()
	w := request(h, "PUT", "/v1/kv/a", "x", headerTimeout, "60s")
	if w.Code != 504 || !strings.Contains(w.Body.String(), "another node leads now") {
		t.Fatalf("%d %s, want 504 because another node leads", w.Code, w.Body)
	}
}

func TestAnUnknownOutcomeSaysWhatLeftItOpen(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f})
	f.lose = func() error { // called with the lock held
		f.refuse = func() error {
			return &Error{Code: CodeNoLeader, Message: "the write was not done: there is no leader"}
		}
		return &Error{Code: CodeUnknown, Message: "lost", Why: "no majority has confirmed it in time"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := newTestClient(t, addr).Put(ctx, "a", nil, WriteOptions{})
	const want = "no majority has confirmed it in time; after that: there is no leader"
	if e := asError(err); e.Code != CodeUnknown || e.Why != want {
		t.Fatalf("%s because %q, want %s because %q", e.Code, e.Why, CodeUnknown, want)
	}
}

func TestAReadThatRunsOutOfTimeSaysWhatTheNodeSaid(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: slowReads{f}})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, _, err := newTestClient(t, addr).Get(ctx, "a", ReadOptions{})
	if e := asError(err); e.Code != CodeTimeout || e.Why != "not applied" {
		t.Fatalf("%s because %q, want %s because of what the node says", e.Code, e.Why, CodeTimeout)
	}
}

// slowReads answers a read when its time is over.
type slowReads struct{ *fake }

func (s slowReads) View(ctx context.Context, _ ReadOptions, _ func(*coordination.Tree, uint64)) error {
	<-ctx.Done()
	return &Error{Code: CodeTimeout, Message: "the read got no answer in time", Why: "not applied"}
}

func TestAWatchThatNobodyAnswersEnds(t *testing.T) {
	client := newTestClient(t, deadAddress(t))
	err := client.Watch(t.Context(), "a", WatchOptions{}, func(Change) error { return nil })
	if CodeOf(err) != CodeReach {
		t.Fatalf("got %v, want %s", err, CodeReach)
	}
}
