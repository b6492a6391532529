package process

import "syscall"

const (
	// maxConns bounds how many connections there are at a time.
	maxConns = 32
	// After so long what failed is tried again: killing, doubled up to the longer time,
	// and writing to a full disk.
	killAgain  = int64(50e6)
	writeAgain = int64(1e9)
	// A task whose lifeline has closed has so long from SIGTERM to SIGKILL, and the shim stays so long after its end.
	abandonedGrace = int64(1e9)
)

// serve is the shim's life after the start.
func (s *shim) serve() {
	var fds []pollFD
	for !s.done() {
		s.act()
		if s.done() {
			break
		}
		fds = s.pollFDs(fds[:0])
		poll(fds, s.deadline())
		s.take(fds)
	}
	syscall.Unlink(Socket)
	RemoveCgroups(s.group.dirs) // those that were busy before: see KillAll
}

func (s *shim) done() bool {
	return s.gone && (s.acknowledged || s.leaveAt != 0 && clock(clockMonotonic) >= s.leaveAt)
}

// deadline is when there is something to do though nothing happens; 0: never.
func (s *shim) deadline() int64 {
	var next int64
	for _, at := range []int64{s.killAt, s.retryAt, s.leaveAt} {
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

func (s *shim) pollFDs(fds []pollFD) []pollFD {
	fds = append(fds, pollFD{fd: int32(s.listener), events: pollIn})
	fds = append(fds, pollFD{fd: int32(s.reaped), events: pollIn})
	fds = append(fds, pollFD{fd: int32(s.lifeline), events: pollIn}) // -1 is passed over, as of logs
	for _, l := range s.logs {
		fds = append(fds, pollFD{fd: int32(l.read), events: pollIn})
	}
	for _, c := range s.conns {
		fds = append(fds, pollFD{fd: int32(c.fd), events: pollIn})
	}
	return fds
}

// take does what poll has found, in the order of pollFDs.
func (s *shim) take(fds []pollFD) {
	for i, c := range s.conns {
		if fds[5+i].revents != 0 {
			s.read(c)
		}
	}
	for i, l := range s.logs {
		if fds[3+i].revents != 0 {
			l.drain(s.buffer)
		}
	}
	if fds[1].revents != 0 {
		s.onEvent(s.nextEvent())
	}
	if fds[2].revents != 0 {
		s.onLifeline()
	}
	kept := s.conns[:0]
	for _, c := range s.conns {
		if c.fd >= 0 {
			kept = append(kept, c)
		}
	}
	clear(s.conns[len(kept):])
	s.conns = kept
	if fds[0].revents != 0 {
		s.accept()
	}
}

// act does what is due.
func (s *shim) act() {
	now := clock(clockMonotonic)
	if s.killAt != 0 && now >= s.killAt {
		s.killAll()
		s.killWait = min(max(2*s.killWait, killAgain), writeAgain)
		s.killAt = now + s.killWait
	}
	if s.retryAt == 0 && (s.unsaved || s.gone && !s.written) {
		s.retryAt = now + writeAgain
	}
	if s.retryAt != 0 && now >= s.retryAt {
		s.retryAt = 0
		if s.unsaved && !s.gone {
			s.saveState()
		}
		if s.gone && !s.written {
			s.writeExit()
		}
	}
}

// onEvent takes what the goroutine that waits for children tells.
func (s *shim) onEvent(e event) {
	switch {
	case e.pid == 0:
		s.onAllGone()
	case e.pid == s.state.Task.PID && !s.ended:
		s.onTaskEnd(e)
	}
}

// onTaskEnd notes how the task ended. What it left behind is killed: at once, or, if the
// task was being killed, when its grace is over, since what it left may be ending too.
func (s *shim) onTaskEnd(e event) {
	s.ended = true
	s.exit = Exit{UnixNanos: clock(clockRealtime), Killed: s.killing, MaxRSSBytes: e.usage.Maxrss << 10,
		UserNanos: e.usage.Utime.Nano(), SystemNanos: e.usage.Stime.Nano()}
	if e.status.Signaled() {
		s.exit.Signal = int(e.status.Signal())
	} else {
		s.exit.Code = e.status.ExitStatus()
	}
	if s.killAt == 0 {
		s.killAt = clock(clockMonotonic)
	}
}

func (s *shim) onAllGone() {
	if !s.ended {
		panic("shim: no child is left and the task has not ended")
	}
	syscall.Close(s.reaped)
	s.reaped, s.killAt, s.gone, s.unsaved = -1, 0, true, false
	for _, l := range s.logs {
		l.finish(s.buffer)
		s.exit.LogBytesLost += l.lost
	}
	s.exit.OOMKills = s.group.oomKills()
	fail("exit")
	s.writeExit()
	fail("wait")
	RemoveCgroups(s.group.dirs)
	s.leaveAt = clock(clockMonotonic) + s.spec.LingerNanos
	if s.abandoned {
		s.leaveAt = clock(clockMonotonic) + min(abandonedGrace, s.spec.LingerNanos)
	}
	for _, c := range s.conns {
		if c.waits {
			s.reply(c, MessageWait, s.exit.Record())
		}
	}
}

func (s *shim) writeExit() {
	s.written = writeRecord(ExitFile, s.exit.Record(), true) == nil
}

// onLifeline ends the task, and soon the shim, once the lifeline has closed. Nobody writes on it.
func (s *shim) onLifeline() {
	n, err := syscall.Read(s.lifeline, s.input[:])
	if n > 0 || err == syscall.EINTR || err == syscall.EAGAIN {
		return
	}
	syscall.Close(s.lifeline)
	s.lifeline, s.abandoned = -1, true
	if s.gone {
		s.leaveAt = min(s.leaveAt, clock(clockMonotonic)+abandonedGrace)
	}
	s.kill(abandonedGrace)
}

// kill begins to end the task: a later one can shorten the grace, not lengthen it. SIGTERM is sent once, as kills are repeated
// until the task has ended, and to many programs a second one says at once.
func (s *shim) kill(grace int64) {
	if s.gone {
		return
	}
	again := s.killing
	s.killing = true
	at := clock(clockMonotonic) + max(grace, 0)
	if s.killAt == 0 || at < s.killAt {
		s.killAt = at
	}
	if grace > 0 && !again {
		_ = s.signal(syscall.SIGTERM) // it may have ended; what is left is killed later
	}
}

// signal goes to the task's process group.
func (s *shim) signal(signal syscall.Signal) error {
	if s.ended {
		return syscall.ESRCH
	}
	err := syscall.Kill(-s.state.Task.PID, signal)
	if err == syscall.ESRCH { // it has made itself another group
		err = syscall.Kill(s.state.Task.PID, signal)
	}
	return err
}

// killAll kills all that descends from the task: its orphans are the shim's children.
func (s *shim) killAll() {
	KillCgroups(s.group.dirs)
	self := syscall.Getpid()
	KillAll(func(all []Stat) []Process {
		return append(Descendants(all, self), Members(s.group.dirs)...)
	})
}
