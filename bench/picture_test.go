package main

import (
	"bytes"
	"testing"
)

func TestARestoredTableHoldsWhatWasPictured(t *testing.T) {
	from, to := newTable(), newTable()
	for key := range uint64(100) {
		from.put(appendCommand(nil, key, make([]byte, key)))
	}
	to.put(appendCommand(nil, 7777, []byte("older")))
	var written bytes.Buffer
	if _, err := from.picture().WriteTo(&written); err != nil {
		t.Fatal(err)
	}
	picture := written.Bytes()
	if err := to.restore(bytes.NewReader(picture)); err != nil {
		t.Fatal(err)
	}
	if len(to.values) != len(from.values) || to.get(99) != 99 || to.get(7777) != 0 {
		t.Errorf("got %d keys, %d bytes at 99, %d at 7777, want 100, 99, 0", len(to.values), to.get(99), to.get(7777))
	}
	if err := to.restore(bytes.NewReader(picture[:len(picture)-1])); err == nil {
		t.Error("a picture cut short was restored without an error")
	}
}
