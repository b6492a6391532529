package cluster

import (
	"net"
	"os"
	"sync"
	"time"
)

// maxHeldBytes is what may wait on one connection before its writer waits too, as on a
// socket that nobody reads from.
const maxHeldBytes = 4 << 20

// faultyConn is a connection on which what passes waits for the faults of its address, each
// way and in order. One goroutine may read and one write at a time, besides Close.
type faultyConn struct {
	net.Conn
	faults *Faults
	addr   string
	close  sync.Once
	closed chan struct{}
	poke   chan struct{} // cap 1: the deadline of Read has changed
	room   chan struct{} // cap 1: something that waited has left

	// What has been read and waits for its time. Of Read alone.
	in     []byte
	inErr  error
	inTime time.Time

	mu       sync.Mutex
	readBy   time.Time // the deadline of Read; zero for none
	out      []heldBytes
	outBytes int
	leaving  bool // a goroutine sends out
	outErr   error
}

// heldBytes were written at a time and have not left.
type heldBytes struct {
	data []byte
	came time.Time
}

// Read returns what has come once it may pass.
func (c *faultyConn) Read(p []byte) (int, error) {
	if len(c.in) == 0 && c.inErr == nil {
		n, err := c.Conn.Read(p)
		if fault, _ := c.faults.of(c.addr); fault == (Fault{}) {
			return n, err
		}
		if os.IsTimeout(err) {
			return n, err
		}
		c.in, c.inErr, c.inTime = append(c.in, p[:n]...), err, time.Now()
	}
	if err := c.mayRead(); err != nil {
		return 0, err
	}
	n := copy(p, c.in)
	if c.in = c.in[n:]; len(c.in) > 0 || n > 0 && c.inErr == nil {
		return n, nil
	}
	err := c.inErr
	c.inErr = nil
	return n, err
}

// mayRead waits until what has been read may pass.
func (c *faultyConn) mayRead() error {
	for {
		c.mu.Lock()
		by := c.readBy
		c.mu.Unlock()
		stop := (<-chan struct{})(c.closed)
		if !by.IsZero() {
			if !time.Now().Before(by) {
				return os.ErrDeadlineExceeded
			}
			timer := time.AfterFunc(time.Until(by), c.wakeRead)
			defer timer.Stop()
		}
		if c.faults.pass(c.addr, c.inTime, stop, c.poke) {
			return nil
		}
		select {
		case <-c.closed:
			return net.ErrClosed
		default: // poked: the deadline is another one, or over
		}
	}
}

func (c *faultyConn) wakeRead() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// Write sends p at once if nothing holds it, or else lets it wait for its time.
func (c *faultyConn) Write(p []byte) (int, error) {
	for {
		fault, _ := c.faults.of(c.addr)
		c.mu.Lock()
		switch {
		case c.outErr != nil:
			defer c.mu.Unlock()
			return 0, c.outErr
		case fault == (Fault{}) && !c.leaving:
			c.mu.Unlock()
			return c.Conn.Write(p)
		case c.outBytes < maxHeldBytes:
			c.out = append(c.out, heldBytes{append([]byte(nil), p...), time.Now()})
			c.outBytes += len(p)
			if !c.leaving {
				c.leaving = true
				go c.leave()
			}
			c.mu.Unlock()
			return len(p), nil
		}
		c.mu.Unlock()
		select {
		case <-c.room:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
}

// leave sends what waits, in order, until nothing does.
func (c *faultyConn) leave() {
	for {
		c.mu.Lock()
		if len(c.out) == 0 {
			c.leaving = false
			c.mu.Unlock()
			return
		}
		next := c.out[0]
		c.mu.Unlock()
		err := error(net.ErrClosed)
		if c.faults.pass(c.addr, next.came, c.closed, nil) {
			_ = c.Conn.SetWriteDeadline(time.Time{}) // that of a Write that has returned
			_, err = c.Conn.Write(next.data)
		}
		c.mu.Lock()
		c.out, c.outBytes, c.outErr = c.out[1:], c.outBytes-len(next.data), err
		c.mu.Unlock()
		select {
		case c.room <- struct{}{}:
		default:
		}
		if err != nil {
			_ = c.Close()
			return
		}
	}
}

// SetReadDeadline also ends a Read that waits for its time.
func (c *faultyConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.readBy = t
	c.mu.Unlock()
	c.wakeRead()
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline is both deadlines.
func (c *faultyConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// Close also ends what waits.
func (c *faultyConn) Close() error {
	c.close.Do(func() {
		close(c.closed)
		c.faults.mu.Lock()
		delete(c.faults.conns, c)
		c.faults.mu.Unlock()
	})
	return c.Conn.Close()
}
