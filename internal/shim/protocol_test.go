//go:build linux

package shim

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/synod-go/synod/internal/shim/process"
)

// What comes on the socket ends its connection at most.
func TestStrangeMessagesAreAnswered(t *testing.T) {
	spec := inDir(t, "exec sleep 1000")
	h := start(t, spec)
	state := process.Record{Kind: "state"}
	good := process.Frame(process.MessageState, state)
	newer := bytes.Clone(good)
	newer[0] = process.Version + 1
	huge := bytes.Clone(good)
	huge[2] = 0xff
	torn := bytes.Clone(good)
	torn[len(torn)-2] = 'x'
	for name, c := range map[string]struct {
		message []byte
		problem string
	}{
		"newer":   {newer, "version"},
		"huge":    {huge, "too long"},
		"torn":    {torn, "state"},
		"unknown": {process.Frame('?', state), "does not know"},
		"early":   {process.Frame(process.MessageAcknowledge, state), "not ended"},
		"signal":  {process.Frame(process.MessageSignal, state), "no such signal"},
	} {
		conn, err := h.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(c.message); err != nil {
			t.Fatal(err)
		}
		header := make([]byte, process.HeaderBytes)
		if _, err := io.ReadFull(conn, header); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kind, length, err := process.Header(header)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(conn, body); err != nil {
			t.Fatal(err)
		}
		if r, err := process.Decode(body); err != nil || kind != process.MessageError || !strings.Contains(r.Get("problem"), c.problem) {
			t.Errorf("%s: %c %q, %v", name, kind, body, err)
		}
		conn.Close()
	}
	if _, err := h.State(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// One message in pieces, and two at once.
func TestMessagesComeInPieces(t *testing.T) {
	h := start(t, inDir(t, "exec sleep 1000"))
	conn, err := h.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	two := append(process.Frame(process.MessageState, process.Record{Kind: "state"}), process.Frame(process.MessageState, process.Record{Kind: "state"})...)
	for _, part := range [][]byte{two[:3], two[3:20], two[20:]} {
		if _, err := conn.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		header := make([]byte, process.HeaderBytes)
		if _, err := io.ReadFull(conn, header); err != nil {
			t.Fatal(err)
		}
		_, length, err := process.Header(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, conn, int64(length)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	h := start(t, inDir(t, "exec sleep 1000"))
	for range 32 {
		conn, err := h.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := exchange(conn, process.MessageState, process.Record{Kind: "state"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.State(t.Context()); err == nil {
		t.Error("a 33rd connection was served")
	} else if refused := (*RefusedError)(nil); errors.As(err, &refused) && !strings.Contains(refused.Problem, "too many") {
		t.Errorf("refused: %v", err)
	}
}
