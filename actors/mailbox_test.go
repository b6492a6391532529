package actors

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
)

// recorder is an actor that keeps what it sees.
type recorder struct {
	mu      sync.Mutex
	events  []string
	batches [][]any
	on      func(c actor.Context, message any)
}

func (r *recorder) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *Batch:
		var messages []any
		for _, item := range m.Messages {
			messages = append(messages, item.Message)
		}
		r.mu.Lock()
		r.batches = append(r.batches, messages)
		r.mu.Unlock()
		for _, item := range m.Messages {
			if r.on != nil {
				r.on(c, item.Message)
			}
		}
	default:
		r.mu.Lock()
		r.events = append(r.events, fmt.Sprintf("%T", m))
		r.mu.Unlock()
		if r.on != nil {
			r.on(c, m)
		}
	}
}

func (r *recorder) flat() []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.batches...)
}

func (r *recorder) log() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// stepped spawns r under a dispatcher that the test steps by hand.
func stepped(r *recorder, config MailboxConfig, options ...actor.PropsOption) (*actor.ActorSystem, *actor.PID, *SeededDispatcher) {
	system, dispatcher := NewSystem(nil), NewSeededDispatcher(1, PerBatch)
	options = append([]actor.PropsOption{actor.WithMailbox(config.Producer()), actor.WithDispatcher(dispatcher)}, options...)
	pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return r }, options...))
	return system, pid, dispatcher
}

func want[T comparable](t testing.TB, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func TestAllThatWaitsIsOneBatch(t *testing.T) {
	r := new(recorder)
	system, pid, dispatcher := stepped(r, MailboxConfig{})
	for i := range 5 {
		system.Root.Send(pid, i)
	}
	dispatcher.Run(0)
	want(t, "events", r.log(), "*actor.Started")
	if len(r.batches) != 1 {
		t.Fatalf("got %d batches, want one: %v", len(r.batches), r.batches)
	}
	want(t, "messages", r.flat(), any(0), 1, 2, 3, 4)
}

func TestTheSenderStandsInTheItem(t *testing.T) {
	system, dispatcher := NewSystem(nil), NewSeededDispatcher(1, PerBatch)
	var items []Item
	pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if b, ok := c.Message().(*Batch); ok {
			items = append(items, b.Messages...)
		}
	}, actor.WithMailbox(MailboxConfig{}.Producer()), actor.WithDispatcher(dispatcher)))
	sender := system.NewLocalPID("sender")
	system.Root.RequestWithCustomSender(pid, "a", sender)
	system.Root.Send(pid, "b")
	dispatcher.Run(0)
	want(t, "items", items, Item{"a", sender}, Item{"b", nil})
}

func TestMaxBatchCutsBatches(t *testing.T) {
	r := new(recorder)
	system, pid, dispatcher := stepped(r, MailboxConfig{MaxBatch: 2})
	for i := range 5 {
		system.Root.Send(pid, i)
	}
	dispatcher.Run(0)
	if len(r.batches) != 3 {
		t.Fatalf("got %v, want 3 batches", r.batches)
	}
	want(t, "messages", r.flat(), any(0), 1, 2, 3, 4)
}

// asked is a message that wants to know its fate.
type asked struct {
	name string
	size int
	fate *[]string
}

func (a asked) QueuedBytes() int { return a.size }
func (a asked) Refused()         { *a.fate = append(*a.fate, "refused "+a.name) }
func (a asked) Lost()            { *a.fate = append(*a.fate, "lost "+a.name) }

type control string

func (control) Control() {}

func TestAFullMailboxRefuses(t *testing.T) {
	r, stats := new(recorder), new(MailboxStats)
	var fate []string
	var told []any
	system, pid, dispatcher := stepped(r, MailboxConfig{MaxMessages: 2, Stats: stats, Refused: func(m any) { told = append(told, m) }})
	dispatcher.Run(0)
	a, b, c := asked{"a", 0, &fate}, asked{"b", 0, &fate}, asked{"c", 0, &fate}
	for _, m := range []any{a, b, c, "d", control("tick")} {
		system.Root.Send(pid, m)
	}
	want(t, "fate", fate, "refused c")
	want(t, "told", told, any(c), "d")
	dispatcher.Run(0)
	want(t, "handled", r.flat(), any(a), any(b), any(control("tick")))
	system.Root.Send(pid, "e") // room again
	dispatcher.Run(0)
	want(t, "handled", r.flat(), any(a), any(b), any(control("tick")), "e")
	if got := [3]uint64{stats.Refused.Load(), stats.Messages.Load(), stats.Batches.Load()}; got != [3]uint64{2, 4, 2} {
		t.Fatalf("refused, messages, batches: got %v", got)
	}
}

func TestBytesAreBounded(t *testing.T) {
	r := new(recorder)
	var fate []string
	system, pid, dispatcher := stepped(r, MailboxConfig{MaxBytes: 100, MaxBatch: 1})
	send := func(name string, size int) { system.Root.Send(pid, asked{name, size, &fate}) }
	send("alone", 1000) // above the limit, but nothing waits
	send("a", 1)
	want(t, "fate", fate, "refused a")
	dispatcher.Run(0)
	send("b", 60)
	send("c", 40)
	send("d", 1)
	want(t, "fate", fate, "refused a", "refused d")
	dispatcher.Step() // hands over b
	send("e", 60)
	send("f", 1)
	want(t, "fate", fate, "refused a", "refused d", "refused f")
	dispatcher.Run(0)
	send("g", 100)
	want(t, "fate", fate, "refused a", "refused d", "refused f")
}

func TestSystemMessagesComeFirst(t *testing.T) {
	r := new(recorder)
	system, pid, dispatcher := stepped(r, MailboxConfig{})
	dispatcher.Run(0)
	var fate []string
	system.Root.Send(pid, asked{"a", 0, &fate})
	system.Root.Send(pid, asked{"b", 0, &fate})
	system.Root.Stop(pid)
	dispatcher.Run(0)
	want(t, "events", r.log(), "*actor.Started", "*actor.Stopping", "*actor.Stopped")
	want(t, "messages that waited when the actor stopped", fate, "refused a", "refused b")
}

func TestPoisonComesInItsTurn(t *testing.T) {
	r := new(recorder)
	system, pid, dispatcher := stepped(r, MailboxConfig{MaxMessages: 2})
	var fate []string
	system.Root.Send(pid, 1)
	system.Root.Send(pid, 2)
	system.Root.Poison(pid) // taken by a full mailbox
	dispatcher.Step()
	dispatcher.Run(0)
	system.Root.Send(pid, asked{"late", 0, &fate})
	dispatcher.Run(0)
	want(t, "messages", r.flat(), any(1), 2)
	want(t, "events", r.log(), "*actor.Started", "*actor.Stopping", "*actor.Stopped")
}

func TestTouchIsAnsweredBetweenBatches(t *testing.T) {
	r, answers := new(recorder), new(recorder)
	system, pid, dispatcher := stepped(r, MailboxConfig{})
	asker := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return answers }, actor.WithDispatcher(dispatcher)))
	system.Root.Send(pid, 1)
	system.Root.RequestWithCustomSender(pid, &actor.Touch{}, asker)
	system.Root.Send(pid, 2)
	dispatcher.Run(0)
	want(t, "events", r.log(), "*actor.Started", "*actor.Touch")
	want(t, "answers", answers.log(), "*actor.Started", "*actor.Touched")
	if len(r.batches) != 2 {
		t.Fatalf("got %v, want two batches", r.batches)
	}
}

func TestAFailedBatchIsLostAndTheRestWaits(t *testing.T) {
	var fate []string
	r := new(recorder)
	r.on = func(_ actor.Context, m any) {
		if m, ok := m.(asked); ok && m.name == "bad" {
			panic("bad")
		}
	}
	system, pid, dispatcher := stepped(r, MailboxConfig{MaxBatch: 2}, actor.WithGuardian(actor.NewOneForOneStrategy(10, 0, actor.DefaultDecider)))
	for _, name := range []string{"bad", "with it", "after"} {
		system.Root.Send(pid, asked{name, 0, &fate})
	}
	dispatcher.Run(0)
	want(t, "fate", fate, "lost bad", "lost with it")
	want(t, "events", r.log(), "*actor.Started", "*actor.Restarting", "*actor.Started")
	if got := r.batches[len(r.batches)-1]; len(got) != 1 || got[0].(asked).name != "after" {
		t.Fatalf("last batch %v, want the message that waited", got)
	}
}

func TestASuspendedMailboxKeepsItsMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(recorder)
		r.on = func(_ actor.Context, m any) {
			if m == "bad" {
				panic("bad")
			}
		}
		system, pid, dispatcher := stepped(r, MailboxConfig{}, actor.WithGuardian(NewStrategy(StrategyConfig{})))
		system.Root.Send(pid, "bad")
		dispatcher.Run(0)
		system.Root.Send(pid, "after")
		dispatcher.Run(0)
		want(t, "before the restart", r.flat(), any("bad"))
		synctestSleep(NewStrategy(StrategyConfig{}).config.MinDelay * 2)
		dispatcher.Run(0)
		want(t, "after the restart", r.flat(), any("bad"), "after")
	})
}

// A13: a name can be found before the mailbox has its handlers.
func TestPostsBeforeStartWait(t *testing.T) {
	m := NewMailbox(MailboxConfig{})
	m.PostUserMessage("early")
	m.PostSystemMessage(&actor.Watch{})
	invoker, dispatcher := new(invokerLog), NewSeededDispatcher(1, PerBatch)
	m.RegisterHandlers(invoker, dispatcher)
	m.PostUserMessage("between")
	if dispatcher.Pending() != 0 {
		t.Fatal("the mailbox ran before Start")
	}
	m.PostSystemMessage(&actor.Started{})
	m.Start()
	dispatcher.Run(0)
	want(t, "order", invoker.log, "*actor.Watch", "*actor.Started", "early", "between")
}

type invokerLog struct{ log []string }

func (i *invokerLog) InvokeSystemMessage(m any) { i.log = append(i.log, fmt.Sprintf("%T", m)) }
func (i *invokerLog) EscalateFailure(any, any)  { i.log = append(i.log, "failure") }
func (i *invokerLog) InvokeUserMessage(m any) {
	for _, item := range m.(*Batch).Messages {
		i.log = append(i.log, fmt.Sprint(item.Message))
	}
}

func TestSpawnedUnderFireNothingBreaks(t *testing.T) {
	system := NewSystem(nil)
	for round := range 200 {
		name := fmt.Sprint("under-fire", round)
		pid, stop := system.NewLocalPID(name), make(chan struct{})
		var senders sync.WaitGroup
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					system.Root.Send(pid, 1)
				}
			}
		})
		got := make(chan struct{})
		var once sync.Once
		spawned, err := system.Root.SpawnNamed(actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*Batch); ok {
				once.Do(func() { close(got) })
			}
		}, actor.WithMailbox(MailboxConfig{}.Producer())), name)
		if err != nil {
			t.Fatal(err)
		}
		<-got
		close(stop)
		senders.Wait()
		system.Root.Stop(spawned)
	}
}

// A20: protoactor's mailboxes stay "running" for ever after a Goexit.
func TestGoexitIsAFailureLikeAPanic(t *testing.T) {
	system, got := NewSystem(nil), make(chan any, 10)
	pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if b, ok := c.Message().(*Batch); ok {
			got <- b.Messages[0].Message
			if b.Messages[0].Message == "exit" {
				runtime.Goexit()
			}
		}
	}, actor.WithMailbox(MailboxConfig{MaxBatch: 1}.Producer())))
	system.Root.Send(pid, "exit")
	system.Root.Send(pid, "after")
	if first, second := <-got, <-got; first != "exit" || second != "after" {
		t.Fatalf("got %v, %v", first, second)
	}
}

func TestMemoryShrinksAfterABurst(t *testing.T) {
	r := new(invokerDiscard)
	m, dispatcher := NewMailbox(MailboxConfig{MaxMessages: 1 << 20}), NewSeededDispatcher(1, PerBatch)
	m.RegisterHandlers(r, dispatcher)
	m.Start()
	for i := range 1 << 19 {
		m.PostUserMessage(i)
	}
	dispatcher.Run(0)
	if c := max(cap(m.user), cap(m.spare)); c > keptItems {
		t.Fatalf("an idle mailbox keeps room for %d messages, want at most %d", c, keptItems)
	}
	if r.count != 1<<19 {
		t.Fatalf("handled %d messages", r.count)
	}
}

type invokerDiscard struct{ count int }

func (i *invokerDiscard) InvokeSystemMessage(any)  {}
func (i *invokerDiscard) EscalateFailure(any, any) {}
func (i *invokerDiscard) InvokeUserMessage(m any)  { i.count += len(m.(*Batch).Messages) }

func TestNoMessageIsLostOrRepeatedUnderLoad(t *testing.T) {
	const senders, each = 8, 20_000
	system, done := NewSystem(nil), make(chan error, 1)
	var next [senders]int
	total := 0
	pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		b, ok := c.Message().(*Batch)
		if !ok {
			return
		}
		for _, item := range b.Messages {
			m := item.Message.([2]int)
			if next[m[0]] != m[1] {
				done <- fmt.Errorf("sender %d: got %d when %d was due", m[0], m[1], next[m[0]])
				return
			}
			next[m[0]]++
			if total++; total == senders*each {
				done <- nil
			}
		}
	}, actor.WithMailbox(MailboxConfig{MaxMessages: senders * each}.Producer())))
	for s := range senders {
		go func() {
			for i := range each {
				system.Root.Send(pid, [2]int{s, i})
			}
		}()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestTheSeedGivesTheOrder(t *testing.T) {
	for _, interleave := range []Interleave{PerBatch, PerMessage} {
		run := func(seed uint64) string {
			system, dispatcher := NewSystem(nil), NewSeededDispatcher(seed, interleave)
			var trace []string
			var pids []*actor.PID
			for i := range 3 {
				pids = append(pids, system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
					b, ok := c.Message().(*Batch)
					if !ok {
						return
					}
					for _, item := range b.Messages {
						trace = append(trace, fmt.Sprint(i, item.Message))
						if n := item.Message.(int); n > 0 {
							c.Send(pids[n%3], n-1)
							c.Send(pids[(n+i)%3], n-2)
						}
					}
				}, actor.WithMailbox(MailboxConfig{}.Producer()), actor.WithDispatcher(dispatcher))))
			}
			for _, pid := range pids {
				system.Root.Send(pid, 6)
			}
			dispatcher.Run(0)
			return fmt.Sprint(trace)
		}
		orders := map[string]bool{}
		for seed := range uint64(10) {
			first := run(seed)
			orders[first] = true
			if again := run(seed); first != again {
				t.Fatalf("interleave %d, seed %d: two orders", interleave, seed)
			}
		}
		if len(orders) < 5 {
			t.Fatalf("interleave %d: 10 seeds gave %d orders", interleave, len(orders))
		}
	}
}
