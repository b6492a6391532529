package chaos

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// errSeenLater says that something has not been said yet.
var errSeenLater = errors.New("not yet")

// startGuarded starts a store and the two speakers a and b.
func startGuarded(t *testing.T) (g *Guarded, a, b *speaker) {
	t.Helper()
	g, err := StartGuarded(filepath.Join(t.TempDir(), "guarded"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, s := range []struct {
		as   **speaker
		name string
	}{{&a, "a"}, {&b, "b"}} {
		if *s.as, err = dialGuarded(g.Path, s.name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*s.as).conn.Close() })
	}
	return g, a, b
}

func TestTheGuardedStoreRefusesLowerTokens(t *testing.T) {
	_, a, b := startGuarded(t)
	for n, step := range []struct {
		who   *speaker
		token uint64
		want  bool
	}{{a, 10, true}, {a, 10, true}, {b, 12, true}, {a, 10, false}, {b, 12, true}, {a, 11, false}, {a, 0, false}} {
		if got := step.who.act(Said{Kind: SaidActs, Token: step.token}); got != step.want {
			t.Errorf("action %d, of %s with token %d: admitted %t", n, step.who.who, step.token, got)
		}
	}
}

// Times of all processes are of one clock, and in the order in which they happen.
func TestWhatIsSaidIsFollowed(t *testing.T) {
	g, a, b := startGuarded(t)
	v := newContestView(g)
	a.say(Said{Kind: SaidHolds, Token: 10})
	b.say(Said{Kind: SaidWaits})
	await := func(what string, look func(*contestView) bool) {
		t.Helper()
		if err := v.await(10*time.Second, func(v *contestView) error {
			if !look(v) {
				return errSeenLater
			}
			return nil
		}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	await("a holds, b waits", func(v *contestView) bool {
		h, ok := v.holder()
		return ok && h.Who == "a" && h.Token == 10 && v.waits["b"]
	})
	if _, ok := v.after(10); ok {
		t.Error("somebody was let in after a")
	}
	a.say(Said{Kind: SaidReleases, Token: 10})
	await("a holds no longer", func(v *contestView) bool { _, ok := v.holder(); return !ok })
	b.say(Said{Kind: SaidHolds, Token: 12})
	await("b holds", func(v *contestView) bool { r, ok := v.after(10); return ok && r.Who == "b" && !v.waits["b"] })
	b.say(Said{Kind: SaidOver})
	await("the session of b is over", func(v *contestView) bool { _, ok := v.holder(); return !ok && len(v.over) == 1 })
	records, _ := g.Records(0)
	for n, r := range records {
		if r.At <= 0 || r.Heard < r.At || r.Heard-r.At > time.Minute {
			t.Errorf("line %d was said at %v and heard at %v", n, r.At, r.Heard)
		}
	}
}
