package actors

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

func synctestSleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// failing spawns an actor that panics with the result of reason in Started.
func failing(system *actor.ActorSystem, reason func(start int) any, options ...actor.PropsOption) (*actor.PID, *[]time.Time) {
	var starts []time.Time
	pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			starts = append(starts, time.Now())
			if r := reason(len(starts)); r != nil {
				panic(r)
			}
		}
	}, append(options, actor.WithMailbox(MailboxConfig{}.Producer()))...))
	return pid, &starts
}

func always(int) any { return "broken" }

func middle() float64 { return 0.5 } // jitter off

func TestBackoffDoublesUpToItsCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		strategy := NewStrategy(StrategyConfig{Intensity: 7, MinDelay: 10 * time.Millisecond, MaxDelay: 100 * time.Millisecond, Random: middle})
		_, starts := failing(NewSystem(nil), always, actor.WithGuardian(strategy))
		synctestSleep(10 * time.Second)
		var gaps []int64
		for i := 1; i < len(*starts); i++ {
			gaps = append(gaps, (*starts)[i].Sub((*starts)[i-1]).Milliseconds())
		}
		want(t, "gaps in ms", gaps, 10, 20, 40, 80, 100, 100, 100)
	})
}

func TestJitterSpreadsByHalfEachWay(t *testing.T) {
	s := NewStrategy(StrategyConfig{MinDelay: time.Second, MaxDelay: time.Minute})
	low, high := time.Hour, time.Duration(0)
	for range 1000 {
		d := s.delay(1)
		low, high = min(low, d), max(high, d)
	}
	if low < time.Second/2 || high >= 3*time.Second/2 || low > 600*time.Millisecond || high < 1400*time.Millisecond {
		t.Fatalf("delays from %v to %v, want them over [0.5 s, 1.5 s)", low, high)
	}
}

func TestTooManyFailuresEndTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reasons []any
		strategy := NewStrategy(StrategyConfig{Intensity: 3, OnFailStop: func(_ *actor.PID, reason any) { reasons = append(reasons, reason) }})
		_, starts := failing(NewSystem(nil), always, actor.WithGuardian(strategy))
		synctestSleep(time.Minute)
		if len(*starts) != 4 || len(reasons) != 1 {
			t.Fatalf("started %d times with fail-stops %v, want 4 starts and one fail-stop", len(*starts), reasons)
		}
		var intensity *IntensityError
		if err, ok := reasons[0].(error); !ok || !errors.As(err, &intensity) || intensity.Failures != 4 || intensity.Reason != "broken" {
			t.Fatalf("reason %v, want the fourth failure", reasons[0])
		}
	})
}

func TestRareFailuresNeverEndTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		strategy := NewStrategy(StrategyConfig{Intensity: 1, Period: time.Second, MinDelay: 600 * time.Millisecond, Random: middle,
			OnFailStop: func(_ *actor.PID, reason any) { t.Errorf("fail-stop: %v", reason) }})
		system := NewSystem(nil)
		var fail atomic.Bool
		pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*Batch); ok {
				fail.Store(true)
				panic("rare")
			}
		}, actor.WithMailbox(MailboxConfig{}.Producer()), actor.WithGuardian(strategy)))
		for range 50 {
			system.Root.Send(pid, 1)
			synctestSleep(2 * time.Second)
		}
		if !fail.Load() {
			t.Fatal("never failed")
		}
	})
}

func TestFailStopIsNeverRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("fsync failed")
		var reasons []any
		strategy := NewStrategy(StrategyConfig{OnFailStop: func(_ *actor.PID, reason any) { reasons = append(reasons, reason) }})
		system := NewSystem(nil)
		pid, starts := failing(system, func(int) any { return fmt.Errorf("group 1: %w", &FailStop{cause}) }, actor.WithGuardian(strategy))
		system.Root.Send(pid, "must not be handled")
		synctestSleep(time.Minute)
		if len(*starts) != 1 || len(reasons) != 1 || !errors.Is(reasons[0].(error), cause) {
			t.Fatalf("started %d times, fail-stops %v", len(*starts), reasons)
		}
	})
}

func TestTemporaryAndUntoldActorsAreStopped(t *testing.T) {
	for name, config := range map[string]StrategyConfig{
		"temporary":                    {Restart: Temporary},
		"fail-stop with nobody to ask": {Intensity: 1, MinDelay: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				system, terminated := NewSystem(nil), make(chan string, 1)
				pid, _ := failing(system, always, actor.WithGuardian(NewStrategy(config)))
				system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
					switch m := c.Message().(type) {
					case *actor.Started:
						c.Watch(pid)
					case *actor.Terminated:
						terminated <- m.Who.Id
					}
				}))
				synctestSleep(time.Minute)
				select {
				case who := <-terminated:
					want(t, "terminated", []string{who}, pid.Id)
				default:
					t.Fatal("the actor was not stopped")
				}
			})
		})
	}
}

func TestStrategyServesAParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		child := actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*actor.Started); ok {
				if starts++; starts < 3 {
					panic("not yet")
				}
			}
		})
		NewSystem(nil).Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*actor.Started); ok {
				c.Spawn(child)
			}
		}, actor.WithSupervisor(NewStrategy(StrategyConfig{}))))
		synctestSleep(time.Minute)
		if starts != 3 {
			t.Fatalf("started %d times, want 3", starts)
		}
	})
}

func TestGuardSwallowsLastPanics(t *testing.T) {
	for _, message := range []any{&actor.Stopping{}, &actor.Stopped{}} {
		t.Run(fmt.Sprintf("%T", message), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				logger := slog.New(slog.NewTextHandler(&log, nil))
				system, starts, ended := NewSystem(nil), 0, false
				pid := system.Root.Spawn(actor.PropsFromProducer(Guard(logger, func() actor.Actor {
					return actor.ReceiveFunc(func(c actor.Context) {
						if _, ok := c.Message().(*actor.Started); ok {
							starts++
						}
						if fmt.Sprintf("%T", c.Message()) == fmt.Sprintf("%T", message) {
							panic("in the last message")
						}
					})
				})))
				system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
					switch c.Message().(type) {
					case *actor.Started:
						c.Watch(pid)
					case *actor.Terminated:
						ended = true
					}
				}))
				synctest.Wait()
				system.Root.Stop(pid)
				synctestSleep(time.Minute)
				if !ended || starts != 1 {
					t.Fatalf("watchers told: %v, starts: %d; want true, 1", ended, starts)
				}
				if !strings.Contains(log.String(), "in the last message") {
					t.Fatalf("the panic was not logged: %s", log.String())
				}
			})
		})
	}
}

func TestGuardLetsOtherPanicsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		NewSystem(nil).Root.Spawn(actor.PropsFromProducer(Guard(nil, func() actor.Actor {
			return actor.ReceiveFunc(func(c actor.Context) {
				if _, ok := c.Message().(*actor.Started); ok {
					if starts++; starts == 1 {
						panic("once")
					}
				}
			})
		}), actor.WithGuardian(NewStrategy(StrategyConfig{}))))
		synctestSleep(time.Second)
		if starts != 2 {
			t.Fatalf("started %d times, want 2", starts)
		}
	})
}

func TestSystemLogsInformationAsDebug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		system := NewSystem(slog.New(slog.NewTextHandler(&log, nil)))
		system.Root.Send(system.NewLocalPID("nobody"), "lost")
		synctest.Wait()
		if log.Len() != 0 {
			t.Fatalf("logged at information or above: %s", log.String())
		}
		system.Logger().With("k", 1).WithGroup("g").Warn("warned")
		if !strings.Contains(log.String(), "warned") {
			t.Fatal("a warning was lost")
		}
		synctestSleep(2 * time.Second) // the throttle of dead letters ends
	})
}
