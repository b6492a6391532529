package main

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
)

// A picture is a table at one moment: for each key, 4 bytes length of its command
// and the command.
type picture []byte

var errPicture = errors.New("a picture of a table that ends too early")

// picture copies the table, in the order of its keys. The caller keeps writers
// away.
func (t *table) picture() picture {
	var p picture
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		value := t.values[key]
		p = binary.LittleEndian.AppendUint32(p, uint32(keyBytes+len(value)))
		p = appendCommand(p, key, value)
	}
	return p
}

// WriteTo writes the picture.
func (p picture) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(p)
	return int64(n), err
}

// restore replaces the table by a picture of one. The caller keeps others away.
func (t *table) restore(r io.Reader) error {
	clear(t.values)
	p, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for len(p) > 0 {
		if len(p) < 4 || len(p)-4 < int(binary.LittleEndian.Uint32(p)) {
			return errPicture
		}
		n := 4 + int(binary.LittleEndian.Uint32(p))
		t.putLocked(p[4:n])
		p = p[n:]
	}
	return nil
}
