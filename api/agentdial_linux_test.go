package api

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAnAgentGivesUpAConnectionToAHostThatIsCutOff(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := (&masterDialer{}).open(t.Context(), listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[int]int{unix.TCP_USER_TIMEOUT: 3000, unix.TCP_KEEPIDLE: 1, unix.TCP_KEEPINTVL: 1, unix.TCP_KEEPCNT: 2}
	err = raw.Control(func(fd uintptr) {
		for option, want := range wanted {
			if is, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option); err != nil || is != want {
				t.Errorf("TCP option %d is %d, %v, want %d", option, is, err, want)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}
