package replica

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// S1: for each session and sequence number the machine changes at most once,
// also across a snapshot.
func TestS1ACommandRunsOnceHoweverOftenItIsRepeated(t *testing.T) {
	g := newGroup(t, Limits{})
	s := g.register()
	for range 3 {
		g.command(s, 1, 0, "pay")
	}
	g.restart()
	for range 3 {
		g.command(s, 1, 0, "pay")
	}
	if n := g.machine.runs["pay"]; n != 1 {
		t.Fatalf("ran %d times, want 1", n)
	}
}

// S1 with several commands under way, in any order.
func TestS1CommandsOfAWindowRunOnceInAnyOrder(t *testing.T) {
	g := newGroup(t, Limits{})
	s := g.register()
	wantResult(t, "third", g.command(s, 3, 0, "c"), CodeApplied, 2, "c@2#1")
	wantResult(t, "first", g.command(s, 1, 0, "a"), CodeApplied, 3, "a@3#1")
	wantResult(t, "third again", g.command(s, 3, 0, "c"), CodeDuplicate, 2, "c@2#1")
	wantResult(t, "second", g.command(s, 2, 2, "b"), CodeApplied, 5, "b@5#1")
	wantResult(t, "first, acknowledged", g.command(s, 1, 0, "a"), CodeAcknowledged, 6, "")
	wantResult(t, "third once more", g.command(s, 3, 0, "c"), CodeDuplicate, 2, "c@2#1")
}

// S2: every reply to a command is the same bytes, also from a replica restored
// from a snapshot, and belongs to the client that asked.
func TestS2ARepeatedCommandGetsTheFirstReply(t *testing.T) {
	g := newGroup(t, Limits{})
	a, b := g.register(), g.register()
	g.plain("x")
	wantResult(t, "a", g.command(a, 1, 0, "x"), CodeApplied, 4, "x@4#2")
	wantResult(t, "b", g.command(b, 1, 0, "x"), CodeApplied, 5, "x@5#3")
	for range 2 {
		wantResult(t, "a again", g.command(a, 1, 0, "x"), CodeDuplicate, 4, "x@4#2")
		wantResult(t, "b again", g.command(b, 1, 0, "x"), CodeDuplicate, 5, "x@5#3")
		g.restart()
	}
}

// S3: expiry is decided by log time only. Two replicas that apply the same log
// years apart agree; TestCoreReadsNoClock shows that there is no clock to ask.
func TestS3ASessionExpiresByLogTimeAlone(t *testing.T) {
	g := newGroup(t, Limits{SessionTimeout: time.Second})
	s := g.register()
	g.now += 1000
	wantResult(t, "at the deadline", g.command(s, 1, 0, "x"), CodeApplied, 2, "x@2#1")
	g.now += 1000
	if r := g.append(Envelope{Kind: KindKeepAlive, Session: s}); r.Err() != nil {
		t.Fatalf("keep-alive at the deadline: %v", r.Err())
	}
	g.now -= 500_000 // a leader with a slow clock moves log time nowhere
	g.plain("tick")
	wantResult(t, "after a slow clock", g.command(s, 2, 0, "x"), CodeApplied, 5, "x@5#2")
	g.now += 501_001 // 1001 ms of log time after that
	g.plain("tick")
	wantResult(t, "past the deadline", g.command(s, 3, 0, "x"), CodeSessionExpired, 7, "")
	if st := g.Status(); st.Sessions != 0 || st.ReplyBytes != 0 || st.LogTime != g.now {
		t.Fatalf("after expiry: %+v, want no session, no bytes, log time %d", st, g.now)
	}
}

func TestS3TwoReplicasAgreeOnExpiry(t *testing.T) {
	limits := Limits{SessionTimeout: time.Second}
	g := newGroup(t, limits)
	s := g.register()
	for i := range uint64(20) {
		g.now += int64(i) * 100
		g.command(s, i+1, 0, "x")
	}
	other := mustNew(t, Config{Limits: limits}, newLedger())
	if err := other.Apply(g.log, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := other.Digest(), g.Digest(); got != want {
		t.Fatalf("digest %+v, want %+v", got, want)
	}
	if g.Status().Sessions != 0 {
		t.Fatal("the session did not expire: this test shows nothing")
	}
}

// S4: after expiry there is an explicit error and never a re-execution, not
// even of a command that ran before.
func TestS4AfterExpiryACommandIsRefusedAndNotRunAgain(t *testing.T) {
	for _, how := range []string{"timeout", "close"} {
		t.Run(how, func(t *testing.T) {
			g := newGroup(t, Limits{SessionTimeout: time.Second})
			s := g.register()
			g.command(s, 1, 0, "pay")
			if how == "timeout" {
				g.now += 1001
			} else if r := g.append(Envelope{Kind: KindClose, Session: s}); r.Err() != nil {
				t.Fatal(r.Err())
			}
			for range 2 {
				if r := g.command(s, 1, 0, "pay"); !errors.Is(r.Err(), ErrSessionExpired) {
					t.Fatalf("got %v, want %v", r.Err(), ErrSessionExpired)
				}
				if r := g.append(Envelope{Kind: KindKeepAlive, Session: s}); !errors.Is(r.Err(), ErrSessionExpired) {
					t.Fatalf("keep-alive: got %v, want %v", r.Err(), ErrSessionExpired)
				}
				g.restart()
			}
			if n := g.machine.runs["pay"]; n != 1 {
				t.Fatalf("ran %d times, want 1", n)
			}
		})
	}
}

// S5: the session table is inside the snapshot and its checksum: each of its
// bytes, changed, makes the snapshot unreadable.
func TestS5TheSnapshotHoldsAndVouchesForTheSessions(t *testing.T) {
	g := newGroup(t, Limits{})
	s := g.register()
	g.command(s, 1, 0, "a")
	g.request(requestAt(g.now, 1), "b")
	whole := []byte(g.snapshot())
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		fresh := mustNew(t, Config{}, newLedger())
		err := fresh.Restore(bytes.NewReader(damaged))
		if !errors.Is(err, ErrCorrupt) || fresh.Applied() != 0 {
			t.Fatalf("bit flipped in byte %d of %d: %v, applied %d", i, len(whole), err, fresh.Applied())
		}
	}
	g.append(Envelope{Kind: KindKeepAlive, Session: s, AckedBelow: 2})
	g.restart()
	wantResult(t, "acknowledged before the snapshot", g.command(s, 1, 0, "a"), CodeAcknowledged, 5, "")
}

func TestSessionBoundsRefuseWithoutRunning(t *testing.T) {
	g := newGroup(t, Limits{Sessions: 2, SessionWindow: 4, SessionBytes: 1500, ReplyBytes: 2500})
	a, b := g.register(), g.register()
	if r := g.append(Envelope{Kind: KindRegister}); !errors.Is(r.Err(), ErrTooManySessions) {
		t.Fatalf("third session: got %v, want %v", r.Err(), ErrTooManySessions)
	}
	check := func(what string, r Result, want error) {
		t.Helper()
		if !errors.Is(r.Err(), want) {
			t.Fatalf("%s: got %v, want %v", what, r.Err(), want)
		}
	}
	check("beyond the window", g.command(a, 5, 0, "x"), ErrSessionWindow)
	check("the same, acknowledged", g.command(a, 5, 2, "x"), nil)
	check("first big one", g.command(a, 2, 2, "big"), nil)
	check("second big one", g.command(a, 3, 2, "big"), nil)
	check("session full", g.command(a, 4, 2, "x"), ErrRepliesFull)
	check("another's", g.command(b, 1, 0, "x"), nil)
	check("another's big one", g.command(b, 2, 0, "big"), nil)
	check("all full", g.command(b, 3, 0, "x"), ErrRepliesFull)
	check("duplicate although full", g.command(b, 1, 0, "x"), nil)
	check("room after acknowledging", g.command(a, 6, 6, "y"), nil)
	if n := g.machine.runs["x"]; n != 2 {
		t.Fatalf("x ran %d times, want 2", n)
	}
}

func TestARegistrationMayAskForItsTimeout(t *testing.T) {
	g := newGroup(t, Limits{SessionTimeout: 10 * time.Second, SessionTimeoutMax: time.Minute})
	short := g.append(Envelope{Kind: KindRegister, Timeout: 1000}).Index
	medium := g.append(Envelope{Kind: KindRegister}).Index
	long := g.append(Envelope{Kind: KindRegister, Timeout: 1e9}).Index
	for _, step := range []struct {
		after int64
		alive int
	}{{1000, 3}, {1001, 2}, {10_000, 2}, {10_001, 1}, {60_000, 1}, {60_001, 0}} {
		g.now = startTime + step.after
		g.plain("tick")
		if n := g.Status().Sessions; n != step.alive {
			t.Fatalf("%d ms: %d sessions, want %d (ids %d, %d, %d)", step.after, n, step.alive, short, medium, long)
		}
	}
}

func TestRegisterAndCloseLeaveNothingBehind(t *testing.T) {
	g := newGroup(t, Limits{})
	for range 1000 {
		g.append(Envelope{Kind: KindClose, Session: g.register()})
	}
	if n, m := g.sessions.queue.len(), len(g.sessions.byID); n != 0 || m != 0 {
		t.Fatalf("%d in the queue and %d in the table, want none", n, m)
	}
}

func TestARequestIDRunsOnce(t *testing.T) {
	g := newGroup(t, Limits{})
	id := requestAt(g.now, 1)
	wantResult(t, "first", g.request(id, "x"), CodeApplied, 1, "x@1#1")
	wantResult(t, "again", g.request(id, "x"), CodeDuplicate, 1, "x@1#1")
	g.restart()
	wantResult(t, "after a restart", g.request(id, "x"), CodeDuplicate, 1, "x@1#1")
	wantResult(t, "another", g.request(requestAt(g.now, 2), "x"), CodeApplied, 4, "x@4#2")
}

func TestARequestIDIsKeptForTheRetentionAndThenRefused(t *testing.T) {
	for name, off := range map[string]int64{"right": 0, "a little behind": -50_000, "far behind": -year, "a little ahead": 50_000, "far ahead": year} {
		g := newGroup(t, Limits{RequestRetention: time.Minute, RequestSkew: time.Minute})
		g.plain("tick")
		id := requestAt(g.now+off, 1)
		check := func(what string, want Code) {
			t.Helper()
			if r := g.request(id, "x"); r.Code != want {
				t.Fatalf("clock %s: %s: code %d, want %d", name, what, r.Code, want)
			}
		}
		check("first", CodeApplied)
		g.now += 60_000 + min(max(off, 0), 60_000)
		check("at the end of the retention", CodeDuplicate)
		g.now++
		check("forgotten", CodeRequestExpired)
		g.restart()
		check("forgotten, after a restart", CodeRequestExpired)
		g.now += 100 * year
		check("for good", CodeRequestExpired)
		if n := g.machine.runs["x"]; n != 1 {
			t.Fatalf("clock %s: ran %d times, want 1", name, n)
		}
	}
}

// A client's clock, or all of them, may be set by any amount: only ids of times
// that are forgotten are refused, and what one wrong clock leaves behind does
// not stand in the way of the right ones.
func TestClientsWithClocksFarApartDoNotRefuseEachOther(t *testing.T) {
	g := newGroup(t, Limits{})
	n := uint64(0)
	for minute := range int64(120) {
		for _, off := range []int64{0, -30_000, 30_000, 30 * 60_000, 59 * 60_000, -3 * year, 3 * year} {
			n++
			if r := g.request(requestAt(g.now+off, n), "x"); r.Code != CodeApplied {
				t.Fatalf("minute %d, clock off by %d ms: code %d, want %d", minute, off, r.Code, CodeApplied)
			}
		}
		g.now += 60_000
		if minute%10 == 0 {
			g.restart()
		}
	}
}

func TestALeaderRefusesRequestIDsOfTheFuture(t *testing.T) {
	r := mustNew(t, Config{Limits: Limits{RequestSkew: time.Minute}}, newLedger())
	for at, want := range map[int64]bool{present: false, present + 60_000: false, present + 60_001: true, 0: false} {
		e := Envelope{Kind: KindRequest, Request: requestAt(at, 1)}
		if got := r.Future(e.Append(nil), present); got != want {
			t.Errorf("id of %d: future %v, want %v", at, got, want)
		}
	}
	if r.Future(Envelope{Kind: KindPlain, Command: make([]byte, 100)}.Append(nil), 0) || r.Future(nil, 0) {
		t.Error("a command without an id is of the future")
	}
}

func TestARequestIDDroppedByABoundIsRefused(t *testing.T) {
	for name, limits := range map[string]Limits{
		"count": {Requests: 10},
		"bytes": {RequestBytes: 10 * (replyOverhead + int64(len("x@10#10")))},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, limits)
			for i := range int64(20) {
				if r := g.request(requestAt(g.now+i, 1), "x"); r.Code != CodeApplied {
					t.Fatalf("request %d: %v", i, r.Err())
				}
			}
			g.restart()
			for i := range int64(20) {
				want := CodeRequestExpired
				if i >= 10 {
					want = CodeDuplicate
				}
				if r := g.request(requestAt(g.now+i, 1), "x"); r.Code != want {
					t.Fatalf("request %d again: code %d, want %d", i, r.Code, want)
				}
			}
			if r := g.request(requestAt(g.now+5, 2), "x"); r.Code != CodeRequestExpired {
				t.Fatalf("a new id among the forgotten ones: code %d, want %d", r.Code, CodeRequestExpired)
			}
			if n := g.machine.runs["x"]; n != 20 {
				t.Fatalf("ran %d times, want 20", n)
			}
		})
	}
}

func TestASessionAndARequestMayHaveTheSameCommand(t *testing.T) {
	g := newGroup(t, Limits{})
	s := g.register()
	g.command(s, 1, 0, "x")
	g.request(requestAt(g.now, 1), "x")
	g.plain("x")
	if n := g.machine.runs["x"]; n != 3 {
		t.Fatalf("ran %d times, want 3", n)
	}
	if !strings.Contains(g.snapshot(), `3 "x"`) {
		t.Fatal("the machine's bytes are not in the snapshot")
	}
}
