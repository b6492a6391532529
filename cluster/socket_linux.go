package cluster

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unsentBytes bounds what the kernel takes before it has sent it, so that
// control messages do not wait behind megabytes of bulk in the socket buffer.
const unsentBytes = 256 << 10

// resendAtMost bounds how long the kernel waits until it sends again what was not
// acknowledged. By itself it doubles the wait each time, so that a connection stays
// dead after a cut for about as long as the cut was; by then elections are long over.
const resendAtMost = time.Second

// tuneSocket sets how long bytes may stay unacknowledged, how often they are sent
// again, which Linux can be told since 6.15, and how many may wait unsent. Errors are
// of no consequence.
func tuneSocket(conn *net.TCPConn, silent time.Duration) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silent.Milliseconds()))
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(resendAtMost.Milliseconds()))
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	})
}

// rawWriter writes to a TCP socket without ever waiting for it.
type rawWriter struct {
	conn syscall.RawConn
	try  func(fd uintptr) bool // w.attempt, bound once
	data []byte
	n    int
	err  error
}

// newRawWriter returns nil if conn is not plain TCP.
func newRawWriter(conn net.Conn) *rawWriter {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	w := &rawWriter{conn: raw}
	w.try = w.attempt
	return w
}

// write returns how much of data the kernel took at once; 0 and no error if it
// would have to wait. Callers take turns.
func (w *rawWriter) write(data []byte) (int, error) {
	w.data, w.n, w.err = data, 0, nil
	err := w.conn.Write(w.try)
	w.data = nil
	if err == nil {
		err = w.err
	}
	return w.n, err
}

func (w *rawWriter) attempt(fd uintptr) bool {
	n, err := unix.Write(int(fd), w.data)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	case err != nil:
		w.err = err
	default:
		w.n = n
	}
	return true
}
