package jobs

import (
	"time"

	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// maxBatch is how many documents are saved, and how many calls are made, with one wait.
const maxBatch = 1000

// save has the next documents saved, if none are being saved. It is not given up with this
// life of the actor: the next one has to know what came out.
func (h *host) save() {
	if h.saving || len(h.saves) == 0 {
		return
	}
	n := min(len(h.saves), maxBatch)
	batch := h.saves[:n:n]
	h.saves = h.saves[n:]
	h.saving = true
	r := h.reign
	go func() {
		r.slot <- struct{}{}
		if h.ctx.Err() != nil { // it is for a life before: nobody waits for it
			<-r.slot
			return
		}
		operations := make([]mesos.RegistryOperation, n)
		for i := range batch {
			operations[i] = batch[i].Operation
		}
		answers, err := r.master.Operate(r.ctx, operations...)
		for i := range answers {
			if answers[i].Code == mesos.CallAccepted {
				r.note(operations[i])
			}
		}
		<-r.slot
		h.tell(func(h *host) { h.saved(batch, answers, err) })
	}()
}

func (h *host) saved(batch []jobs.Save, answers []mesos.Answer, err error) {
	h.saving = false
	if err != nil && !h.reign.master.SurelyNot(err) || err == nil && len(answers) != len(batch) {
		h.broken = true // nobody knows what the registry has
		return
	}
	for i, s := range batch {
		h.j.Saved(h.reign.now(), s.Number, err == nil && answers[i].Code == mesos.CallAccepted)
	}
}

// call makes the next calls, if none are being made. On a stream that is over they are
// refused, all of them.
func (h *host) call() {
	if h.making || len(h.calls) == 0 {
		return
	}
	if h.stream == nil {
		h.calls = nil
		return
	}
	n := min(len(h.calls), maxBatch)
	bodies := h.calls[:n:n]
	h.calls = h.calls[n:]
	h.making = true
	r, stream := h.reign, h.stream.Stream()
	go func() {
		calls := make([]mesos.Call, n)
		for i, b := range bodies {
			calls[i] = mesos.Call{Stream: stream, Framework: jobs.FrameworkID, Body: b}
		}
		answers, err := r.master.Calls(h.ctx, calls...)
		h.tell(func(h *host) {
			h.making = false
			for i, b := range bodies {
				if err != nil || i >= len(answers) || answers[i].Code != mesos.CallAccepted {
					h.j.Refused(h.reign.now(), b)
				}
			}
		})
	}()
}

// subscribe begins a stream in the place of the one of now, and reads it until it ends.
func (h *host) subscribe(roles []string) {
	if h.stream != nil {
		h.stream.Close()
	}
	h.stream, h.calls = nil, nil // what they were for is asked for again on the next one
	h.j.Disconnected(h.reign.now())
	r := h.reign
	h.attempt++
	attempt := h.attempt
	go func() {
		s, err := r.master.Subscribe(h.ctx, mesos.FrameworkInfo{ID: jobs.FrameworkID, Name: "jobs", Roles: roles, FailoverTimeout: mesos.MaxFailoverTimeout})
		if err != nil {
			h.again(attempt)
			return
		}
		h.tell(func(h *host) {
			if h.attempt != attempt {
				s.Close()
				return
			}
			h.stream = s
		})
		for {
			events, err := s.Next(h.ctx)
			if len(events) > 0 {
				taken := make(chan struct{})
				h.tell(func(h *host) {
					defer close(taken)
					for _, e := range events {
						if h.attempt == attempt {
							h.j.Event(r.now(), e)
						}
					}
				})
				select {
				case <-taken: // no more are read than the actor takes
				case <-h.ctx.Done():
				}
			}
			if err != nil {
				s.Close()
				h.again(attempt)
				return
			}
		}
	}()
}

// again subscribes a little later, unless another attempt was made meanwhile.
func (h *host) again(attempt uint64) {
	h.tell(func(h *host) {
		if h.attempt == attempt {
			h.stream, h.calls = nil, nil
			h.j.Disconnected(h.reign.now())
		}
	})
	t := time.NewTimer(h.cfg.SubscribeAgain)
	defer t.Stop()
	select {
	case <-t.C:
		h.tell(func(h *host) {
			if h.attempt == attempt {
				h.subscribe(h.j.Roles())
			}
		})
	case <-h.ctx.Done():
	}
}
