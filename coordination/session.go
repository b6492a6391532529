package coordination

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
}
