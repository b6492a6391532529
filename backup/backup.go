package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// Format is the newest version of the format that this package reads, and the one that it
// writes.
const Format = 1

const (
	magic = "SYNODBAK"
	// maxHeader bounds the header in bytes, maxGroups the groups in it.
	maxHeader = 1 << 20
	maxGroups = 1 << 10
	prefix    = len(magic) + 8
)

// ErrCorrupt is wrapped by the errors about a file that is not as it was written.
var ErrCorrupt = errors.New("the backup is damaged")

// FormatError tells that a newer version has written the file.
type FormatError struct{ Format, Supported uint32 }

// Error names both versions.
func (e *FormatError) Error() string {
	return fmt.Sprintf("backup: it has format %d, this version reads up to %d", e.Format, e.Supported)
}

// Header says what a backup is of.
type Header struct {
	Cluster string    `json:"cluster"` // id of the cluster
	Node    string    `json:"node"`    // the node that has made it
	Version string    `json:"version"` // of that node's program
	Time    time.Time `json:"time"`    // when it was begun
	Groups  []Group   `json:"groups"`
}

// Group is one group's snapshot in a backup.
type Group struct {
	Name   string `json:"name"`
	Engine string `json:"engine"` // that kept its log: raft or paxos
	Index  uint64 `json:"index"`  // the last one that the state has applied
	Term   uint64 `json:"term"`   // Raft's term there, or the Paxos leader's ballot
	Digest string `json:"digest"` // of the replica, 16 hexadecimal digits
	Size   int64  `json:"size"`   // in bytes
	// Members are the names of the nodes that had a place in the group.
	Members []string `json:"members,omitempty"`
}

// Writer writes a backup: the groups one after the other, then Close.
type Writer struct {
	w    io.Writer
	sum  hash.Hash
	left []Group
	rest int64 // of the group that is being written
	size int64
	err  error
}

// NewWriter writes the header. What it counts on of h is Groups with their Size.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	head, err := encodeHeader(h)
	if err != nil {
		return nil, err
	}
	out := &Writer{w: w, sum: sha256.New(), left: h.Groups}
	out.put(head)
	return out, out.err
}

func encodeHeader(h Header) ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("backup: header: %w", err)
	}
	if len(text) > maxHeader || len(h.Groups) > maxGroups {
		return nil, fmt.Errorf("backup: a header of %d bytes with %d groups, at most %d and %d", len(text), len(h.Groups), maxHeader, maxGroups)
	}
	head := binary.BigEndian.AppendUint32([]byte(magic), Format)
	head = binary.BigEndian.AppendUint32(head, uint32(len(text)))
	return append(head, text...), nil
}

// Size is how many bytes a backup with this header has.
func (h Header) Size() (int64, error) {
	head, err := encodeHeader(h)
	size := int64(len(head)) + sha256.Size
	for _, g := range h.Groups {
		size += g.Size
	}
	return size, err
}

func (w *Writer) put(p []byte) {
	if w.err == nil {
		w.sum.Write(p)
		var n int
		n, w.err = w.w.Write(p)
		w.size += int64(n)
	}
}

// Group writes the next group's snapshot: all that r has, which must be as much as the
// header says.
func (w *Writer) Group(r io.Reader) error {
	if len(w.left) == 0 {
		return errors.New("backup: more groups than the header has")
	}
	g := w.left[0]
	w.left, w.rest = w.left[1:], g.Size
	n, err := io.Copy(groupWriter{w}, r)
	if err == nil && n != g.Size {
		err = fmt.Errorf("backup: %d bytes of group %s, the header says %d", n, g.Name, g.Size)
	}
	return err
}

type groupWriter struct{ *Writer }

func (w groupWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.rest {
		return 0, fmt.Errorf("backup: a group has more bytes than its header says")
	}
	w.rest -= int64(len(p))
	if w.put(p); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Close writes the checksum. It fails if a group is missing.
func (w *Writer) Close() error {
	if w.err == nil && len(w.left) > 0 {
		w.err = fmt.Errorf("backup: group %s was not written", w.left[0].Name)
	}
	w.put(w.sum.Sum(nil))
	return w.err
}

// Written is how many bytes were written.
func (w *Writer) Written() int64 { return w.size }

// Reader reads a backup.
type Reader struct {
	Header Header

	r    *bufio.Reader
	sum  hash.Hash
	next int       // group
	open io.Reader // what is left of the group before it
}

// NewReader reads the header. Errors match ErrCorrupt, are a *FormatError, or r's own.
func NewReader(r io.Reader) (*Reader, error) {
	b := &Reader{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New(), open: io.LimitReader(nil, 0)}
	head := make([]byte, prefix)
	if err := b.read(head); err != nil {
		return nil, err
	}
	if string(head[:len(magic)]) != magic {
		return nil, fmt.Errorf("backup: %w: it begins with %q, which no backup does", ErrCorrupt, head[:len(magic)])
	}
	format, length := binary.BigEndian.Uint32(head[len(magic):]), binary.BigEndian.Uint32(head[len(magic)+4:])
	switch {
	case format > Format:
		return nil, &FormatError{Format: format, Supported: Format}
	case format == 0 || length > maxHeader:
		return nil, fmt.Errorf("backup: %w: format %d, a header of %d bytes", ErrCorrupt, format, length)
	}
	text := make([]byte, length)
	if err := b.read(text); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &b.Header); err != nil {
		return nil, fmt.Errorf("backup: %w: header: %w", ErrCorrupt, err)
	}
	return b, b.Header.check()
}

func (h Header) check() error {
	if len(h.Groups) > maxGroups {
		return fmt.Errorf("backup: %w: %d groups", ErrCorrupt, len(h.Groups))
	}
	for _, g := range h.Groups {
		if g.Size < 0 || g.Size > 1<<50 || g.Name == "" {
			return fmt.Errorf("backup: %w: group %q of %d bytes", ErrCorrupt, g.Name, g.Size)
		}
	}
	return nil
}

func (b *Reader) read(p []byte) error {
	if _, err := io.ReadFull(b.r, p); err != nil {
		return cutOff(err)
	}
	b.sum.Write(p)
	return nil
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("backup: %w: cut off", ErrCorrupt)
	}
	return fmt.Errorf("backup: read: %w", err)
}

// Next returns the next group and its snapshot, which is good until the next call; io.EOF
// after the last one.
func (b *Reader) Next() (Group, io.Reader, error) {
	if err := b.skip(); err != nil {
		return Group{}, nil, err
	}
	if b.next == len(b.Header.Groups) {
		return Group{}, nil, io.EOF
	}
	g := b.Header.Groups[b.next]
	b.next++
	b.open = &io.LimitedReader{R: io.TeeReader(b.r, b.sum), N: g.Size}
	return g, b.open, nil
}

// skip reads the rest of the group before.
func (b *Reader) skip() error {
	if _, err := io.Copy(io.Discard, b.open); err != nil {
		return cutOff(err)
	}
	if l, ok := b.open.(*io.LimitedReader); ok && l.N > 0 {
		return cutOff(io.EOF)
	}
	return nil
}

// Close reads to the end and compares the checksum. nil tells that every byte of the
// backup is as it was written.
func (b *Reader) Close() error {
	for {
		if _, _, err := b.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	want := b.sum.Sum(nil)
	got := make([]byte, sha256.Size)
	if _, err := io.ReadFull(b.r, got); err != nil {
		return cutOff(err)
	}
	if string(got) != string(want) {
		return fmt.Errorf("backup: %w: its SHA-256 is %x, should be %x", ErrCorrupt, want, got)
	}
	if _, err := b.r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("backup: %w: something follows behind its end", ErrCorrupt)
	}
	return nil
}

// Sum is the SHA-256 of what was read; after Close that of the whole backup without it.
func (b *Reader) Sum() []byte { return b.sum.Sum(nil) }

// Verify reads a backup from its beginning to its end. Errors are as of NewReader.
func Verify(r io.Reader) (Header, error) {
	b, err := NewReader(r)
	if err != nil {
		return Header{}, err
	}
	return b.Header, b.Close()
}
