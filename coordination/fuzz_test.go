package coordination

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"
)

func FuzzDecodeOperation(f *testing.F) {
	f.Add(Operation{Kind: Put, Path: "/a", Data: []byte("x"), Version: 3}.Append(nil))
	f.Add(Operation{Kind: Delete, Path: "/a", Recursive: true}.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := DecodeOperation(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		again, err := DecodeOperation(o.Append(nil))
		if err != nil || again.Path != o.Path || !bytes.Equal(again.Data, o.Data) || again.Version != o.Version ||
			again.Kind != o.Kind || again.Recursive != o.Recursive {
			t.Fatalf("%+v was read back as %+v, %v", o, again, err)
		}
	})
}

func FuzzDecodeResult(f *testing.F) {
	r := newReplica(f, Limits{})
	f.Add(r.Apply(1, 1, Operation{Kind: Put, Path: "/a"}.Append(nil)))
	f.Add(r.Apply(2, 1, Operation{Kind: Delete, Path: "/b"}.Append(nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeResult(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if again, err := DecodeResult(r.appendTo(nil)); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v was read back as %+v, %v", r, again, err)
		}
	})
}

// FuzzApply cuts data into commands: whatever is in the log, a tree does not
// panic, its bytes add up, and a restored one is the same.
func FuzzApply(f *testing.F) {
	var seed []byte
	for _, o := range []Operation{{Kind: Put, Path: "/a/b", Data: []byte("x")}, {Kind: Put, Path: "/a/c"},
		{Kind: Delete, Path: "/a/b", Version: 1}, {Kind: Delete, Path: "/a", Recursive: true}} {
		command := o.Append(nil)
		seed = append(append(seed, byte(len(command))), command...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReplica(t, Limits{Nodes: 20, HistoryEvents: 5})
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			r.index++
			if _, err := DecodeResult(r.Apply(r.index, int64(r.index), data[1:1+n])); err != nil {
				t.Fatal(err)
			}
			data = data[1+n:]
		}
		other := newReplica(t, Limits{})
		other.restore(r.snapshot())
		if other.Status() != r.Status() || other.Digest() != r.Digest() {
			t.Fatalf("%+v, restored %+v", r.Status(), other.Status())
		}
	})
}

// FuzzRestore gives the bytes a good checksum, so that they reach the parts that
// read them.
func FuzzRestore(f *testing.F) {
	small := newReplica(f, Limits{})
	small.put("/a/b", "x")
	small.put("/c", "")
	small.delete("/c")
	whole := small.snapshot()
	f.Add([]byte(whole[:len(whole)-4]))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = binary.BigEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
		r := newReplica(t, Limits{})
		if err := r.Restore(bytes.NewReader(data)); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		again := newReplica(t, Limits{})
		again.restore(r.snapshot())
		if again.Digest() != r.Digest() || again.Status() != r.Status() {
			t.Fatalf("%+v, restored again %+v", r.Status(), again.Status())
		}
	})
}
