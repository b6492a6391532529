//go:build !linux

package doctor

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

func openFiles(context.Context, Machine) Finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Finding{State: Warn, Value: reason(err), Do: "ulimit -Hn"}
	}
	return Finding{State: OK, Value: fmt.Sprintf("up to %d", limit.Max)}
}

// nodesAlone is the answer of probes for what agents need.
func nodesAlone() Finding {
	return Finding{State: OK, Value: "this system runs nodes; agents run on Linux"}
}

func clock(context.Context, Machine) Finding {
	return Finding{State: OK, Value: "this system does not tell whether it is kept right"}
}

func pidfd(context.Context, Machine) Finding   { return nodesAlone() }
func cgroups(context.Context, Machine) Finding { return nodesAlone() }
func inMemory(string) bool                     { return false }
