package master

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/mesos"
)

func TestOneTaskFromSubscriptionToItsEnd(t *testing.T) { // M-6, F-1, A-10
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		l := s.ready(0)
		if l.Term() != 1 {
			t.Errorf("the first master has term %d", l.Term())
		}
		k, registered := s.agent(0, machine())
		s.deliver(k, mesos.Pong{Agent: registered.Agent, Term: 1})
		sub, err := s.handles[0].Subscribe(s.context(), mesos.FrameworkInfo{Name: "f"})
		if err != nil {
			t.Fatal(err)
		}
		f := event[mesos.SubscribedEvent](s, sub).Framework
		offer := event[mesos.OffersEvent](s, sub).Offers[0]
		task := mesos.TaskInfo{ID: "t", Agent: offer.Agent, Resources: offer.Resources, Command: mesos.Command{Value: "true"}}
		answer, err := s.handles[0].Call(s.context(), mesos.Call{Stream: sub.Stream(), Framework: f,
			Body: mesos.AcceptCall{Offers: []mesos.OfferID{offer.ID}, Launch: []mesos.TaskInfo{task}}})
		if err != nil || answer.Code != mesos.CallAccepted {
			t.Fatalf("accept: %+v, %v", answer, err)
		}
		launch := await[mesos.Launch](s, k)
		s.deliver(k, mesos.StatusUpdate{Latest: mesos.Finished, Status: mesos.TaskStatus{Task: mesos.TaskKey{Framework: f, Task: "t"},
			Agent: registered.Agent, Container: launch.Container, State: mesos.Finished, ID: mesos.UpdateID{1}}})
		if u := event[mesos.UpdateEvent](s, sub); u.Status.State != mesos.Finished {
			t.Errorf("got %v", u.Status.State)
		}
		call := mesos.Call{Stream: sub.Stream(), Framework: f, Body: mesos.AcknowledgeCall{Task: "t", Agent: registered.Agent, ID: mesos.UpdateID{1}}}
		if _, err := s.handles[0].Call(s.context(), call); err != nil {
			t.Fatal(err)
		}
		await[mesos.Acknowledge](s, k)
	})
}

func TestTheNextMasterHasALaterTermAndTheOldOneIsGone(t *testing.T) { // M-1, M-4
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		old := s.ready(0)
		k, registered := s.agent(0, machine())
		sub, err := s.handles[0].Subscribe(s.context(), mesos.FrameworkInfo{Name: "f", FailoverTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		event[mesos.SubscribedEvent](s, sub)
		s.lead(1)
		if _, err := k.Next(s.context()); !errors.Is(err, io.EOF) {
			t.Errorf("the link goes on: %v", err)
		}
		if _, err := sub.Next(s.context()); !errors.Is(err, io.EOF) {
			t.Errorf("the stream goes on: %v", err)
		}
		l := s.ready(1)
		if l.Term() != 2 || !old.over() {
			t.Errorf("term %d follows, the old one is over: %v", l.Term(), old.over())
		}
		if _, known := l.Registry().Agent(registered.Agent); !known {
			t.Errorf("the next master does not know %s", registered.Agent)
		}
		var not *NotLeadingError
		if err := s.handles[0].Leads(); !errors.As(err, &not) || not.Name != "n2" || not.API != "n2:4700" {
			t.Errorf("the old node says %v", err)
		}
		if _, err := old.Call(s.context(), mesos.Call{Body: mesos.ReviveCall{}}); !errors.As(err, &not) {
			t.Errorf("the old mastership answers: %v", err)
		}
	})
}

func TestAMasterThatIsCutOffEndsItself(t *testing.T) { // see the package's doc
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		l := s.ready(0)
		time.Sleep(time.Minute) // it confirms
		if l.over() {
			t.Fatal("an idle master ended")
		}
		s.members[0].set(func() { s.members[0].cut = true })
		began := time.Now()
		s.lead(1)
		s.ready(1)
		<-l.Done()
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}

// What a scheduler has read is not counted as behind, however much it is; when it closes its
// stream its framework is disconnected.
func TestASchedulerThatReadsStaysAndOneThatClosesIsGone(t *testing.T) { // F-3
	onStage(t, func(c *Config) {
		c.Master.Heartbeat, c.Master.MaxTasks, c.Master.MaxPendingEvents = time.Second, 1, 5
	}, func(s *stage) {
		s.lead(0)
		s.ready(0)
		sub, err := s.handles[0].Subscribe(s.context(), mesos.FrameworkInfo{Name: "f", FailoverTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			event[mesos.HeartbeatEvent](s, sub)
		}
		for _, connected := range []bool{true, false} {
			time.Sleep(time.Second)
			v, err := s.handles[0].View(s.context())
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Frameworks) != 1 || v.Frameworks[0].Connected != connected {
				t.Fatalf("connected %v: %+v", connected, v.Frameworks)
			}
			sub.Close()
		}
		if n := s.handles[0].Metrics().Subscriptions; n != 0 {
			t.Errorf("there are %d subscriptions", n)
		}
	})
}

// What an operation did is in each view that is asked for after its answer.
func TestAViewHasWhatWasAnsweredBefore(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		s.ready(0)
		sub, err := s.handles[0].Subscribe(s.context(), mesos.FrameworkInfo{Name: "f", FailoverTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		f := event[mesos.SubscribedEvent](s, sub).Framework
		if v, err := s.handles[0].View(s.context()); err != nil || len(v.Frameworks) != 1 {
			t.Fatalf("%+v, %v", v, err)
		}
		if _, err := s.handles[0].Operate(s.context(), mesos.RemoveFramework{Framework: f}); err != nil {
			t.Fatal(err)
		}
		if v, err := s.handles[0].View(s.context()); err != nil || len(v.Frameworks) != 0 {
			t.Errorf("it is removed, and the view has %+v, %v", v.Frameworks, err)
		}
	})
}

// The node has lost the lead and has it back, and its master has not noticed: another one was
// elected in between.
func TestAMasterThatWasFollowedUnnoticedEndsItself(t *testing.T) { // M-4
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		l := s.ready(0)
		elect := mesos.RegistryCommand{Term: l.Term() + 1, Operations: []mesos.RegistryOperation{mesos.ElectMaster{Name: "n2"}}}
		if _, err := s.members[0].Propose(s.context(), elect.Append(nil)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-l.Done():
		case <-time.After(2 * time.Second):
			t.Fatal("an idle master that was followed goes on")
		}
		if next := s.ready(0); next.Term() != l.Term()+2 {
			t.Errorf("term %d follows", next.Term())
		}
	})
}

func TestAMasterWhoseCommitIsLostEndsAndTheNextReadsIt(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		first := s.ready(0)
		sub, err := s.handles[0].Subscribe(s.context(), mesos.FrameworkInfo{Name: "f"})
		if err != nil {
			t.Fatal(err)
		}
		f := event[mesos.SubscribedEvent](s, sub).Framework
		s.members[0].set(func() { s.members[0].lose = true })
		_, err = s.handles[0].Call(s.context(), mesos.Call{Stream: sub.Stream(), Framework: f, Body: mesos.TeardownCall{}})
		if !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("a teardown whose result is lost: %v", err)
		}
		<-first.Done()
		s.members[0].set(func() { s.members[0].lose = false })
		first = s.ready(0)
		s.members[0].set(func() { s.members[0].lose = true })
		_, err = s.handles[0].Operate(s.context(), mesos.SetWeight{Role: "r", Weight: 2000})
		if !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("an operation whose result is lost: %v", err)
		}
		<-first.Done()
		s.members[0].set(func() { s.members[0].lose = false })
		if l := s.ready(0); l.Term() <= first.Term() || l.Registry().Weight("r") != 2000 {
			t.Errorf("term %d has weight %v", l.Term(), l.Registry().Weight("r"))
		}
	})
}

func TestAProposalThatSurelyDidNothingIsRepeated(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		l := s.ready(0)
		s.members[0].set(func() { s.members[0].refuse = 3 })
		answers, err := s.handles[0].Operate(s.context(), mesos.SetWeight{Role: "r", Weight: 2000},
			mesos.MarkGone{Agent: "none"}, mesos.SetWeight{Role: "q", Weight: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if answers[0].Code != mesos.CallAccepted || answers[1].Code != mesos.CallRefused || answers[2].Code != mesos.CallAccepted {
			t.Errorf("answers %+v", answers)
		}
		if l.over() {
			t.Error("the mastership has ended")
		}
		if n := len(s.log.commands); n != 2 { // the election, and all of the above
			t.Errorf("%d commands were committed", n)
		}
	})
}

func TestALeaderThatPanicsIsFollowedByANewTerm(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		l := s.ready(0)
		l.inbox.mu.Lock()
		l.inbox.items = append(l.inbox.items, fromScheduler{calls: make([]mesos.Call, 1), asked: &asked{}}) // no place for the answer
		l.inbox.mu.Unlock()
		l.wake()
		<-l.Done()
		if next := s.ready(0); next.Term() != 2 {
			t.Errorf("term %d follows", next.Term())
		}
	})
}

func TestWhatRunsAlongLivesAsLongAsTheMastership(t *testing.T) {
	var running, begun atomic.Int32
	along := func(l *Leading) *actor.Props {
		return actor.PropsFromFunc(func(ctx actor.Context) {
			switch ctx.Message().(type) {
			case *actor.Started:
				begun.Add(1)
				running.Add(1)
			case *actor.Stopped:
				running.Add(-1)
			}
		})
	}
	onStage(t, func(c *Config) { c.Along = along }, func(s *stage) {
		s.lead(0)
		s.ready(0)
		s.lead(1)
		s.ready(1)
		time.Sleep(time.Second)
		if running.Load() != 1 || begun.Load() != 2 {
			t.Errorf("%d run, %d have begun", running.Load(), begun.Load())
		}
	})
}

func TestWhoseMessagesAgentsDoNotReadIsCut(t *testing.T) {
	onStage(t, func(c *Config) {
		c.MaxLinkBytes = 4096
		c.Master.PingInterval = time.Millisecond
		c.Master.MaxMissedPings = 1 << 20
	},
		func(s *stage) {
			s.lead(0)
			s.ready(0)
			k, _ := s.agent(0, machine())
			time.Sleep(time.Second)
			if _, err := k.Next(s.context()); !errors.Is(err, io.EOF) {
				t.Errorf("a link that is not read: %v", err)
			}
			if n := s.handles[0].Metrics(); n.Cut != 1 || n.Links != 0 {
				t.Errorf("metrics %+v", n)
			}
			if n := k.leading.waiting.Load(); n != 0 {
				t.Errorf("%d bytes wait for nobody", n)
			}
		})
}

func TestDeliverWaitsForRoom(t *testing.T) {
	onStage(t, func(c *Config) { c.MaxWaitingBytes = 1000 }, func(s *stage) {
		s.lead(0)
		l := s.ready(0)
		k, err := s.handles[0].Connect()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.inbox.mu.Lock()
		l.inbox.bytes, l.inbox.woken = 1000, true // as if the leader were busy
		l.inbox.mu.Unlock()
		ctx, cancel := context.WithTimeout(s.Context(), 500*time.Millisecond)
		defer cancel()
		if err := k.Deliver(ctx, mesos.Pong{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a full inbox took a message: %v", err)
		}
		l.wake()
		if err := k.Deliver(s.context(), mesos.Pong{}); err != nil {
			t.Error(err)
		}
	})
}

// An agent that sends without end waits for the leader alone: others come behind a share of it.
func TestALinkThatFloodsWaitsAlone(t *testing.T) {
	onStage(t, func(*Config) {}, func(s *stage) {
		s.lead(0)
		l := s.ready(0)
		k, err := s.handles[0].Connect()
		other, otherErr := s.handles[0].Connect()
		if err = errors.Join(err, otherErr); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.inbox.mu.Lock()
		l.inbox.woken = true // as if the leader were busy
		l.inbox.mu.Unlock()
		ctx, cancel := context.WithTimeout(s.context(), 500*time.Millisecond)
		defer cancel()
		sent := 0
		for ; err == nil; sent++ {
			err = k.Deliver(ctx, mesos.Pong{})
		}
		if !errors.Is(err, context.DeadlineExceeded) || sent > maxLinkShare/weigh(mesos.Pong{})+1 {
			t.Errorf("%d messages were taken, then %v", sent, err)
		}
		if err := other.Deliver(s.context(), mesos.Pong{}); err != nil {
			t.Error(err)
		}
		l.wake()
		if err := k.Deliver(s.context(), mesos.Pong{}); err != nil {
			t.Error(err)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Group: &member{}, Name: "n", Clock: func() time.Duration { return 0 }}
	for what, change := range map[string]func(*Config){
		"Group": func(c *Config) { c.Group = nil }, "Clock": func(c *Config) { c.Clock = nil }, "Name": func(c *Config) { c.Name = "" },
		"ConfirmWithin": func(c *Config) { c.ConfirmWithin = 6 * time.Minute }, "bound": func(c *Config) { c.MaxLinks = -1 },
	} {
		c := good
		change(&c)
		if _, err := c.withDefaults(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := good.withDefaults(); err != nil {
		t.Error(err)
	}
}

// A node that loses the leadership and has it back at once begins a new mastership at once,
// whether or not its standby has seen it without.
func TestALeadershipThatIsBackAtOnceBeginsAnew(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		for range 20 {
			old := s.ready(0)
			time.Sleep(time.Minute) // no election is fresh any more
			began := time.Now()
			for _, believes := range []bool{false, true} {
				s.members[0].set(func() { s.members[0].believes = believes })
				s.handles[0].LeaderChanged()
			}
			if l := s.ready(0); l.Term() != old.Term()+1 || !old.over() {
				t.Errorf("term %d follows %d, which is over: %v", l.Term(), old.Term(), old.over())
			}
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("the next mastership took %v", took)
			}
		}
	})
}

// A message that waited for room until its link was cut is nobody's: the master has been
// told that nothing comes by that link any more.
func TestWhatComesAfterTheEndOfALinkIsNotHeard(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		l := s.ready(0)
		k, err := s.handles[0].Connect()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.inbox.mu.Lock()
		l.inbox.bytes, l.inbox.woken = l.inbox.most, true // as if the leader were busy
		l.inbox.mu.Unlock()
		delivered := make(chan struct{})
		go func() {
			defer close(delivered)
			_ = k.Deliver(s.context(), mesos.Register{Info: machine(), Boot: "b", Attempt: 1, Sequence: 1})
		}()
		synctest.Wait()
		k.Close()
		l.wake()
		<-delivered
		time.Sleep(time.Second)
		v, err := s.handles[0].View(s.context())
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Agents) != 0 || s.handles[0].Metrics().Messages != 0 {
			t.Errorf("it was heard: %+v", v.Agents)
		}
	})
}

func TestARefusedSubscriptionIsToldWhyAndEnds(t *testing.T) { // F-1
	onStage(t, nil, func(s *stage) {
		s.lead(0)
		s.ready(0)
		sub, err := s.handles[0].Subscribe(s.context(), mesos.FrameworkInfo{ID: "no id", Name: "f"})
		if err != nil {
			t.Fatal(err)
		}
		event[mesos.ErrorEvent](s, sub)
		if events, err := sub.Next(s.context()); !errors.Is(err, io.EOF) {
			t.Errorf("then come %v, %v", events, err)
		}
	})
}
