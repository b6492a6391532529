package process

import "syscall"

// A conn is one connection of an agent.
type conn struct {
	fd    int // -1: closed
	got   []byte
	waits bool // for the exit
}

func (c *conn) close() {
	syscall.Close(c.fd)
	c.fd = -1
}

func (s *shim) accept() {
	fd, _, err := syscall.Accept4(s.listener, syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK)
	if err != nil {
		return
	}
	c := &conn{fd: fd}
	if len(s.conns) >= maxConns {
		s.refuse(c, "too many connections")
		c.close()
		return
	}
	s.conns = append(s.conns, c)
}

// read takes what has come and answers the messages that are whole.
func (s *shim) read(c *conn) {
	n, err := syscall.Read(c.fd, s.input[:])
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return
	case err != nil || n <= 0:
		c.close()
		return
	}
	c.got = append(c.got, s.input[:n]...)
	for c.fd >= 0 && len(c.got) >= HeaderBytes {
		kind, length, err := Header(c.got)
		if err != nil {
			s.refuse(c, err.Error())
			c.close()
			return
		}
		if len(c.got) < HeaderBytes+length {
			return
		}
		r, err := Decode(c.got[HeaderBytes : HeaderBytes+length])
		c.got = append([]byte(nil), c.got[HeaderBytes+length:]...)
		if err != nil {
			s.refuse(c, err.Error())
			continue
		}
		s.answer(c, kind, r)
	}
}

func (s *shim) answer(c *conn, kind byte, r Record) {
	empty := Record{Kind: "done"}
	switch kind {
	case MessageState:
		s.reply(c, kind, s.state.Record("state"))
	case MessageWait:
		if !s.gone {
			c.waits = true
			return
		}
		s.reply(c, kind, s.exit.Record())
	case MessageSignal:
		number := r.Int("signal")
		if number <= 0 || number > 64 {
			s.refuse(c, "no such signal")
			return
		}
		if err := s.signal(syscall.Signal(number)); err != nil {
			s.refuse(c, err.Error())
			return
		}
		s.reply(c, kind, empty)
	case MessageKill:
		s.kill(r.Int("grace"))
		s.reply(c, kind, empty)
	case MessageAcknowledge:
		if !s.gone {
			s.refuse(c, "the task has not ended")
			return
		}
		s.acknowledged = true
		syscall.Unlink(Socket)
		s.reply(c, kind, empty)
	default:
		s.refuse(c, "a message that this shim does not know")
	}
}

func (s *shim) refuse(c *conn, problem string) {
	r := Record{Kind: "error"}
	r.Add("problem", problem)
	s.reply(c, MessageError, r)
}

// reply drops a connection that does not take its answers.
func (s *shim) reply(c *conn, kind byte, r Record) {
	if c.fd < 0 {
		return
	}
	if writeAll(c.fd, Frame(kind, r)) != nil {
		c.close()
	}
}
