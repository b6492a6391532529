package cluster

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBytes is what a pipe holds before its writer waits.
const pipeBytes = 256 << 10

// pipe is one direction of a memory connection.
type pipe struct {
	mu           sync.Mutex
	moved        sync.Cond // anything below changed
	chunks       []chunk   // under way, oldest first
	size         int       // bytes in chunks
	cut          bool      // nothing arrives, not even the end
	writerClosed bool
	readerClosed bool

	reading, writing deadline
}

type chunk struct {
	data  []byte
	ready time.Time // arrives then; zero: at once
}

func newPipe() *pipe {
	p := new(pipe)
	p.moved.L = &p.mu
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.readerClosed:
			return 0, net.ErrClosed
		case p.reading.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case p.arrived():
			return p.take(b), nil
		case p.writerClosed && len(p.chunks) == 0 && !p.cut:
			return 0, io.EOF
		}
		p.moved.Wait()
	}
}

func (p *pipe) arrived() bool {
	return !p.cut && len(p.chunks) > 0 && !time.Now().Before(p.chunks[0].ready)
}

func (p *pipe) take(b []byte) int {
	n := 0
	for n < len(b) && p.arrived() {
		first := &p.chunks[0]
		k := copy(b[n:], first.data)
		n += k
		if first.data = first.data[k:]; len(first.data) == 0 {
			p.chunks[0] = chunk{}
			p.chunks = p.chunks[1:]
		}
	}
	p.size -= n
	p.moved.Broadcast()
	return n
}

func (p *pipe) write(b []byte, delay time.Duration) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for {
		switch {
		case p.writerClosed:
			return n, net.ErrClosed
		case p.writing.passed():
			return n, os.ErrDeadlineExceeded
		case p.readerClosed && !p.cut:
			return n, syscall.EPIPE
		case n == len(b):
			return n, nil
		}
		if k := min(len(b)-n, pipeBytes-p.size); k > 0 {
			p.put(b[n:n+k], delay)
			n += k
			continue
		}
		p.moved.Wait()
	}
}

func (p *pipe) put(b []byte, delay time.Duration) {
	c := chunk{data: append([]byte(nil), b...)}
	if delay > 0 {
		c.ready = time.Now().Add(delay)
		time.AfterFunc(delay, p.wake)
	}
	p.chunks = append(p.chunks, c)
	p.size += len(b)
	p.moved.Broadcast()
}

func (p *pipe) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved.Broadcast()
}

func (p *pipe) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	p.moved.Broadcast()
}

func (p *pipe) closeReader() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readerClosed = true
	p.reading.stop()
	p.moved.Broadcast()
}

func (p *pipe) closeWriter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writerClosed = true
	p.writing.stop()
	p.moved.Broadcast()
}

// deadline is a moment after which one side of a pipe no longer waits.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (d *deadline) set(p *pipe, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.stop()
	d.at, d.timer = at, nil
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), p.wake)
	}
	p.moved.Broadcast()
}
