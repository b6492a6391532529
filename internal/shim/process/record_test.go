package process

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestRecordsAreReadAsWritten(t *testing.T) {
	name := rapid.StringMatching(`[a-z][a-z-]{0,5}x`)
	rapid.Check(t, func(t *rapid.T) {
		r := Record{Kind: name.Draw(t, "kind")}
		for range rapid.IntRange(0, 8).Draw(t, "fields") {
			r.Add(name.Draw(t, "name"), string(rapid.SliceOf(rapid.Byte()).Draw(t, "value")))
		}
		text := r.Encode()
		got, err := Decode(text)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%q: got %+v, %v, want %+v", text, got, err, r)
		}
		cut := rapid.IntRange(0, len(text)-1).Draw(t, "cut")
		if got, err := Decode(text[:cut]); err == nil {
			t.Fatalf("%q was read as %+v", text[:cut], got)
		}
	})
}

func TestSpecStateAndExitAreReadAsWritten(t *testing.T) {
	spec := Spec{Nonce: "n", Argv: []string{"a", "b c", ""}, Env: []string{"A=1", "B=\n\xff"}, WorkDir: "/", SetUser: true, UID: 1, GID: 2,
		Groups: []int64{0, 3}, MemoryBytes: 4, MilliCPUs: 5, Pids: 6, CgroupParent: "p", LogBytes: 7, LingerNanos: 8}
	if got, err := ReadSpec(spec.Record()); err != nil || !reflect.DeepEqual(got, spec) {
		t.Errorf("spec %+v, %v", got, err)
	}
	state := State{Nonce: "n", Boot: "b", Shim: Process{1, 2}, Task: Process{3, 4}, Cgroups: []string{"c"}, Isolation: "session", Enforced: []string{"cpu"}}
	if got, err := ReadState(state.Record("state"), "state"); err != nil || !reflect.DeepEqual(got, state) {
		t.Errorf("state %+v, %v", got, err)
	}
	if _, err := ReadState(state.Record("started"), "state"); err == nil {
		t.Error("a record of another kind was read")
	}
	exit := Exit{Code: 1, Signal: 2, Failure: "f", UnixNanos: 3, Killed: true, OOMKills: 4, MaxRSSBytes: 5, UserNanos: 6, SystemNanos: 7, LogBytesLost: 8}
	if got, err := ReadExit(exit.Record()); err != nil || got != exit {
		t.Errorf("exit %+v, %v", got, err)
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	for _, text := range []string{"", "shim", "shim 2 exit\nend\n", "shim 1 exit\n", "shim 1 exit\nend", "shim 1 exit\nend\nmore", "shim 1 \nend\n",
		"shim 1 exit\ncode `1`\nend\n", "shim 1 exit\ncode 1\nend\n", "shim 1 exit\nCODE \"1\"\nend\n"} {
		if r, err := Decode([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v", text, r)
		}
	}
	// What a later version of ours may add is passed over.
	r, err := Decode([]byte("shim 1 exit\ncode \"3\"\nnew \"thing\"\nend\n"))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := ReadExit(r); err != nil || e.Code != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	r, err = Decode([]byte("shim 1 exit\ncode \"three\"\nend\n"))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := ReadExit(r); err == nil {
		t.Errorf("a code that is no number: %+v", e)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("shim 1 exit\ncode \"3\"\nend\n"))
	f.Add(Spec{Nonce: "n", Argv: []string{"a"}}.encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Decode(text)
		if err != nil {
			return
		}
		again, err := Decode(r.Encode())
		if err != nil || !bytes.Equal(again.Encode(), r.Encode()) {
			t.Fatalf("%q: %+v, %v", text, again, err)
		}
		_, _ = ReadSpec(r) // must not panic
		_, _ = ReadState(r, "state")
		_, _ = ReadExit(r)
	})
}

func (s Spec) encode() []byte { r := s.Record(); return r.Encode() }
