package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// A bareFollower is the other end of a barePeer: one goroutine reads frames, one
// writes all that arrived during its previous write and answers with the last.
type bareFollower struct {
	engine     *bareEngine
	connection net.Conn
	answers    sync.Mutex // one answer at a time

	mutex sync.Mutex
	queue []*bareFrame
	wake  chan struct{}
}

// follow listens for the leader and serves it in the background.
func (e *bareEngine) follow(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	e.network.add(listener)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			e.fail("accept", err)
			return
		}
		e.network.add(connection)
		f := &bareFollower{engine: e, connection: connection, wake: make(chan struct{}, 1)}
		go f.write()
		e.fail("receive", f.receive())
	}()
	return nil
}

func (f *bareFollower) receive() error {
	r := bufio.NewReaderSize(f.connection, 256<<10)
	for {
		frame, err := readBareFrame(r)
		if err != nil {
			return err
		}
		if frame.sort() == bareBarrier {
			if err := f.answer(bareBarrier, frame.sequence); err != nil {
				return err
			}
			frame.release()
			continue
		}
		f.mutex.Lock()
		f.queue = append(f.queue, frame)
		f.mutex.Unlock()
		notify(f.wake)
	}
}

func (f *bareFollower) write() {
	var frames, unapplied []*bareFrame
	gathered := alignedBytes(bareFrameBytes)
	for f.engine.await(f.wake) {
		f.mutex.Lock()
		frames, f.queue = f.queue, frames[:0]
		f.mutex.Unlock()
		if len(frames) == 0 {
			continue
		}
		var blocks []byte
		blocks, gathered = gather(frames, gathered)
		if err := f.engine.ring.append(blocks); err != nil {
			f.engine.fail("write", err)
			return
		}
		last := frames[len(frames)-1]
		if err := f.answer(bareBatch, last.sequence); err != nil {
			return // receive sees the same and ends the engine
		}
		commit := last.commit()
		unapplied = f.applyUpTo(commit, append(unapplied, frames...))
	}
}

// gather returns the frames as whole blocks: a single frame as it is, several
// behind each other in buffer, which it may have to replace by a larger one.
func gather(frames []*bareFrame, buffer []byte) (blocks, kept []byte) {
	if len(frames) == 1 {
		return frames[0].blocks(), buffer
	}
	size := 0
	for _, f := range frames {
		size += len(f.bytes)
	}
	if wholeBlocks(size) > len(buffer) {
		buffer = alignedBytes(2 * size)
	}
	n := 0
	for _, f := range frames {
		n += copy(buffer[n:], f.bytes)
	}
	return buffer[:wholeBlocks(n)], buffer
}

// applyUpTo applies the frames that the leader has committed and returns the rest.
func (f *bareFollower) applyUpTo(commit uint64, frames []*bareFrame) []*bareFrame {
	n := 0
	for ; n < len(frames) && frames[n].sequence <= commit; n++ {
		f.engine.apply(frames[n])
		frames[n].release()
	}
	return frames[:copy(frames, frames[n:])]
}

func (f *bareFollower) answer(sort, sequence uint64) error {
	var b [bareAnswerBytes]byte
	binary.LittleEndian.PutUint64(b[:], sort)
	binary.LittleEndian.PutUint64(b[8:], sequence)
	f.answers.Lock()
	defer f.answers.Unlock()
	_, err := f.connection.Write(b[:])
	return err
}

func readFull(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	return err
}
