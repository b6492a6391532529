package agent

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/shim"
	"github.com/synod-go/synod/mesos"
)

// Config of an agent. Work, Info and Dial are required.
type Config struct {
	// Work is the work directory, one agent's alone.
	Work string
	// Info is what the agent says of itself, without ID.
	Info mesos.AgentInfo
	Dial Dial
	// Recover is what is done with containers of before.
	Recover mesos.RecoverMode
	// CgroupParent as in shim.Spec. LogBytes bounds each log of a task before it is
	// rotated; 0 is no bound. Default 64 MiB, -1 for none.
	CgroupParent string
	LogBytes     int64
	// Lifeline is that of each task that is a process, as in shim.Spec. Default nil: tasks outlive everybody.
	Lifeline *os.File
	// Docker is the engine that runs Docker tasks, and DockerAllows what they may have of the
	// machine. nil: there is none. The agent closes it. Info has mesos.DockerAttribute if it is to be offered.
	Docker       *docker.Engine
	DockerAllows DockerAllows
	// SandboxAge is how long the sandbox of an ended task is kept, less when the disk has less
	// than a tenth free. Default a week.
	SandboxAge time.Duration
	// MaxFetchBytes bounds each file that is fetched. Default 1 GiB.
	MaxFetchBytes int64
	// Agent has the core's times and bounds; its Info, Boot, Rand and Recover are set here.
	Agent mesos.AgentConfig
	// Logger defaults to discarding.
	Logger *slog.Logger

	// For tests: another boot id, a hook at each step of a container's life and around each
	// write of the checkpoint, the clock, and what makes a write of the checkpoint fail.
	boot      string
	step      func(c mesos.ContainerID, step string)
	now       func() time.Duration
	failWrite func() error
	// free is which part of the disk is free.
	free func() float64
	// start is shim.Start, and startTime how long it may take.
	start     func(ctx context.Context, spec shim.Spec) error
	startTime time.Duration
	// engine is in the place of Docker, and engineTime how long a launch waits for one that does not answer.
	engine     dockerEngine
	engineTime time.Duration
}

// DockerAllows is what Docker tasks may have of the machine. Privileges and devices they never have.
type DockerAllows struct {
	// Networks besides "none" that a task may be in. Default "bridge" and "host".
	Networks []string
	// Paths that a task may mount, and not what is below them: a task that may write there could make a link,
	// and the engine follows links. Default none.
	Paths []string
	// Publish is the address of the machine at which ports are. Default 127.0.0.1.
	Publish string
}

// Bounds that nobody has to choose.
const (
	// maxStarts is how many shims are being started at once, and how many containers, maxFetches how many of each fetch.
	maxStarts, maxFetches = 8, 8
	// startTime is how long a shim has to say that its task is executed. Of one that does not, whose
	// program may be on a disk that hangs, is found out what a restarted agent would find out.
	startTime = time.Minute
	// engineTime is how long a launch waits for an engine that does not answer, at each of its steps.
	engineTime = 15 * time.Second
	// maxExecs is how many commands run beside tasks at once. Those of health checks are counted by
	// themselves, for they wait for their turn: nobody who runs commands makes a task seem unhealthy.
	maxExecs, maxChecks = 64, 16
	// maxSend is how many messages wait for the link; one more breaks it.
	maxSend = 16 << 10
	// maxReceive is how many messages of a master wait for the agent.
	maxReceive = 1024
	// maxFiles is how many names of a directory are listed.
	maxFiles = 10_000
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Work == "":
		return c, errors.New("agent: Config.Work is missing")
	case c.Dial == nil:
		return c, errors.New("agent: Config.Dial is missing")
	case c.SandboxAge < 0 || c.MaxFetchBytes < 0:
		return c, errors.New("agent: a bound of Config is negative")
	}
	work, err := filepath.Abs(c.Work)
	if err != nil {
		return c, err
	}
	c.Work = work
	c.LogBytes = max(0, cmp.Or(c.LogBytes, 64<<20))
	c.SandboxAge = cmp.Or(c.SandboxAge, 7*24*time.Hour)
	c.MaxFetchBytes = cmp.Or(c.MaxFetchBytes, 1<<30)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.step == nil {
		c.step = func(mesos.ContainerID, string) {}
	}
	if c.now == nil {
		c.now = clock
	}
	if c.free == nil {
		c.free = func() float64 { return freeShare(work) }
	}
	if c.start == nil {
		c.start = shim.Start
	}
	c.startTime, c.engineTime = cmp.Or(c.startTime, startTime), cmp.Or(c.engineTime, engineTime)
	if c.DockerAllows.Networks == nil {
		c.DockerAllows.Networks = []string{"bridge", "host"}
	}
	c.DockerAllows.Publish = cmp.Or(c.DockerAllows.Publish, "127.0.0.1")
	c.boot = cmp.Or(c.boot, bootID())
	if c.boot == "" {
		return c, ErrUnsupported
	}
	return c, nil
}
