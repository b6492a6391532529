package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// open sends a call whose answer is a stream to any node that takes it. It waits for at most Timeout until
// the answer begins. The caller closes the Body, and calls cancel.
func (c *Client) open(ctx context.Context, k call, status int) (*http.Response, context.CancelFunc, error) {
	until := time.Now().Add(c.config.Timeout)
	a := &attempts{call: k}
	for {
		reached, refused := false, error(nil) // by TLS at one node
		queue, asked := c.order(), map[string]bool{}
		for len(queue) > 0 {
			addr := queue[0]
			queue = queue[1:]
			if asked[addr] {
				continue
			}
			asked[addr] = true
			response, cancel, err := c.begin(ctx, addr, k, status, time.Until(until))
			if err == nil {
				c.remember(addr)
				return response, cancel, nil
			}
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			e, told := errors.AsType[*Error](err)
			switch fatal := tlsError(addr, err); {
			case told && !e.Code.Info().Retry:
				return nil, nil, e
			case told:
				reached, a.refused = true, e
				if e.Leader != nil && e.Leader.API != "" {
					queue = append([]string{e.Leader.API}, queue...)
				}
			case fatal != nil:
				refused = cmp.Or(refused, fatal)
			default:
				a.lost, a.at = err, addr
			}
		}
		if refused != nil && !reached {
			return nil, nil, refused
		}
		if !reached {
			a.rounds++
		}
		if a.rounds >= c.config.Rounds && a.refused == nil || time.Now().After(until) {
			return nil, nil, c.notOpened(a)
		}
		if err := sleep(ctx, retryPause*time.Duration(1+a.rounds)); err != nil {
			return nil, nil, err
		}
	}
}

func (c *Client) notOpened(a *attempts) error {
	if a.refused != nil {
		return a.refused
	}
	return c.unreachable(a)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin asks one node. A paused node takes connections too, and does not answer.
func (c *Client) begin(ctx context.Context, addr string, k call, status int, patience time.Duration) (*http.Response, context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(ctx)
	if len(c.config.Addrs) > 1 {
		patience /= 2
	}
	alarm := time.AfterFunc(max(patience, 200*time.Millisecond), cancel)
	response, err := c.once(ctx, addr, k)
	if !alarm.Stop() && err == nil {
		response.Body.Close()
		err = context.DeadlineExceeded
	}
	if err == nil && response.StatusCode != status {
		err = decode(response, k, &struct{}{})
		if err == nil {
			err = notSynod(response)
		}
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return response, cancel, nil
}

// LogOptions say which part of a task's log is wanted.
type LogOptions struct {
	// Stream is "stdout", the default, or "stderr".
	Stream string
	// Tail begins that many lines before the end. 0 begins at the offset From, in bytes.
	Tail int
	From int64
	// Follow goes on until the task has ended and all is written.
	Follow bool
}

func (o LogOptions) values() url.Values {
	values := url.Values{}
	if o.Stream != "" {
		values.Set("stream", o.Stream)
	}
	if o.Tail > 0 {
		values.Set("tail", strconv.Itoa(o.Tail))
	} else {
		values.Set("from", strconv.FormatInt(o.From, 10))
	}
	if o.Follow {
		values.Set("follow", "true")
	}
	return values
}

// TaskLog writes a task's log to w. When the connection breaks off it goes on from there, by any node; it fails when that
// is not possible for Timeout, and with what w fails with.
func (c *Client) TaskLog(ctx context.Context, framework, task string, o LogOptions, w io.Writer) error {
	for moved := time.Now(); ; {
		k := call{method: http.MethodGet, path: taskPath(framework, task) + "/logs", query: o.values(),
			header: http.Header{"Accept": {"application/octet-stream"}}, what: "the log of " + task}
		response, cancel, err := c.open(ctx, k, http.StatusOK)
		if err != nil {
			return err
		}
		from, known := offsetOf(response)
		n, failed, err := copyLog(w, response.Body)
		response.Body.Close()
		cancel()
		switch {
		case err == nil || failed:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case !known && o.Tail > 0 && n > 0, n == 0 && time.Since(moved) > c.config.Timeout:
			return &Error{Code: CodeAgent, Message: "the log of " + task + " broke off", Why: Reason(err), Do: []string{"ask again"}}
		case known:
			o.Tail, o.From = 0, from+n
		case o.Tail == 0:
			o.From += n
		}
		if n > 0 {
			moved = time.Now()
		}
		if err := sleep(ctx, retryPause); err != nil {
			return err
		}
	}
}

// offsetOf is the offset in the log at which an answer begins, if it tells.
func offsetOf(response *http.Response) (offset int64, known bool) {
	offset, err := strconv.ParseInt(response.Header.Get(headerOffset), 10, 64)
	return offset, err == nil && offset >= 0
}

// copyLog copies a log as it comes; failed: it was w that failed.
func copyLog(w io.Writer, from io.Reader) (n int64, failed bool, err error) {
	buffer := make([]byte, 32<<10)
	for {
		read, err := from.Read(buffer)
		if read > 0 {
			if _, err := w.Write(buffer[:read]); err != nil {
				return n, true, err
			}
			n += int64(read)
		}
		if err == io.EOF {
			return n, false, nil
		}
		if err != nil {
			return n, false, err
		}
	}
}

// ExecOptions are a command that is to run beside a task.
type ExecOptions struct {
	Argv []string
	// Stdin may be nil. It is read on by a goroutine until it ends or the process does.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Exec runs a command in a task's sandbox, with its environment, until it ends, and returns its exit code. The
// command dies with ctx, and with the connection.
func (c *Client) Exec(ctx context.Context, framework, task string, o ExecOptions) (int, error) {
	k := call{method: http.MethodPost, path: taskPath(framework, task) + "/exec", query: url.Values{"arg": o.Argv},
		header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {execProtocol}}, what: "the command beside " + task}
	response, cancel, err := c.open(ctx, k, http.StatusSwitchingProtocols)
	if err != nil {
		return 0, err
	}
	defer cancel()
	conn, both := response.Body.(io.ReadWriteCloser)
	if !both {
		response.Body.Close()
		return 0, notSynod(response)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go sendStdin(conn, o.Stdin)
	code, err := receiveExec(bufio.NewReader(conn), o)
	if err != nil && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return code, err
}

// sendStdin sends what the command is to read, and its end.
func sendStdin(conn io.Writer, stdin io.Reader) {
	var mu sync.Mutex
	if stdin != nil {
		if _, err := io.Copy(&execWriter{&mu, conn, execStdin}, struct{ io.Reader }{stdin}); err != nil {
			return // the connection has ended, and its reader says why
		}
	}
	_ = writeExecFrame(&mu, conn, execStdin, nil) // as above
}

// receiveExec passes on what the command writes until it ends.
func receiveExec(conn io.Reader, o ExecOptions) (code int, err error) {
	buffer := make([]byte, maxExecFrame)
	for {
		channel, data, err := readExecFrame(conn, buffer)
		if err != nil {
			return 0, &Error{Code: CodeUnknown, Message: "the connection to the command broke off", Why: Reason(err),
				Do: []string{"it was killed with its connection; what it had done is done"}}
		}
		switch channel {
		case execStdout:
			_, err = o.Stdout.Write(data)
		case execStderr:
			_, err = o.Stderr.Write(data)
		case execFailed:
			return 0, execFailure(data)
		case execExit:
			if code, err = strconv.Atoi(string(data)); err == nil {
				return code, nil
			}
		}
		if err != nil {
			return 0, fmt.Errorf("api: exec: %w", err)
		}
	}
}

// HappeningOptions say of which happenings is to be told.
type HappeningOptions struct {
	// After is the sequence number of the last that is known, of the master of Term. 0: all that are remembered.
	After, Term uint64
	// Follow goes on with what happens from now on.
	Follow bool
}

// Happenings calls f with what the leading master remembers of what has happened, in order, and with Follow until ctx
// ends or f returns an error, which it returns. A lost connection is made again at any node. With another master the
// numbers begin anew.
func (c *Client) Happenings(ctx context.Context, o HappeningOptions, f func(Happening) error) error {
	after := o.After
	for {
		values := url.Values{"after": {strconv.FormatUint(after, 10)}}
		if o.Follow {
			values.Set("follow", "true")
		}
		k := call{method: http.MethodGet, path: "/v1/happenings", query: values, header: http.Header{"Accept": {"application/x-ndjson"}}, what: "what has happened"}
		response, cancel, err := c.open(ctx, k, http.StatusOK)
		if err != nil {
			return err
		}
		stopped, err := readHappenings(response, cancel, &o, f)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case stopped || !o.Follow && err == nil:
			return err
		case !o.Follow:
			return &Error{Code: CodeTimeout, Message: "what has happened was not told to its end", Why: Reason(err), Do: []string{"ask again"}}
		}
		after = 0 // the next master counts anew; what is known of this one is passed over
		if err := sleep(ctx, retryPause); err != nil {
			return err
		}
	}
}

// readHappenings reads one answer and notes in known how far it came. stopped: err is f's.
func readHappenings(response *http.Response, cancel context.CancelFunc, known *HappeningOptions, f func(Happening) error) (stopped bool, err error) {
	defer response.Body.Close()
	alarm := time.AfterFunc(silence, cancel)
	defer alarm.Stop()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		alarm.Reset(silence)
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var h Happening
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
			return true, notSynod(response)
		}
		if h.Term < known.Term || h.Term == known.Term && h.Sequence <= known.After {
			continue
		}
		known.Term, known.After = h.Term, h.Sequence
		if err := f(h); err != nil {
			return true, err
		}
	}
	return false, lines.Err()
}
