package replica

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

// ledger is a state machine that counts how often each command ran and answers
// with the index and the count, so that a second run shows in the reply.
type ledger struct {
	runs    map[string]uint64
	bad     bool // Restore fails
	silent  bool // Digest tells nothing
	lastNow int64
}

func newLedger() *ledger { return &ledger{runs: make(map[string]uint64)} }

func (l *ledger) Apply(index uint64, now int64, command []byte) []byte {
	if now < l.lastNow {
		panic("log time went back")
	}
	l.lastNow = now
	switch string(command) {
	case "panic":
		l.runs["half"]++
		panic("bug in the machine")
	case "big":
		return make([]byte, 1000)
	}
	l.runs[string(command)]++
	return fmt.Appendf(nil, "%s@%d#%d", command, index, l.runs[string(command)])
}

func (l *ledger) Digest() uint64 {
	if l.silent {
		return 0
	}
	var sum uint64
	for command, n := range l.runs {
		sum += uint64(crc32.ChecksumIEEE([]byte(command)))<<20 + n
	}
	return sum
}

type ledgerPicture map[string]uint64

func (l *ledger) Snapshot() (io.WriterTo, error) { return ledgerPicture(maps.Clone(l.runs)), nil }

func (p ledgerPicture) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for _, command := range slices.Sorted(maps.Keys(p)) {
		n, err := fmt.Fprintf(w, "%d %q\n", p[command], command)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (l *ledger) Restore(r io.Reader) error {
	if l.bad {
		return errors.New("bad ledger")
	}
	l.runs, l.lastNow = make(map[string]uint64), 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var n uint64
		var command string
		if _, err := fmt.Sscanf(lines.Text(), "%d %q", &n, &command); err != nil {
			return err
		}
		l.runs[command] = n
	}
	return lines.Err()
}

// group is a replica with its log: what a test appends it applies at once.
type group struct {
	*Replica
	t       testing.TB
	machine *ledger
	log     []Entry
	now     int64
}

const startTime = 1_700_000_000_000

func newGroup(t testing.TB, l Limits) *group {
	g := &group{t: t, machine: newLedger(), now: startTime}
	g.Replica = mustNew(t, Config{Limits: l}, g.machine)
	return g
}

func mustNew(t testing.TB, c Config, m StateMachine) *Replica {
	t.Helper()
	r, err := New(c, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// append puts an envelope into the log, stamped with g.now, and applies it.
func (g *group) append(e Envelope) Result {
	g.t.Helper()
	e.Time = g.now
	entry := Entry{Index: uint64(len(g.log)) + 1, Data: e.Append(nil)}
	g.log = append(g.log, entry)
	results := make([]Result, 1)
	if err := g.Apply([]Entry{entry}, results); err != nil {
		g.t.Fatalf("apply entry %d: %v", entry.Index, err)
	}
	return results[0]
}

func (g *group) plain(command string) Result {
	return g.append(Envelope{Kind: KindPlain, Command: []byte(command)})
}

func (g *group) register() uint64 {
	g.t.Helper()
	r := g.append(Envelope{Kind: KindRegister})
	if err := r.Err(); err != nil {
		g.t.Fatalf("register: %v", err)
	}
	return r.Index
}

func (g *group) command(session, sequence, ackedBelow uint64, command string) Result {
	g.t.Helper()
	return g.append(Envelope{Kind: KindSession, Session: session, Sequence: sequence,
		AckedBelow: ackedBelow, Command: []byte(command)})
}

func (g *group) request(id RequestID, command string) Result {
	g.t.Helper()
	return g.append(Envelope{Kind: KindRequest, Request: id, Command: []byte(command)})
}

// requestAt makes the n-th id of a moment.
func requestAt(ms int64, n uint64) RequestID {
	var random [10]byte
	binary.BigEndian.PutUint64(random[:], n)
	return NewRequestID(ms, random)
}

// snapshot returns the bytes of a snapshot of g.
func (g *group) snapshot() string {
	g.t.Helper()
	return snapshotOf(g.t, g.Replica)
}

func snapshotOf(t testing.TB, r *Replica) string {
	t.Helper()
	s, err := r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo returned %d bytes, %v; wrote %d", n, err, b.Len())
	}
	return b.String()
}

// restart replaces the replica by a new one restored from a snapshot.
func (g *group) restart() {
	g.t.Helper()
	bytes := g.snapshot()
	g.machine = newLedger()
	g.Replica = mustNew(g.t, Config{Limits: Limits{Sessions: 1}}, g.machine) // the snapshot's limits count
	if err := g.Restore(strings.NewReader(bytes)); err != nil {
		g.t.Fatalf("restore: %v", err)
	}
}

func wantResult(t testing.TB, what string, got Result, code Code, index uint64, value string) {
	t.Helper()
	if got.Code != code || got.Index != index || string(got.Value) != value {
		t.Fatalf("%s: got code %d, index %d, value %q; want %d, %d, %q",
			what, got.Code, got.Index, got.Value, code, index, value)
	}
}
