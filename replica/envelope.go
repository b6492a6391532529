package replica

import (
	"encoding/binary"
	"fmt"
)

// Kind says what an [Envelope] asks for.
type Kind uint8

const (
	// KindPlain is a command that may run once for each time it is in the log.
	KindPlain Kind = 1 + iota
	// KindSession is a numbered command of a session.
	KindSession
	// KindRequest is a command with a request id.
	KindRequest
	// KindRegister opens a session. Its id is the index of the entry.
	KindRegister
	// KindKeepAlive keeps a session from expiring and acknowledges replies.
	KindKeepAlive
	// KindClose ends a session.
	KindClose
)

// MaxTime is the latest log time, in Unix milliseconds: the year 10889.
const MaxTime = 1<<48 - 1

// Envelope is a command as it stands in the log. All numbers are big endian:
//
//	offset  size  field
//	0       1     Kind
//	1       6     Time
//	KindPlain:
//	7       rest  Command
//	KindSession:
//	7       8     Session
//	15      8     Sequence
//	23      8     AckedBelow
//	31      rest  Command
//	KindRequest:
//	7       16    Request
//	23      rest  Command
//	KindRegister:
//	7       8     Timeout
//	KindKeepAlive:
//	7       8     Session
//	15      8     AckedBelow
//	KindClose:
//	7       8     Session
type Envelope struct {
	Kind Kind
	// Time is the stamp of the leader that appended the command, in Unix
	// milliseconds, 0 to MaxTime. Log time is the highest Time so far.
	Time int64
	// Session is the id of the session, for KindSession, KindKeepAlive and
	// KindClose.
	Session uint64
	// Sequence numbers the commands of a session from 1. For KindSession.
	Sequence uint64
	// AckedBelow tells that the client has the replies to all sequence numbers
	// below it and will not ask for them again; at most Sequence. 0 and 1
	// acknowledge nothing. For KindSession and KindKeepAlive.
	AckedBelow uint64
	// Request names the command. For KindRequest.
	Request RequestID
	// Timeout is how long, in milliseconds of log time, a session lives without
	// a command; 0 takes [Limits.SessionTimeout], and more than
	// [Limits.SessionTimeoutMax] is cut to that. For KindRegister.
	Timeout int64
	// Command is for the state machine. For the first three kinds. Decode
	// returns a part of its argument.
	Command []byte
}

const (
	timeOffset   = 1
	headerSize   = 7
	sessionSize  = headerSize + 24
	requestSize  = headerSize + 16
	registerSize = headerSize + 8
	keepSize     = headerSize + 16
	closeSize    = headerSize + 8
)

// Size is how many bytes Append adds.
func (e Envelope) Size() int {
	switch e.Kind {
	case KindSession:
		return sessionSize + len(e.Command)
	case KindRequest:
		return requestSize + len(e.Command)
	case KindRegister:
		return registerSize
	case KindKeepAlive:
		return keepSize
	case KindClose:
		return closeSize
	default:
		return headerSize + len(e.Command)
	}
}

// Append encodes e at the end of dst and returns the longer slice. It allocates
// only if dst lacks room for Size more bytes. It panics if Kind is not one of
// the constants.
func (e Envelope) Append(dst []byte) []byte {
	if e.Kind < KindPlain || e.Kind > KindClose {
		panic(fmt.Sprintf("replica: cannot encode an envelope of kind %d", e.Kind))
	}
	dst = appendTime(append(dst, byte(e.Kind)), e.Time)
	switch e.Kind {
	case KindSession:
		dst = binary.BigEndian.AppendUint64(dst, e.Session)
		dst = binary.BigEndian.AppendUint64(dst, e.Sequence)
		dst = binary.BigEndian.AppendUint64(dst, e.AckedBelow)
	case KindRequest:
		dst = append(dst, e.Request[:]...)
	case KindRegister:
		return binary.BigEndian.AppendUint64(dst, uint64(max(e.Timeout, 0)))
	case KindKeepAlive:
		dst = binary.BigEndian.AppendUint64(dst, e.Session)
		return binary.BigEndian.AppendUint64(dst, e.AckedBelow)
	case KindClose:
		return binary.BigEndian.AppendUint64(dst, e.Session)
	}
	return append(dst, e.Command...)
}

// SetTime stamps an encoded envelope with what [LogClock.Stamp] returned, in
// place. The leader calls it just before it appends a command
// to the log, whoever encoded it. Data too short to be an envelope is left
// alone.
func SetTime(data []byte, now int64) {
	if len(data) >= headerSize {
		appendTime(data[timeOffset:timeOffset], now)
	}
}

// Time returns the stamp of an encoded envelope, 0 if it is too short to have one.
func Time(data []byte) int64 {
	if len(data) < headerSize {
		return 0
	}
	return timeAt(data[timeOffset:])
}

// Decode reads an encoded envelope. The error matches [ErrUnknownKind] if the
// kind is not one of the constants, else [ErrMalformed]. A leader checks with
// it what it is asked to append: an unknown kind must not reach the log, where
// it stops every replica.
func Decode(data []byte) (Envelope, error) {
	if len(data) < headerSize {
		return Envelope{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	e := Envelope{Kind: Kind(data[0]), Time: timeAt(data[timeOffset:])}
	if e.Kind < KindPlain || e.Kind > KindClose {
		return Envelope{}, fmt.Errorf("%w: %d", ErrUnknownKind, e.Kind)
	}
	if !e.fits(len(data)) {
		return Envelope{}, fmt.Errorf("%w: %d bytes for kind %d", ErrMalformed, len(data), e.Kind)
	}
	e.readFields(data)
	if !e.valid() {
		return Envelope{}, fmt.Errorf("%w: kind %d: session %d, sequence %d, acknowledged below %d, timeout %d",
			ErrMalformed, e.Kind, e.Session, e.Sequence, e.AckedBelow, e.Timeout)
	}
	return e, nil
}

// fits reports whether n bytes can be an envelope of e's kind.
func (e *Envelope) fits(n int) bool {
	fixed := Envelope{Kind: e.Kind}.Size()
	if e.Kind <= KindRequest {
		return n >= fixed
	}
	return n == fixed
}

func (e *Envelope) readFields(data []byte) {
	u64 := binary.BigEndian.Uint64
	body := data[headerSize:]
	switch e.Kind {
	case KindPlain:
		e.Command = body
	case KindSession:
		e.Session, e.Sequence, e.AckedBelow = u64(body), u64(body[8:]), u64(body[16:])
		e.Command = body[24:]
	case KindRequest:
		e.Request = RequestID(body[:16])
		e.Command = body[16:]
	case KindRegister:
		e.Timeout = int64(u64(body))
	case KindKeepAlive:
		e.Session, e.AckedBelow = u64(body), u64(body[8:])
	case KindClose:
		e.Session = u64(body)
	}
}

func (e *Envelope) valid() bool {
	switch e.Kind {
	case KindSession:
		return e.Sequence > 0 && e.AckedBelow <= e.Sequence
	case KindRegister:
		return e.Timeout >= 0 && e.Timeout <= MaxTime
	default:
		return true
	}
}

func appendTime(dst []byte, t int64) []byte {
	t = min(max(t, 0), MaxTime)
	return append(dst, byte(t>>40), byte(t>>32), byte(t>>24), byte(t>>16), byte(t>>8), byte(t))
}

func timeAt(b []byte) int64 {
	return int64(b[0])<<40 | int64(binary.BigEndian.Uint32(b[1:]))<<8 | int64(b[5])
}
