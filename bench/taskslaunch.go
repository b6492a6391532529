package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/synod-go/synod/mesos"
)

// launchOrder says what a launcher is to start.
type launchOrder struct {
	prefix    string // of the names of tasks
	command   string // for the shell
	resources string // of each
	tasks     int
	window    int     // launches under way at most
	perOffer  int     // tasks on one offer at most
	perAgent  int     // tasks on one agent at most; 0: no bound
	perSecond float64 // launches begun at most; 0: no bound
	ends      bool    // the tasks end by themselves, and are under way until then
}

// A launcher is a scheduler that starts tasks with what it is offered, and acknowledges what
// it is told.
type launcher struct {
	stream *schedulerStream
	calls  chan mesos.CallBody
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mutex   sync.Mutex
	offers  []mesos.OfferInfo
	order   launchOrder
	needs   []mesos.Resources // of so many tasks
	begun   time.Time
	number  int // of the next task
	begunOf map[mesos.TaskID]launch
	on      map[mesos.AgentID]int
	states  map[mesos.TaskID]mesos.TaskState // the latest that was told
	alive   int                              // of states, RUNNING or KILLING
	result  launchResult
	failure error
	changed chan struct{}
}

type launch struct {
	at      time.Time
	running bool
}

// launchResult is what a launcher has seen since its order.
type launchResult struct {
	Launched int // begun
	Running  int // told to run, and acknowledged
	Ended    int
	Lost     int // told to have ended without having run
	Latency  histogram
	Last     time.Time // when the last was acknowledged
}

const (
	callWorkers = 16
	// maxWaiting bounds the calls that wait for a worker.
	maxWaiting = 1 << 17
	paceTick   = 2 * time.Millisecond
	// fullRefuse is for how long an agent is not offered that has all that it shall have.
	fullRefuse = time.Hour
)

func startLauncher(ctx context.Context, stream *schedulerStream) *launcher {
	ctx, cancel := context.WithCancel(ctx)
	l := &launcher{stream: stream, calls: make(chan mesos.CallBody, maxWaiting), cancel: cancel, changed: make(chan struct{}),
		begunOf: map[mesos.TaskID]launch{}, on: map[mesos.AgentID]int{}, states: map[mesos.TaskID]mesos.TaskState{}}
	for range callWorkers {
		l.ended.Go(func() { l.callInTurn(ctx) })
	}
	l.ended.Go(func() { l.listen(ctx) })
	l.ended.Go(func() { l.pace(ctx) })
	return l
}

func (l *launcher) stop() {
	l.cancel()
	l.stream.close()
	l.ended.Wait()
}

// launch carries out an order and returns when all its tasks run, or have ended if they do.
func (l *launcher) launch(ctx context.Context, o launchOrder) (launchResult, time.Duration, error) {
	one, err := mesos.ParseResources(o.resources)
	if err != nil {
		return launchResult{}, 0, err
	}
	l.mutex.Lock()
	l.order, l.begun, l.result, l.needs = o, time.Now(), launchResult{}, []mesos.Resources{{}}
	for i := range o.perOffer {
		l.needs = append(l.needs, l.needs[i].Add(one))
	}
	l.pump()
	begun := l.begun
	l.mutex.Unlock()
	err = l.await(ctx, func() bool {
		if o.ends {
			return l.result.Ended >= o.tasks
		}
		return l.result.Running >= o.tasks
	})
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if err != nil {
		err = fmt.Errorf("%d of %d tasks launched, %d run, %d ended, %d lost, %d offers: %w",
			l.result.Launched, o.tasks, l.result.Running, l.result.Ended, l.result.Lost, len(l.offers), err)
	}
	return l.result, l.result.Last.Sub(begun), err
}

// await returns when done, which is asked under the lock whenever something has changed.
func (l *launcher) await(ctx context.Context, done func() bool) error {
	for {
		l.mutex.Lock()
		is, failure, changed := done(), l.failure, l.changed
		l.mutex.Unlock()
		switch {
		case is:
			return nil
		case failure != nil:
			return failure
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// notify wakes await. The lock is held.
func (l *launcher) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *launcher) fail(err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.failure == nil {
		l.failure = err
		l.notify()
	}
}

func (l *launcher) callInTurn(ctx context.Context) {
	for {
		select {
		case body := <-l.calls:
			if err := l.stream.call(ctx, body); err != nil && ctx.Err() == nil {
				l.fail(fmt.Errorf("%T: %w", body, err))
				return
			}
			if a, ok := body.(mesos.AcknowledgeCall); ok {
				l.acknowledged(a.Task)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (l *launcher) send(body mesos.CallBody) {
	select {
	case l.calls <- body:
	default:
		if l.failure == nil {
			l.failure = errors.New("the master does not answer calls as fast as it makes them necessary")
			l.notify()
		}
	}
}

func (l *launcher) listen(ctx context.Context) {
	for {
		event, err := l.stream.next()
		if err != nil {
			if ctx.Err() == nil {
				l.fail(fmt.Errorf("the stream of events: %w", err))
			}
			return
		}
		l.onEvent(event)
	}
}

func (l *launcher) pace(ctx context.Context) {
	tick := time.NewTicker(paceTick)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			l.mutex.Lock()
			if l.order.perSecond > 0 {
				l.pump()
			}
			l.mutex.Unlock()
		case <-ctx.Done():
		}
	}
}

func (l *launcher) onEvent(event mesos.Event) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	switch e := event.(type) {
	case mesos.OffersEvent:
		l.offers = append(l.offers, e.Offers...)
	case mesos.RescindEvent:
		l.offers = slices.DeleteFunc(l.offers, func(o mesos.OfferInfo) bool { return o.ID == e.Offer })
	case mesos.UpdateEvent:
		l.told(e.Status)
	}
	l.pump()
}

// told notes what a status update says, and acknowledges it.
func (l *launcher) told(s mesos.TaskStatus) {
	id := s.Task.Task
	l.note(id, s.State)
	b, ours := l.begunOf[id]
	switch {
	case !ours:
	case s.State == mesos.Running && !b.running:
		l.result.Latency.record(time.Since(b.at))
		b.running = true
		l.begunOf[id] = b
	case s.State.Terminal():
		if !b.running {
			l.result.Lost++
			l.result.Launched-- // another one takes its place
		}
		if !b.running || s.ID == (mesos.UpdateID{}) {
			delete(l.begunOf, id)
		}
		l.on[s.Agent]--
	}
	if s.ID != (mesos.UpdateID{}) {
		l.send(mesos.AcknowledgeCall{Task: id, Agent: s.Agent, ID: s.ID})
	}
	l.notify()
}

// note keeps the latest state of a task. The lock is held.
func (l *launcher) note(id mesos.TaskID, s mesos.TaskState) {
	if was := l.states[id]; was == mesos.Running || was == mesos.Killing {
		l.alive--
	}
	if l.states[id] = s; s == mesos.Running || s == mesos.Killing {
		l.alive++
	}
}

// reconcile asks for all tasks until so many are told to run.
func (l *launcher) reconcile(ctx context.Context, want int) error {
	l.mutex.Lock()
	clear(l.states)
	l.alive = 0
	l.mutex.Unlock()
	for {
		l.mutex.Lock()
		l.send(mesos.ReconcileCall{})
		l.mutex.Unlock()
		attempt, cancel := context.WithTimeout(ctx, reconcilePause)
		err := l.await(attempt, func() bool { return l.alive >= want })
		again := attempt.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !again {
			return err
		}
	}
}

// killAll kills all tasks that run and returns when they have ended.
func (l *launcher) killAll(ctx context.Context) error {
	l.mutex.Lock()
	for id, s := range l.states {
		if s == mesos.Running {
			l.send(mesos.KillCall{Task: id})
		}
	}
	l.mutex.Unlock()
	return l.await(ctx, func() bool { return l.alive == 0 })
}

func (l *launcher) aliveNow() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.alive
}

// reconcilePause is how long an answer of all tasks may take until they are asked for again.
const reconcilePause = 5 * time.Second

// acknowledged counts a task whose update the master has the acknowledgement of.
func (l *launcher) acknowledged(id mesos.TaskID) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if _, ours := l.begunOf[id]; !ours {
		return
	}
	l.result.Last = time.Now()
	if l.states[id].Terminal() {
		l.result.Ended++
		delete(l.begunOf, id)
	} else {
		l.result.Running++
		if !l.order.ends {
			delete(l.begunOf, id)
		}
	}
	l.notify()
	l.pump()
}

// pump accepts what offers it can use. The lock is held.
func (l *launcher) pump() {
	for len(l.offers) > 0 {
		n := min(l.order.perOffer, l.order.window-len(l.begunOf), l.order.tasks-l.result.Launched, l.allowed())
		if n <= 0 {
			return
		}
		o := l.offers[0]
		l.offers = l.offers[1:]
		n = min(n, l.fits(o))
		if l.order.perAgent > 0 {
			n = min(n, l.order.perAgent-l.on[o.Agent])
		}
		if n <= 0 {
			l.send(mesos.DeclineCall{Offers: []mesos.OfferID{o.ID}, Refuse: fullRefuse})
			continue
		}
		l.accept(o, n)
	}
}

// allowed is how many more may begin now.
func (l *launcher) allowed() int {
	if l.order.perSecond == 0 {
		return l.order.tasks
	}
	return int(time.Since(l.begun).Seconds()*l.order.perSecond) - l.result.Launched
}

// fits is how many tasks an offer has room for.
func (l *launcher) fits(o mesos.OfferInfo) (n int) {
	for n+1 < len(l.needs) && o.Resources.Contains(l.needs[n+1]) {
		n++
	}
	return n
}

func (l *launcher) accept(o mesos.OfferInfo, n int) {
	call := mesos.AcceptCall{Offers: []mesos.OfferID{o.ID}}
	if l.order.perAgent > 0 && l.on[o.Agent]+n >= l.order.perAgent {
		call.Refuse = fullRefuse
	}
	now := time.Now()
	for range n {
		l.number++
		id := mesos.TaskID(fmt.Sprintf("%s-%07d", l.order.prefix, l.number))
		call.Launch = append(call.Launch, mesos.TaskInfo{ID: id, Name: l.order.prefix, Agent: o.Agent, Resources: l.needs[1],
			Command: mesos.Command{Value: l.order.command, Shell: true}})
		l.begunOf[id] = launch{at: now}
	}
	l.on[o.Agent] += n
	l.result.Launched += n
	l.send(call)
}

// rest gives back what is offered and asks for no more.
func (l *launcher) rest() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.send(mesos.SuppressCall{})
	var ids []mesos.OfferID
	for _, o := range l.offers {
		ids = append(ids, o.ID)
	}
	if l.offers = nil; len(ids) > 0 {
		l.send(mesos.DeclineCall{Offers: ids, Refuse: fullRefuse})
	}
}
