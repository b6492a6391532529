package group_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

const year = 365 * 24 * time.Hour

// settable is a wall clock that can be set.
type settable struct{ off atomic.Int64 }

func (w *settable) now() time.Time        { return time.Now().Add(time.Duration(w.off.Load())) }
func (w *settable) setTo(d time.Duration) { w.off.Store(int64(d)) }

// apply proposes e, again while nobody leads.
func (s single) apply(t *testing.T, e replica.Envelope) replica.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		r, _, err := s.Propose(ctx, e.Append(nil))
		if err == nil {
			return r
		}
		if !errors.Is(err, consensus.ErrNotLeader) {
			t.Fatalf("propose: %v", err)
		}
	}
}

func requestNow(n byte) replica.RequestID {
	return replica.NewRequestID(time.Now().UnixMilli(), [10]byte{n})
}

// A leader whose wall clock is set goes on with log time as if nothing had
// happened; so does the one after it, also in a new process: sessions live, and
// a right client's request ids run, once.
func TestALeaderWhoseWallClockIsSetGoesOnWithLogTime(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		for name, jump := range map[string]time.Duration{"a year on": year, "a year back": -year,
			"two minutes on": 2 * time.Minute, "two minutes back": -2 * time.Minute} {
			t.Run(name, func(t *testing.T) {
				began, n := time.Now(), byte(0)
				var wall settable
				disk := storage.NewMemory(30)
				s := startSingle(t, engine, disk, func(c *group.Config) { c.WallClock = wall.now })
				session := s.apply(t, replica.Envelope{Kind: replica.KindRegister, Timeout: 60_000}).Index
				first := s.Replica().LogTime()
				check := func(when string) {
					t.Helper()
					n++
					e := replica.Envelope{Kind: replica.KindRequest, Request: requestNow(n)}
					if r := s.apply(t, e); r.Code != replica.CodeApplied {
						t.Errorf("%s: request ended with %v", when, r.Err())
					}
					if r := s.apply(t, e); r.Code != replica.CodeDuplicate {
						t.Errorf("%s: repeated request ended with code %d", when, r.Code)
					}
					if r := s.apply(t, replica.Envelope{Kind: replica.KindKeepAlive, Session: session}); r.Code != replica.CodeApplied {
						t.Errorf("%s: keep-alive ended with %v", when, r.Err())
					}
					went, most := s.Replica().LogTime()-first, 2*time.Since(began).Milliseconds()+1
					if went < 0 || went > most {
						t.Errorf("%s: log time went on by %d ms, want at most %d", when, went, most)
					}
				}
				check("before")
				wall.setTo(jump)
				check("after the jump")
				if _, err := group.Ask(t.Context(), s.Handle, func(*group.Actor) (int, error) { panic("planted") }); !errors.Is(err, group.ErrUnknown) {
					t.Fatal(err)
				}
				check("another leader")
				s.crash(disk)
				s = startSingle(t, engine, disk, func(c *group.Config) { c.WallClock = wall.now })
				check("another process")
				wall.setTo(0)
				check("set right")
			})
		}
	})
}

// While no stamps are given log time goes on in whoever leads next by the clock
// that cannot be set: an election is no reason to lose that time, or to take it
// from a wall clock.
func TestTheNextLeaderCountsTheTimeSinceTheLastStamp(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		var elapsed atomic.Int64
		var wall settable
		began := time.Now()
		s := startSingle(t, engine, storage.NewMemory(31), func(c *group.Config) {
			c.WallClock = wall.now
			c.Clock = func() consensus.Time { return consensus.Time(time.Since(began)) + consensus.Time(elapsed.Load()) }
		})
		s.add(t)
		before := s.Replica().LogTime()
		elapsed.Store(int64(time.Hour))
		wall.setTo(-year)
		if _, err := group.Ask(t.Context(), s.Handle, func(a *group.Actor) (int, error) {
			a.ForgetClock()
			return 0, nil
		}); err != nil {
			t.Fatal(err)
		}
		s.add(t)
		if went := time.Duration(s.Replica().LogTime()-before) * time.Millisecond; went < time.Hour || went > time.Hour+time.Minute {
			t.Errorf("log time went on by %v in an hour", went)
		}
	})
}

func TestARequestIDOfTheFutureNeverReachesTheLog(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		s := startSingle(t, engine, storage.NewMemory(32), nil)
		s.add(t)
		future := replica.NewRequestID(time.Now().Add(2*time.Hour).UnixMilli(), [10]byte{1})
		before := s.Applied()
		var calls []group.Call
		for _, e := range []replica.Envelope{{Kind: replica.KindRequest, Request: requestNow(1)},
			{Kind: replica.KindRequest, Request: future}, {Kind: replica.KindPlain}} {
			c, err := s.StartPropose(e.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, c)
		}
		for i, c := range calls {
			r, index, err := c.Wait(t.Context())
			switch {
			case i == 1 && !errors.Is(err, replica.ErrRequestFuture):
				t.Errorf("ended with %v, want ErrRequestFuture", err)
			case i == 0 && (err != nil || index != before+1), i == 2 && (err != nil || index != before+2):
				t.Errorf("call %d: %+v at %d, %v", i, r, index, err)
			}
		}
	})
}
