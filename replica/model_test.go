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
	ran      map[RequestID]bool // ever
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
	until int64 // for a request
}

func newModel(l Limits) *model {
	return &model{limits: l, sessions: make(map[uint64]*modelSession), requests: make(map[RequestID]modelReply),
		ran: make(map[RequestID]bool), runs: make(map[string]uint64)}
}

func (m *model) run(command []byte) modelReply {
	m.runs[string(command)]++
	return modelReply{index: m.index, value: fmt.Sprintf("%s@%d#%d", command, m.index, m.runs[string(command)])}
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
	for id, r := range m.requests {
		if r.until < m.now {
			delete(m.requests, id)
		}
	}
	if reply, known := m.requests[e.Request]; known {
		return CodeDuplicate, reply
	}
	if m.forgotten(e.Request.Time()) {
		return CodeRequestExpired, here
	}
	ahead := min(max(e.Request.Time()-m.now, 0), m.limits.RequestSkew.Milliseconds())
	reply := m.run(e.Command)
	reply.until = m.now + ahead + m.limits.RequestRetention.Milliseconds()
	m.requests[e.Request] = reply
	m.ran[e.Request] = true
	if len(m.requests) > m.limits.Requests {
		delete(m.requests, m.first())
	}
	return CodeApplied, reply
}

// forgotten reports whether at lies between two ids, no further apart than the
// gap, that ran and are not kept.
func (m *model) forgotten(at int64) bool {
	below, above := int64(-1), int64(-1)
	for id := range m.ran {
		_, kept := m.requests[id]
		switch t := id.Time(); {
		case kept:
		case t == at:
			return true
		case t < at:
			below = max(below, t)
		case above < 0 || t < above:
			above = t
		}
	}
	return below >= 0 && above >= 0 && above-below <= spanGap
}

// first is the kept id that makes room first.
func (m *model) first() (first RequestID) {
	for id, r := range m.requests {
		f, ok := m.requests[first]
		if !ok || r.until < f.until || r.until == f.until && id.Compare(first) < 0 {
			first = id
		}
	}
	return first
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
		if c != CodeUnavailable && c != CodeMalformed && c != CodeRequestFuture && codes[c] == 0 {
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
	off := rapid.SampledFrom([]int64{0, 0, 0, 0, 0, year, -900}).Draw(t, "off")
	e.Request = requestAt(clock+off+rapid.Int64Range(-80, 14).Draw(t, "age")/4*4, rapid.Uint64Range(0, 1).Draw(t, "n"))
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
