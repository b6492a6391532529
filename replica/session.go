package replica

import (
	"cmp"
	"slices"
)

// reply is what a command of a session ended with.
type reply struct {
	done  bool // false: the sequence number has not been seen yet
	index uint64
	value []byte
}

// replyOverhead is counted for each kept result on top of its bytes, so that
// empty results are bounded too.
const replyOverhead = 64

func replyCost(value []byte) int64 { return int64(len(value)) + replyOverhead }

// session is what is remembered of one client. A session whose epoch is not the
// table's belongs to a snapshot as well and must be cloned before it changes.
type session struct {
	id      uint64
	timeout int64 // milliseconds
	active  int64 // log time of the last command
	// floor is the lowest sequence number that is not acknowledged.
	floor uint64
	// replies[i] belongs to sequence number floor+i.
	replies []reply
	bytes   int64 // the cost of replies
	epoch   uint64
}

func (s *session) deadline() int64 { return s.active + s.timeout }

// place is a session in the expiry queue.
type place struct {
	*session
	// due is the deadline as of when the place was last moved. The true one
	// may be later, never earlier, so that a command need not touch the queue.
	due int64
	pos int
}

// sessions are all sessions of a group.
type sessions struct {
	limits Limits
	byID   map[uint64]*place
	queue  queue[*place] // the earliest due first
	bytes  int64         // the cost of all replies
	epoch  uint64
}

func newSessions(l Limits) *sessions {
	return &sessions{limits: l, byID: make(map[uint64]*place), queue: queue[*place]{
		less:  func(a, b *place) bool { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.id, b.id)) < 0 },
		moved: func(p *place, i int) { p.pos = i },
	}}
}

// register opens a session at index, which becomes its id.
func (t *sessions) register(index uint64, now, timeout int64) Code {
	if len(t.byID) >= t.limits.Sessions {
		return CodeTooManySessions
	}
	if timeout == 0 {
		timeout = t.limits.SessionTimeout.Milliseconds()
	}
	timeout = min(timeout, t.limits.SessionTimeoutMax.Milliseconds())
	t.add(&session{id: index, timeout: timeout, active: now, floor: 1})
	return CodeApplied
}

func (t *sessions) add(s *session) {
	s.epoch = t.epoch
	p := &place{session: s, due: s.deadline()}
	t.byID[s.id] = p
	t.queue.push(p)
	t.bytes += s.bytes
}

func (t *sessions) remove(p *place) {
	delete(t.byID, p.id)
	t.queue.remove(p.pos)
	t.bytes -= p.bytes
}

// expire removes the sessions whose deadline log time has passed. Nothing but
// log time decides it, so all replicas agree (S3).
func (t *sessions) expire(now int64) {
	for t.queue.len() > 0 && t.queue.items[0].due < now {
		p := t.queue.items[0]
		if p.deadline() < now {
			t.remove(p)
			continue
		}
		p.due = p.deadline()
		t.queue.fix(0)
	}
}

// touch finds a session, notes that its client lives, and forgets the replies
// to all sequence numbers below ackedBelow. It returns nil if there is no such
// session.
func (t *sessions) touch(id uint64, now int64, ackedBelow uint64) *session {
	p := t.byID[id]
	if p == nil {
		return nil
	}
	if p.epoch != t.epoch {
		clone := *p.session
		clone.replies = slices.Clone(clone.replies)
		clone.epoch = t.epoch
		p.session = &clone
	}
	p.active = now
	if ackedBelow > p.floor {
		freed := p.acknowledge(ackedBelow)
		t.bytes -= freed
	}
	return p.session
}

// acknowledge raises the floor and returns the cost of the replies forgotten.
func (s *session) acknowledge(below uint64) (freed int64) {
	n := min(uint64(len(s.replies)), below-s.floor)
	for i := range s.replies[:n] {
		if s.replies[i].done {
			freed += replyCost(s.replies[i].value)
		}
		s.replies[i] = reply{}
	}
	s.replies = s.replies[n:]
	s.floor = below
	s.bytes -= freed
	return freed
}

// admit decides about a command before it runs: CodeApplied means that it must
// run now and that keep must be called with its result; with CodeDuplicate the
// earlier reply is returned.
func (t *sessions) admit(s *session, sequence uint64) (reply, Code) {
	if sequence < s.floor {
		return reply{}, CodeAcknowledged
	}
	ahead := sequence - s.floor
	if ahead < uint64(len(s.replies)) && s.replies[ahead].done {
		return s.replies[ahead], CodeDuplicate
	}
	if ahead >= uint64(t.limits.SessionWindow) {
		return reply{}, CodeSessionWindow
	}
	if s.bytes >= t.limits.SessionBytes || t.bytes >= t.limits.ReplyBytes {
		return reply{}, CodeRepliesFull
	}
	return reply{}, CodeApplied
}

// keep remembers the result of an admitted command.
func (t *sessions) keep(s *session, sequence, index uint64, value []byte) {
	s.keep(sequence-s.floor, index, value)
	t.bytes += replyCost(value)
}

func (s *session) keep(ahead, index uint64, value []byte) {
	for uint64(len(s.replies)) <= ahead {
		s.replies = append(s.replies, reply{})
	}
	s.replies[ahead] = reply{done: true, index: index, value: value}
	s.bytes += replyCost(value)
}

func (t *sessions) close(id uint64) Code {
	p := t.byID[id]
	if p == nil {
		return CodeSessionExpired
	}
	t.remove(p)
	return CodeApplied
}

// picture returns all sessions as they are now, in no order. From here on each
// is cloned before it changes.
func (t *sessions) picture() []*session {
	all := make([]*session, 0, t.queue.len())
	for _, p := range t.queue.items {
		all = append(all, p.session)
	}
	t.epoch++
	return all
}
