package master

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/mesos"
)

var errNotLeader = errors.New("not leader")

// log is the replicated registry of a cluster, of which one node leads.
type log struct {
	mu       sync.Mutex
	registry *mesos.Registry
	index    uint64
	leader   *member
	commands []mesos.RegistryCommand
}

// member is the log as one node sees it: a Group.
type member struct {
	log  *log
	name string
	// believes: it takes itself for the leader. cut: nothing comes back to it. refuse is the
	// error of that many proposals that surely do nothing; lose: the result gets lost.
	mu       sync.Mutex
	believes bool
	cut      bool
	refuse   int
	lose     bool
}

func (m *member) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *member) Propose(ctx context.Context, command []byte) ([]byte, error) {
	m.mu.Lock()
	cut, lose, refuse := m.cut, m.lose, m.refuse > 0
	if refuse {
		m.refuse--
	}
	m.mu.Unlock()
	l := m.log
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case refuse, l.leader != m && !cut:
		return nil, errNotLeader
	case cut:
		l.mu.Unlock()
		<-ctx.Done()
		l.mu.Lock()
		return nil, ctx.Err()
	}
	l.index++
	c, err := mesos.DecodeRegistryCommand(command)
	if err != nil {
		return nil, err
	}
	l.commands = append(l.commands, c)
	results := l.registry.Apply(l.index, 0, command)
	if lose {
		return nil, errors.New("lost")
	}
	return results, nil
}

func (m *member) SurelyNot(err error) bool { return errors.Is(err, errNotLeader) }

func (m *member) Read(ctx context.Context, fresh bool, f func(r *mesos.Registry)) error {
	m.mu.Lock()
	cut := m.cut
	m.mu.Unlock()
	if fresh && cut {
		<-ctx.Done()
		return ctx.Err()
	}
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	f(m.log.registry)
	return nil
}

func (m *member) Leads() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.believes
}

func (m *member) Leader() (uint64, string, string) {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	if m.log.leader == nil {
		return 0, "", ""
	}
	return 1, m.log.leader.name, m.log.leader.name + ":4700"
}

// stage is a cluster of two nodes in virtual time.
type stage struct {
	*testing.T
	log     *log
	members []*member
	handles []*Handle
	cancel  []func()
}

func onStage(t *testing.T, change func(*Config), f func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := mesos.NewRegistry(mesos.RegistryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		s := &stage{T: t, log: &log{registry: r}}
		start := time.Now()
		system := actors.NewSystem(nil)
		for _, name := range []string{"n1", "n2"} {
			m := &member{log: s.log, name: name}
			c := Config{Group: m, Name: name, Address: name + ":4700", Clock: func() time.Duration { return time.Since(start) }}
			if change != nil {
				change(&c)
			}
			h, err := Spawn(system, c, "master/"+name, actors.NewStrategy(actors.StrategyConfig{}))
			if err != nil {
				t.Fatal(err)
			}
			s.members, s.handles = append(s.members, m), append(s.handles, h)
		}
		f(s)
		for _, cancel := range s.cancel {
			cancel()
		}
		for _, h := range s.handles {
			_ = system.Root.StopFuture(h.pid).Wait()
		}
		system.Shutdown()
		time.Sleep(2 * time.Second) // see actors.NewSystem
	})
}

// lead makes a node the leader; the others hear of it if they are not cut off.
func (s *stage) lead(i int) {
	s.log.mu.Lock()
	s.log.leader = s.members[i]
	s.log.mu.Unlock()
	for j, m := range s.members {
		m.set(func() { m.believes = j == i || m.believes && m.cut })
		if j == i || !m.cut {
			s.handles[j].LeaderChanged()
		}
	}
}

// ready returns when a node's master leads.
func (s *stage) ready(i int) *Leading {
	s.Helper()
	for {
		changed := s.handles[i].Changed()
		if l, err := s.handles[i].Leading(); err == nil {
			return l
		}
		select {
		case <-changed:
		case <-time.After(time.Minute):
			s.Fatalf("n%d does not lead: %v", i+1, s.handles[i].Leads())
		}
	}
}

func (s *stage) context() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	s.cancel = append(s.cancel, cancel)
	return ctx
}

// agent registers a machine and returns its link and id.
func (s *stage) agent(i int, info mesos.AgentInfo) (*AgentLink, mesos.Registered) {
	s.Helper()
	k, err := s.handles[i].Connect()
	if err != nil {
		s.Fatal(err)
	}
	s.deliver(k, mesos.Register{Info: info, Boot: "b", Attempt: 1, Sequence: 1})
	return k, await[mesos.Registered](s, k)
}

func (s *stage) deliver(k *AgentLink, message any) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	if err := k.Deliver(ctx, message); err != nil {
		s.Fatal(err)
	}
}

// await reads from a link until there is such a message.
func await[M any](s *stage, k *AgentLink) M {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	for {
		messages, err := k.Next(ctx)
		if err != nil {
			var none M
			s.Fatalf("no %T comes: %v", none, err)
		}
		for _, m := range messages {
			if found, is := m.(M); is {
				return found
			}
		}
	}
}

// event reads from a stream until there is such an event.
func event[E mesos.Event](s *stage, sub *Subscription) E {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	for {
		events, err := sub.Next(ctx)
		if err != nil {
			var none E
			s.Fatalf("no %T comes: %v", none, err)
		}
		for _, e := range events {
			if found, is := e.(E); is {
				return found
			}
		}
	}
}

func machine() mesos.AgentInfo {
	r, err := mesos.ParseResources("cpus:4;mem:4096")
	if err != nil {
		panic(err)
	}
	return mesos.AgentInfo{Hostname: "a1", Address: "10.0.0.1:4705", Resources: r}
}
