package replica

import "slices"

// request is the kept result of a command with a request id. It never changes.
type request struct {
	id    RequestID
	index uint64
	value []byte
}

// requests are the results kept for clients without a session.
type requests struct {
	limits Limits
	byID   map[RequestID]*request
	queue  queue[*request] // the oldest id first
	bytes  int64
	// floor is the highest time of an id that was dropped because of a bound.
	// What is not kept and not above it may have run.
	floor int64
}

func newRequests(l Limits) *requests {
	return &requests{limits: l, byID: make(map[RequestID]*request), floor: -1, queue: queue[*request]{
		less: func(a, b *request) bool { return a.id.Compare(b.id) < 0 },
	}}
}

// oldest is the earliest time whose ids are all still kept, but for the floor.
func (t *requests) oldest(now int64) int64 { return now - t.limits.RequestRetention.Milliseconds() }

// expire forgets the ids from before the retention. Log time never goes back,
// so admit refuses them from now on.
func (t *requests) expire(now int64) {
	for t.queue.len() > 0 && t.queue.items[0].id.Time() < t.oldest(now) {
		t.drop()
	}
}

func (t *requests) drop() *request {
	r := t.queue.remove(0)
	delete(t.byID, r.id)
	t.bytes -= replyCost(r.value)
	return r
}

// admit decides about a command before it runs, as [sessions.admit] does.
func (t *requests) admit(id RequestID, now int64) (*request, Code) {
	if r := t.byID[id]; r != nil {
		return r, CodeDuplicate
	}
	at := id.Time()
	if at <= t.floor || at < t.oldest(now) {
		return nil, CodeRequestExpired
	}
	if at > now+t.limits.RequestSkew.Milliseconds() {
		return nil, CodeRequestFuture
	}
	return nil, CodeApplied
}

// keep remembers the result of an admitted command and makes room for it by
// dropping the oldest ids.
func (t *requests) keep(id RequestID, index uint64, value []byte) {
	t.add(&request{id: id, index: index, value: value})
	for t.queue.len() > t.limits.Requests || t.bytes > t.limits.RequestBytes {
		t.floor = max(t.floor, t.drop().id.Time())
	}
}

func (t *requests) add(r *request) {
	t.byID[r.id] = r
	t.queue.push(r)
	t.bytes += replyCost(r.value)
}

// picture returns all kept results as they are now, in no order.
func (t *requests) picture() []*request { return slices.Clone(t.queue.items) }
