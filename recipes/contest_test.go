package recipes

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/api"
)

// contest is many contenders for one lock in a world that fails, and what judges them.
type contest struct {
	t    *testing.T
	seed uint64
	w    *world

	mu      sync.Mutex
	random  *rand.Rand
	heals   time.Time
	highest uint64 // token of any holder so far
	holds   map[*Held]*member
	fence   Fence
	entries []uint64 // tokens of what the target has taken
	won     int
	refused int // by the target
}

func (c *contest) Errorf(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf("seed %d: %s; again with CONTEST_SEED=%d", c.seed, fmt.Sprintf(format, args...), c.seed)
}

func (c *contest) chance(percent int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(100) < percent
}

func (c *contest) upTo(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.random.Int64N(int64(d)))
}

// fault breaks a third of all that is done, until the world heals.
func (c *contest) fault(op, _ string) fault {
	if time.Now().After(c.heals) || !c.chance(30) {
		return fault{}
	}
	switch {
	case op == "get" || op == "list" || op == "watch" || c.chance(30):
		return fault{err: failure(api.CodeNoLeader)}
	case c.chance(50):
		return fault{err: failure(api.CodeUnknown), done: c.chance(50)}
	case c.chance(50):
		return fault{late: c.upTo(2 * time.Second)}
	default:
		return fault{hang: true, late: c.upTo(20 * time.Second)}
	}
}

// judge looks at a lock that was got just now.
func (c *contest) judge(h *Held, s *member) {
	c.w.mu.Lock()
	there := c.w.keys[h.Path()]
	first := ""
	for _, name := range c.w.below("lock") {
		if first == "" || c.w.keys[name].created < c.w.keys[first].created {
			first = name
		}
	}
	c.w.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.won++
	if there == nil {
		return // it was lost before it was told; its token is worth nothing
	}
	if first != h.Path() || h.Token() <= c.highest || there.created != h.Token() {
		c.Errorf("%s with token %d holds the lock; the first is %s, the highest token was %d", h.Path(), h.Token(), first, c.highest)
	}
	c.highest = max(c.highest, h.Token())
	for other, owner := range c.holds {
		if !closed(other.Lost()) && !owner.over() {
			c.Errorf("%s and %s hold the lock", h.Path(), other.Path())
		}
	}
	c.holds[h] = s
}

// write is what the lock is for.
func (c *contest) write(h *Held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fence.Admit(h.Token()) {
		c.refused++
		return
	}
	if n := len(c.entries); n > 0 && c.entries[n-1] > h.Token() {
		c.Errorf("the target took token %d after %d", h.Token(), c.entries[n-1])
	}
	c.entries = append(c.entries, h.Token())
}

// contend takes the lock and gives it back, again and again; now and then its session expires, and
// it notices only later.
func (c *contest) contend() {
	s := c.w.session()
	defer func() { s.end() }() // whichever is the last
	for time.Now().Before(c.heals) {
		if closed(s.lost) {
			s = c.w.session()
		}
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second+c.upTo(time.Minute))
		h, err := lock(ctx, s, "lock", nil)
		cancel()
		if err != nil {
			continue
		}
		c.judge(h, s)
		if c.chance(20) {
			s.expire() // the process stands still: it still believes
		}
		for range 3 {
			time.Sleep(c.upTo(3 * time.Second))
			c.write(h)
		}
		if s.over() {
			close(s.lost)
			c.w.expire(s)
			continue
		}
		ctx, cancel = context.WithTimeout(c.t.Context(), c.upTo(10*time.Second))
		_ = h.Release(ctx) // if it is too slow, it goes on
		cancel()
	}
}

// expire is for a session that had expired and may have come by keys since: it cannot.
func (w *world) expire(s *member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path, k := range w.keys {
		if k.owner == s {
			panic("a key of a session that is over: " + path)
		}
	}
}

func TestManyContendersInAWorldThatFailsNeverHoldTheLockTogether(t *testing.T) {
	seeds := []uint64{}
	for seed := range uint64(60) {
		seeds = append(seeds, seed+1)
	}
	if text := os.Getenv("CONTEST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	won, refused := 0, 0
	for _, seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			c := &contest{t: t, seed: seed, w: newWorld(), random: rand.New(rand.NewPCG(seed, 0)),
				heals: time.Now().Add(10 * time.Minute), holds: map[*Held]*member{}}
			c.w.failing(c.fault)
			var all sync.WaitGroup
			for range 6 {
				all.Go(c.contend)
			}
			all.Wait()
			time.Sleep(5 * time.Minute) // what goes on by itself
			if len(c.w.keys) > 0 {
				c.Errorf("left in the end: %v", c.w.keys)
			}
			won, refused = won+c.won, refused+c.refused
		})
	}
	t.Logf("%d locks, %d writes of late holders refused", won, refused)
	if len(seeds) > 1 && (won < 1000 || refused < 100) {
		t.Errorf("void: only %d locks, and %d writes refused", won, refused)
	}
}
