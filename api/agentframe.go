package api

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/synod-go/synod/internal/mesoswire"
)

// The connection of an agent to the leading master: a request to agentConnectPath that asks
// for the protocol agentProtocol is answered with 101 and headerTerm, and from then on both
// sides send frames.
//
//	offset  size  field
//	0       4     length of the message, big endian, at most mesoswire.MaxMessage
//	4       -     the message, as mesoswire.AppendMessage has it
const (
	agentConnectPath = "/v1/agent/connect"
	agentProtocol    = "synod-agent/1"
	// headerTerm is the mastership as of which the node's master leads, in decimal.
	headerTerm = "Synod-Term"
)

// writeAgentFrame writes one message. Whoever has no more of them flushes.
func writeAgentFrame(w *bufio.Writer, message any) error {
	frame, err := mesoswire.AppendMessage(make([]byte, 4, 512), message)
	if err != nil {
		return err
	}
	if len(frame)-4 > mesoswire.MaxMessage {
		return fmt.Errorf("api: a message of %d bytes, more than %d", len(frame)-4, mesoswire.MaxMessage)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	_, err = w.Write(frame)
	return err
}

// readAgentFrame reads one message. What has not come costs no memory.
func readAgentFrame(r *bufio.Reader) (any, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(header[:]))
	if length > mesoswire.MaxMessage {
		return nil, fmt.Errorf("api: a message of %d bytes, more than %d", length, mesoswire.MaxMessage)
	}
	body, err := io.ReadAll(io.LimitReader(r, length))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) < length {
		return nil, io.ErrUnexpectedEOF
	}
	return mesoswire.ParseMessage(body)
}
