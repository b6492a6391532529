package mesos

import (
	"slices"
	"time"
)

// Start starts all children in order.
func (s *Supervisor) Start(now time.Duration) SupervisorOutput {
	s.begin(now)
	if s.phase == supervisorIdle {
		s.phase = supervisorUp
		for _, c := range s.children {
			s.start(c, originFirst)
		}
	}
	return s.advance()
}

// Stop stops all children in the reverse order, each when the one after it is down.
func (s *Supervisor) Stop(now time.Duration) SupervisorOutput {
	s.begin(now)
	if s.phase < supervisorEnding {
		s.phase, s.end = supervisorEnding, EndStopped
	}
	return s.advance()
}

// Tick lets time pass: it is to be called when Next says so.
func (s *Supervisor) Tick(now time.Duration) SupervisorOutput {
	s.begin(now)
	return s.advance()
}

// Exited tells that a run of a child is over. What was told before, or is about an earlier
// run, changes nothing.
func (s *Supervisor) Exited(now time.Duration, id string, run uint64, reason ExitReason) SupervisorOutput {
	s.begin(now)
	if i := s.find(id); i >= 0 && s.children[i].run == run && s.children[i].state >= ChildRunning {
		s.exited(i, reason)
	}
	return s.advance()
}

// AddChild adds a child at the end of the start order and starts it, or lets it be started
// with the others.
func (s *Supervisor) AddChild(now time.Duration, spec ChildSpec) (SupervisorOutput, error) {
	s.begin(now)
	if s.phase >= supervisorEnding {
		return s.advance(), ErrSupervisorEnding
	}
	if err := s.enter(spec); err != nil {
		return s.advance(), err
	}
	if s.phase == supervisorUp && !s.group.active {
		s.start(s.children[len(s.children)-1], originAdded)
	}
	return s.advance(), nil
}

// StopChild stops a child. It stays down until RestartChild, or until it is restarted
// with others; a temporary one is forgotten.
func (s *Supervisor) StopChild(now time.Duration, id string) (SupervisorOutput, error) {
	s.begin(now)
	i := s.find(id)
	if i < 0 {
		return s.advance(), ErrNoChild
	}
	c := s.children[i]
	c.held = s.group.active && i >= s.group.from
	switch {
	case c.state == ChildWaiting:
		c.state = ChildDown
	case c.state == ChildRunning && !c.held && s.phase == supervisorUp:
		s.stop(c)
	}
	if c.state == ChildDown && c.spec.Restart == Temporary {
		s.forget(i)
	}
	return s.advance(), nil
}

// RestartChild starts a child that is down and does not wait for its restart.
func (s *Supervisor) RestartChild(now time.Duration, id string) (SupervisorOutput, error) {
	s.begin(now)
	i := s.find(id)
	switch {
	case i < 0:
		return s.advance(), ErrNoChild
	case s.phase != supervisorUp:
		return s.advance(), ErrSupervisorEnding
	case s.group.active && i >= s.group.from:
		s.children[i].held = false
	case s.children[i].state != ChildDown:
		return s.advance(), ErrChildRuns
	default:
		s.start(s.children[i], originByHand)
	}
	return s.advance(), nil
}

// DeleteChild forgets a child that is down and does not wait for its restart.
func (s *Supervisor) DeleteChild(id string) error {
	i := s.find(id)
	if i < 0 {
		return ErrNoChild
	}
	if s.children[i].state != ChildDown || s.group.active && i >= s.group.from && !s.children[i].held {
		return ErrChildRuns
	}
	s.forget(i)
	return nil
}

// Next says when Tick is to be called, unless something else happens before.
func (s *Supervisor) Next() (at time.Duration, ok bool) {
	sooner := func(t time.Duration) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	groupDown := s.group.active && s.phase == supervisorUp
	for i, c := range s.children {
		if c.state == ChildWaiting || c.state == ChildStopping && c.at != Infinity {
			sooner(c.at)
		}
		groupDown = groupDown && (i < s.group.from || c.state == ChildDown)
	}
	if groupDown {
		sooner(s.group.at)
	}
	return at, ok
}

func (s *Supervisor) begin(now time.Duration) {
	s.now = max(s.now, now)
	s.out = SupervisorOutput{}
}

// advance does what has become possible or due, and returns the output of the step.
func (s *Supervisor) advance() SupervisorOutput {
	for _, c := range s.children {
		switch {
		case c.state == ChildStopping && c.at <= s.now && c.at != Infinity:
			s.kill(c)
		case c.state == ChildWaiting && s.phase == supervisorEnding:
			c.state = ChildDown
		case c.state == ChildWaiting && c.at <= s.now:
			s.start(c, originRestart)
		}
	}
	switch {
	case s.phase == supervisorEnding:
		if s.stopDownTo(0) {
			s.phase, s.out.End = supervisorEnded, s.end
		}
	case s.phase == supervisorUp && s.group.active:
		if s.stopDownTo(s.group.from) && s.group.at <= s.now {
			s.startGroup()
		}
	}
	return s.out
}

// stopDownTo stops the children from the last one down to a place, one at a time, and
// reports whether all of them are down.
func (s *Supervisor) stopDownTo(from int) bool {
	for i := len(s.children) - 1; i >= from; i-- {
		switch c := s.children[i]; c.state {
		case ChildDown:
		case ChildRunning:
			s.stop(c)
			return false
		default:
			return false
		}
	}
	return true
}

func (s *Supervisor) startGroup() {
	s.group.active = false
	for _, c := range s.children[s.group.from:] {
		if !c.held {
			s.start(c, originRestart)
		}
		c.held = false
	}
}

// exited is about the present run of the child at a place.
func (s *Supervisor) exited(i int, reason ExitReason) {
	c := s.children[i]
	asked := c.state != ChildRunning || s.group.active && i >= s.group.from || s.phase == supervisorEnding
	c.state = ChildDown
	again := !asked && c.wantsRestart(reason)
	forget := c.spec.Restart == Temporary || reason == ExitNotStarted && c.origin == originAdded && !asked
	switch {
	case reason == ExitNotStarted && c.origin == originFirst && !asked:
		s.giveUp(EndNotStarted)
	case forget:
		s.forget(i)
	case again:
		s.restart(i)
	}
}

func (c *child) wantsRestart(reason ExitReason) bool {
	if reason == ExitNotStarted {
		return c.origin == originRestart
	}
	return c.spec.Restart == Permanent || c.spec.Restart == Transient && reason == ExitCrash
}

// restart counts a restart of the child at a place and begins it, or gives up.
func (s *Supervisor) restart(i int) {
	tooOld := func(at time.Duration) bool { return at < s.now-s.config.Period }
	s.restarts = append(slices.DeleteFunc(s.restarts, tooOld), s.now)
	if len(s.restarts) > max(s.config.Intensity, 0) {
		s.giveUp(EndIntensity)
		return
	}
	c := s.children[i]
	at := s.now + s.wait(c)
	switch {
	case s.config.Strategy == OneForOne:
		c.state, c.at = ChildWaiting, at
		return
	case s.config.Strategy == OneForAll:
		i = 0
	}
	if s.group.active { // and the child is before it: of those in it no exit gets here
		at = max(at, s.group.at)
	}
	s.group = restartGroup{active: true, from: i, at: at}
}

// wait is how long the restart of c is put off.
func (s *Supervisor) wait(c *child) time.Duration {
	b := s.config.Backoff
	if s.now-c.started >= b.Healthy {
		c.restart = 0
	}
	d := b.Initial
	for n := c.restart; n > 0 && d < b.Max; n-- {
		if d > b.Max/time.Duration(b.Factor) {
			d = b.Max
		} else {
			d *= time.Duration(b.Factor)
		}
		if d == b.Initial {
			break // a factor of 1, or nothing to multiply
		}
	}
	c.restart++
	if b.JitterPercent > 0 {
		if most := d / 100 * time.Duration(b.JitterPercent); most > 0 {
			d -= time.Duration(s.config.Rand.Int64N(int64(most) + 1))
		}
	}
	return d
}

func (s *Supervisor) giveUp(end End) {
	s.phase, s.end, s.out.GaveUp = supervisorEnding, end, true
}

// forget removes a child that is down.
func (s *Supervisor) forget(i int) {
	s.children = slices.Delete(s.children, i, i+1)
	if i < s.group.from {
		s.group.from--
	}
}

func (s *Supervisor) order(kind OrderKind, c *child) {
	s.out.Orders = append(s.out.Orders, SupervisorOrder{Kind: kind, Child: c.spec.ID, Run: c.run})
}

func (s *Supervisor) start(c *child, origin startOrigin) {
	s.runs++
	c.run, c.state, c.started, c.origin = s.runs, ChildRunning, s.now, origin
	s.order(OrderStart, c)
}

func (s *Supervisor) stop(c *child) {
	if c.spec.Shutdown == BrutalKill {
		s.kill(c)
		return
	}
	c.state, c.at = ChildStopping, Infinity
	if c.spec.Shutdown < Infinity-s.now {
		c.at = s.now + c.spec.Shutdown
	}
	s.order(OrderStop, c)
}

func (s *Supervisor) kill(c *child) {
	c.state = ChildKilling
	s.order(OrderKill, c)
}
