package group_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// trio is a group of three voters in one process, each on a disk of its own. What
// they send goes through the wire's encoding.
type trio struct {
	t      *testing.T
	engine group.Protocol
	system *actor.ActorSystem
	begin  time.Time
	change func(*group.Config)

	disks   [3]*storage.Memory
	stores  [3]*storage.Store
	ids     [3]consensus.ID
	handles [3]*group.Handle
	lives   int

	mu   sync.Mutex
	pids map[consensus.ID]*actor.PID
	last error // of a replica that has ended itself
}

func startTrio(t *testing.T, engine group.Protocol, change func(*group.Config)) *trio {
	t.Helper()
	x := &trio{t: t, engine: engine, begin: time.Now(), change: change, pids: map[consensus.ID]*actor.PID{},
		system: actors.NewSystem(slog.New(slog.DiscardHandler))}
	for i := range x.disks {
		x.disks[i] = storage.NewMemory(uint64(60 + i))
		x.open(i)
	}
	for i := range x.handles {
		x.start(i)
	}
	t.Cleanup(func() {
		for i := range x.handles {
			x.stop(i)
		}
	})
	return x
}

func (x *trio) open(i int) {
	x.t.Helper()
	store, err := storage.Open("data", storage.Options{FS: x.disks[i], Node: fmt.Sprint("n", i), SegmentBytes: 1 << 20})
	if err != nil {
		x.t.Fatal(err)
	}
	x.stores[i], x.ids[i] = store, consensus.ID(store.Identity().Incarnation)
}

// peer forwards to a replica what is sent to it, as bytes, unless it is down.
func (x *trio) peer(id consensus.ID) *actor.PID {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.pids[id]
}

func (x *trio) start(i int) {
	x.t.Helper()
	config := group.Config{
		Protocol: x.engine, ID: x.ids[i], Group: 1, Name: "trio", Store: x.stores[i],
		Machine: func() replica.StateMachine { return &counter{} },
		Peer:    x.peer,
		Clock:   func() consensus.Time { return consensus.Time(time.Since(x.begin)) },
		FailStop: func(err error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.last = err
		},
	}
	for k, id := range x.ids {
		config.Bootstrap = append(config.Bootstrap, consensus.Member{ID: id, Voter: true, Name: fmt.Sprint("n", k)})
	}
	if x.change != nil {
		x.change(&config)
	}
	x.lives++
	h, err := group.Spawn(x.system, config, fmt.Sprint("trio/", x.lives), actors.NewStrategy(actors.StrategyConfig{MinDelay: time.Millisecond,
		OnFailStop: func(_ *actor.PID, reason any) { config.FailStop(fmt.Errorf("fail-stop: %w", reason.(error))) }}))
	if err != nil {
		x.t.Fatal(err)
	}
	x.handles[i] = h
	link := x.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		m, ok := ctx.Message().(proto.Message)
		if !ok {
			return
		}
		data, err := proto.Marshal(m)
		received := m.ProtoReflect().New().Interface()
		if err == nil {
			err = proto.Unmarshal(data, received)
		}
		if err == nil {
			h.Deliver(received)
		}
	}))
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pids[x.ids[i]] = link
}

// stop ends a replica like the end of its process; the others notice.
func (x *trio) stop(i int) {
	if x.handles[i] == nil {
		return
	}
	x.mu.Lock()
	link := x.pids[x.ids[i]]
	delete(x.pids, x.ids[i])
	x.mu.Unlock()
	_ = x.system.Root.StopFuture(link).Wait()
	_ = x.system.Root.StopFuture(x.handles[i].PID()).Wait()
	x.disks[i].Crash()
	_ = x.stores[i].Close()
	x.handles[i] = nil
	for k, h := range x.handles {
		if k != i && h != nil {
			h.PeerLost(x.ids[i])
		}
	}
}

func (x *trio) restart(i int) {
	x.t.Helper()
	x.open(i)
	x.start(i)
}

// add proposes one command wherever somebody leads, and returns where.
func (x *trio) add() (leader int, index consensus.Index) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		for i, h := range x.handles {
			if h == nil || h.View().Role != consensus.Leader {
				continue
			}
			_, index, err := h.Propose(ctx, plain())
			if err == nil {
				return i, index
			}
			if !errors.Is(err, consensus.ErrNotLeader) {
				x.t.Fatalf("propose: %v", err)
			}
		}
	}
	x.t.Fatalf("nobody leads within 20 s: %v", x.last)
	return 0, 0
}

// await waits until every replica that is up has applied index, and compares.
func (x *trio) await(index consensus.Index, want int) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 20*time.Second)
	defer cancel()
	for i, h := range x.handles {
		if h == nil {
			continue
		}
		err := h.WaitApplied(ctx, index)
		got := 0
		if err == nil {
			err = h.Read(index, func(machine replica.StateMachine, _ uint64) { got = machine.(*counter).n })
		}
		if err != nil || got != want {
			x.t.Fatalf("replica %d counts %d, want %d; %v, %v", i, got, want, err, x.last)
		}
	}
}

// A leader dies, its successor goes on, and whoever comes back has everything.
func TestAGroupOfThreeGoesOnWithoutItsLeader(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		x := startTrio(t, engine, nil)
		for range 20 {
			x.add()
		}
		leader, index := x.add()
		x.await(index, 21)
		x.stop(leader)
		next, index := x.add()
		if next == leader {
			t.Fatalf("replica %d leads, which is down", next)
		}
		x.await(index, 22)
		x.restart(leader)
		x.await(index, 22)
		if _, err := x.handles[leader].ReadIndex(t.Context()); err != nil {
			t.Fatalf("a read at who came back: %v", err)
		}
	})
}

// Who was away for longer than the log goes back gets a snapshot.
func TestAReplicaThatIsFarBehindIsSentASnapshot(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		small := func(c *group.Config) { c.SnapshotBytes = 16 << 10 } // and four times that is kept for who is behind
		x := startTrio(t, engine, small)
		leader, index := x.add()
		x.await(index, 1)
		away := (leader + 1) % 3
		x.stop(away)
		const more = 6000 // more than what stays behind a snapshot
		calls := make([]group.Call, 0, more)
		for range more {
			c, err := x.handles[leader].StartPropose(plain())
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, c)
		}
		for _, c := range calls {
			if _, _, err := c.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for i, h := range x.handles {
			if i == away {
				continue
			}
			_, err := h.Snapshot(t.Context())
			for errors.Is(err, group.ErrOverloaded) { // one is being taken
				_, err = h.Snapshot(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_, index = x.add()
		installed := make(chan struct{})
		once := sync.OnceFunc(func() { close(installed) })
		x.change = func(c *group.Config) {
			small(c)
			c.Event = func(kind string, _ ...slog.Attr) {
				if kind == "snapshot installed" {
					once()
				}
			}
		}
		x.restart(away)
		x.await(index, more+2)
		select {
		case <-installed:
		case <-time.After(20 * time.Second):
			t.Fatal("it has caught up without a snapshot")
		}
	})
}

// A voter is taken out while clients write: nobody is refused for it.
func TestMembersChangeWhileClientsWrite(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		x := startTrio(t, engine, nil)
		leader, _ := x.add()
		h := x.handles[leader]
		away := (leader + 1) % 3
		done := make(chan error, 1)
		stop := make(chan struct{})
		go func() {
			for {
				if _, _, err := h.Propose(t.Context(), plain()); err != nil {
					done <- err
					return
				}
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
			}
		}()
		c := h.View().Configuration
		var rest []consensus.Member
		for _, m := range c.Members {
			if m.ID != x.ids[away] {
				rest = append(rest, m)
			}
		}
		index, err := h.ChangeMembership(t.Context(), rest, c.Version)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.WaitApplied(t.Context(), index); err != nil {
			t.Fatal(err)
		}
		if _, err := h.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(stop)
		if err := <-done; err != nil {
			t.Fatalf("a write during the change ended with %v", err)
		}
		if now := h.View().Configuration; now.IsVoter(x.ids[away]) || !now.IsVoter(x.ids[leader]) {
			t.Fatalf("members %+v, want all but %x", now.Members, x.ids[away])
		}
	})
}

// Whoever sees that a replica's place is gone sees at once that it had one: else it would ask for it again.
func TestARemovedReplicaIsNoNewcomerAtAnyMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		gone := make(chan bool, 1)
		x := startTrio(t, engine, func(c *group.Config) {
			c.Changed = func(v group.View) {
				if _, member := v.Configuration.Find(c.ID); !member && v.Configuration.Version > 0 {
					select {
					case gone <- v.Fresh:
					default:
					}
				}
			}
		})
		leader, _ := x.add()
		h := x.handles[leader] // removes itself: another one need not hear that it is removed
		c := h.View().Configuration
		rest := slices.DeleteFunc(slices.Clone(c.Members), func(m consensus.Member) bool { return m.ID == x.ids[leader] })
		if _, err := h.ChangeMembership(t.Context(), rest, c.Version); err != nil {
			t.Fatal(err)
		}
		select {
		case fresh := <-gone:
			if fresh {
				t.Error("it is shown as one that never had a place")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it does not see that it is removed")
		}
	})
}
