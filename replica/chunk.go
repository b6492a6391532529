package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A snapshot travels in chunks, so that no byte of it is used before a checksum
// has vouched for it:
//
//	offset  size  field
//	0       4     length n of the data, 0 for the last chunk
//	4       4     CRC32C over the length, the data, and all chunks before
//	8       n     data
//
// Since each checksum continues the one before, chunks can be neither swapped
// nor left out.
const (
	chunkHeader = 8
	chunkBytes  = 64 << 10
)

type chunkWriter struct {
	w       io.Writer
	sum     uint32
	buffer  []byte // the header and what waits to be written
	written int64
}

func newChunkWriter(w io.Writer) *chunkWriter {
	return &chunkWriter{w: w, buffer: make([]byte, chunkHeader, chunkHeader+chunkBytes)}
}

func (c *chunkWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), cap(c.buffer)-len(c.buffer))
		c.buffer, p = append(c.buffer, p[:n]...), p[n:]
		if len(c.buffer) < cap(c.buffer) {
			break
		}
		if err := c.flush(); err != nil {
			return total - len(p), err
		}
	}
	return total, nil
}

func (c *chunkWriter) flush() error {
	binary.BigEndian.PutUint32(c.buffer, uint32(len(c.buffer)-chunkHeader))
	c.sum = chunkSum(c.sum, c.buffer)
	binary.BigEndian.PutUint32(c.buffer[4:], c.sum)
	n, err := c.w.Write(c.buffer)
	c.written += int64(n)
	c.buffer = c.buffer[:chunkHeader]
	return err
}

// finish writes what is left and the last chunk.
func (c *chunkWriter) finish() error {
	if len(c.buffer) > chunkHeader {
		if err := c.flush(); err != nil {
			return err
		}
	}
	return c.flush()
}

func chunkSum(sum uint32, chunk []byte) uint32 {
	sum = crc32.Update(sum, castagnoli, chunk[:4])
	return crc32.Update(sum, castagnoli, chunk[chunkHeader:])
}

// chunkReader hands out verified bytes. It ends with io.EOF only after the last
// chunk; any other end is an error that matches ErrCorrupt, or the error of the
// reader below.
type chunkReader struct {
	r      io.Reader
	sum    uint32
	buffer []byte
	rest   []byte // verified and not yet read
	err    error
}

func newChunkReader(r io.Reader) *chunkReader {
	return &chunkReader{r: r, buffer: make([]byte, chunkHeader+chunkBytes)}
}

func (c *chunkReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.rest) == 0 && c.err == nil {
		c.err = c.next()
	}
	if len(c.rest) == 0 {
		return 0, c.err
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next reads one chunk.
func (c *chunkReader) next() error {
	if _, err := io.ReadFull(c.r, c.buffer[:chunkHeader]); err != nil {
		return truncated(err)
	}
	n := binary.BigEndian.Uint32(c.buffer)
	if n > chunkBytes {
		return fmt.Errorf("%w: chunk of %d bytes", ErrCorrupt, n)
	}
	chunk := c.buffer[:chunkHeader+n]
	if _, err := io.ReadFull(c.r, chunk[chunkHeader:]); err != nil {
		return truncated(err)
	}
	c.sum = chunkSum(c.sum, chunk)
	if want := binary.BigEndian.Uint32(chunk[4:]); c.sum != want {
		return fmt.Errorf("%w: checksum is %08x, should be %08x", ErrCorrupt, c.sum, want)
	}
	if n == 0 {
		return io.EOF
	}
	c.rest = chunk[chunkHeader:]
	return nil
}

// truncated makes the end of the reader below a corruption.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut off", ErrCorrupt)
	}
	return fmt.Errorf("replica: read snapshot: %w", err)
}
