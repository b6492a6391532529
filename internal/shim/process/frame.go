package process

// Types of messages. The shim answers each with one of the same type, or with MessageError.
const (
	MessageState       = 'S' // answered with a record of kind state
	MessageWait        = 'W' // answered with a record of kind exit, when the task has ended
	MessageSignal      = 'G' // signal: to the task's process group; answered when it is sent
	MessageKill        = 'K' // grace in nanoseconds: SIGTERM, then SIGKILL to all there is; answered at once
	MessageAcknowledge = 'A' // the exit is known for good: the shim leaves
	MessageError       = 'E' // problem: why not
)

// HeaderBytes is the size of what comes before a frame's record.
//
//	offset size
//	0      1    version
//	1      1    type
//	2      4    length of the record, big-endian, at most MaxMessage
const HeaderBytes = 6

// MaxMessage bounds a message's record.
const MaxMessage = 64 << 10

// Frame returns a message.
func Frame(kind byte, r Record) []byte {
	body := r.Encode()
	n := len(body)
	return append([]byte{Version, kind, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

// Header reads the first HeaderBytes of a frame: its type and how long its record is.
func Header(h []byte) (kind byte, length int, err error) {
	if h[0] != Version {
		return 0, 0, Problem("message of a version that this shim does not speak")
	}
	length = int(uint32(h[2])<<24 | uint32(h[3])<<16 | uint32(h[4])<<8 | uint32(h[5]))
	if length > MaxMessage {
		return 0, 0, Problem("message too long")
	}
	return h[1], length, nil
}
