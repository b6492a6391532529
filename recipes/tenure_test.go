package recipes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/api"
)

// shop is where many work, one after the other, each as long as it leads or believes so. Whoever is killed works
// no more, nor ever again.
type shop struct {
	*contest
	working string // who works; "" nobody
	dead    map[string]bool
	begun   int
	ended   int // by the next one
	spared  int // takeovers after somebody whose work was over
}

func (p *shop) kill(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead[name] = true
	if p.working == name {
		p.working = ""
		p.ended++
	}
}

// begin reports whether name works now: it does unless it was killed.
func (p *shop) begin(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead[name] {
		return false
	}
	if p.working != "" {
		p.t.Errorf("seed %d: %s begins while %s works", p.seed, name, p.working)
	}
	p.working = name
	p.begun++
	return true
}

// stop ends name's own work.
func (p *shop) stop(name string) (died bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.working == name {
		p.working = ""
	}
	return p.dead[name]
}

// end is how the next one ends a former one: it takes its time, and may fail.
func (p *shop) end(ctx context.Context, f Former) error {
	rest(ctx, p.upTo(10*time.Second))
	if p.chance(10) {
		return errors.New("the end failed")
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var name string
	if err := json.Unmarshal(f.Holder, &name); err != nil {
		return err
	}
	p.kill(name)
	return nil
}

// worker is one process after the other: each leads as often as it can until it is killed.
func (p *shop) worker(n int) {
	for life := 0; time.Now().Before(p.heals); life++ {
		name := fmt.Sprintf("%d-%d", n, life)
		for time.Now().Before(p.heals) && p.turn(name) {
		}
		p.stop(name)
	}
}

// turn has a process lead and work once. It is false if the process is no more.
func (p *shop) turn(name string) (lives bool) {
	s := p.w.session()
	defer s.end()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	h, err := lock(ctx, s, "shop", nil)
	if err != nil {
		return true
	}
	holder, _ := json.Marshal(name) // a string is JSON
	tenure, err := h.TakeOver(ctx, holder, p.end)
	if err != nil {
		return true
	}
	if p.chance(20) {
		s.expire() // it stands still, and believes that it leads
	}
	time.Sleep(p.upTo(5 * time.Second))
	if !p.begin(name) {
		return false
	}
	time.Sleep(p.upTo(20 * time.Second))
	if p.chance(30) {
		return false // it dies
	}
	if p.stop(name) {
		return false
	}
	ctx, cancel = context.WithTimeout(p.t.Context(), p.upTo(10*time.Second))
	defer cancel()
	if tenure.over(ctx, p.w) == nil {
		p.mu.Lock()
		p.spared++
		p.mu.Unlock()
	}
	return true
}

func TestTwoNeverWorkHoweverTheOneBeforeIsGone(t *testing.T) {
	begun, ended, spared := 0, 0, 0
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			c := &contest{t: t, seed: seed, w: newWorld(), random: rand.New(rand.NewPCG(seed, 1)), heals: time.Now().Add(10 * time.Minute)}
			p := &shop{contest: c, dead: map[string]bool{}}
			c.w.failing(c.fault)
			var all sync.WaitGroup
			for n := range 5 {
				all.Go(func() { p.worker(n) })
			}
			all.Wait()
			time.Sleep(5 * time.Minute) // what goes on by itself
			begun, ended, spared = begun+p.begun, ended+p.ended, spared+p.spared
		})
	}
	t.Logf("%d began, %d were ended by the next one, %d said that they were over", begun, ended, spared)
	if begun < 500 || ended < 50 || spared < 100 {
		t.Error("void: too little of something")
	}
}

// taking is a turn of TakeOver in a world without faults.
func taking(t *testing.T, h *Held, holder string, end func(context.Context, Former) error) (*Tenure, error) {
	return h.TakeOver(t.Context(), []byte(strconv.Quote(holder)), end)
}

func mustHold(t *testing.T, s *member) *Held {
	t.Helper()
	h, err := lock(t.Context(), s, "lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWhoSaidThatItIsOverIsNotEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.session(), w.session()
		var ended []string
		end := func(_ context.Context, f Former) error { ended = append(ended, string(f.Holder)); return nil }
		first, err := taking(t, mustHold(t, a), "a", end)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.over(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		a.end()
		if _, err = taking(t, mustHold(t, b), "b", end); err != nil || len(ended) > 0 {
			t.Fatalf("%v, ended %v: want nobody to be ended", err, ended)
		}
		b.end()
		c := w.session()
		third, err := taking(t, mustHold(t, c), "c", end)
		if err != nil || strings.Join(ended, " ") != `"b"` {
			t.Fatalf("%v, ended %v: want b to be ended, who said nothing", err, ended)
		}
		if err := first.over(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.Get(t.Context(), third.Path(), api.ReadOptions{}); err != nil {
			t.Errorf("%v: what a says late has changed what c has written down", err)
		}
		c.end()
	})
}

func TestWhoLosesItsPlaceWhileItEndsTheOneBeforeTakesNothingOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.session(), w.session()
		if _, err := taking(t, mustHold(t, a), "a", nil); err != nil {
			t.Fatal(err)
		}
		a.end()
		h := mustHold(t, b)
		tenure, err := taking(t, h, "b", func(ctx context.Context, _ Former) error { b.end(); <-ctx.Done(); return nil })
		if tenure != nil || api.CodeOf(err) != api.CodeSession {
			t.Fatalf("%v, %v: want the session's error", tenure, err)
		}
		c := w.session()
		_, err = taking(t, mustHold(t, c), "c", func(_ context.Context, f Former) error { return errors.New("ends " + string(f.Holder)) })
		if err == nil || err.Error() != `ends "a"` {
			t.Errorf("%v: want a to be ended still", err)
		}
		c.end()
	})
}

func TestTheEndOfAWorkThatSomebodySaysIsOverIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.session(), w.session()
		if _, err := taking(t, mustHold(t, a), "a", nil); err != nil {
			t.Fatal(err)
		}
		a.end()
		ends := 0
		tenure, err := taking(t, mustHold(t, b), "b", func(ctx context.Context, _ Former) error {
			ends++
			w.deleteByHand("lock.fence")
			<-ctx.Done() // for ever, else
			return context.Cause(ctx)
		})
		if err != nil || ends != 1 {
			t.Fatalf("%v, end was called %d times: want a to be over", err, ends)
		}
		if e, _, err := w.Get(t.Context(), tenure.Path(), api.ReadOptions{}); err != nil || !strings.Contains(string(e.Value), `"b"`) {
			t.Errorf("%s, %v: want b written down", e.Value, err)
		}
		b.end()
	})
}

func TestADeposedHolderCannotWriteItselfDown(t *testing.T) {
	for name, depose := range map[string]func(*member, *Held){
		"its session is over": func(s *member, _ *Held) { s.expire() },
		"its key is deleted":  func(s *member, h *Held) { s.deleteByHand(h.Path()) },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			a, b := w.session(), w.session()
			late, commits := mustHold(t, a), 0
			w.failing(func(op, _ string) fault {
				if op != "commit" || commits > 0 {
					return fault{}
				}
				commits++
				return fault{before: func() { depose(a, late) }} // on its way
			})
			tenure, err := taking(t, late, "a", nil)
			if tenure != nil || err == nil || commits != 1 {
				t.Errorf("%s: %v, %v: want it refused", name, tenure, err)
			}
			if _, err := taking(t, mustHold(t, b), "b", func(context.Context, Former) error { return errors.New("there is somebody to end") }); err != nil {
				t.Errorf("%s: %v: want a to have written nothing down", name, err)
			}
			a.end()
			b.end()
		})
	}
}

func TestWhatIsNoRecordIsNotTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		if _, err := w.Create(t.Context(), "lock.fence", []byte("x"), api.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		a := w.session()
		h := mustHold(t, a)
		if _, err := taking(t, h, "a", nil); api.CodeOf(err) != api.CodeData {
			t.Errorf("%v, want CodeData", err)
		}
		if _, err := h.TakeOver(t.Context(), []byte("no JSON"), nil); api.CodeOf(err) != api.CodeRequest {
			t.Errorf("%v, want CodeRequest", err)
		}
		if _, err := h.TakeOver(t.Context(), make([]byte, MaxValue+1), nil); api.CodeOf(err) != api.CodeTooLarge {
			t.Errorf("%v, want CodeTooLarge", err)
		}
		a.end()
	})
}
