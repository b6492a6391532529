package coordination

import (
	"encoding/binary"
	"slices"
)

// SessionInfo is a session as the tree holds it. A session is a promise to a client:
// as long as it shows itself once in Timeout, its ephemeral nodes stay. Who shows
// itself is no matter of the log; the leader counts ([Tracker]) and says in the log
// only that a session is over.
type SessionInfo struct {
	// ID is the index of the operation that opened it.
	ID uint64
	// Timeout is how long it lives without a sign of life and Linger how long after its
	// connection was closed, in milliseconds. Linger is at most Timeout.
	Timeout, Linger int64
	// Opened is log time, in Unix milliseconds.
	Opened int64
	// Ephemerals is how many nodes it owns.
	Ephemerals int
	// Connection is the highest number of a connection that was confirmed to its client,
	// from the beginning 1. Unbound tells that a sign of life was confirmed that came without
	// one: the end of a connection then says less of the client.
	Connection uint64
	Unbound    bool
}

// Bounds of a session's times, in milliseconds. What is asked for is brought between
// them; a Timeout of 0 is DefaultTimeout and a Linger of 0 the Timeout.
const (
	MinTimeout     int64 = 1_000
	MaxTimeout     int64 = 3_600_000
	DefaultTimeout int64 = 10_000
	MinLinger      int64 = 500
)

// session is a session in the tree. All but paths stays as it is, and so pictures
// share it; one that is attached is replaced.
type session struct {
	id              uint64
	timeout, linger int64
	opened          int64
	key             SessionKey
	connection      uint64
	unbound         bool
	// paths are those of its ephemeral nodes, sorted. They follow from the nodes; no
	// picture looks at them.
	paths []string
}

func newSession(o *Operation, index uint64, now int64) *session {
	s := &session{id: index, timeout: o.Timeout, linger: o.Linger, opened: now, key: o.Caller.Key, connection: 1}
	if s.timeout == 0 {
		s.timeout = DefaultTimeout
	}
	s.timeout = min(max(s.timeout, MinTimeout), MaxTimeout)
	if s.linger == 0 {
		s.linger = s.timeout
	}
	s.linger = min(max(s.linger, MinLinger), s.timeout)
	return s
}

func (s *session) info() SessionInfo {
	return SessionInfo{ID: s.id, Timeout: s.timeout, Linger: s.linger, Opened: s.opened, Ephemerals: len(s.paths),
		Connection: s.connection, Unbound: s.unbound}
}

// digest is the session's share of the tree's; which nodes it owns is in theirs.
func (s *session) digest() uint64 {
	d := mix(s.id, uint64(s.timeout))
	d = mix(d, uint64(s.linger))
	d = mix(d, uint64(s.opened))
	d = mix(d, binary.BigEndian.Uint64(s.key[:8]))
	d = mix(d, binary.BigEndian.Uint64(s.key[8:]))
	return mix(mix(d, s.connection), bit(s.unbound))
}

func bit(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}

// attached returns the session after a sign of life over a connection, or with 0 without
// one: itself if that tells nothing new.
func (s *session) attached(connection uint64) *session {
	if connection != 0 && connection <= s.connection || connection == 0 && s.unbound {
		return s
	}
	n := *s
	n.connection, n.unbound = max(s.connection, connection), s.unbound || connection == 0
	return &n
}

// own notes that a node belongs to the session. A sequential node's path is mostly
// the last one.
func (s *session) own(path string) {
	i, _ := slices.BinarySearch(s.paths, path)
	s.paths = slices.Insert(s.paths, i, path)
}

// disown is the opposite of own; a session that is being ended owns nothing any more.
func (s *session) disown(path string) {
	if i, found := slices.BinarySearch(s.paths, path); found {
		s.paths = slices.Delete(s.paths, i, i+1)
	}
}

// sessions are all open sessions by id, in chunks of limited size as children are.
// Ids only grow: a new session is always the last.
type sessions struct {
	chunks []*sessionChunk // none is empty
	count  int
}

// sessionChunk belongs to a picture as well if its epoch is not the tree's.
type sessionChunk struct {
	sessions []*session
	epoch    uint64
}

const chunkSessions = 128

func (s *session) compare(id uint64) int {
	switch {
	case s.id < id:
		return -1
	case s.id > id:
		return 1
	default:
		return 0
	}
}

// find returns the place of the first session with at least the id: behind a chunk's
// last one if the next chunk begins with it.
func (t *sessions) find(id uint64) (i, j int, found bool) {
	i, found = slices.BinarySearchFunc(t.chunks, id, func(k *sessionChunk, id uint64) int { return k.sessions[0].compare(id) })
	if found || i == 0 {
		return i, 0, found
	}
	i--
	j, found = slices.BinarySearchFunc(t.chunks[i].sessions, id, (*session).compare)
	return i, j, found
}

// get returns nil if there is no such session.
func (t *sessions) get(id uint64) *session {
	if i, j, found := t.find(id); found {
		return t.chunks[i].sessions[j]
	}
	return nil
}

// newest is the highest id, 0 if there are no sessions.
func (t *sessions) newest() uint64 {
	if len(t.chunks) == 0 {
		return 0
	}
	last := t.chunks[len(t.chunks)-1].sessions
	return last[len(last)-1].id
}

// own makes a chunk fit to be changed.
func (t *sessions) own(i int, epoch uint64) *sessionChunk {
	if t.chunks[i].epoch != epoch {
		t.chunks[i] = &sessionChunk{sessions: slices.Clone(t.chunks[i].sessions), epoch: epoch}
	}
	return t.chunks[i]
}

// add takes a session with a higher id than all others.
func (t *sessions) add(s *session, epoch uint64) {
	t.count++
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last].sessions) == chunkSessions {
		t.chunks = append(t.chunks, &sessionChunk{epoch: epoch})
		last++
	}
	k := t.own(last, epoch)
	k.sessions = append(k.sessions, s)
}

// replace puts a session in the place of another one with its id.
func (t *sessions) replace(s *session, epoch uint64) {
	i, j, _ := t.find(s.id)
	t.own(i, epoch).sessions[j] = s
}

// remove takes out a session that is there. Chunks that have become small are joined.
func (t *sessions) remove(id uint64, epoch uint64) {
	t.count--
	i, j, _ := t.find(id)
	k := t.own(i, epoch)
	k.sessions = slices.Delete(k.sessions, j, j+1)
	if i > 0 && len(k.sessions)+len(t.chunks[i-1].sessions) <= chunkSessions/2 {
		before := t.own(i-1, epoch)
		before.sessions = append(before.sessions, k.sessions...)
		k.sessions = nil
	}
	if len(k.sessions) == 0 {
		t.chunks = slices.Delete(t.chunks, i, i+1)
	}
}

// from calls f for the sessions from the id on, in order, until f returns false.
func (t *sessions) from(id uint64, f func(*session) bool) {
	i, j, _ := t.find(id)
	for ; i < len(t.chunks); i, j = i+1, 0 {
		for _, s := range t.chunks[i].sessions[j:] {
			if !f(s) {
				return
			}
		}
	}
}

// picture returns sessions that do not change any more.
func (t *sessions) picture() sessions {
	return sessions{chunks: slices.Clone(t.chunks), count: t.count}
}

// Session returns an open session.
func (t *Tree) Session(id uint64) (SessionInfo, bool) {
	s := t.sessions.get(id)
	if s == nil {
		return SessionInfo{}, false
	}
	return s.info(), true
}

// HoldsKey reports whether the session is open and key its own.
func (t *Tree) HoldsKey(id uint64, key SessionKey) bool {
	s := t.sessions.get(id)
	return s != nil && s.key == key
}

// SessionsAfter returns at most limit sessions with a higher id, in order.
func (t *Tree) SessionsAfter(id uint64, limit int) []SessionInfo {
	var all []SessionInfo
	if id == most<<1|1 {
		return nil
	}
	t.sessions.from(id+1, func(s *session) bool {
		if len(all) >= limit {
			return false
		}
		all = append(all, s.info())
		return true
	})
	return all
}

// Ephemerals returns at most limit paths of nodes that the session owns, sorted.
func (t *Tree) Ephemerals(id uint64, limit int) []string {
	s := t.sessions.get(id)
	if s == nil {
		return nil
	}
	return slices.Clone(s.paths[:min(max(limit, 0), len(s.paths))])
}

// Epoch is the index of the last ClaimSessions, 0 before the first.
func (t *Tree) Epoch() uint64 { return t.claimed }
