package synod

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/synod-go/synod/raft"
)

// clock counts on while the machine is suspended, as raft.Time asks: a leader
// that slept through its lease must notice.
func clock() raft.Time {
	var t unix.Timespec
	if err := unix.ClockGettime(clockID, &t); err != nil {
		return raft.Time(time.Since(processStart))
	}
	return raft.Time(t.Nano())
}

var processStart = time.Now()
