package raft

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	want := []Entry{
		{Term: 1, Index: 7, Kind: EntryNoOp},
		{Term: 1, Index: 8, Data: []byte("a")},
		{Term: 3, Index: 9, Kind: EntryConfiguration, Data: bytes.Repeat([]byte("x"), 300)},
	}
	data := AppendEntriesData([]byte("before"), want)[len("before"):]
	if len(data) != EntriesDataSize(want) {
		t.Errorf("%d bytes, EntriesDataSize says %d", len(data), EntriesDataSize(want))
	}
	got, err := DecodeEntries(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if allocs := testing.AllocsPerRun(100, func() { DecodeEntries(data) }); allocs != 1 {
		t.Errorf("%v allocations for three entries, want one slice", allocs)
	}
	for cut := 1; cut < len(data); cut++ {
		if whole, err := DecodeEntries(data[:cut]); err == nil && len(whole) == len(want) {
			t.Errorf("cut at %d: %+v", cut, whole)
		}
	}
}

func TestMalformedEntriesAreAnError(t *testing.T) {
	for name, list := range map[string][]Entry{
		"gap":       {{Term: 1, Index: 1}, {Term: 1, Index: 3}},
		"term back": {{Term: 2, Index: 1}, {Term: 1, Index: 2}},
		"index 0":   {{Term: 1}},
		"term 0":    {{Index: 1}},
		"kind":      {{Term: 1, Index: 1, Kind: 9}},
		"overflow":  {{Term: 1, Index: 1 << 63}},
	} {
		if _, err := DecodeEntries(AppendEntriesData(nil, list)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

func FuzzDecodeEntries(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendEntriesData(nil, []Entry{{Term: 1, Index: 1, Data: []byte("a")}, {Term: 2, Index: 2, Kind: EntryNoOp}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := DecodeEntries(data)
		if err != nil {
			return
		}
		if back := AppendEntriesData(nil, entries); !bytes.Equal(back, data) {
			t.Errorf("%x decodes to %+v and encodes to %x", data, entries, back)
		}
	})
}

func TestConfigurationsComeBackAsTheyWere(t *testing.T) {
	want := Configuration{Version: 9, Members: []Member{
		{ID: 1, Voter: true, Outgoing: true, Name: "a", Address: "127.0.0.1:1"},
		{ID: 2, Outgoing: true, Leaving: true, Priority: -3},
		{ID: 1 << 63, Promote: true, Replaces: 2, Priority: 7, Name: "ö"},
	}}
	data := EncodeConfiguration(want)
	got, err := DecodeConfiguration(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for cut := range data {
		if _, err := DecodeConfiguration(data[:cut]); err == nil {
			t.Errorf("cut at %d: no error", cut)
		}
	}
	if _, err := DecodeConfiguration(append(data, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte too many: error %v, want ErrMalformed", err)
	}
}

func FuzzDecodeConfiguration(f *testing.F) {
	f.Add(EncodeConfiguration(Configuration{}))
	f.Add(EncodeConfiguration(Configuration{Version: 1, Members: []Member{{ID: 1, Voter: true, Name: "n", Address: "a"}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeConfiguration(data)
		if err != nil {
			return
		}
		if back := EncodeConfiguration(c); !bytes.Equal(back, data) {
			t.Errorf("%x decodes to %+v and encodes to %x", data, c, back)
		}
	})
}
