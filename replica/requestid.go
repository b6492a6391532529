package replica

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// RequestID names one command of a client that has no session: 48 bits of Unix
// milliseconds, big endian, then 80 random bits. It is a ULID.
type RequestID [16]byte

// NewRequestID makes an id from the time in Unix milliseconds and 80 bits that
// nobody else draws: use crypto/rand.
func NewRequestID(now int64, random [10]byte) RequestID {
	var id RequestID
	appendTime(id[:0], now)
	copy(id[6:], random[:])
	return id
}

// Time is when the id was made, in Unix milliseconds.
func (id RequestID) Time() int64 { return timeAt(id[:]) }

// Compare orders ids by time, then by their random bits.
func (id RequestID) Compare(other RequestID) int { return bytes.Compare(id[:], other[:]) }

// crockford is the alphabet of a ULID: no I, L, O, U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// idLength is how many characters of 5 bits hold the 128 bits of an id.
const idLength = 26

// String returns the 26 characters of the ULID.
func (id RequestID) String() string {
	high, low := binary.BigEndian.Uint64(id[:]), binary.BigEndian.Uint64(id[8:])
	var s [idLength]byte
	for i := idLength - 1; i >= 0; i-- {
		s[i] = crockford[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return string(s[:])
}

// ParseRequestID reads what String wrote, in upper or lower case. The error
// matches [ErrMalformed].
func ParseRequestID(s string) (RequestID, error) {
	if len(s) != idLength {
		return RequestID{}, fmt.Errorf("%w: a request id has %d characters, got %d", ErrMalformed, idLength, len(s))
	}
	if s[0] > '7' {
		return RequestID{}, fmt.Errorf("%w: request id %q does not begin with 0 to 7", ErrMalformed, s)
	}
	var high, low uint64
	for _, c := range []byte(s) {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		bits := strings.IndexByte(crockford, c)
		if bits < 0 {
			return RequestID{}, fmt.Errorf("%w: request id %q has character %q", ErrMalformed, s, c)
		}
		high = high<<5 | low>>59
		low = low<<5 | uint64(bits)
	}
	var id RequestID
	binary.BigEndian.PutUint64(id[:], high)
	binary.BigEndian.PutUint64(id[8:], low)
	return id, nil
}
