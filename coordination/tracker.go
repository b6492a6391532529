package coordination

import "time"

// Sign is what became of a sign of life.
type Sign uint8

const (
	// Alive: the session lives on, for its Timeout from the time of the sign.
	Alive Sign = 1
	// Moved: the session has been attached again since, by a connection with a higher
	// number. The sign counts for nothing; this connection must be closed.
	Moved Sign = 2
	// Over: there is no such session, or it is being expired.
	Over Sign = 3
)

// Tracker counts on the leader how long each session has been silent, and says which
// are to be expired. It is pure: times are of a monotonic clock of the caller's and
// never go back. What it knows is lost with the leadership, and every session then
// has its full timeout again.
type Tracker struct{}

// NewTracker begins a leadership: epoch is the index of its ClaimSessions, now the
// time at which that was seen to be applied, or later.
func NewTracker(epoch uint64, now time.Duration) *Tracker { return &Tracker{} }

// Add tells of a session that is in the tree; one that is known already is left alone.
func (t *Tracker) Add(s SessionInfo, now time.Duration) {}

// Remove tells that a session is over.
func (t *Tracker) Remove(id uint64) {}

// Touch notes a sign of life that arrived at the time now from the connection with the
// given number: one that was made later has a higher one. 0 is no connection: a sign that
// came by itself.
func (t *Tracker) Touch(id, connection uint64, now time.Duration) Sign { return Over }

// Gone notes that the connection was closed: the session ends after its Linger unless
// it shows itself.
func (t *Tracker) Gone(id, connection uint64, now time.Duration) {}

// Next is when Expire has something to do, if ok.
func (t *Tracker) Next() (at time.Duration, ok bool) { return 0, false }

// Expire returns at most limit sessions that are to be expired, which are Over from here
// on. A call that comes late by more than a second, because the process stood still or
// had no time, expires nothing and gives every session as much more time.
func (t *Tracker) Expire(now time.Duration, limit int) []uint64 { return nil }

// Keep takes back that a session is to be expired: its expiry was surely not done.
func (t *Tracker) Keep(id uint64, now time.Duration) {}
