package api

import (
	"math/rand/v2"
	"time"
)

// rest pauses between attempts to connect, longer with each, so that nodes that start, or
// have too much to do, are not run over.
func (s *Session) rest(failures int) {
	pause := min(10*time.Millisecond<<min(failures, 10), s.timeout/10, time.Second)
	s.pause(pause/2 + rand.N(pause+1))
}

func (s *Session) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// share is how long this session waits, by chance, when its connection has ended: with the
// node that is gone all its sessions look for another at the same moment, and what they want
// of the others must not stand in the way of an election. It costs a part only of the time that the
// session has: a fifth of its timeout beside the third between two signs of life, and a
// fourth of its linger, should the other side still be there. One whose node is only silent
// has waited already, and one that was sent away alone is not in anybody's way.
func (s *Session) share(link *sessionLink) time.Duration {
	select {
	case <-link.gone:
	default:
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if link.alone {
		return 0
	}
	spread := min(link.spread, s.timeout/5, s.linger/4)
	if spread <= 0 {
		return 0
	}
	return rand.N(spread)
}
