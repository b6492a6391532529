package main

import (
	"net"
	"os"
	"strings"
	"time"
)

// notifyManager tells systemd, if it has started this process as a service of Type=notify, what has become of it:
// "READY=1" or "STOPPING=1". Without one it does nothing, and nothing is lost if the message is.
func notifyManager(state string) {
	address := os.Getenv("NOTIFY_SOCKET")
	if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "@") {
		return
	}
	conn, err := net.DialTimeout("unixgram", address, time.Second)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // it is open
	_, _ = conn.Write([]byte(state))
}
