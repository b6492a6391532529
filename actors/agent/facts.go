package agent

import (
	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

func exitOf(e shim.Exit) mesos.ContainerExit {
	return mesos.ContainerExit{Known: e.Failure == "", Code: e.Code, Signal: e.Signal, NotStarted: e.Failure != "",
		OutOfMemory: e.OutOfMemory(), Message: e.Failure}
}

func factsOf(f shim.Facts) mesos.Facts {
	facts := mesos.Facts{Rebooted: f.Rebooted, Barred: f.Barred, ShimAlive: f.ShimAlive, LockHeld: f.LockHeld, Started: f.Started, TaskAlive: f.TaskAlive}
	if f.HasExit {
		exit := exitOf(f.Exit)
		facts.Exit = &exit
	}
	return facts
}
