package coordination

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	oneSecond  = time.Second
	halfSecond = 500 * time.Millisecond
)

// steady is a Tracker whose clock goes in steps that it takes for an awake process.
type steady struct {
	*Tracker
	t   *testing.T
	now time.Duration
}

func newSteady(t *testing.T, sessions ...SessionInfo) *steady {
	w := &steady{Tracker: NewTracker(0), t: t}
	for _, s := range sessions {
		w.Add(s, 0)
	}
	return w
}

// until steps to the time at and returns what expired, and when.
func (w *steady) until(at time.Duration) (ids []uint64, when []time.Duration) {
	for w.now < at {
		w.now = min(w.now+halfSecond/5, at)
		for _, id := range w.Expire(w.now, 100) {
			ids, when = append(ids, id), append(when, w.now)
		}
	}
	return ids, when
}

func (w *steady) mustEndAt(id uint64, at time.Duration) {
	w.t.Helper()
	if ids, _ := w.until(at - 1); len(ids) != 0 {
		w.t.Fatalf("%v ended before %v", ids, at)
	}
	if ids, _ := w.until(at); !slices.Equal(ids, []uint64{id}) {
		w.t.Fatalf("at %v ended %v, want %d", at, ids, id)
	}
}

func lasting(id uint64, timeout, linger time.Duration) SessionInfo {
	return SessionInfo{ID: id, Timeout: timeout.Milliseconds(), Linger: linger.Milliseconds(), Connection: 1}
}

// attached is a session of which the leader before has confirmed a connection.
func attached(s SessionInfo, connection uint64) SessionInfo {
	s.Connection = connection
	return s
}

// unbound is one of which it has confirmed a sign of life without a connection.
func unbound(s SessionInfo) SessionInfo {
	s.Unbound = true
	return s
}

func TestASilentSessionEndsAfterItsTimeoutAndNotBefore(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.mustEndAt(1, 10*oneSecond)
}

func TestASignOfLifeCountsFromItsTime(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.until(6 * oneSecond)
	if s := w.Touch(1, 3, w.now); s != Alive {
		t.Fatalf("Touch: %v", s)
	}
	w.mustEndAt(1, 16*oneSecond)
}

func TestASignOfASessionThatIsExpiredOrUnknownIsOver(t *testing.T) {
	w := newSteady(t, lasting(1, oneSecond, oneSecond))
	w.until(oneSecond)
	if s := w.Touch(1, 9, w.now); s != Over {
		t.Fatalf("a sign during the expiry is %v", s)
	}
	if s := w.Touch(2, 9, w.now); s != Over {
		t.Fatalf("a sign of a session that is not known is %v", s)
	}
	if ids, _ := w.until(20 * oneSecond); len(ids) > 0 {
		t.Fatalf("%v are expired a second time", ids)
	}
	w.Add(lasting(1, oneSecond, oneSecond), w.now) // it is in the tree until the expiry is applied
	if s := w.Touch(1, 9, w.now); s != Over {
		t.Fatalf("Add has revived a session that is being expired: %v", s)
	}
}

func TestOnlyTheConnectionWithTheHighestNumberCounts(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.until(5 * oneSecond)
	for _, c := range []struct {
		connection uint64
		want       Sign
	}{{4, Alive}, {6, Alive}, {4, Moved}, {6, Alive}, {0, Alive}, {5, Moved}} {
		if s := w.Touch(1, c.connection, w.now); s != c.want {
			t.Fatalf("connection %d: %v, want %v", c.connection, s, c.want)
		}
	}
	w.until(8 * oneSecond)
	w.Touch(1, 5, w.now) // Moved: counts for nothing
	w.mustEndAt(1, 15*oneSecond)
}

func TestAClosedConnectionLeavesTheLinger(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.Touch(1, 2, 0)
	w.until(4 * oneSecond)
	w.Gone(1, 2, w.now)
	w.mustEndAt(1, 5*oneSecond)
}

func TestAClosedConnectionThatWasReplacedCountsForNothing(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.Touch(1, 3, 0)
	w.Gone(1, 2, 0)
	w.mustEndAt(1, 10*oneSecond)
}

func TestANewLeaderDoesNotTakeTheEndOfAnOldConnectionForThatOfTheClient(t *testing.T) {
	w := newSteady(t, attached(lasting(1, 10*oneSecond, oneSecond), 3))
	if s := w.Touch(1, 2, 0); s != Moved { // a late sign of one that was replaced
		t.Fatalf("the connection before: %v", s)
	}
	w.Gone(1, 2, 0)
	w.until(3 * oneSecond)
	if s := w.Touch(1, 3, w.now); s != Alive {
		t.Fatalf("the connection that replaced it: %v", s)
	}
	w.mustEndAt(1, 13*oneSecond)
}

func TestTheEndOfTheLastConnectionCountsUnderANewLeader(t *testing.T) {
	w := newSteady(t, attached(lasting(1, 10*oneSecond, oneSecond), 3))
	w.until(oneSecond)
	w.Gone(1, 3, w.now)
	w.mustEndAt(1, 2*oneSecond)
}

func TestANewLeaderLetsNoSessionEndByAConnectionThatShowedItselfWithoutOne(t *testing.T) {
	w := newSteady(t, unbound(lasting(1, 10*oneSecond, oneSecond)))
	w.Gone(1, 1, 0) // the leader before may have confirmed a sign just now
	w.mustEndAt(1, 10*oneSecond)
}

func TestTheEndOfAConnectionTakesNoSignBackThatCameByItself(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.Touch(1, 5, 0)
	w.until(oneSecond)
	w.Touch(1, 0, w.now)
	w.Gone(1, 5, w.now) // it came late, or twice
	w.mustEndAt(1, 11*oneSecond)
}

func TestALingerNeverLengthensASession(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, 5*oneSecond))
	w.Touch(1, 1, 0)
	w.until(8 * oneSecond)
	w.Gone(1, 1, w.now)
	w.mustEndAt(1, 10*oneSecond)
}

func TestASessionThatShowsItselfInItsLingerHasItsTimeoutAgain(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.Touch(1, 1, 0)
	w.Gone(1, 1, 0)
	w.until(oneSecond / 2)
	if s := w.Touch(1, 2, w.now); s != Alive {
		t.Fatal(s)
	}
	w.mustEndAt(1, 10*oneSecond+oneSecond/2)
}

func TestTimeInWhichTheProcessStoodStillCountsForNobody(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.until(9 * oneSecond)
	w.now += 30 * oneSecond
	if ids := w.Expire(w.now, 100); len(ids) > 0 {
		t.Fatalf("%v are expired after a pause", ids)
	}
	// Half a second of it may have been waiting for the next call.
	w.mustEndAt(1, 39*oneSecond+oneSecond/2)
}

func TestASignThatIsReadFirstAfterAPauseCountsFromThen(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.until(9 * oneSecond)
	w.now += 30 * oneSecond
	if s := w.Touch(1, 1, w.now); s != Alive {
		t.Fatal(s)
	}
	w.mustEndAt(1, 49*oneSecond)
}

func TestACallThatIsALittleLateExpires(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond))
	w.until(9 * oneSecond)
	if ids := w.Expire(w.now+1500*time.Millisecond, 100); len(ids) != 1 {
		t.Fatalf("half a second and a second after the last call: %v", ids)
	}
}

func TestAKeptSessionMayShowItselfForASecond(t *testing.T) {
	w := newSteady(t, lasting(1, 10*oneSecond, oneSecond), lasting(2, 10*oneSecond, oneSecond))
	w.until(10 * oneSecond)
	w.Keep(1, w.now)
	w.Keep(2, w.now)
	if s := w.Touch(2, 1, w.now); s != Alive {
		t.Fatal(s)
	}
	w.mustEndAt(1, 11*oneSecond)
	w.mustEndAt(2, 20*oneSecond)
	w.Keep(3, w.now) // unknown: nothing happens
	w.Remove(1)
	w.Keep(1, w.now)
	if w.Len() != 1 {
		t.Fatalf("%d sessions", w.Len())
	}
}

func TestExpireHandsOutThoseThatAreDueLongestFirstAndNoMoreThanWanted(t *testing.T) {
	w := newSteady(t)
	for id := uint64(1); id <= 100; id++ {
		w.Add(lasting(id, time.Duration(200-id)*10*time.Millisecond, 0), 0)
	}
	w.Expire(oneSecond, 0)
	var all []uint64
	for _, limit := range []int{10, 50, 100} {
		ids := w.Expire(2*oneSecond, limit)
		if len(ids) > limit {
			t.Fatalf("%d, wanted at most %d", len(ids), limit)
		}
		all = append(all, ids...)
	}
	if len(all) != 100 || all[0] != 100 || all[99] != 1 || !slices.IsSortedFunc(all, func(a, b uint64) int { return int(b) - int(a) }) {
		t.Fatalf("%v", all)
	}
}

func TestNextAsksForACallEveryHalfSecondAndWhenSomebodyIsDue(t *testing.T) {
	w := newSteady(t)
	if at, ok := w.Next(); ok {
		t.Fatalf("without sessions Next is %v", at)
	}
	w.Add(lasting(1, 10*oneSecond, oneSecond), 0)
	if at, ok := w.Next(); !ok || at != halfSecond {
		t.Fatalf("Next is %v, %v", at, ok)
	}
	w.until(9800 * time.Millisecond)
	if at, ok := w.Next(); !ok || at != 10*oneSecond {
		t.Fatalf("Next is %v, %v", at, ok)
	}
	w.until(10 * oneSecond)
	if at, ok := w.Next(); ok {
		t.Fatalf("Next is %v when the only session is over", at)
	}
}

// plain is a Tracker without a queue: what the rules say, and no more.
type plain struct {
	sessions map[uint64]*plainSession
	last     time.Duration
}

type plainSession struct {
	timeout, linger, deadline time.Duration
	spared                    time.Duration
	connection                uint64
	over                      bool
}

func (p *plain) at(now time.Duration) time.Duration {
	if late := now - p.last - halfSecond; late > oneSecond {
		for _, s := range p.sessions {
			s.deadline += late
			s.spared += late
		}
	}
	p.last = now
	return now
}

func (p *plain) touch(id, connection uint64, now time.Duration) Sign {
	p.at(now)
	s := p.sessions[id]
	if s == nil || s.over {
		return Over
	}
	if connection != 0 && connection < s.connection {
		return Moved
	}
	s.connection = max(s.connection, connection)
	s.deadline = now + s.timeout
	if connection == 0 {
		s.spared = s.deadline
	}
	return Alive
}

func (p *plain) gone(id, connection uint64, now time.Duration) {
	p.at(now)
	if s := p.sessions[id]; s != nil && !s.over && connection >= s.connection {
		s.connection = connection
		s.deadline = min(s.deadline, max(now+s.linger, s.spared))
	}
}

func (p *plain) open() (all []SessionInfo) {
	for _, id := range slices.Sorted(maps.Keys(p.sessions)) {
		all = append(all, SessionInfo{ID: id})
	}
	return all
}

func (p *plain) expire(now time.Duration) (ids []uint64) {
	p.at(now)
	for id, s := range p.sessions {
		if !s.over && s.deadline <= now {
			s.over = true
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestTheTrackerDoesWhatTheRulesSay(t *testing.T) {
	for seed := range uint64(300) {
		if err := compare(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// compare does the same at random to a Tracker and to a plain one.
func compare(seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 1))
	p, real := &plain{sessions: make(map[uint64]*plainSession)}, NewTracker(0)
	now := time.Duration(0)
	for step := range 400 {
		now += time.Duration(random.Int64N(int64(300 * time.Millisecond)))
		if random.IntN(50) == 0 {
			now += time.Duration(random.Int64N(int64(5 * oneSecond)))
		}
		id, connection := random.Uint64N(12), random.Uint64N(4)
		switch random.IntN(8) {
		case 0:
			s := lasting(id, oneSecond+time.Duration(random.IntN(4))*oneSecond, time.Duration(random.IntN(3))*halfSecond)
			s.Connection, s.Unbound = 1+random.Uint64N(2), random.IntN(4) == 0
			p.at(now)
			if p.sessions[id] == nil {
				timeout := time.Duration(s.Timeout) * time.Millisecond
				p.sessions[id] = &plainSession{timeout: timeout, linger: time.Duration(s.Linger) * time.Millisecond, deadline: now + timeout,
					connection: s.Connection}
				if s.Unbound {
					p.sessions[id].spared = now + timeout
				}
			}
			real.Add(s, now)
		case 1:
			delete(p.sessions, id)
			if connection == 0 {
				real.Retain(p.open())
			} else {
				real.Remove(id)
			}
		case 2:
			p.gone(id, connection, now)
			real.Gone(id, connection, now)
		case 3:
			p.at(now)
			if s := p.sessions[id]; s != nil && s.over {
				s.over, s.deadline = false, now+oneSecond
			}
			real.Keep(id, now)
		case 4, 5:
			want := p.touch(id, connection, now)
			if got := real.Touch(id, connection, now); got != want {
				return fmt.Errorf("step %d: Touch(%d, %d, %v) is %v, want %v", step, id, connection, now, got, want)
			}
		default:
			want, got := p.expire(now), real.Expire(now, 1000)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				return fmt.Errorf("step %d: Expire(%v) is %v, want %v", step, now, got, want)
			}
		}
		if next, ok := real.Next(); ok && next > now+halfSecond {
			return fmt.Errorf("step %d: Next is %v at %v", step, next, now)
		}
	}
	return nil
}

// BenchmarkTracker is what one sign of life costs among 100,000 sessions, with the ticks of
// 10 s in which each shows itself three times.
func BenchmarkTracker(b *testing.B) {
	const sessions = 100_000
	tracker := NewTracker(0)
	for id := uint64(1); id <= sessions; id++ {
		tracker.Add(lasting(id, 10*oneSecond, oneSecond), 0)
	}
	now := time.Duration(0)
	for i := 0; b.Loop(); i++ {
		now += 33 * time.Microsecond
		if tracker.Touch(uint64(i%sessions)+1, 1, now) != Alive {
			b.Fatal("a session that showed itself is not alive")
		}
		if i%1000 == 0 && len(tracker.Expire(now, 256)) > 0 {
			b.Fatal("a session that showed itself is expired")
		}
	}
}
