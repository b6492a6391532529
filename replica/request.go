package replica

import (
	"cmp"
	"slices"
)

// request is the kept result of a command with a request id. It never changes.
type request struct {
	id    RequestID
	index uint64
	value []byte
	until int64 // log time after which it need not be kept
}

// requests are the results kept for clients without a session.
//
// How long one is kept is measured in log time since its command ran. The time
// in an id is its client's, and is never compared with log time to decide what
// runs: it only tells ids that are kept or new from those that are forgotten.
type requests struct {
	limits Limits
	byID   map[RequestID]*request
	queue  queue[*request] // the first to be forgotten first
	bytes  int64
	// forgotten are the times of the ids that are no longer kept.
	forgotten spans
}

func newRequests(l Limits) *requests {
	return &requests{limits: l, byID: make(map[RequestID]*request), queue: queue[*request]{
		less: func(a, b *request) bool { return cmp.Or(cmp.Compare(a.until, b.until), a.id.Compare(b.id)) < 0 },
	}}
}

// expire forgets the ids whose time is over.
func (t *requests) expire(now int64) {
	for t.queue.len() > 0 && t.queue.items[0].until < now {
		t.forget()
	}
}

func (t *requests) forget() {
	r := t.queue.remove(0)
	delete(t.byID, r.id)
	t.bytes -= replyCost(r.value)
	t.forgotten.add(r.id.Time())
}

// admit decides about a command before it runs, as [sessions.admit] does.
func (t *requests) admit(id RequestID) (*request, Code) {
	if r := t.byID[id]; r != nil {
		return r, CodeDuplicate
	}
	if t.forgotten.has(id.Time()) {
		return nil, CodeRequestExpired
	}
	return nil, CodeApplied
}

// keep remembers the result of an admitted command, and makes room for it by
// forgetting those that come first. An id ahead of log time is kept longer: when
// it is forgotten its time must lie as far back as that of others, or new ids of
// other clients would run into its span.
func (t *requests) keep(id RequestID, index uint64, value []byte, now int64) {
	ahead := min(max(id.Time()-now, 0), t.limits.RequestSkew.Milliseconds())
	t.add(&request{id: id, index: index, value: value, until: now + ahead + t.limits.RequestRetention.Milliseconds()})
	for t.queue.len() > t.limits.Requests || t.bytes > t.limits.RequestBytes {
		t.forget()
	}
}

func (t *requests) add(r *request) {
	t.byID[r.id] = r
	t.queue.push(r)
	t.bytes += replyCost(r.value)
}

// picture returns all kept results as they are now, in no order.
func (t *requests) picture() []*request { return slices.Clone(t.queue.items) }
