package replica_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/synod-go/synod/replica"
)

// sum adds up numbers: a state machine in three methods.
type sum struct{ total uint64 }

func (s *sum) Apply(index uint64, now int64, command []byte) []byte {
	if len(command) == 8 { // what comes from the log is checked
		s.total += binary.BigEndian.Uint64(command)
	}
	return fmt.Append(nil, s.total)
}

func (s *sum) Snapshot() (io.WriterTo, error) {
	return bytes.NewReader(binary.BigEndian.AppendUint64(nil, s.total)), nil
}

func (s *sum) Restore(r io.Reader) error {
	return binary.Read(r, binary.BigEndian, &s.total)
}

// An engine hands committed entries to Apply. Here they are made by hand: a
// client registers a session, adds 5, and repeats that because it has not seen
// the reply.
func Example() {
	machine := &sum{}
	r, err := replica.New(replica.Config{}, machine)
	if err != nil {
		fmt.Println(err)
		return
	}
	register := replica.Envelope{Kind: replica.KindRegister}
	add := replica.Envelope{Kind: replica.KindSession, Session: 1, Sequence: 1,
		Command: binary.BigEndian.AppendUint64(nil, 5)}
	entries := []replica.Entry{
		{Index: 1, Data: register.Append(nil)},
		{Index: 2, Data: add.Append(nil)},
		{Index: 3, Data: add.Append(nil)},
	}
	results := make([]replica.Result, len(entries))
	if err := r.Apply(entries, results); err != nil {
		fmt.Println(err)
		return
	}
	for _, result := range results[1:] {
		fmt.Printf("%s, applied at index %d\n", result.Value, result.Index)
	}
	err = r.View(func(index uint64) { fmt.Println("at index", index, "the total is", machine.total) })
	fmt.Println(err)
	// Output:
	// 5, applied at index 2
	// 5, applied at index 2
	// at index 3 the total is 5
	// <nil>
}

// A snapshot brings sessions and digest along: a replica restored from it goes
// on as if it had applied everything itself.
func ExampleReplica_Snapshot() {
	one, _ := replica.New(replica.Config{}, &sum{})
	command := binary.BigEndian.AppendUint64(nil, 7)
	entry := replica.Entry{Index: 1, Data: replica.Envelope{Kind: replica.KindPlain, Command: command}.Append(nil)}
	if err := one.Apply([]replica.Entry{entry}, nil); err != nil {
		fmt.Println(err)
	}
	snapshot, err := one.Snapshot()
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	if _, err := snapshot.WriteTo(&file); err != nil {
		fmt.Println(err)
	}

	machine := &sum{}
	other, _ := replica.New(replica.Config{}, machine)
	if err := other.Restore(&file); err != nil {
		fmt.Println(err)
	}
	fmt.Println("total", machine.total, "at index", other.Applied())
	fmt.Println("same digest:", one.Digest() == other.Digest())
	// Output:
	// total 7 at index 1
	// same digest: true
}
