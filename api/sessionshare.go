package api

import (
	"context"
	"slices"
	"time"

	"github.com/synod-go/synod/coordination"
)

const (
	// shareLeast is how many connections of sessions a node has in any case before it asks
	// one to go to another node.
	shareLeast = 500
	// shareEvery is between two looks at how many there should be, and at most a fourth of
	// what is too much is then asked to go: where it went shows in the next look.
	shareEvery, shareParts = time.Second, 4
	// shareRest is for how many looks nobody is asked after many have come.
	shareRest = 5
	// askAtOnce are asked and then none for askPause: a connection costs the new node and
	// the client a part of a millisecond, and nothing is in a hurry. After askMost comes the
	// next look, whether many have come meanwhile.
	askAtOnce, askPause, askMost = 15, 100 * time.Millisecond, 300
)

// keepShare asks sessions to go to other nodes while this one has more than its share of
// them: after other nodes were away theirs are here, and stay when those are back. It runs
// while there are many.
func (s *Server) keepShare() {
	defer s.sessions.shares.Done()
	defer func() { s.shareFailed(recover()) }()
	recent := influx{before: s.sessions.entered()}
	for s.sessions.crowded() {
		if !s.after(shareEvery) {
			return
		}
		if recent.high(s.sessions.entered()) {
			continue
		}
		share, err := s.sessionShare()
		if err != nil {
			s.config.Logger.Debug("share of the sessions not known", "reason", err)
			continue
		}
		for asked := range slices.Chunk(s.sessions.tooMany(share), askAtOnce) {
			for _, c := range asked {
				go c.askToMove()
			}
			if !s.after(askPause) {
				return
			}
		}
	}
}

// shareFailed looks after a panic of keepShare: the next enter may begin it again.
func (s *Server) shareFailed(reason any) {
	if reason == nil {
		return
	}
	s.config.Logger.Error("moving sessions failed", "reason", reason)
	s.sessions.mu.Lock()
	s.sessions.sharing = false
	s.sessions.mu.Unlock()
}

// influx tells when many connections have come of late: a node was lost then, which gossip may
// still hold for alive, and those who are left have enough to do.
type influx struct {
	before int // connections at the last look
	looks  int // that are to pass
}

func (i *influx) high(connections int) bool {
	if i.looks--; connections > i.before+i.before/20 {
		i.looks = shareRest
	}
	i.before, i.looks = connections, max(i.looks, 0)
	return i.looks > 0
}

// after waits; false: the server stops.
func (s *Server) after(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stopping:
		return false
	}
}

// sessionShare is how many sessions each node has that is there, if all have the same.
func (s *Server) sessionShare() (int, error) {
	lasting, end := s.untilShutdown(context.Background())
	defer end()
	ctx, cancel := context.WithTimeout(lasting, confirmTime)
	defer cancel()
	list, err := s.backend().Members(ctx)
	if err != nil {
		return 0, err
	}
	nodes, sessions := 0, 0
	for _, m := range list.Members {
		if takesSessions(m) {
			nodes++
		}
	}
	err = s.backend().View(ctx, ReadOptions{Level: Stale}, func(tree *coordination.Tree, _ uint64) { sessions = tree.Status().Sessions })
	return sessions / max(nodes, 1), err
}

// takesSessions reports whether a node is there and has the tree: one that is an acceptor
// alone has not.
func takesSessions(m MemberStatus) bool {
	return m.Role != "-" && m.Gossip == "alive" && !slices.Equal(m.PaxosRoles, []string{"acceptor"})
}

// askToMove asks the client to go on at another node and to leave this connection when it
// does.
func (c *sessionConn) askToMove() {
	defer func() { c.survived(recover()) }()
	if err := c.send([]byte(moveLine)); err != nil {
		c.slowly(err)
	}
}

// crowded reports whether there are many. If not, the next enter may begin keepShare again.
func (s *sessionConns) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sharing = len(s.all) >= shareLeast && !s.stopped
	return s.sharing
}

// entered is how many are connected.
func (s *sessionConns) entered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// tooMany returns some of those above the share and a twentieth, each only once: who stays
// has no other node, or has moved before.
func (s *sessionConns) tooMany(share int) (list []*sessionConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	above := len(s.all) - max(share+share/20, shareLeast)
	for c := range s.all { // in no order
		if len(list)*shareParts >= above || len(list) == askMost {
			break
		}
		if !c.asked {
			c.asked = true
			list = append(list, c)
		}
	}
	return list
}
