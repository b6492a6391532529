package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A bareEngine is the ceiling: the data path of a replicated log without
// consensus. Replica 1 leads for ever; there is no term, no election, no
// recovery and no log to truncate. It has what a well-made data path has: one
// batch at a time that gathers what arrived during the previous flush, the
// leader's flush at the same time as the followers', cumulative answers, and a
// commit at two of three, whichever two.
type bareEngine struct {
	// calls wakes each caller through a channel of its own, as an interface that
	// returns a result for each call has to. Otherwise all callers of a batch
	// share one channel, the cheapest way to wake them.
	calls bool

	self    int
	table   *table
	ring    *ringFile
	closed  chan struct{}
	stopped atomic.Bool
	network bareNetwork

	// The rest is the leader's.
	peers []*barePeer

	openMutex sync.Mutex
	open      *bareFrame    // gathers writes; nil when there is none
	opened    chan struct{} // says that open is there

	commitMutex sync.Mutex
	durable     [3]uint64 // by replica: the last durable batch
	committed   uint64
	waiting     []*bareFrame // sent and not committed, oldest first

	barriers bareBarriers
}

const (
	bareRingBytes   = 64 << 20
	bareConnectTime = 20 * time.Second
)

var bareCalls = sync.Pool{New: func() any { return make(chan struct{}, 1) }}

var errStopped = errors.New("engine stopped")

func (e *bareEngine) start(c engineConfig) error {
	ring, err := createRing(filepath.Join(c.Dir, "ring"), bareRingBytes)
	if err != nil {
		return err
	}
	e.self, e.table, e.ring, e.closed = c.ID, newTable(), ring, make(chan struct{})
	if c.ID != 1 {
		return e.follow(c.Peers[c.ID-1])
	}
	e.opened = make(chan struct{}, 1)
	e.barriers.init()
	for i, address := range c.Peers[1:] {
		connection, err := dialPatiently(address, bareConnectTime)
		if err != nil {
			return err
		}
		peer := &barePeer{connection: connection, wake: make(chan struct{}, 1)}
		e.peers = append(e.peers, peer)
		e.network.add(connection)
		go peer.send()
		go e.readAnswers(i+1, peer)
	}
	go e.flush()
	go e.runBarriers()
	return nil
}

// dialPatiently connects to a process that may not listen yet.
func dialPatiently(address string, patience time.Duration) (net.Conn, error) {
	for begun := time.Now(); ; {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			return connection, nil
		}
		if time.Since(begun) > patience {
			return nil, fmt.Errorf("connect: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (e *bareEngine) leads() bool { return e.self == 1 }

func (e *bareEngine) stop() {
	if e.stopped.Swap(true) {
		return
	}
	close(e.closed)
	e.network.close()
	e.ring.close()
}

// A bareNetwork is what stop has to close so that all goroutines end.
type bareNetwork struct {
	mutex  sync.Mutex
	closed bool
	parts  []io.Closer
}

func (n *bareNetwork) add(part io.Closer) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.closed {
		part.Close()
		return
	}
	n.parts = append(n.parts, part)
}

func (n *bareNetwork) close() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.closed = true
	for _, part := range n.parts {
		part.Close()
	}
}

func (e *bareEngine) write(_ context.Context, key uint64, value []byte) error {
	if !e.leads() {
		return errNotLeader
	}
	e.openMutex.Lock()
	f := e.open
	if f == nil {
		f = newBareFrame()
		f.done = make(chan struct{})
		e.open = f
	}
	f.add(key, value)
	done := f.done
	if e.calls {
		done = bareCalls.Get().(chan struct{})
		f.calls = append(f.calls, done)
	}
	e.openMutex.Unlock()
	notify(e.opened)
	select {
	case <-done:
		if e.calls {
			bareCalls.Put(done)
		}
		return nil
	case <-e.closed:
		return errStopped
	}
}

func (e *bareEngine) read(_ context.Context, key uint64, level readLevel) error {
	if !e.leads() {
		return errNotLeader
	}
	if level == linearizable {
		if err := e.barriers.wait(e.closed); err != nil {
			return err
		}
	}
	e.table.get(key)
	return nil
}

// flush is the leader's writer: it sends each batch before it writes it itself.
func (e *bareEngine) flush() {
	for sequence := uint64(1); e.await(e.opened); {
		e.openMutex.Lock()
		f := e.open
		e.open = nil
		e.openMutex.Unlock()
		if f == nil {
			continue
		}
		f.retain(int32(len(e.peers)) + 1)
		e.commitMutex.Lock()
		f.seal(bareBatch, sequence, e.committed)
		e.waiting = append(e.waiting, f)
		e.commitMutex.Unlock()
		for _, p := range e.peers {
			p.enqueue(f)
		}
		err := e.ring.append(f.blocks())
		f.release()
		if err != nil {
			e.fail("write", err)
			return
		}
		e.advance(0, sequence)
		sequence++
	}
}

// advance notes that a replica has batches up to sequence, and commits, applies
// and acknowledges what two of three have.
func (e *bareEngine) advance(replica int, sequence uint64) {
	e.commitMutex.Lock()
	defer e.commitMutex.Unlock()
	e.durable[replica] = sequence
	sorted := e.durable
	slices.Sort(sorted[:])
	e.committed = max(e.committed, sorted[1])
	n := 0
	for ; n < len(e.waiting) && e.waiting[n].sequence <= e.committed; n++ {
		f := e.waiting[n]
		e.apply(f)
		close(f.done)
		for _, call := range f.calls {
			call <- struct{}{}
		}
		f.release()
	}
	e.waiting = slices.Delete(e.waiting, 0, n)
}

func (e *bareEngine) apply(f *bareFrame) {
	e.table.mutex.Lock()
	defer e.table.mutex.Unlock()
	f.each(e.table.putLocked)
}

func (e *bareEngine) readAnswers(replica int, p *barePeer) {
	r := bufio.NewReader(p.connection)
	var answer [bareAnswerBytes]byte
	for {
		if err := readFull(r, answer[:]); err != nil {
			e.fail("read answer", err)
			return
		}
		sequence := binary.LittleEndian.Uint64(answer[8:])
		if binary.LittleEndian.Uint64(answer[:]) == bareBarrier {
			e.barriers.answered(sequence)
			continue
		}
		e.advance(replica, sequence)
	}
}

// fail ends the engine: it has no way to go on without a peer or a disk.
func (e *bareEngine) fail(doing string, err error) {
	if e.stopped.Load() {
		return
	}
	report("bare: "+doing, err)
	e.stop()
}

// await waits for a wake-up and reports false once the engine is stopped.
func (e *bareEngine) await(wake <-chan struct{}) bool {
	select {
	case <-wake:
		return true
	case <-e.closed:
		return false
	}
}

// notify wakes the one reader of a channel of capacity 1, if it is not awake yet.
func notify(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// A barePeer sends frames to one follower, all that wait with one system call.
type barePeer struct {
	connection net.Conn
	mutex      sync.Mutex
	queue      []*bareFrame
	wake       chan struct{}
}

func (p *barePeer) enqueue(f *bareFrame) {
	p.mutex.Lock()
	p.queue = append(p.queue, f)
	p.mutex.Unlock()
	notify(p.wake)
}

func (p *barePeer) send() {
	var frames []*bareFrame
	for range p.wake {
		p.mutex.Lock()
		frames, p.queue = p.queue, frames[:0]
		p.mutex.Unlock()
		var buffers net.Buffers
		for _, f := range frames {
			buffers = append(buffers, f.bytes)
		}
		_, err := buffers.WriteTo(p.connection)
		for _, f := range frames {
			f.release()
		}
		if err != nil {
			return // readAnswers sees the same and ends the engine
		}
	}
}
