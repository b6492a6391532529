package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// An agentLink is a simulated agent's connection to the leading master.
type agentLink struct {
	conn   net.Conn
	reader *bufio.Reader
	term   mesos.Term
	frames []byte // to be written by flush
	in     []byte
}

const (
	linkPatience = 10 * time.Second
	// linkWrite bounds one write: a master that does not read for so long is lost.
	linkWrite      = 30 * time.Second
	linkReadBuffer = 2 << 10 // each of 10,000 has one
)

// dialLink makes a link to the master of that node, if it leads.
func dialLink(ctx context.Context, address string) (*agentLink, error) {
	dialer := net.Dialer{Timeout: linkPatience}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l := &agentLink{conn: conn, reader: bufio.NewReaderSize(conn, linkReadBuffer)}
	if err := l.upgrade(address); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return l, nil
}

func (l *agentLink) upgrade(address string) error {
	_ = l.conn.SetDeadline(time.Now().Add(linkPatience))
	request := "GET /v1/agent/connect HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\nUpgrade: synod-agent/1\r\n\r\n"
	if _, err := io.WriteString(l.conn, request); err != nil {
		return err
	}
	response, err := http.ReadResponse(l.reader, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return refusal(response)
	}
	term, err := strconv.ParseUint(response.Header.Get("Synod-Term"), 10, 64)
	if err != nil {
		return fmt.Errorf("no term of the master: %w", err)
	}
	l.term = mesos.Term(term)
	return l.conn.SetDeadline(time.Time{})
}

// refusal reads what a node answers that does not do what was asked.
func refusal(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	said := &api.Error{}
	if json.Unmarshal(body, said) == nil && said.Code != "" {
		return said
	}
	return fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(body[:min(len(body), 500)]))
}

// receive returns all messages that have come, at least one.
func (l *agentLink) receive() ([]any, error) {
	var messages []any
	for len(messages) == 0 || l.whole() {
		m, err := l.receiveOne()
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// whole reports whether a whole frame is in the buffer.
func (l *agentLink) whole() bool {
	n := l.reader.Buffered()
	if n < 4 {
		return false
	}
	header, err := l.reader.Peek(4)
	return err == nil && n >= 4+int(binary.BigEndian.Uint32(header))
}

func (l *agentLink) receiveOne() (any, error) {
	var header [4]byte
	if _, err := io.ReadFull(l.reader, header[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(header[:]))
	if n > mesoswire.MaxMessage {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	if cap(l.in) < n {
		l.in = make([]byte, n)
	}
	l.in = l.in[:n]
	if _, err := io.ReadFull(l.reader, l.in); err != nil {
		return nil, err
	}
	return mesoswire.ParseMessage(l.in)
}

// add gathers a message for flush.
func (l *agentLink) add(message any) error {
	at := len(l.frames)
	frames, err := mesoswire.AppendMessage(append(l.frames, 0, 0, 0, 0), message)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(frames[at:], uint32(len(frames)-at-4))
	l.frames = frames
	return nil
}

func (l *agentLink) flush() error {
	if len(l.frames) == 0 {
		return nil
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(linkWrite))
	_, err := l.conn.Write(l.frames)
	l.frames = nil // 10,000 of them wait for pings most of the time
	return err
}

func (l *agentLink) close() { _ = l.conn.Close() }
