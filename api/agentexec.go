package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod/actors/agent"
)

// postExec runs a command beside a task over the connection, which is its own from then on.
func (s *AgentServer) postExec(w http.ResponseWriter, r *http.Request) {
	c, err := containerOf(r)
	argv := r.URL.Query()["arg"]
	switch {
	case err != nil:
	case !strings.EqualFold(r.Header.Get("Upgrade"), execProtocol):
		err = badRequest("the connection is not to be upgraded", "", "Connection: Upgrade", "Upgrade: "+execProtocol)
	case len(argv) == 0 || argv[0] == "":
		err = badRequest("there is no command", "each part of it is one arg", "arg=ls&arg=-l")
	}
	if err != nil {
		writeError(w, err)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		writeError(w, badRequest("this connection cannot become a command's", "that takes HTTP/1.1"))
		return
	}
	defer conn.Close()
	freeSlot(conn)
	_ = conn.SetDeadline(time.Time{})
	_ = conn.SetWriteDeadline(time.Now().Add(s.config.SlowClient))
	answer := fmt.Sprintf("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n", execProtocol, headerNode, s.config.Name)
	if _, err := io.WriteString(conn, answer); err != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx) // that of the request knows nothing of the connection any more
	defer cancel()
	e := &commandConn{conn: &patientConn{conn, s.config.SlowClient}}
	stdin, fill := io.Pipe()
	go e.read(buffered.Reader, fill, cancel)
	defer s.gate.whileHeld(r, cancel)()
	go e.beat(ctx, s.config.ExecBeat, cancel)
	code, err := s.config.Agent.Exec(ctx, c, agent.Exec{Argv: argv, Stdin: stdin,
		Stdout: &execWriter{&e.mu, e.conn, execStdout}, Stderr: &execWriter{&e.mu, e.conn, execStderr}})
	stdin.Close()
	e.end(code, agentError(err))
}

// commandConn is the connection of a command.
type commandConn struct {
	mu   sync.Mutex // of writes
	conn io.Writer
}

// read hands on what the command is to read. When the connection ends, so does the command.
func (e *commandConn) read(from *bufio.Reader, to *io.PipeWriter, cancel context.CancelFunc) {
	defer cancel()
	buffer := make([]byte, maxExecFrame)
	for {
		channel, data, err := readExecFrame(from, buffer)
		switch {
		case err != nil || channel != execStdin:
			to.CloseWithError(io.ErrUnexpectedEOF)
			return
		case len(data) == 0:
			to.Close()
		default:
			written := make(chan struct{})
			go func() {
				defer close(written)
				_, _ = to.Write(data) // a command that reads no more is no reason to end it
			}()
			if _, err := from.Peek(1); err != nil { // the end is noticed while the command reads nothing
				to.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			<-written
		}
	}
}

// beat sends frames that say nothing, so that a caller who has gone is noticed though the command
// takes no more of what it was sent, and what it was sent hides the end of the connection. They come
// through to the caller itself, whoever passes the connection on.
func (e *commandConn) beat(ctx context.Context, every time.Duration, cancel context.CancelFunc) {
	defer cancel()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if ctx.Err() != nil || writeExecFrame(&e.mu, e.conn, execStdout, nil) != nil {
			return
		}
	}
}

// end tells how it ended.
func (e *commandConn) end(code int, err error) {
	channel, data := execExit, []byte(strconv.Itoa(code))
	if err != nil {
		channel = execFailed
		told := asError(err)
		if errors.Is(err, context.Canceled) {
			told = &Error{Code: CodeStopped, Message: "the command was killed: its connection ended, or the agent ends"}
		}
		data, _ = json.Marshal(told)
	}
	_ = writeExecFrame(&e.mu, e.conn, channel, data[:min(len(data), maxExecFrame)]) // a caller that has gone does not hear it
}

// patientConn gives each write a deadline of its own.
type patientConn struct {
	net.Conn
	patience time.Duration
}

// Write writes.
func (c *patientConn) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(c.patience))
	return c.Conn.Write(p)
}
