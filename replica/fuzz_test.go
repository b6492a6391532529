package replica

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func FuzzDecode(f *testing.F) {
	for kind := KindPlain; kind <= KindClose; kind++ {
		f.Add(Envelope{Kind: kind, Sequence: 1, Command: []byte("c")}.Append(nil))
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownKind) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if again := e.Append(nil); !bytes.Equal(again, data) {
			t.Fatalf("%x was read as %+v, which is written %x", data, e, again)
		}
	})
}

func FuzzParseRequestID(f *testing.F) {
	f.Add("01ARYZ6S41TSV4RRFFQ69G5FAV")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseRequestID(s); err == nil && id.String() != strings.ToUpper(s) {
			t.Fatalf("%q was read as %s", s, id)
		}
	})
}

// FuzzApply cuts data into entries: whatever is in the log, a replica does not
// panic, and two of them agree.
func FuzzApply(f *testing.F) {
	g := busyGroup(f)
	var seed []byte
	for _, e := range g.log {
		seed = append(append(seed, byte(len(e.Data))), e.Data...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var entries []Entry
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			entries = append(entries, Entry{Index: uint64(len(entries)) + 1, Data: data[1 : 1+n]})
			data = data[1+n:]
		}
		limits := Limits{SessionWindow: 8, SessionBytes: 500, Requests: 4, DigestEvery: 3}
		one, other := mustNew(t, Config{Limits: limits}, newLedger()), mustNew(t, Config{Limits: limits}, newLedger())
		err := one.Apply(entries, nil)
		for _, e := range entries {
			_ = other.Apply([]Entry{e}, nil)
		}
		if one.Digest() != other.Digest() || (err == nil) != (other.Status().Stopped == nil) {
			t.Fatalf("%+v and %+v, %v", one.Digest(), other.Digest(), err)
		}
		if err != nil {
			return
		}
		whole := snapshotOf(t, one)
		restored := mustNew(t, Config{}, newLedger())
		if err := restored.Restore(strings.NewReader(whole)); err != nil || snapshotOf(t, restored) != whole {
			t.Fatalf("restore: %v", err)
		}
	})
}

// FuzzRestore gives the bytes good checksums, so that they reach the parts that
// read them.
func FuzzRestore(f *testing.F) {
	g := newGroup(f, Limits{})
	g.command(g.register(), 2, 0, "a")
	g.request(requestAt(g.now, 1), "b")
	whole := g.snapshot()
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(newChunkReader(strings.NewReader(whole))); err != nil {
		f.Fatal(err)
	}
	f.Add(plain.Bytes(), true)
	f.Add([]byte(whole), false)
	f.Fuzz(func(t *testing.T, data []byte, wrap bool) {
		if wrap {
			var b bytes.Buffer
			w := newChunkWriter(&b)
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.finish(); err != nil {
				t.Fatal(err)
			}
			data = b.Bytes()
		}
		r := mustNew(t, Config{}, newLedger())
		if err := r.Restore(bytes.NewReader(data)); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrStopped) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if header, err := VerifySnapshot(bytes.NewReader(data)); err != nil || header.Index != r.Applied() {
			t.Fatalf("restored, but %+v, %v", header, err)
		}
		_ = r.Apply([]Entry{{Index: r.Applied() + 1, Data: Envelope{Kind: KindPlain, Time: MaxTime}.Append(nil)}}, nil)
	})
}
