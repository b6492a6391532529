//go:build !linux

package cluster

import (
	"net"
	"time"
)

func tuneSocket(*net.TCPConn, time.Duration) {}

// rawWriter exists on Linux only; elsewhere every write is the writer's.
type rawWriter struct{}

func newRawWriter(net.Conn) *rawWriter { return nil }

func (*rawWriter) write([]byte) (int, error) { return 0, nil }
