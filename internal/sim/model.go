package sim

import (
	"slices"

	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
)

// model is what the oracle knows above the log: what every command did when it
// ran first, what every register held at every index, and which operations
// clients have seen finished. The index at which an operation took effect is
// its witness: linearizability is then a comparison instead of a search
// (reliability study, section 3.3).
type model struct {
	registers
	ran     map[uint64]effect // by operation
	last    consensus.Index   // at which a command ran
	expired map[uint64]consensus.Index
	history [keys][]version
	digest  []uint64 // by index, 0 where nobody looked
	// returned is the highest witness of any operation that has returned.
	returned consensus.Index
	noted    *violation // found inside a state machine, whose panics are caught
}

type effect struct {
	index  consensus.Index
	result string
}

// version is what a register holds from an index on.
type version struct {
	index consensus.Index
	value uint64
}

func newModel() model {
	return model{ran: map[uint64]effect{}, expired: map[uint64]consensus.Index{}}
}

// executes is a command that really runs on some state machine: once for each
// operation over all of history, with the same result everywhere (S1, S4, R5). It
// reports whether it is the first time anywhere.
func (m *model) executes(id consensus.ID, i consensus.Index, operation uint64, result []byte) (first bool) {
	had, ok := m.ran[operation]
	switch {
	case ok && had.index != i:
		m.note("S1", "operation %d runs at %d and at %d", operation, had.index, i)
	case ok && had.result != string(result):
		m.note("R5", "operation %d at %d has another result on replica %d", operation, i, id)
	case ok:
	case m.expired[operation] > 0 && m.expired[operation] < i:
		m.note("S4", "operation %d runs at %d, but at %d it was refused for ever", operation, i, m.expired[operation])
	default:
		if i <= m.last {
			m.note("R5", "operation %d runs at %d, where another one ran", operation, i)
		}
		m.last = i
		m.ran[operation] = effect{i, string(result)}
		return true
	}
	return false
}

// runs is the first time anywhere: the model runs it as well.
func (m *model) runs(i consensus.Index, c command, result []byte) {
	done, before := m.run(uint64(i), c)
	if want := string(encodeResult(done, before)); want != string(result) {
		m.note("R5", "operation %d at %d: the model has %x, the state machine %x", c.operation, i, want, result)
	}
	if h := &m.history[c.key]; done {
		*h = append(*h, version{i, c.value})
	}
}

func (m *model) note(rule, format string, args ...any) {
	if m.noted == nil {
		m.noted = &violation{rule, sprint(format, args...)}
	}
}

// digests compares the digest of a replica, and its checkpoints since from,
// with those of all others (S5, and R5 once more).
func (w *World) digests(n *node, from consensus.Index) {
	if w.model.noted != nil {
		panic(*w.model.noted)
	}
	now := n.replica.Digest()
	for i := (uint64(from) + digestEvery - 1) / digestEvery * digestEvery; i <= now.Index; i += digestEvery {
		if d, ok := n.replica.DigestAt(i); ok {
			w.model.compare(n.id, consensus.Index(i), d)
		}
	}
	w.model.compare(n.id, consensus.Index(now.Index), now.Digest)
}

func (m *model) compare(id consensus.ID, i consensus.Index, d uint64) {
	for len(m.digest) <= int(i) {
		m.digest = append(m.digest, 0)
	}
	if m.digest[i] == 0 {
		m.digest[i] = d
	} else if m.digest[i] != d {
		violated("S5", "replica %d has digest %016x at %d, another has %016x", id, d, i, m.digest[i])
	}
}

// guess is a value for a compare-and-set that has a chance.
func (m *model) guess(key byte, d draw) uint64 {
	if d.perMille(700) {
		return m.value[key]
	}
	return uint64(d.split().below(50))
}

// commandReturns is a client getting the result of a command. The run must be later
// than everything that had returned before the call.
func (m *model) commandReturns(op *operation, r replica.Result) {
	switch r.Code {
	case replica.CodeSessionExpired, replica.CodeRequestExpired:
		if op.kind == opSession || op.kind == opRequest {
			m.expired[op.number] = max(m.expired[op.number], consensus.Index(r.Index))
		}
		return
	case replica.CodeDuplicate, replica.CodeApplied:
	default:
		return
	}
	i := consensus.Index(r.Index)
	if i <= op.floor {
		violated("R12", "%v %d took effect at %d, but %d had returned before its call", op.kind, op.number, i, op.floor)
	}
	m.returned = max(m.returned, i)
}

// replies is a replica answering a command, whether the client still waits for
// it or not: with the result of the only run (S2).
func (m *model) replies(op *operation, r replica.Result) {
	if r.Code != replica.CodeApplied && r.Code != replica.CodeDuplicate || op.kind < opSession {
		return
	}
	had, ok := m.ran[op.number]
	if !ok || had.index != consensus.Index(r.Index) || had.result != string(r.Value) {
		violated("S2", "client %d is told that %v %d ran at %d with %x; it ran: %v at %d with %x", op.client, op.kind, op.number, r.Index,
			r.Value, ok, had.index, had.result)
	}
}

// readReturns is a client getting the value of a register.
func (m *model) readReturns(op *operation, r reply) {
	if r.index < op.floor {
		violated("R12", "%v %d saw the state at %d, but %d had returned before its call", op.kind, op.number, r.index, op.floor)
	}
	if want := m.valueAt(op.key, r.index); op.look == nil && want != r.value {
		violated("R12", "%v %d of register %d at %d got %d, the log says %d", op.kind, op.number, op.key, r.index, r.value, want)
	}
	m.returned = max(m.returned, r.index)
}

// valueAt is what a register held at an index.
func (m *model) valueAt(key byte, i consensus.Index) uint64 {
	h := m.history[key]
	at, found := slices.BinarySearchFunc(h, i, func(v version, i consensus.Index) int { return int(v.index) - int(i) })
	if found {
		return h[at].value
	}
	if at == 0 {
		return 0
	}
	return h[at-1].value
}

// notCommitted is a replica saying that an attempt will surely never run.
func (m *model) notCommitted(op *operation, attempt int) {
	if op.kind == opPlain && op.attempt == attempt {
		if had, ok := m.ran[op.number]; ok {
			violated("S2", "operation %d is called not committed, but ran at %d", op.number, had.index)
		}
	}
}
