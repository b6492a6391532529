package jobs

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// reign is one mastership. It outlives the actor's restarts.
type reign struct {
	handle *Handle
	master Master
	start  time.Time
	ctx    context.Context // ends with the mastership

	// slot is had by who saves, or reads what was saved.
	slot chan struct{}
	// written is what was saved since the mastership began; nil is removed.
	written map[string]*mesos.Document

	mu     sync.Mutex
	system *actor.ActorSystem
	pid    *actor.PID
}

// Along is the actor that runs beside a mastership: see actors/master's Config.Along.
func (h *Handle) Along(m Master) *actor.Props {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reign{handle: h, master: m, start: h.cfg.Now(), ctx: ctx, slot: make(chan struct{}, 1), written: map[string]*mesos.Document{}}
	go func() {
		<-m.Done()
		cancel()
		h.current.CompareAndSwap(r, nil)
		h.signal()
	}()
	return actor.PropsFromProducer(actors.Guard(h.cfg.Logger, func() actor.Actor { return &host{reign: r, cfg: h.cfg} }),
		actor.WithMailbox(actors.MailboxConfig{MaxMessages: 2 * h.cfg.MaxWaiting}.Producer()))
}

func (r *reign) over() bool {
	select {
	case <-r.master.Done():
		return true
	default:
		return false
	}
}

// now is Unix time that goes on steadily.
func (r *reign) now() time.Duration {
	return time.Duration(r.start.UnixNano()) + r.handle.cfg.Now().Sub(r.start)
}

// send hands the actor a message, which tells its sender if it is refused.
func (r *reign) send(message any) error {
	r.mu.Lock()
	system, pid := r.system, r.pid
	r.mu.Unlock()
	if pid == nil {
		return ErrUnavailable
	}
	system.Root.Send(pid, message)
	return nil
}

// documents are those of the registry now. Who calls it has the slot.
func (r *reign) documents() []mesos.Document {
	var all []mesos.Document
	for d := range r.master.Registry().Documents(jobs.DocumentPrefix) {
		if _, newer := r.written[d.Name]; !newer {
			all = append(all, d)
		}
	}
	for _, d := range r.written {
		if d != nil {
			all = append(all, *d)
		}
	}
	return all
}

// note keeps what was saved.
func (r *reign) note(o mesos.RegistryOperation) {
	switch o := o.(type) {
	case mesos.PutDocument:
		d := mesos.Document(o)
		r.written[o.Name] = &d
	case mesos.RemoveDocument:
		r.written[o.Name] = nil
	}
}

// Messages to the actor. Those that somebody waits for tell if they are lost.
type (
	request struct {
		do     func(j *jobs.Jobs, now time.Duration, number uint64)
		answer chan outcome
	}
	look struct {
		name   string
		agents []mesos.AgentView
		answer chan seen
	}
	seen struct {
		list []jobs.Status
		err  error
	}
	outcome struct {
		version uint64
		err     error
	}
	// step is run inside the actor, unless it is of a life before.
	step struct {
		life *host
		do   func(h *host)
	}
	wakeUp struct{}
)

// Lost, Refused: the request was not, or perhaps not, looked at.
func (q *request) Lost()    { q.end(outcome{err: ErrUnknownOutcome}) }
func (q *request) Refused() { q.end(outcome{err: ErrUnavailable}) }
func (l *look) Lost()       { l.end(seen{err: ErrUnavailable}) }
func (l *look) Refused()    { l.end(seen{err: ErrUnavailable}) }

// end answers, unless that was done.
func (q *request) end(o outcome) {
	select {
	case q.answer <- o:
	default:
	}
}

func (l *look) end(s seen) {
	select {
	case l.answer <- s:
	default:
	}
}

// host is the actor: one life of it. The fields belong to its goroutine; what blocks runs
// beside it, one of each kind at most, and comes back as a step.
type host struct {
	reign  *reign
	cfg    Config
	ctx    context.Context // ends with this life
	cancel context.CancelFunc
	timer  Timer

	j       *jobs.Jobs // nil until the documents are read
	early   []any      // requests that came before
	number  uint64
	pending map[uint64]*request

	saves  []jobs.Save
	saving bool
	calls  []mesos.CallBody
	making bool // calls
	stream Stream
	// attempt counts the subscriptions that were begun.
	attempt uint64
	broken  bool // the registry or the documents do not let it go on
}

// Receive has one case for each thing that can happen to the actor.
func (h *host) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		h.begin(ctx)
	case *actors.Batch:
		h.turn(m.Messages)
		if h.broken {
			ctx.Stop(ctx.Self())
		}
	case *actor.Restarting, *actor.Stopping:
		h.end()
	}
}

func (h *host) begin(ctx actor.Context) {
	r := h.reign
	h.ctx, h.cancel = context.WithCancel(r.ctx)
	h.pending = map[uint64]*request{}
	h.timer = h.cfg.Timer(func() { _ = r.send(wakeUp{}) })
	r.mu.Lock()
	r.system, r.pid = ctx.ActorSystem(), ctx.Self()
	r.mu.Unlock()
	go func() {
		select {
		case r.slot <- struct{}{}: // the life before saves nothing any more
		case <-h.ctx.Done():
			return
		}
		documents := r.documents()
		<-r.slot
		h.tell(func(h *host) { h.load(documents) })
	}()
}

// tell has the actor do something, if it still is this life.
func (h *host) tell(do func(h *host)) { _ = h.reign.send(step{h, do}) }

func (h *host) load(documents []mesos.Document) {
	j, err := jobs.New(h.cfg.Jobs, h.reign.now(), slices.Values(documents))
	if err != nil {
		h.cfg.Logger.Error("jobs cannot be read", "err", err)
		h.broken = true
		return
	}
	h.j = j
	h.reign.handle.current.Store(h.reign)
	h.subscribe(j.Roles())
	for _, m := range h.early {
		h.handle(m)
	}
	h.early = nil
}

func (h *host) end() {
	if h.cancel == nil {
		return
	}
	h.cancel()
	h.timer.Stop()
	if h.stream != nil {
		h.stream.Close()
	}
	for _, q := range h.pending {
		q.Lost()
	}
	h.pending = nil
	for _, m := range h.early {
		m.(actors.Refusable).Refused()
	}
	h.early = nil
}

func (h *host) turn(items []actors.Item) {
	for _, item := range items {
		switch m := item.Message.(type) {
		case step:
			if m.life == h {
				m.do(h)
			}
		default:
			h.handle(m)
		}
	}
	if h.j == nil {
		return
	}
	h.j.Tick(h.reign.now())
	h.carryOut(h.j.Output())
	if at, ok := h.j.Next(); ok {
		h.timer.Reset(max(0, at-h.reign.now()))
	} else {
		h.timer.Stop()
	}
}

func (h *host) handle(message any) {
	switch m := message.(type) {
	case *request:
		if h.j == nil {
			h.early = append(h.early, m)
			return
		}
		h.number++
		h.pending[h.number] = m
		m.do(h.j, h.reign.now(), h.number)
	case *look:
		if h.j == nil {
			h.early = append(h.early, m)
			return
		}
		h.j.Agents(m.agents)
		m.end(seen{list: h.statuses(m.name)})
	}
}

func (h *host) statuses(name string) []jobs.Status {
	names := []string{name}
	if name == "" {
		names = h.j.Names()
	}
	list := make([]jobs.Status, 0, len(names))
	for _, n := range names {
		if s, ok := h.j.Status(n); ok {
			list = append(list, s)
		}
	}
	return list
}

func (h *host) carryOut(out jobs.Output) {
	h.saves = append(h.saves, out.Save...)
	h.save()
	h.calls = append(h.calls, out.Calls...)
	if out.Roles != nil {
		h.subscribe(out.Roles)
	}
	h.call()
	for _, a := range out.Answers {
		if q := h.pending[a.Request]; q != nil {
			delete(h.pending, a.Request)
			q.end(outcome{a.Version, errorOf(a)})
		}
	}
	if len(out.Changed) > 0 {
		h.reign.handle.signal()
	}
}

func errorOf(a jobs.Answer) error {
	kinds := map[jobs.Code]error{jobs.NotFound: ErrNotFound, jobs.Conflict: ErrConflict, jobs.Invalid: ErrInvalid, jobs.Refused: ErrFull}
	if kind := kinds[a.Code]; kind != nil {
		return &refusal{kind, a.Text}
	}
	return nil
}
