package docker

import (
	"testing"
	"time"
)

// SetMaxAnswer bounds answers for one test.
func SetMaxAnswer(t testing.TB, bytes int) {
	was := maxAnswer
	maxAnswer = bytes
	t.Cleanup(func() { maxAnswer = was })
}

// SetConnectTimeout bounds how long an engine is waited for. It is for before an engine is open.
func SetConnectTimeout(t testing.TB, d time.Duration) {
	connect, info := connectTimeout, infoTimeout
	connectTimeout, infoTimeout = d, min(d, info)
	t.Cleanup(func() { connectTimeout, infoTimeout = connect, info })
}

// Waiting is how many containers are waited for.
func (e *Engine) Waiting() int {
	e.watch.mu.Lock()
	defer e.watch.mu.Unlock()
	return len(e.watch.waiting)
}
