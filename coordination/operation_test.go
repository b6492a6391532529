package coordination

import (
	"errors"
	"strings"
	"testing"
)

func TestMalformedOperationsAreAnsweredAndChangeNothing(t *testing.T) {
	put, del := Operation{Kind: Put, Path: "/a"}, Operation{Kind: Delete, Path: "/a"}
	unwritten, recursive, loaded, below := del, put, del, put
	unwritten.Version, recursive.Recursive, loaded.Data, below.Version = Unwritten, true, []byte("x"), -2
	for name, command := range map[string][]byte{
		"empty": {}, "one byte": {1}, "no version": {1, 0}, "kind 0": append([]byte{0}, put.Append(nil)[1:]...),
		"kind 8": append([]byte{8}, put.Append(nil)[1:]...), "unknown flag": append([]byte{1, 4}, put.Append(nil)[2:]...),
		"path cut off": put.Append(nil)[:4], "endless varint": append([]byte{1, 0}, strings.Repeat("\xff", 11)...),
		"delete unwritten": unwritten.Append(nil), "recursive put": recursive.Append(nil),
		"delete with data": loaded.Append(nil), "version below -1": below.Append(nil),
		"path too long": Operation{Kind: Put, Path: "/" + strings.Repeat("x", MaxPathBytes)}.Append(nil),
	} {
		r := newReplica(t, Limits{})
		if _, err := DecodeOperation(command); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: decoded, %v", name, err)
		}
		result, err := DecodeResult(r.Apply(1, 1, command))
		if err != nil || result.Code != CodeMalformed || r.Status().Nodes != 1 || r.LastIndex() != 0 {
			t.Errorf("%s: %+v, %v, %+v", name, result, err, r.Status())
		}
	}
	if o, err := DecodeOperation(put.Append(nil)); err != nil || o.Path != "/a" {
		t.Errorf("a good one: %+v, %v", o, err)
	}
}

func TestMalformedResultsAreRefused(t *testing.T) {
	whole := newReplica(t, Limits{}).Apply(1, 1, Operation{Kind: Put, Path: "/a"}.Append(nil))
	for n := range whole {
		if r, err := DecodeResult(whole[:n]); !errors.Is(err, ErrMalformed) && n != 3 { // 3: without a Stat
			t.Errorf("%d bytes: %+v, %v", n, r, err)
		}
	}
	if _, err := DecodeResult(append(whole, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestEventKindsHaveNames(t *testing.T) {
	for kind, name := range map[EventKind]string{Created: "created", Changed: "changed", Deleted: "deleted", 9: "EventKind(9)"} {
		want(t, "name", kind.String(), name)
	}
}
