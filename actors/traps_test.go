package actors

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// These tests hold what the pinned protoactor does, where Synod avoids it or
// relies on it. One that turns red after an upgrade is not a defect by
// itself: read what changed, and what stands on it. A5, A6 and A20 are held
// in their cured form by the tests of Guard and Mailbox, A13 by
// TestPostsBeforeStartWait, A22 by package cluster.

func bubble(t *testing.T, f func(t *testing.T, system *actor.ActorSystem)) {
	synctest.Test(t, func(t *testing.T) {
		f(t, NewSystem(nil))
		synctestSleep(20 * time.Second) // futures and the dead letters' throttle end
	})
}

// A1, avoided: no futures on a protocol's path.
func TestTrapAFutureTakesTheSecondReply(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		future := actor.NewFuture(system, time.Minute)
		process, _ := system.ProcessRegistry.GetLocal(future.PID().Id)
		process.SendUserMessage(future.PID(), "first")
		process.SendUserMessage(future.PID(), "second")
		if got, err := future.Result(); err != nil || got != "second" {
			t.Fatalf("the future holds %v, %v", got, err)
		}
	})
}

// A3, avoided: every reply of ours carries an epoch and a request id.
func TestTrapIdsStartOverInEachSystem(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		if a, b := system.ProcessRegistry.NextId(), NewSystem(nil).ProcessRegistry.NextId(); a != b {
			t.Fatalf("ids %s and %s of two systems differ", a, b)
		}
	})
}

// A4, avoided: we post messages instead of ReenterAfter.
func TestTrapReenterAfterRunsWhileTheActorHasFailed(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		future, ran := actor.NewFuture(system, time.Hour), false
		var starts atomic.Int32
		pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			switch c.Message() {
			case "wait":
				c.ReenterAfter(future, func(any, error) { ran = true })
			case "fail":
				panic("failed")
			}
			if _, ok := c.Message().(*actor.Started); ok {
				starts.Add(1)
			}
		}, actor.WithGuardian(NewStrategy(StrategyConfig{MinDelay: time.Hour, MaxDelay: time.Hour}))))
		system.Root.Send(pid, "wait")
		system.Root.Send(pid, "fail")
		synctest.Wait()
		system.Root.Send(future.PID(), "done")
		synctest.Wait()
		if !ran || starts.Load() != 1 {
			t.Fatalf("ran %v after %d starts", ran, starts.Load())
		}
		synctestSleep(2 * time.Hour)
	})
}

// A5, cured by Guard.
func TestTrapAPanicInStoppingRestarts(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		starts := 0
		pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			switch c.Message().(type) {
			case *actor.Started:
				starts++
			case *actor.Stopping:
				panic("in Stopping")
			}
		}))
		synctest.Wait()
		system.Root.Stop(pid)
		synctest.Wait()
		if starts != 2 {
			t.Fatalf("started %d times", starts)
		}
	})
}

// A6, cured by Guard.
func TestTrapAPanicInStoppedTellsNobody(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*actor.Stopped); ok {
				panic("in Stopped")
			}
		}))
		synctest.Wait()
		if err := system.Root.StopFuture(pid).Wait(); !errors.Is(err, actor.ErrTimeout) {
			t.Fatalf("StopFuture: %v", err)
		}
	})
}

// A7, avoided: Strategy never escalates.
func TestTrapAGuardianThatEscalatesPanics(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		escalating := actor.NewOneForOneStrategy(1, time.Second, func(any) actor.Directive { return actor.EscalateDirective })
		root := system.Root.Copy().WithGuardian(escalating)
		guardian, _ := system.ProcessRegistry.GetLocal(root.Self().Id)
		defer func() {
			if recover() == nil {
				t.Fatal("the guardian did not panic")
			}
		}()
		guardian.SendSystemMessage(root.Self(), &actor.Failure{Who: root.Self(), Reason: "any"})
	})
}

// A8, avoided: our root actors have a Strategy with OnFailStop as guardian.
func TestTrapTheDefaultStrategyStopsARootSilently(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		_, starts := failing(system, always)
		synctestSleep(time.Minute)
		if len(*starts) != 11 {
			t.Fatalf("started %d times", len(*starts))
		}
	})
}

// A9, avoided: Strategy delays.
func TestTrapRestartsHaveNoDelay(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		_, starts := failing(system, func(start int) any {
			if start < 1000 {
				return "broken"
			}
			return nil
		}, actor.WithGuardian(actor.RestartingSupervisorStrategy()))
		synctest.Wait()
		if len(*starts) != 1000 || (*starts)[999].Sub((*starts)[0]) != 0 {
			t.Fatalf("%d starts", len(*starts))
		}
	})
}

// A10, avoided: Strategy doubles.
func TestTrapExponentialBackoffIsLinear(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		strategy := actor.NewExponentialBackoffStrategy(time.Hour, 20*time.Millisecond)
		_, starts := failing(system, func(start int) any {
			if start < 6 {
				return "broken"
			}
			return nil
		}, actor.WithGuardian(strategy))
		synctestSleep(time.Minute)
		var gaps []int64
		for i := 1; i < len(*starts); i++ {
			gaps = append(gaps, (*starts)[i].Sub((*starts)[i-1]).Milliseconds())
		}
		want(t, "gaps in ms", gaps, 20, 40, 60, 80, 100)
	})
}

// A14, avoided: actors open what they need in Started.
func TestTrapSpawnRunsTheProducerBeforeItChecksTheName(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		made := 0
		props := actor.PropsFromProducer(func() actor.Actor {
			made++
			return actor.ReceiveFunc(func(actor.Context) {})
		})
		_, _ = system.Root.SpawnNamed(props, "one")
		if _, err := system.Root.SpawnNamed(props, "one"); !errors.Is(err, actor.ErrNameExists) || made != 2 {
			t.Fatalf("%d producer calls, %v", made, err)
		}
	})
}

// A15, cured by Mailbox: what waits in a stopped actor's mailbox is dropped
// without a dead letter.
func TestTrapStopDropsWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		var deadLetters atomic.Int32
		system.EventStream.Subscribe(func(e any) {
			if _, ok := e.(*actor.DeadLetterEvent); ok {
				deadLetters.Add(1)
			}
		})
		dispatcher := NewSeededDispatcher(1, PerBatch)
		pid := system.Root.Spawn(actor.PropsFromFunc(func(actor.Context) {}, actor.WithDispatcher(dispatcher)))
		for range 100 {
			system.Root.Send(pid, "waiting")
		}
		system.Root.Send(pid, &actor.PoisonPill{})
		system.Root.Stop(pid)
		dispatcher.Run(0)
		if n := deadLetters.Load(); n != 0 {
			t.Fatalf("%d dead letters", n)
		}
	})
}

// A16, relied upon: a parent goes on receiving while its children stop.
func TestTrapAParentReceivesWhileItStops(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		release, got := make(chan struct{}), false
		child := actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*actor.Stopping); ok {
				<-release
			}
		})
		pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			switch c.Message().(type) {
			case *actor.Started:
				c.Spawn(child)
			case string:
				got = true
			}
		}))
		synctest.Wait()
		system.Root.Stop(pid)
		synctest.Wait()
		system.Root.Send(pid, "while stopping")
		synctest.Wait()
		close(release)
		if !got {
			t.Fatal("the message was not handled")
		}
	})
}

// batchLike has the method that makes protoactor deliver a message's parts too.
type batchLike struct{ Parts []any }

func (b *batchLike) GetMessages() []any { return b.Parts }

// A19, cured by Mailbox: one message stays one message.
func TestTrapMessageBatchIsDeliveredTwice(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		message, stock := &batchLike{[]any{"part"}}, []string(nil)
		pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			stock = append(stock, fmt.Sprintf("%T", c.Message()))
		}))
		system.Root.Send(pid, message)
		r := new(recorder)
		other, ours, dispatcher := stepped(r, MailboxConfig{})
		other.Root.Send(ours, message)
		synctest.Wait()
		dispatcher.Run(0)
		want(t, "stock mailbox", stock, "*actor.Started", "string", "*actors.batchLike")
		want(t, "ours", r.flat(), any(message))
	})
}

// Relied upon: a restart keeps the PID, makes a new instance, tells the old
// one Restarting and no watcher; the message that failed never comes again.
func TestRestartKeepsThePIDAndTellsNoWatcher(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		var trace []string
		instance := 0
		pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor {
			instance++
			id := instance
			return actor.ReceiveFunc(func(c actor.Context) {
				switch m := c.Message().(type) {
				case *Batch:
					trace = append(trace, fmt.Sprint(id, " ", m.Messages[0].Message))
					if m.Messages[0].Message == "bad" {
						panic("bad")
					}
				default:
					trace = append(trace, fmt.Sprintf("%d %T", id, m))
				}
			})
		}, actor.WithMailbox(MailboxConfig{MaxBatch: 1}.Producer()), actor.WithGuardian(NewStrategy(StrategyConfig{}))))
		terminated := false
		system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			switch c.Message().(type) {
			case *actor.Started:
				c.Watch(pid)
			case *actor.Terminated:
				terminated = true
			}
		}))
		synctest.Wait()
		system.Root.Send(pid, "bad")
		system.Root.Send(pid, "good")
		synctestSleep(time.Second)
		want(t, "trace", trace, "1 *actor.Started", "1 bad", "1 *actor.Restarting", "2 *actor.Started", "2 good")
		if terminated {
			t.Fatal("a watcher was told of a restart")
		}
	})
}

// Relied upon: the resolver is asked for foreign addresses only, and a PID
// keeps what it answered (A22).
func TestAPIDKeepsItsResolvedProcess(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		asked := 0
		system.ProcessRegistry.RegisterAddressResolver(func(*actor.PID) (actor.Process, bool) {
			asked++
			return new(sink), true
		})
		pid := actor.NewPID("elsewhere", "x")
		system.Root.Send(pid, 1)
		system.Root.Send(pid, 2)
		system.Root.Send(system.NewLocalPID("nobody"), 3)
		if asked != 1 {
			t.Fatalf("the resolver was asked %d times", asked)
		}
	})
}

type sink struct{}

func (*sink) SendUserMessage(*actor.PID, any)   {}
func (*sink) SendSystemMessage(*actor.PID, any) {}
func (*sink) Stop(*actor.PID)                   {}

// A23, avoided: who stops a system stops its actors first.
func TestTrapShutdownStopsNoActors(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		r := new(recorder)
		pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return r }))
		system.Shutdown()
		system.Root.Send(pid, &actor.Touched{})
		synctest.Wait()
		want(t, "events", r.log(), "*actor.Started", "*actor.Touched")
		defer func() {
			if recover() == nil {
				t.Error("a second Shutdown did not panic")
			}
		}()
		system.Shutdown()
	})
}

// A25, relied upon for counting: handlers run on the sender's goroutine.
func TestDeadLettersAreHandledByTheSender(t *testing.T) {
	bubble(t, func(t *testing.T, system *actor.ActorSystem) {
		handled := false
		system.EventStream.Subscribe(func(e any) { _, handled = e.(*actor.DeadLetterEvent) })
		system.Root.Send(system.NewLocalPID("nobody"), 1)
		if !handled {
			t.Fatal("Send returned before the handler ran")
		}
	})
}
