package storage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A batch is what one write puts into the log, and all that it puts there is
// valid or nothing is. README.md has its layout as a table.
const (
	batchMagic        = "SBAT"
	trailerMagic      = "BEND"
	batchHeaderBytes  = 80
	trailerBytes      = 8
	recordHeaderBytes = 24
)

// Flags of a batch.
const (
	flagCarry = 1 << iota // begins with the whole state: first batch of each segment
	flagMark              // a sync mark: says that all before it was durable
	flagOpen              // first batch after Open
)

// Flags of a record.
const (
	// recordRelease is a release mark: records of Group up to Index are dead.
	recordRelease = 1 << iota
	// recordCarried repeats a state record or release mark at a segment's start.
	recordCarried
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batchHeader tells what a batch is, where it belongs and what came before it.
type batchHeader struct {
	Generation uint64 // of the segment
	Salt       uint64 // of the segment
	Offset     int64  // in the segment
	Sequence   uint64 // counts the batches of this log from 1
	Oldest     uint64 // generation of the oldest segment that still counts
	Newest     uint64 // generation of the newest segment that surely exists
	Size       int    // whole batch with padding, a multiple of BlockBytes
	Payload    int    // bytes of all records
	Records    int
	Flags      uint32
	Previous   uint32 // CRC of the batch before: the chain
}

// batchSize returns the whole size of a batch with so many bytes of records.
func batchSize(payload int) int {
	n := batchHeaderBytes + payload + trailerBytes
	return (n + BlockBytes - 1) &^ (BlockBytes - 1)
}

func recordSize(data []byte) int { return recordHeaderBytes + len(data) }

func (h *batchHeader) put(b []byte) {
	copy(b, batchMagic)
	le := binary.LittleEndian
	le.PutUint64(b[8:], h.Generation)
	le.PutUint64(b[16:], h.Salt)
	le.PutUint64(b[24:], uint64(h.Offset))
	le.PutUint64(b[32:], h.Sequence)
	le.PutUint64(b[40:], h.Oldest)
	le.PutUint64(b[48:], h.Newest)
	le.PutUint32(b[56:], uint32(h.Size))
	le.PutUint32(b[60:], uint32(h.Payload))
	le.PutUint32(b[64:], uint32(h.Records))
	le.PutUint32(b[68:], h.Flags)
	le.PutUint32(b[72:], h.Previous)
	le.PutUint32(b[76:], 0)
	le.PutUint32(b[4:], crc32.Checksum(b[8:batchHeaderBytes], castagnoli))
}

// parseHeader reads a batch header. It reports false for whatever is not one:
// zeroes, records, torn or damaged bytes.
func parseHeader(b []byte) (batchHeader, bool) {
	le := binary.LittleEndian
	if len(b) < batchHeaderBytes || string(b[:4]) != batchMagic ||
		le.Uint32(b[4:]) != crc32.Checksum(b[8:batchHeaderBytes], castagnoli) {
		return batchHeader{}, false
	}
	h := batchHeader{
		Generation: le.Uint64(b[8:]),
		Salt:       le.Uint64(b[16:]),
		Offset:     int64(le.Uint64(b[24:])),
		Sequence:   le.Uint64(b[32:]),
		Oldest:     le.Uint64(b[40:]),
		Newest:     le.Uint64(b[48:]),
		Size:       int(le.Uint32(b[56:])),
		Payload:    int(le.Uint32(b[60:])),
		Records:    int(le.Uint32(b[64:])),
		Flags:      le.Uint32(b[68:]),
		Previous:   le.Uint32(b[72:]),
	}
	return h, h.Offset >= 0 && h.Size == batchSize(h.Payload)
}

// placeSum is where each record's CRC starts from: it binds the record to its
// segment, its offset and its batch.
func (h *batchHeader) placeSum() uint32 {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[0:], h.Generation)
	binary.LittleEndian.PutUint64(b[8:], h.Salt)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.Offset))
	binary.LittleEndian.PutUint64(b[24:], h.Sequence)
	return crc32.Checksum(b[:], castagnoli)
}

// checkBatch verifies the trailer of a whole batch and returns its CRC, the link
// of the chain.
func checkBatch(b []byte) (uint32, bool) {
	trailer := b[len(b)-trailerBytes:]
	sum := crc32.Checksum(b[:len(b)-4], castagnoli)
	return sum, string(trailer[:4]) == trailerMagic && binary.LittleEndian.Uint32(trailer[4:]) == sum
}

var errMalformed = errors.New("malformed record in a batch")

// eachRecord calls f for the records of a verified batch. Data points into b.
// It returns errMalformed if the records do not fill the payload exactly or if
// one of them has a wrong CRC.
func eachRecord(h batchHeader, b []byte, f func(r Record, flags uint8) error) error {
	le := binary.LittleEndian
	p := b[batchHeaderBytes : batchHeaderBytes+h.Payload]
	place := h.placeSum()
	for range h.Records {
		if len(p) < recordHeaderBytes {
			return errMalformed
		}
		length := int(le.Uint32(p))
		if length > len(p)-recordHeaderBytes {
			return errMalformed
		}
		end := recordHeaderBytes + length
		sum := crc32.Update(place, castagnoli, p[:4])
		if le.Uint32(p[4:]) != crc32.Update(sum, castagnoli, p[8:end]) {
			return errMalformed
		}
		r := Record{Group: Group(le.Uint32(p[8:])), Type: p[12], Index: le.Uint64(p[16:]), Data: p[recordHeaderBytes:end:end]}
		if err := f(r, p[13]); err != nil {
			return err
		}
		p = p[end:]
	}
	if len(p) != 0 {
		return errMalformed
	}
	return nil
}

// flaggedRecord is a record on its way into a batch.
type flaggedRecord struct {
	Record
	flags uint8
}

// batchEncoder builds one batch after the other in one aligned buffer.
type batchEncoder struct {
	header  batchHeader
	place   uint32
	buffer  []byte
	records []flaggedRecord // what the batch holds, until the next begin
}

// begin starts a batch; the header's place and sequence are final.
func (e *batchEncoder) begin(h batchHeader) {
	clear(e.records)
	e.records = e.records[:0]
	h.Payload, h.Records = 0, 0
	e.header = h
	e.place = h.placeSum()
}

func (e *batchEncoder) add(r Record, flags uint8) {
	start := batchHeaderBytes + e.header.Payload
	end := start + recordSize(r.Data)
	e.grow(end)
	le := binary.LittleEndian
	p := e.buffer[start:end]
	le.PutUint32(p, uint32(len(r.Data)))
	le.PutUint32(p[8:], uint32(r.Group))
	p[12], p[13], p[14], p[15] = r.Type, flags, 0, 0
	le.PutUint64(p[16:], r.Index)
	copy(p[recordHeaderBytes:], r.Data)
	sum := crc32.Update(e.place, castagnoli, p[:4])
	le.PutUint32(p[4:], crc32.Update(sum, castagnoli, p[8:]))
	e.header.Payload += len(p)
	e.header.Records++
	e.records = append(e.records, flaggedRecord{r, flags})
}

// grow makes room for n bytes of header and records, and for the trailer.
func (e *batchEncoder) grow(n int) {
	if need := batchSize(n - batchHeaderBytes); need > len(e.buffer) {
		larger := alignedBuffer(max(need, 2*len(e.buffer)))
		copy(larger, e.buffer)
		e.buffer = larger
	}
}

// finish returns the whole batch and its CRC. The bytes are valid until begin.
func (e *batchEncoder) finish() ([]byte, uint32) {
	h := &e.header
	h.Size = batchSize(h.Payload)
	e.grow(batchHeaderBytes)
	b := e.buffer[:h.Size]
	h.put(b)
	clear(b[batchHeaderBytes+h.Payload:])
	copy(b[h.Size-trailerBytes:], trailerMagic)
	sum := crc32.Checksum(b[:h.Size-4], castagnoli)
	binary.LittleEndian.PutUint32(b[h.Size-4:], sum)
	return b, sum
}
