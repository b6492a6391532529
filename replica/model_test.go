package replica

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model says what must be true of a replica, in the plainest words: it keeps
// everything that ever happened and looks through all of it.
type model struct {
	limits   Limits
	now      int64
	index    uint64
	sessions map[uint64]*modelSession
	requests map[RequestID]modelReply
	dropped  map[RequestID]bool // ran once and are not kept any more
	floor    int64
	runs     map[string]uint64
}

type modelSession struct {
	timeout, active int64
	floor           uint64
	replies         map[uint64]modelReply
}

type modelReply struct {
	index uint64
	value string
}

func newModel(l Limits) *model {
	return &model{limits: l, sessions: make(map[uint64]*modelSession), requests: make(map[RequestID]modelReply),
		dropped: make(map[RequestID]bool), floor: -1, runs: make(map[string]uint64)}
}

func (m *model) run(command []byte) modelReply {
	m.runs[string(command)]++
	return modelReply{m.index, fmt.Sprintf("%s@%d#%d", command, m.index, m.runs[string(command)])}
}

func (m *model) session(e Envelope) *modelSession {
	s := m.sessions[e.Session]
	if s == nil || m.now > s.active+s.timeout {
		return nil
	}
	s.active = m.now
	for sequence := range s.replies {
		if sequence < e.AckedBelow {
			delete(s.replies, sequence)
		}
	}
	s.floor = max(s.floor, e.AckedBelow)
	return s
}

func (m *model) alive() (n int) {
	for _, s := range m.sessions {
		if m.now <= s.active+s.timeout {
			n++
		}
	}
	return n
}

func (m *model) apply(e Envelope) (Code, modelReply) {
	m.index++
	m.now = max(m.now, e.Time)
	here := modelReply{index: m.index}
	switch e.Kind {
	case KindPlain:
		return CodeApplied, m.run(e.Command)
	case KindRegister:
		if m.alive() == m.limits.Sessions {
			return CodeTooManySessions, here
		}
		timeout := e.Timeout
		if timeout == 0 {
			timeout = m.limits.SessionTimeout.Milliseconds()
		}
		m.sessions[m.index] = &modelSession{timeout: min(timeout, m.limits.SessionTimeoutMax.Milliseconds()),
			active: m.now, floor: 1, replies: make(map[uint64]modelReply)}
		return CodeApplied, here
	case KindClose:
		if m.session(e) == nil {
			return CodeSessionExpired, here
		}
		delete(m.sessions, e.Session)
		return CodeApplied, here
	case KindRequest:
		return m.request(e, here)
	}
	s := m.session(e)
	if s == nil {
		return CodeSessionExpired, here
	}
	if e.Kind == KindKeepAlive {
		return CodeApplied, here
	}
	return m.command(s, e, here)
}

func (m *model) command(s *modelSession, e Envelope, here modelReply) (Code, modelReply) {
	reply, known := s.replies[e.Sequence]
	switch {
	case known:
		return CodeDuplicate, reply
	case e.Sequence < s.floor:
		return CodeAcknowledged, here
	case e.Sequence >= s.floor+uint64(m.limits.SessionWindow):
		return CodeSessionWindow, here
	case s.bytes() >= m.limits.SessionBytes || m.bytes() >= m.limits.ReplyBytes:
		return CodeRepliesFull, here
	}
	s.replies[e.Sequence] = m.run(e.Command)
	return CodeApplied, s.replies[e.Sequence]
}

func (s *modelSession) bytes() (sum int64) {
	for _, r := range s.replies {
		sum += replyCost([]byte(r.value))
	}
	return sum
}

func (m *model) bytes() (sum int64) {
	for _, s := range m.sessions {
		if m.now <= s.active+s.timeout {
			sum += s.bytes()
		}
	}
	return sum
}

func (m *model) request(e Envelope, here modelReply) (Code, modelReply) {
	at, retention := e.Request.Time(), m.limits.RequestRetention.Milliseconds()
	if reply, known := m.requests[e.Request]; known && at >= m.now-retention {
		return CodeDuplicate, reply
	}
	switch {
	case at < m.now-retention || at <= m.floor:
		return CodeRequestExpired, here
	case at > m.now+m.limits.RequestSkew.Milliseconds():
		return CodeRequestFuture, here
	}
	reply := m.run(e.Command)
	m.requests[e.Request] = reply
	for kept, oldest := m.kept(); kept > m.limits.Requests; kept, oldest = m.kept() {
		delete(m.requests, oldest)
		m.floor = max(m.floor, oldest.Time())
	}
	return CodeApplied, reply
}

func (m *model) kept() (n int, oldest RequestID) {
	for id := range m.requests {
		if id.Time() < m.now-m.limits.RequestRetention.Milliseconds() {
			continue
		}
		if n++; n == 1 || id.Compare(oldest) < 0 {
			oldest = id
		}
	}
	return n, oldest
}

// TestReplicaAgreesWithTheModel draws logs full of repetitions, retries after
// expiry, clocks that jump, and snapshots in the middle. Three replicas apply
// them: one lives through all, one is restored from a snapshot now and then,
// and one applies the whole log at the end.
func TestReplicaAgreesWithTheModel(t *testing.T) {
	limits := Limits{Sessions: 3, SessionWindow: 4, SessionBytes: 130, ReplyBytes: 200, SessionTimeout: 50 * time.Millisecond,
		SessionTimeoutMax: 80 * time.Millisecond, Requests: 5, RequestBytes: 1 << 30,
		RequestRetention: 60 * time.Millisecond, RequestSkew: 10 * time.Millisecond, DigestEvery: 5}
	codes := make(map[Code]int)
	rapid.Check(t, func(rt *rapid.T) {
		g, restarted := newGroup(t, limits), newGroup(t, limits)
		want := newModel(limits)
		clock := int64(1000)
		for range rapid.IntRange(1, 120).Draw(rt, "entries") {
			if rapid.IntRange(0, 15).Draw(rt, "restart") == 0 {
				restarted.restart()
			}
			clock += rapid.Int64Range(-5, 12).Draw(rt, "step")
			e := drawCommand(rt, want, clock)
			g.now, restarted.now = clock, clock
			e.Time = clock
			code, reply := want.apply(e)
			codes[code]++
			for name, r := range map[string]Result{"lived": g.append(e), "restarted": restarted.append(e)} {
				if r.Code != code || r.Index != reply.index || string(r.Value) != reply.value {
					rt.Fatalf("%s: entry %d, %+v at %d: got code %d, index %d, %q; want %d, %d, %q", name,
						want.index, e, want.now, r.Code, r.Index, r.Value, code, reply.index, reply.value)
				}
			}
		}
		late := mustNew(t, Config{Limits: limits}, newLedger())
		if err := late.Apply(g.log, nil); err != nil {
			rt.Fatal(err)
		}
		if late.Digest() != g.Digest() || restarted.Digest() != g.Digest() {
			rt.Fatalf("digests %+v, %+v, %+v", g.Digest(), restarted.Digest(), late.Digest())
		}
		if a, b := g.snapshot(), restarted.snapshot(); a != b || a != snapshotOf(t, late) {
			rt.Fatal("the snapshots differ")
		}
		if len(g.machine.runs) != len(want.runs) {
			rt.Fatalf("ran %v, want %v", g.machine.runs, want.runs)
		}
	})
	t.Log(codes)
	if testing.Short() {
		return // too few commands to meet every code
	}
	for c := CodeApplied; c <= CodeRequestFuture; c++ {
		if c != CodeUnavailable && c != CodeMalformed && codes[c] == 0 {
			t.Errorf("code %d never occurred: the test shows less than it says", c)
		}
	}
}

// drawCommand draws mostly what makes sense: sessions that exist or existed,
// sequence numbers around the window, ids around the retention.
func drawCommand(t *rapid.T, m *model, clock int64) Envelope {
	e := Envelope{Kind: rapid.SampledFrom([]Kind{KindPlain, KindSession, KindSession, KindSession, KindSession,
		KindRequest, KindRequest, KindRequest, KindRegister, KindKeepAlive, KindClose}).Draw(t, "kind")}
	if e.Kind == KindClose && rapid.IntRange(0, 3).Draw(t, "close") > 0 {
		e.Kind = KindKeepAlive
	}
	e.Command = []byte(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "command"))
	e.Session = rapid.Uint64Range(0, m.index).Draw(t, "session")
	if known := len(m.sessions); known > 0 && rapid.IntRange(0, 9).Draw(t, "known") > 0 {
		e.Session = sessionIDs(m)[rapid.IntRange(0, known-1).Draw(t, "which")]
	}
	floor := uint64(1)
	if s := m.sessions[e.Session]; s != nil {
		floor = s.floor
	}
	e.Sequence = max(1, floor+rapid.Uint64Range(0, 6).Draw(t, "sequence")-1)
	e.AckedBelow = min(e.Sequence, floor+rapid.Uint64Range(0, 2).Draw(t, "acked")-1)
	e.Request = requestAt(clock+rapid.Int64Range(-80, 14).Draw(t, "age")/4*4, rapid.Uint64Range(0, 1).Draw(t, "n"))
	e.Timeout = rapid.Int64Range(0, 100).Draw(t, "timeout")
	return e
}

func sessionIDs(m *model) []uint64 {
	ids := make([]uint64, 0, len(m.sessions))
	for id := uint64(1); id <= m.index; id++ {
		if m.sessions[id] != nil {
			ids = append(ids, id)
		}
	}
	return ids
}
