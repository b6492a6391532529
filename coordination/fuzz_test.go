package coordination

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"testing"
)

func FuzzDecodeOperation(f *testing.F) {
	for _, o := range fullOperations() {
		f.Add(o.Append(nil))
	}
	f.Add(Operation{Kind: Put, Path: "/a", Data: []byte("x"), Version: 3}.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := DecodeOperation(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		encoded := o.Append(nil)
		again, err := DecodeOperation(encoded)
		if err != nil || !bytes.Equal(again.Append(nil), encoded) || fmt.Sprint(again) != fmt.Sprint(o) {
			t.Fatalf("%+v was read back as %+v, %v", o, again, err)
		}
	})
}

func FuzzDecodeResult(f *testing.F) {
	r := newReplica(f, Limits{})
	f.Add(r.Apply(1, 1, Operation{Kind: Put, Path: "/a"}.Append(nil)))
	f.Add(r.Apply(2, 1, Operation{Kind: Delete, Path: "/b"}.Append(nil)))
	f.Add(r.Apply(3, 1, Operation{Kind: OpenSession}.Append(nil)))
	f.Add(r.Apply(4, 1, Operation{Kind: SetACL, Path: "/a"}.Append(nil)))
	f.Add(r.Apply(5, 1, Operation{Kind: Multi, Operations: []Operation{{Kind: Create, Path: "/c"}, {Kind: Check, Path: "/d"}}}.Append(nil)))
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

// fuzzOperations go well together: the first opens session 1, the second claims at 2.
func fuzzOperations() []Operation {
	me := Caller{Session: 1, Key: testKey, Principals: []Principal{ann}}
	list := ACL{{MayAll, Principal{"auth", ""}}, {MayRead, anyone}}
	return []Operation{
		{Kind: OpenSession, Caller: Caller{Key: testKey}}, {Kind: ClaimSessions},
		{Kind: Put, Path: "/a/b", Data: []byte("x")}, {Kind: Put, Path: "/a/c"},
		{Kind: Create, Path: "/a/e", Mode: Ephemeral, Sequential: true, Caller: me, ACL: list},
		{Kind: Create, Path: "/a/t", Mode: TTL, TTL: 3}, {Kind: Create, Path: "/x/box", Mode: Container, MakeParents: true},
		{Kind: SetQuota, Path: "/a", QuotaNodes: 9, QuotaBytes: 99},
		{Kind: Multi, Caller: me, Operations: []Operation{{Kind: Create, Path: "/x/box/n", Sequential: true}, {Kind: SetACL, Path: "/a/b", ACL: list},
			{Kind: Delete, Path: "/a", Recursive: true}, {Kind: Check, Path: "/a/b"}}},
		{Kind: Reap, Epoch: 2}, {Kind: Delete, Path: "/a/b", Version: 1}, {Kind: Delete, Path: "/x", Recursive: true},
		{Kind: ExpireSessions, Sessions: []uint64{1, 7}, Epoch: 2}, {Kind: CloseSession, Caller: me},
		{Kind: AttachSessions, Sessions: []uint64{1, 7}, Connections: []uint64{2, 0}, Epoch: 2},
	}
}

// FuzzApply cuts data into commands: whatever is in the log, a tree does not
// panic, its bytes add up, and a restored one is the same. Where a command is to be
// empty stands one of fuzzOperations, so that changes of its bytes are not all there is.
func FuzzApply(f *testing.F) {
	var seed, named []byte
	for i, o := range fuzzOperations() {
		command := o.Append(nil)
		seed = append(append(seed, byte(len(command))), command...)
		named = append(named, 0, byte(i))
	}
	f.Add(seed)
	f.Add(named)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReplica(t, Limits{Nodes: 20, HistoryEvents: 5, SessionEphemerals: 3, Sessions: 3})
		for len(data) > 1 {
			n := min(int(data[0]), len(data)-1)
			command := data[1 : 1+n]
			if n == 0 {
				all := fuzzOperations()
				command, n = all[int(data[1])%len(all)].Append(nil), 1
			}
			r.index++
			if _, err := DecodeResult(r.Apply(r.index, int64(r.index), command)); err != nil {
				t.Fatal(err)
			}
			data = data[1+n:]
		}
		other := newReplica(t, Limits{})
		other.restore(r.snapshot())
		if other.Status() != r.Status() || other.Digest() != r.Digest() || !slices.Equal(other.Quotas(), r.Quotas()) {
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
	for _, o := range fuzzOperations()[:8] {
		small.do(o)
	}
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
