package api

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// execProtocol is what the connection of a command beside a task is upgraded to. Both sides
// then send frames:
//
//	offset  size  field
//	0       1     channel
//	1       4     length of the data, big-endian, at most maxExecFrame
//	5       -     data
const execProtocol = "synod-exec/1"

// maxExecFrame bounds the data of one frame, in bytes.
const maxExecFrame = 64 << 10

// The channels of frames.
const (
	execStdin  byte = 0 // from the caller; an empty frame is its end
	execStdout byte = 1
	execStderr byte = 2
	execExit   byte = 3 // the last frame: the exit code, as text
	execFailed byte = 4 // or this: the command was not run; an Error as JSON, or a text
)

// execWriter writes frames of one channel. Writers of one connection share a lock.
type execWriter struct {
	mu      *sync.Mutex
	to      io.Writer
	channel byte
}

// Write sends p in frames, each in one piece.
func (w *execWriter) Write(p []byte) (written int, err error) {
	for {
		part := p[written:min(len(p), written+maxExecFrame)]
		if err := writeExecFrame(w.mu, w.to, w.channel, part); err != nil {
			return written, err
		}
		if written += len(part); written == len(p) {
			return written, nil
		}
	}
}

func writeExecFrame(mu *sync.Mutex, to io.Writer, channel byte, data []byte) error {
	frame := binary.BigEndian.AppendUint32([]byte{channel}, uint32(len(data)))
	mu.Lock()
	defer mu.Unlock()
	_, err := to.Write(append(frame, data...))
	return err
}

// readExecFrame reads one frame into buffer, which is of maxExecFrame bytes.
func readExecFrame(from io.Reader, buffer []byte) (channel byte, data []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxExecFrame {
		return 0, nil, fmt.Errorf("api: a frame of %d bytes, at most %d are possible", n, maxExecFrame)
	}
	if _, err := io.ReadFull(from, buffer[:n]); err != nil {
		return 0, nil, noEOF(err)
	}
	return head[0], buffer[:n], nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// execFailure reads what a frame of execFailed tells.
func execFailure(data []byte) *Error {
	var e Error
	if err := json.Unmarshal(data, &e); err == nil && e.Code != "" {
		return &e
	}
	return &Error{Code: CodeAgent, Message: "the command was not run", Why: fmt.Sprintf("%.500s", data)}
}
