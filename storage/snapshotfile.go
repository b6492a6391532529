package storage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A snapshot file is a header, chunks that each carry their CRC, and a footer.
// README.md has the layout as tables.
const (
	snapshotMagic       = "SYNODSNP"
	footerMagic         = "SNAPDONE"
	snapshotFormat      = 1
	snapshotHeaderBytes = 64
	footerBytes         = 32
	chunkBytes          = 128 << 10
	chunkSumBytes       = 4
	maxChunkBytes       = 1 << 20
	// maxSnapshotHeader bounds SnapshotMeta.Header.
	maxSnapshotHeader = 1 << 20
	// sizeUnknown stands in the header of a snapshot that is made here.
	sizeUnknown = -1
)

// SnapshotMeta describes a snapshot. Header is the owner's own, at most 1 MiB.
type SnapshotMeta struct {
	Group       Group
	Index, Term uint64 // the last log position that the snapshot covers
	Header      []byte
	Size        int64  // of the content, in bytes
	Checksum    uint32 // CRC32C of the content
}

// before orders snapshots of one group.
func (m SnapshotMeta) before(other SnapshotMeta) bool {
	return m.Index < other.Index || m.Index == other.Index && m.Term < other.Term
}

// encodeSnapshotHeader returns the header block and its CRC, which binds chunks
// and footer to this very file.
func encodeSnapshotHeader(m SnapshotMeta) ([]byte, uint32) {
	le := binary.LittleEndian
	b := make([]byte, snapshotHeaderBytes+len(m.Header))
	copy(b, snapshotMagic)
	le.PutUint32(b[8:], snapshotFormat)
	le.PutUint32(b[16:], chunkBytes)
	le.PutUint32(b[20:], uint32(m.Group))
	le.PutUint64(b[24:], m.Index)
	le.PutUint64(b[32:], m.Term)
	le.PutUint64(b[40:], uint64(m.Size))
	le.PutUint32(b[48:], m.Checksum)
	le.PutUint32(b[52:], uint32(len(m.Header)))
	copy(b[snapshotHeaderBytes:], m.Header)
	sum := identitySum(b)
	le.PutUint32(b[12:], sum)
	return b, sum
}

// snapshotHead is a decoded header with the geometry of its file.
type snapshotHead struct {
	meta   SnapshotMeta
	sum    uint32
	chunk  int64
	length int64 // of the header
}

func damagedSnapshot(name string, offset int64, reason string, err error) error {
	return &DamageError{File: name, Offset: offset, Reason: reason, Err: err}
}

// readSnapshotHead reads and checks the header of a snapshot file.
func readSnapshotHead(name string, f File) (snapshotHead, error) {
	le := binary.LittleEndian
	fixed := make([]byte, snapshotHeaderBytes)
	if err := readFull(f, fixed, 0); err != nil {
		return snapshotHead{}, damagedSnapshot(name, 0, "snapshot header is unreadable", err)
	}
	length := le.Uint32(fixed[52:])
	if string(fixed[:8]) != snapshotMagic || length > maxSnapshotHeader {
		return snapshotHead{}, damagedSnapshot(name, 0, "snapshot header is not what was written", nil)
	}
	b := append(fixed, make([]byte, length)...)
	if err := readFull(f, b[snapshotHeaderBytes:], snapshotHeaderBytes); err != nil {
		return snapshotHead{}, damagedSnapshot(name, 0, "snapshot header is unreadable", err)
	}
	sum := identitySum(b)
	if le.Uint32(b[12:]) != sum {
		return snapshotHead{}, damagedSnapshot(name, 0, "snapshot header is not what was written", nil)
	}
	if format := le.Uint32(b[8:]); format > snapshotFormat {
		return snapshotHead{}, &FormatError{File: name, Format: format, Supported: snapshotFormat}
	}
	h := snapshotHead{sum: sum, chunk: int64(le.Uint32(b[16:])), length: int64(len(b)), meta: SnapshotMeta{
		Group: Group(le.Uint32(b[20:])), Index: le.Uint64(b[24:]), Term: le.Uint64(b[32:]),
		Size: int64(le.Uint64(b[40:])), Checksum: le.Uint32(b[48:]), Header: b[snapshotHeaderBytes:],
	}}
	if h.chunk == 0 || h.chunk > maxChunkBytes {
		return snapshotHead{}, damagedSnapshot(name, 0, "snapshot header makes no sense", nil)
	}
	return h, nil
}

// fileSize returns how large the whole file is for so much content.
func (h snapshotHead) fileSize(content int64) int64 {
	chunks := (content + h.chunk - 1) / h.chunk
	return h.length + content + chunks*chunkSumBytes + footerBytes
}

// readFooter completes meta with the size and the checksum of the content.
func (h *snapshotHead) readFooter(name string, f File) error {
	size, err := f.Size()
	if err != nil {
		return damagedSnapshot(name, 0, "size is unknown", err)
	}
	at := size - footerBytes
	b := make([]byte, footerBytes)
	if at < h.length {
		return damagedSnapshot(name, size, "snapshot has no footer", nil)
	}
	if err := readFull(f, b, at); err != nil {
		return damagedSnapshot(name, at, "snapshot footer is unreadable", err)
	}
	content, checksum, ok := parseFooter(b, h.sum)
	if !ok || content > size || h.fileSize(content) != size {
		return damagedSnapshot(name, at, "snapshot footer is not what was written", nil)
	}
	h.meta.Size, h.meta.Checksum = content, checksum
	return nil
}

func encodeFooter(content int64, checksum, head uint32) []byte {
	le := binary.LittleEndian
	b := make([]byte, footerBytes)
	copy(b, footerMagic)
	le.PutUint64(b[8:], uint64(content))
	le.PutUint32(b[16:], checksum)
	le.PutUint32(b[20:], head)
	le.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
	return b
}

func parseFooter(b []byte, head uint32) (content int64, checksum uint32, ok bool) {
	le := binary.LittleEndian
	content = int64(le.Uint64(b[8:]))
	ok = string(b[:8]) == footerMagic && le.Uint32(b[28:]) == crc32.Checksum(b[:28], castagnoli) &&
		le.Uint32(b[20:]) == head && content >= 0
	return content, le.Uint32(b[16:]), ok
}

// chunkSum covers the content of a chunk and its place.
func (h snapshotHead) chunkSum(number int64, content []byte) uint32 {
	var b [12]byte
	binary.LittleEndian.PutUint32(b[0:], h.sum)
	binary.LittleEndian.PutUint64(b[4:], uint64(number))
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, content)
}

func (h snapshotHead) chunkOffset(number int64) int64 {
	return h.length + number*(h.chunk+chunkSumBytes)
}

// readChunk reads a chunk of n content bytes into b, which has room for its sum.
func (h snapshotHead) readChunk(name string, f File, number int64, n int, b []byte) ([]byte, error) {
	b = b[:n+chunkSumBytes]
	at := h.chunkOffset(number)
	if err := readFull(f, b, at); err != nil {
		return nil, damagedSnapshot(name, at, "chunk is unreadable", err)
	}
	if binary.LittleEndian.Uint32(b[n:]) != h.chunkSum(number, b[:n]) {
		return nil, damagedSnapshot(name, at, "chunk is not what was written", nil)
	}
	return b[:n], nil
}

func readFull(f File, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// chunkWriter writes the content of a snapshot file.
type chunkWriter struct {
	head   snapshotHead
	file   File
	buffer []byte // content of the chunk that is not full yet
	number int64  // of that chunk
	size   int64  // content so far
	sum    uint32 // of it
	err    error  // final
	onFull func() bool
}

func newChunkWriter(f File, head snapshotHead, onFull func() bool) *chunkWriter {
	return &chunkWriter{head: head, file: f, onFull: onFull, buffer: make([]byte, 0, head.chunk+chunkSumBytes)}
}

func (w *chunkWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && w.err == nil {
		n := min(len(p), int(w.head.chunk)-len(w.buffer))
		w.buffer = append(w.buffer, p[:n]...)
		w.sum = crc32.Update(w.sum, castagnoli, p[:n])
		w.size += int64(n)
		written += n
		p = p[n:]
		if len(w.buffer) == int(w.head.chunk) {
			w.flushChunk()
		}
	}
	return written, w.err
}

func (w *chunkWriter) flushChunk() {
	at := w.head.chunkOffset(w.number)
	b := binary.LittleEndian.AppendUint32(w.buffer, w.head.chunkSum(w.number, w.buffer))
	w.put(b, at)
	w.buffer = w.buffer[:0]
	w.number++
}

// put writes at an offset. A full disk is no failed write: nothing depends on the
// bytes yet and all are checksummed, so the write is repeated once the reserve
// has been given up.
func (w *chunkWriter) put(b []byte, at int64) {
	if w.err != nil {
		return
	}
	n, err := w.file.WriteAt(b, at)
	if isNoSpace(err) && w.onFull() {
		n, err = w.file.WriteAt(b, at)
	}
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	w.err = err
}

// finish writes what is left and the footer, and makes all of it durable.
func (w *chunkWriter) finish() error {
	if len(w.buffer) > 0 {
		w.flushChunk()
	}
	at := w.head.fileSize(w.size) - footerBytes
	w.put(encodeFooter(w.size, w.sum, w.head.sum), at)
	if w.err == nil {
		w.err = w.file.Sync()
	}
	return w.err
}
