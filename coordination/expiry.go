package coordination

// admit checks that the caller's session is open and theirs. The key is compared in the
// plain way: it is a hash, and how long a comparison takes tells nobody a password.
func (t *Tree) admit(caller *Caller) Code {
	if caller.Session == 0 {
		return CodeOK
	}
	s := t.sessions.get(caller.Session)
	switch {
	case s == nil:
		return CodeSession
	case s.key != caller.Key:
		return CodeSessionKey
	default:
		return CodeOK
	}
}

// sessionOperation carries out what has to do with sessions or time.
func (c *change) sessionOperation(o *Operation) Result {
	t := c.tree
	switch {
	case o.Kind == OpenSession:
		return c.openSession(o)
	case o.Kind == CloseSession:
		s := t.sessions.get(o.Caller.Session)
		if s == nil {
			return Result{Code: CodeSession} // without a session there is none to close
		}
		c.endSession(s)
		return Result{Nodes: c.changed}
	case o.Kind == ClaimSessions:
		t.claimed = c.index
		return Result{}
	case o.Epoch != t.claimed || o.Epoch == 0:
		return Result{Code: CodeEpoch}
	case o.Kind == ExpireSessions:
		return c.expireSessions(o)
	case o.Kind == AttachSessions:
		return c.attachSessions(o)
	default:
		return c.reap()
	}
}

func (c *change) openSession(o *Operation) Result {
	t := c.tree
	if t.sessions.count >= t.limits.Sessions {
		return Result{Code: CodeTooManySessions}
	}
	s := newSession(o, c.index, c.now)
	t.sessions.add(s, t.epoch)
	t.digest += s.digest()
	return Result{Session: s.info()}
}

func (c *change) attachSessions(o *Operation) Result {
	t := c.tree
	for i, id := range o.Sessions {
		s := t.sessions.get(id)
		if s == nil {
			continue
		}
		if n := s.attached(o.Connections[i]); n != s {
			t.sessions.replace(n, t.epoch)
			t.digest += n.digest() - s.digest()
		}
	}
	return Result{}
}

// expireSessions ends the first sessions named, as many as have no more nodes together
// than one operation may delete, but at least one.
func (c *change) expireSessions(o *Operation) Result {
	t := c.tree
	done, nodes := 0, 0
	for ; done < len(o.Sessions); done++ {
		s := t.sessions.get(o.Sessions[done])
		if s == nil {
			continue
		}
		if nodes += len(s.paths); nodes > t.limits.DeleteNodes && nodes > len(s.paths) {
			break
		}
		c.endSession(s)
	}
	return Result{Nodes: c.changed, Expired: done}
}

// endSession deletes the session and its nodes, by path.
func (c *change) endSession(s *session) {
	t := c.tree
	paths := s.paths
	s.paths = nil
	for _, path := range paths {
		c.remove(t.nodes[path])
	}
	t.sessions.remove(s.id, t.epoch)
	t.digest -= s.digest()
}

// reap deletes nodes whose time has come, the most overdue first.
func (c *change) reap() Result {
	t := c.tree
	for range t.limits.DeleteNodes {
		due := t.ttls.first()
		if due == nil || due.at > c.now {
			break
		}
		c.remove(t.nodes[due.path])
	}
	return Result{Nodes: c.changed}
}
