package mesos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"
)

func FuzzDecodeRegistryCommand(f *testing.F) {
	f.Add(RegistryCommand{Term: 7, Operations: everyOperation()}.Append(nil))
	for _, o := range everyOperation() {
		f.Add(RegistryCommand{Term: 1, Operations: []RegistryOperation{o}}.Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeRegistryCommand(data)
		if err != nil {
			if !errors.Is(err, ErrRegistryMalformed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if again := c.Append(nil); !bytes.Equal(again, data) {
			t.Fatalf("%x was read as %+v, which is %x", data, c, again)
		}
	})
}

func FuzzDecodeRegistryResults(f *testing.F) {
	f.Add(RegistryResults{Code: CodeMalformed, Term: 5}.Append(nil))
	f.Add(RegistryResults{Term: 300, Results: []RegistryResult{{Code: CodeAgentGone, Was: StandingGone, Since: 300}, {Changed: true, Dropped: 2}}}.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRegistryResults(data)
		if err != nil {
			if !errors.Is(err, ErrRegistryMalformed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if again, err := DecodeRegistryResults(r.Append(nil)); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v was read back as %+v, %v", r, again, err)
		}
	})
}

// Whatever is in the log, a registry does not panic, and a restored one is the same.
func FuzzApplyToRegistry(f *testing.F) {
	var seed []byte
	for _, o := range append([]RegistryOperation{ElectMaster{Name: "m"}, admit("a"), PutFramework{Info: frameworkInfo("f")}, RemoveFramework{"f", 1}},
		append(agentOperations("a"), everyOperation()...)...) {
		command := RegistryCommand{Term: 1, Operations: []RegistryOperation{o}}.Append(nil)
		seed = append(append(seed, byte(len(command))), command...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newRegistered(t, RegistryLimits{Agents: 3, Gone: 2, Unreachable: 2, Removed: 2, Frameworks: 2, Roles: 2, Documents: 2, DocumentBytes: 50, Bytes: 1000})
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			b.index++
			if _, err := DecodeRegistryResults(b.r.Apply(b.index, 0, data[1:1+n])); err != nil {
				t.Fatalf("%x: %v", data[1:1+n], err)
			}
			data = data[1+n:]
		}
		sameAfterRestore(t, b.r)
	})
}

// A snapshot with whatever bytes, but a right checksum, is refused or restored to something
// that holds.
func FuzzRestoreRegistry(f *testing.F) {
	whole := snapshotOf(f, furnished(f).r)
	f.Add(whole[:len(whole)-4])
	empty := snapshotOf(f, newRegistered(f, RegistryLimits{}).r)
	f.Add(empty[:len(empty)-4])
	f.Fuzz(func(t *testing.T, data []byte) {
		data = binary.BigEndian.AppendUint32(bytes.Clone(data), crc32.Checksum(data, registryCastagnoli))
		b := elected(t, RegistryLimits{})
		digest := b.r.Digest()
		if err := b.r.Restore(bytes.NewReader(data)); err != nil {
			if !errors.Is(err, ErrRegistryCorrupt) || b.r.Digest() != digest {
				t.Fatalf("%v", err)
			}
			return
		}
		sameAfterRestore(t, b.r)
	})
}

// sameAfterRestore checks also that the sums that are kept are those of the rows.
func sameAfterRestore(t *testing.T, r *Registry) {
	t.Helper()
	data := snapshotOf(t, r)
	other := newRegistered(t, RegistryLimits{})
	if err := other.r.Restore(bytes.NewReader(data)); err != nil {
		t.Fatalf("its own snapshot: %v", err)
	}
	if other.r.Digest() != r.Digest() || other.r.Status() != r.Status() || !bytes.Equal(snapshotOf(t, other.r), data) {
		t.Fatalf("restored %+v, want %+v", other.r.Status(), r.Status())
	}
}
