package docker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/moby/moby/client"
)

// Logs writes what a container has written to "stdout" or "stderr", from the beginning of what
// is kept. With follow it goes on until the container has ended. It takes as long as ctx allows. An error of w is returned as it is.
func (e *Engine) Logs(ctx context.Context, id, stream string, follow bool, w io.Writer) error {
	c, err := e.find(ctx, "logs", id)
	if err != nil {
		return err
	}
	r, err := e.conn.Load().api.ContainerLogs(ctx, c.ID, client.ContainerLogsOptions{
		ShowStdout: stream == "stdout", ShowStderr: stream == "stderr", Follow: follow,
	})
	if err != nil {
		return unlessEnded(ctx, "logs", wrong("logs", err))
	}
	defer func() { _ = r.Close() }()
	return unlessEnded(ctx, "logs", split("logs", r, w, w))
}

// split takes an engine's stream apart: frames of an output each, with a head of 8 bytes. It keeps none of them.
//
//	0      1: stdout, 2: stderr, 3: what the engine has to say; 0 is stdout too
//	1..3   nothing
//	4..7   length of what follows, big-endian
//
// Errors of the writers are returned as they are.
func split(call string, r io.Reader, stdout, stderr io.Writer) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("%w: %s: %s", ErrNoEngine, call, cut(err.Error()))
		}
		size := int64(binary.BigEndian.Uint32(head[4:]))
		to := &sink{w: stdout}
		switch head[0] {
		case 0, 1:
		case 2:
			to.w = stderr
		case 3:
			words, _ := io.ReadAll(io.LimitReader(r, min(size, maxWords)))
			return refused(call, string(words), nil)
		default:
			return fmt.Errorf("%w: %s: its answer has a frame of stream %d", ErrNoEngine, call, head[0])
		}
		if _, err := io.CopyN(to, r, size); err != nil {
			if to.failed != nil {
				return to.failed
			}
			return fmt.Errorf("%w: %s: %s", ErrNoEngine, call, cut(err.Error()))
		}
	}
}

// sink keeps the error of a writer, which is not the engine's. A nil writer discards.
type sink struct {
	w      io.Writer
	failed error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.w == nil {
		return len(p), nil
	}
	n, err := s.w.Write(p)
	if err != nil {
		s.failed = err
		return 0, err // Copies forget the error of a writer that says it has written all.
	}
	return n, nil
}
