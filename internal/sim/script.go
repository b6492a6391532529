package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/synod-go/synod/replica"
)

// script is what a client asks when the plan says what: see Plan.Script.
type script struct {
	count uint64   // operations so far
	value uint64   // of the client's register, as its last answer told
	heard []string // one line for each answer
}

// scripted is the next operation of a script. It follows from the seed, the client
// and what it was answered alone.
func (w *callers) scripted(c *client) *operation {
	s := &c.script
	s.count++
	d := w.dice.at(streamClient, maxClients+c.number, s.count)
	op := &operation{
		number: s.count*maxClients + uint64(c.number), client: c.number, called: w.now, floor: w.model.returned,
		kind: opRequest, key: byte(c.number),
	}
	op.command = command{kind: commandWrite, key: op.key, operation: op.number, value: op.number}
	switch n := d.below(100); {
	case n < 20:
		op.kind = opRead
	case n < 30:
		op.kind = opLease
	case n < 60:
		op.command.kind, op.command.expected = commandSwap, s.value
		if d = d.split(); d.perMille(300) {
			op.command.expected = uint64(d.split().below(50))
		}
	}
	var random [10]byte
	binary.LittleEndian.PutUint64(random[:], op.number)
	op.request = replica.NewRequestID(w.now/milli+1_700_000_000_000, random)
	return op
}

// hears notes an answer.
func (s *script) hears(op *operation, format string, answer any) {
	if s.count == 0 {
		return
	}
	s.heard = append(s.heard, fmt.Sprintf("%v %d of %v: "+format, op.number, op.command.kind, op.command.expected, answer))
	if v, ok := answer.([]byte); op.kind == opRequest && ok && len(v) > 0 && v[0] == 1 {
		s.value = op.command.value
	}
}
