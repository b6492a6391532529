package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
)

// A bareFrame is a batch of commands in the one form in which it is kept in
// memory, written to the file and sent.
//
//	offset  size  field
//	0       4     bytes of commands that follow the header
//	4       4     CRC32C over all that follows this field
//	8       8     sequence number of the batch, from 1
//	16      8     sequence number up to which the leader has committed
//	24      4     number of commands
//	28      4     1 for a barrier: it carries no command and is answered unwritten
//	32            for each command: 4 bytes length, then its bytes
//
// The answer to a frame is 16 bytes: the last field, widened to 8 bytes, and the
// sequence number. It acknowledges all frames of its sort up to that number.
type bareFrame struct {
	bytes    []byte // begins at a block, with room for whole blocks
	commands uint32
	sequence uint64
	done     chan struct{}   // closed when committed and applied; on the leader
	calls    []chan struct{} // with bareEngine.calls: to be sent to instead
	users    atomic.Int32    // the last of them gives the frame back
}

const (
	bareHeaderBytes  = 32
	bareAnswerBytes  = 16
	bareFrameBytes   = 64 << 10 // what a fresh frame has room for
	bareMaximumBytes = 16 << 20 // a longer frame is taken for damage

	bareBatch   = 0
	bareBarrier = 1
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	bareFrames = sync.Pool{New: func() any { return &bareFrame{bytes: alignedBytes(bareFrameBytes)[:0]} }}
)

func newBareFrame() *bareFrame {
	f := bareFrames.Get().(*bareFrame)
	f.bytes = f.bytes[:bareHeaderBytes]
	f.commands, f.sequence, f.done, f.calls = 0, 0, nil, f.calls[:0]
	f.users.Store(1)
	return f
}

func (f *bareFrame) retain(users int32) { f.users.Add(users) }

func (f *bareFrame) release() {
	if f.users.Add(-1) == 0 {
		bareFrames.Put(f)
	}
}

// add appends one command.
func (f *bareFrame) add(key uint64, value []byte) {
	f.reserve(4 + keyBytes + len(value))
	f.bytes = binary.LittleEndian.AppendUint32(f.bytes, uint32(keyBytes+len(value)))
	f.bytes = appendCommand(f.bytes, key, value)
	f.commands++
}

// reserve makes room for more bytes and keeps the frame aligned.
func (f *bareFrame) reserve(more int) {
	need := len(f.bytes) + more
	if need <= cap(f.bytes) {
		return
	}
	grown := alignedBytes(max(need, 2*cap(f.bytes)))
	f.bytes = grown[:copy(grown, f.bytes)]
}

// seal fills in the header.
func (f *bareFrame) seal(sort uint32, sequence, commit uint64) {
	f.sequence = sequence
	b := f.bytes
	binary.LittleEndian.PutUint32(b, uint32(len(b)-bareHeaderBytes))
	binary.LittleEndian.PutUint64(b[8:], sequence)
	binary.LittleEndian.PutUint64(b[16:], commit)
	binary.LittleEndian.PutUint32(b[24:], f.commands)
	binary.LittleEndian.PutUint32(b[28:], sort)
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
}

func (f *bareFrame) sort() uint32   { return binary.LittleEndian.Uint32(f.bytes[28:]) }
func (f *bareFrame) commit() uint64 { return binary.LittleEndian.Uint64(f.bytes[16:]) }

// blocks is the frame with its padding, as it goes to the file.
func (f *bareFrame) blocks() []byte { return f.bytes[:wholeBlocks(len(f.bytes))] }

// each calls visit with every command.
func (f *bareFrame) each(visit func(command []byte)) {
	for rest := f.bytes[bareHeaderBytes:]; len(rest) >= 4; {
		n := int(binary.LittleEndian.Uint32(rest))
		visit(rest[4 : 4+n])
		rest = rest[4+n:]
	}
}

// readBareFrame reads and checks one frame.
func readBareFrame(r *bufio.Reader) (*bareFrame, error) {
	f := newBareFrame()
	if _, err := io.ReadFull(r, f.bytes); err != nil {
		return nil, err
	}
	length := int(binary.LittleEndian.Uint32(f.bytes))
	if length > bareMaximumBytes {
		return nil, fmt.Errorf("frame of %d bytes", length)
	}
	f.reserve(length)
	f.bytes = f.bytes[:bareHeaderBytes+length]
	if _, err := io.ReadFull(r, f.bytes[bareHeaderBytes:]); err != nil {
		return nil, err
	}
	if crc32.Checksum(f.bytes[8:], castagnoli) != binary.LittleEndian.Uint32(f.bytes[4:]) {
		return nil, errors.New("frame with a wrong checksum")
	}
	f.sequence = binary.LittleEndian.Uint64(f.bytes[8:])
	f.commands = binary.LittleEndian.Uint32(f.bytes[24:])
	return f, nil
}
