package recipes_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

type got struct {
	held *recipes.Held
	at   time.Time
	err  error
}

func locking(ctx context.Context, s *api.Session, path string) <-chan got {
	c := make(chan got, 1)
	go func() {
		held, err := recipes.Lock(ctx, s, path, nil)
		c <- got{held, time.Now(), err}
	}()
	return c
}

func mustLock(t *testing.T, s *api.Session, path string) *recipes.Held {
	t.Helper()
	held, err := recipes.Lock(t.Context(), s, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// stands waits until n places are in the queue.
func stands(t *testing.T, e *ensemble, path string, n int) {
	t.Helper()
	c, err := e.client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	enough := errors.New("enough")
	err = recipes.Members(t.Context(), c, path, func(all []recipes.Member) error {
		if len(all) == n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
}

func TestALockOutlivesTheDeathOfTheLeaderAndGoesOnToTheNext(t *testing.T) {
	e := start(t, 3)
	leader := e.leader(t)
	follower := (leader + 1) % 3
	a, b := e.open(t, 10*time.Second, leader), e.open(t, 10*time.Second, follower)
	first := mustLock(t, a, "lock")
	second := locking(t.Context(), b, "lock")
	stands(t, e, "lock", 2)

	e.kill(leader)
	if _, err := a.Commit(t.Context(), []api.TxnOperation{first.Check()}, api.NewRequestID()); err != nil {
		t.Errorf("the holder has lost its key: %v", err)
	}
	select {
	case <-first.Lost():
		t.Fatalf("the death of the leader ended a lock: %v", first.Err())
	case got := <-second:
		t.Fatalf("there are two holders: %v", got.err)
	default:
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := within(t, 10*time.Second, "the next holder", second)
	if next.err != nil || next.held.Token() <= first.Token() {
		t.Errorf("%v; token %d after %d", next.err, next.held.Token(), first.Token())
	}
	if err := next.held.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// link lets a client speak with a node until it is cut: then nothing comes through, and nobody is told.
type link struct {
	net.Listener
	mu  sync.Mutex
	cut bool
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{Listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			t.Cleanup(func() { near.Close(); far.Close() })
			go l.carry(far, near)
			go l.carry(near, far)
		}
	}()
	return l
}

// carry copies until the link is cut; what comes afterwards goes nowhere.
func (l *link) carry(to, from net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if l.isCut() {
			_, _ = io.Copy(io.Discard, from) // until the test is over
			return
		}
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			from.Close()
			return
		}
	}
}

func (l *link) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

func (l *link) cutOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
}

func TestAHolderThatIsCutOffKnowsThatItHasLostBeforeTheNextOneHolds(t *testing.T) {
	e := start(t, 3)
	l := newLink(t, e.addrs[0])
	c, err := api.NewClient(api.ClientConfig{Addrs: []string{l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const timeout = 2 * time.Second
	s, err := c.OpenSession(t.Context(), api.SessionOptions{Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	first := mustLock(t, s, "lock")
	second := locking(t.Context(), e.open(t, 10*time.Second), "lock")
	stands(t, e, "lock", 2)
	lost := make(chan time.Time, 1)
	go func() {
		<-first.Lost()
		lost <- time.Now()
	}()
	cut := time.Now()
	l.cutOff()
	next := within(t, timeout+5*time.Second, "the next holder", second)
	if next.err != nil {
		t.Fatal(next.err)
	}
	at := within(t, time.Second, "the loss", lost)
	if at.After(next.at) || at.Sub(cut) > timeout {
		t.Errorf("cut off at 0, the next holder came after %v, the first one knew it after %v", next.at.Sub(cut), at.Sub(cut))
	}
	if code := api.CodeOf(first.Err()); code != api.CodeSession {
		t.Errorf("lost because of %v", first.Err())
	}
	if next.held.Token() <= first.Token() {
		t.Errorf("token %d after %d", next.held.Token(), first.Token())
	}
}

func TestASessionThatIsEndedByAnOperatorGivesItsLockToTheNext(t *testing.T) {
	e := start(t, 3)
	a, b := e.open(t, 10*time.Second), e.open(t, 10*time.Second)
	first := mustLock(t, a, "lock")
	second := locking(t.Context(), b, "lock")
	stands(t, e, "lock", 2)
	if err := b.Client().EndSession(t.Context(), a.ID()); err != nil {
		t.Fatal(err)
	}
	if next := within(t, 5*time.Second, "the next holder", second); next.err != nil {
		t.Error(next.err)
	}
	within(t, 5*time.Second, "the loss", first.Lost())
	if code := api.CodeOf(first.Err()); code != api.CodeSession && !errors.Is(first.Err(), recipes.ErrDeleted) {
		t.Errorf("lost because of %v", first.Err())
	}
}

func TestAHolderWhoseKeyIsDeletedByHandIsTold(t *testing.T) {
	e := start(t, 3)
	a, b := e.open(t, 10*time.Second), e.open(t, 10*time.Second)
	first := mustLock(t, a, "some/lock")
	second := locking(t.Context(), b, "some/lock")
	stands(t, e, "some/lock", 2)
	if _, err := b.Client().Delete(t.Context(), first.Path(), api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "the loss", first.Lost())
	if !errors.Is(first.Err(), recipes.ErrDeleted) {
		t.Error(first.Err())
	}
	if next := within(t, 5*time.Second, "the next holder", second); next.err != nil {
		t.Error(next.err)
	}
	if _, err := b.Client().Delete(t.Context(), "some/lock", api.WriteOptions{Recursive: true}); err != nil {
		t.Fatal(err)
	}
	if again := mustLock(t, a, "some/lock"); again.Token() <= first.Token() {
		t.Errorf("token %d after %d, in a path that came again", again.Token(), first.Token())
	}
}

// target is what the lock is for: it refuses tokens that are too low, and remembers whom it took.
type target struct {
	mu      sync.Mutex
	fence   recipes.Fence
	taken   []uint64
	inside  int
	crowded bool
}

func (x *target) enter(token uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.fence.Admit(token) {
		return false
	}
	x.taken = append(x.taken, token)
	x.inside++
	x.crowded = x.crowded || x.inside > 1
	return true
}

func (x *target) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.inside--
}

func TestOfManyContendersOneAtATimeReachesTheTargetWhileTheLeaderDies(t *testing.T) {
	e := start(t, 3)
	var x target
	const contenders, rounds = 8, 5
	var all sync.WaitGroup
	halfway := make(chan struct{}, contenders*rounds)
	for i := range contenders {
		s := e.open(t, 10*time.Second, i%3)
		all.Go(func() {
			for range rounds {
				held, err := recipes.Lock(t.Context(), s, "lock", nil)
				if err != nil {
					t.Error(err)
					return
				}
				if !x.enter(held.Token()) {
					t.Errorf("the target refused token %d of a holder", held.Token())
					return
				}
				halfway <- struct{}{}
				x.leave()
				if err := held.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range contenders * rounds / 2 {
		within(t, 30*time.Second, "half of the locks", halfway)
	}
	e.kill(e.leader(t))
	all.Wait()
	if len(x.taken) != contenders*rounds || x.crowded {
		t.Errorf("%d of %d came to the target; two at once: %v", len(x.taken), contenders*rounds, x.crowded)
	}
	for i := 1; i < len(x.taken); i++ {
		if x.taken[i] <= x.taken[i-1] {
			t.Errorf("token %d after %d", x.taken[i], x.taken[i-1])
		}
	}
}

func TestAnElectionIsObservedOverTheDeathOfTheLeader(t *testing.T) {
	e := start(t, 3)
	leader := e.leader(t)
	a := e.open(t, 10*time.Second, (leader+1)%3)
	c, err := e.client(leader)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	told := make(chan recipes.Leader, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- recipes.Observe(ctx, c, "election", func(l recipes.Leader) error { told <- l; return nil })
	}()
	if l := within(t, 5*time.Second, "the first telling", told); l.Token != 0 {
		t.Errorf("somebody leads: %+v", l)
	}
	leads, err := recipes.Campaign(t.Context(), a, "election", []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	if l := within(t, 5*time.Second, "the leader", told); string(l.Value) != "a" || l.Token != leads.Token() {
		t.Errorf("told %+v", l)
	}
	e.kill(leader) // which the observer listens to
	if err := leads.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := within(t, 20*time.Second, "the resignation", told); l.Token != 0 {
		t.Errorf("told %+v", l)
	}
	cancel()
	if err := within(t, 5*time.Second, "the end", ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestThreeMeetThoughTheLeaderDies(t *testing.T) {
	e := start(t, 3)
	met := make(chan *recipes.Rendezvous, 3)
	enter := func() {
		s := e.open(t, 10*time.Second)
		go func() {
			r, err := recipes.Enter(t.Context(), s, "meeting", 3)
			if err != nil {
				t.Error(err)
			}
			met <- r
		}()
	}
	enter()
	enter()
	stands(t, e, "meeting", 2)
	e.kill(e.leader(t))
	enter()
	left := make(chan error, 3)
	for range 3 {
		r := within(t, 20*time.Second, "the start", met)
		if r == nil {
			return
		}
		go func() { left <- r.Leave(t.Context()) }()
	}
	for range 3 {
		if err := within(t, 20*time.Second, "the end", left); err != nil {
			t.Error(err)
		}
	}
}
