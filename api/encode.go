package api

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"unicode/utf8"
)

// encodeBuffer is how much of an answer is encoded ahead, in bytes.
const encodeBuffer = 16 << 10

// textPiece is how many bytes of a text are encoded at once: up to six times as
// many come out.
const textPiece = 4 << 10

// encoder writes JSON with long values to a client, piece by piece: the encoded
// whole would be several times as large as what the tree holds anyway. Its first
// error stays.
type encoder struct {
	*bufio.Writer
}

// newEncoder expects about size bytes.
func newEncoder(w http.ResponseWriter, size int) encoder {
	return encoder{bufio.NewWriterSize(w, min(encodeBuffer, 512+2*size))}
}

// bytesOf is about how much a page holds of the tree.
func bytesOf(page Listing) (n int) {
	for _, e := range page.Entries {
		n += len(e.Path) + len(e.Value) + entryOverhead
	}
	return n
}

const entryOverhead = 128

// listing writes what json.Marshal would.
func (w encoder) listing(page Listing) {
	w.WriteString(`{"path":`)
	w.value(page.Path)
	w.WriteString(`,"entries":[`)
	for i, e := range page.Entries {
		if i > 0 {
			w.WriteByte(',')
		}
		w.entry(e)
	}
	w.WriteString(`],`)
	w.fields(listingTail{page.After, page.Index})
}

// entry writes what e.MarshalJSON does.
func (w encoder) entry(e Entry) {
	w.WriteString(`{"path":`)
	w.value(e.Path)
	w.WriteByte(',')
	w.bytes(e.Value)
	w.WriteByte(',')
	w.fields(entryTail{e.Version, e.Created, e.Modified, e.Children, e.Owner, e.Mode})
}

// change writes what c.MarshalJSON does.
func (w encoder) change(c Change) {
	w.WriteString(`{"kind":`)
	w.value(c.Kind)
	w.WriteString(`,"path":`)
	w.value(c.Path)
	if c.hasValue() {
		w.WriteByte(',')
		w.bytes(c.Value)
	}
	w.WriteByte(',')
	w.fields(changeTail{c.Version, c.Index, c.Denied})
}

// bytes writes a value as newValueJSON says.
func (w encoder) bytes(value []byte) {
	if !utf8.Valid(value) {
		w.WriteString(`"value_base64":"`)
		e := base64.NewEncoder(base64.StdEncoding, w)
		e.Write(value)
		e.Close()
		w.WriteByte('"')
		return
	}
	w.WriteString(`"value":"`)
	for len(value) > 0 {
		n := min(len(value), textPiece)
		for n < len(value) && !utf8.RuneStart(value[n]) {
			n-- // a rune is not cut in two
		}
		text, _ := json.Marshal(string(value[:n])) // text always encodes
		w.Write(text[1 : len(text)-1])
		value = value[n:]
	}
	w.WriteByte('"')
}

// fields writes the fields of v, the last of an object that has begun.
func (w encoder) fields(v any) {
	text, _ := json.Marshal(v) // our own types always encode
	w.Write(text[1:])
}

func (w encoder) value(v any) {
	text, _ := json.Marshal(v) // our own types always encode
	w.Write(text)
}

// writeEntry answers with an entry, writeListing with a page.
func writeEntry(w http.ResponseWriter, e Entry) error {
	w.Header().Set("Content-Type", "application/json")
	out := newEncoder(w, len(e.Value))
	out.entry(e)
	out.WriteByte('\n')
	return out.Flush()
}

func writeListing(w http.ResponseWriter, page Listing) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set(headerIndex, strconv.FormatUint(page.Index, 10))
	out := newEncoder(w, bytesOf(page))
	out.listing(page)
	out.WriteByte('\n')
	return out.Flush()
}
