package sim

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// keys is the number of registers of the state machine.
const keys = 6

// command is what a client wants done to a register. Its encoding is fixed:
//
//	offset  size  field
//	0       1     kind: 1 write, 2 compare and set
//	1       1     key
//	2       8     operation, a number no other command has
//	10      8     value
//	18      8     expected value, for compare and set
type command struct {
	kind                       byte
	key                        byte
	operation, value, expected uint64
}

const (
	commandWrite = 1
	commandSwap  = 2
	commandBytes = 26
)

func (c command) encode() []byte {
	b := binary.LittleEndian.AppendUint64([]byte{c.kind, c.key}, c.operation)
	b = binary.LittleEndian.AppendUint64(b, c.value)
	return binary.LittleEndian.AppendUint64(b, c.expected)
}

func decodeCommand(b []byte) (c command, ok bool) {
	if len(b) != commandBytes || b[1] >= keys {
		return c, false
	}
	u64 := binary.LittleEndian.Uint64
	return command{b[0], b[1], u64(b[2:]), u64(b[10:]), u64(b[18:])}, true
}

// registers is the replicated state, and the model the oracle compares with.
type registers struct {
	value [keys]uint64
	chain uint64 // over every command, so that a lost or doubled one shows
}

// run carries out one command: a flag and the value before it.
func (r *registers) run(index uint64, c command) (done bool, before uint64) {
	before = r.value[c.key]
	done = c.kind == commandWrite || before == c.expected
	if done {
		r.value[c.key] = c.value
	}
	r.chain = mix(r.chain ^ mix(index)<<1 ^ c.operation)
	return done, before
}

func encodeResult(done bool, before uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{byte(bit01(done))}, before)
}

// stateMachine is what a World's processes run.
type stateMachine interface {
	replica.StateMachine
	// answer is what a read finds in it.
	answer(op *operation) reply
}

// machine is the state machine of one process. It tells the oracle of every
// command that it really runs.
type machine struct {
	id      consensus.ID
	model   *model
	padding int // bytes a snapshot carries beside the registers
	registers
}

// Apply implements replica.StateMachine.
func (m *machine) Apply(index uint64, _ int64, data []byte) []byte {
	c, ok := decodeCommand(data)
	if !ok {
		violated("R5", "replica %d applies %d bytes at %d that nobody proposed", m.id, len(data), index)
	}
	result := encodeResult(m.run(index, c))
	if m.model.executes(m.id, consensus.Index(index), c.operation, result) {
		m.model.runs(consensus.Index(index), c, result)
	}
	return result
}

// answer implements stateMachine.
func (m *machine) answer(op *operation) reply { return reply{value: m.value[op.key]} }

// Snapshot implements replica.StateMachine.
func (m *machine) Snapshot() (io.WriterTo, error) {
	return picturedRegisters{m.registers, m.padding}, nil
}

// Digest implements replica.Digester.
func (m *machine) Digest() uint64 {
	h := m.chain
	for _, v := range m.value {
		h = mix(h ^ v)
	}
	return h
}

// Restore implements replica.StateMachine.
func (m *machine) Restore(r io.Reader) error {
	var b [8 * (keys + 1)]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return err
	}
	for i := range keys {
		m.value[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	m.chain = binary.LittleEndian.Uint64(b[8*keys:])
	rest, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(rest, func(b byte) bool { return b != padByte }) {
		return errors.New("padding changed")
	}
	return nil
}

const padByte = 0x5a

// picturedRegisters is a snapshot: the registers and padding, so that it takes
// several chunks.
type picturedRegisters struct {
	registers
	padding int
}

// WriteTo implements io.WriterTo.
func (p picturedRegisters) WriteTo(w io.Writer) (int64, error) {
	b := make([]byte, 0, 8*(keys+1)+p.padding)
	for _, v := range p.value {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint64(b, p.chain)
	b = append(b, slices.Repeat([]byte{padByte}, p.padding)...)
	n, err := w.Write(b)
	return int64(n), err
}
