package replica

import (
	"bytes"
	"encoding/base32"
	"fmt"
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
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// String returns the 26 characters of the ULID.
func (id RequestID) String() string {
	// 26 characters hold 130 bits: the id stands in the last 128 of them.
	var wide [20]byte
	shiftRight(wide[:17], id[:], 2)
	return crockford.EncodeToString(wide[:])[:26]
}

// ParseRequestID reads what String wrote, in upper or lower case. The error
// matches [ErrMalformed].
func ParseRequestID(s string) (RequestID, error) {
	var id RequestID
	if len(s) != 26 {
		return id, fmt.Errorf("%w: a request id has 26 characters, got %d", ErrMalformed, len(s))
	}
	padded := append(bytes.ToUpper([]byte(s)), "000000"...)
	var wide [20]byte
	if _, err := crockford.Decode(wide[:], padded); err != nil {
		return id, fmt.Errorf("%w: request id %q: %w", ErrMalformed, s, err)
	}
	if wide[0] >= 1<<6 {
		return id, fmt.Errorf("%w: request id %q is above the largest", ErrMalformed, s)
	}
	for i := range id {
		id[i] = wide[i]<<2 | wide[i+1]>>6
	}
	return id, nil
}

// shiftRight writes src, moved right by n < 8 bits, to dst, which is one byte
// longer.
func shiftRight(dst, src []byte, n uint) {
	var carry byte
	for i, b := range src {
		dst[i] = carry | b>>n
		carry = b << (8 - n)
	}
	dst[len(src)] = carry
}
