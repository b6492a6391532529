package mesos

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"time"
)

// Names of things. They are chosen by: the master (agents, frameworks, offers, containers),
// the framework (tasks). None is used a second time. What they may be says CheckName; a
// task's is unique within its framework.
type (
	AgentID     string
	FrameworkID string
	TaskID      string
	OfferID     string
)

// MaxNameBytes is how long a name may be.
const MaxNameBytes = 255

// CheckName tells what is wrong with a name, if anything: it has 1 to MaxNameBytes bytes of
// printable ASCII without spaces and slashes and is not . or .., so that it can name a
// directory and stand in a line of a log.
// Roles keep to it as well.
func CheckName(name string) error {
	if name == "" || len(name) > MaxNameBytes {
		return fmt.Errorf("mesos: a name of %d bytes, must be 1 to %d", len(name), MaxNameBytes)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || c == '/' {
			return fmt.Errorf("mesos: name %q has the byte %#02x, must be printable ASCII without spaces and slashes", name, c)
		}
	}
	if name == "." || name == ".." {
		return fmt.Errorf("mesos: the name %q is a directory of every file system", name)
	}
	return nil
}

// ContainerID names one start of one task, for ever.
type ContainerID [16]byte

// String is its 32 hexadecimal digits, as in the names of directories.
func (c ContainerID) String() string { return hex.EncodeToString(c[:]) }

// UpdateID names a status update of an agent. The zero value is that of an update that
// a master made: it is not to be acknowledged.
type UpdateID [16]byte

// Term counts the masters of a cluster: a later one has a higher. 0 is none.
type Term uint64

// TaskKey names a task in a cluster.
type TaskKey struct {
	Framework FrameworkID
	Task      TaskID
}

// FrameworkInfo is what a framework says of itself. ID, User and Principal do not change.
type FrameworkInfo struct {
	ID        FrameworkID // empty on the first subscription
	Name      string
	User      string
	Principal string
	Hostname  string
	// Roles are those that it is offered resources of. Default "*".
	Roles []string
	// FailoverTimeout is how long its tasks live on while no scheduler is connected. 0 ends
	// them at once. At most a year.
	FailoverTimeout time.Duration
	Labels          map[string]string
}

// FenceLabel is the label by which schedulers of one framework that are elected say which
// of them is the later: a number in decimal, their fencing token. A subscription whose number
// is lower than that of an earlier one is refused, and takes nothing over; no label is 0. So
// one that was deposed and does not know it yet cannot come back (F-2 alone would let it).
const FenceLabel = "synod.fence"

// AgentInfo is what an agent says of itself.
type AgentInfo struct {
	ID       AgentID // empty on the first registration
	Hostname string
	// Address is where masters reach it.
	Address    string
	Resources  Resources
	Attributes map[string]string
}

// TaskInfo is what a scheduler wants to run.
type TaskInfo struct {
	ID        TaskID
	Name      string // at most MaxTaskNameBytes
	Agent     AgentID
	Resources Resources
	// Role is that of the offer. The master sets it.
	Role    string
	Command Command
	// Docker makes the task a container of the agent's Docker engine. nil: it is a process of the agent's machine.
	Docker *Docker
	// KillGrace is how long the task has after TERM until it is killed. Default 3 s.
	KillGrace time.Duration
	// StopAfter is how long the task may run while the agent is not surely connected to a
	// leading master: it is dead by then, KillGrace included, if the agent lives. 0 is for
	// ever, otherwise more than KillGrace. Who replaces an unreachable task after longer
	// than that does not run it twice.
	StopAfter time.Duration
	// Health is how the agent finds out whether the task works. nil: it is not asked.
	Health *HealthCheck
	Labels map[string]string // at most MaxTaskLabelBytes
	// Data is the scheduler's own, at most 64 KiB.
	Data []byte
}

// Command is a process to run. Value is given to /bin/sh -c if Shell, otherwise it is the
// program and Arguments are its arguments from 1 on.
type Command struct {
	Value       string
	Shell       bool
	Arguments   []string
	Environment map[string]string
	User        string
	// URIs are fetched into the sandbox before the command starts.
	URIs []URI
}

// URI is a file that a command needs: an absolute path, file://, http:// or https://.
type URI struct {
	Value string
	// SHA256 is what the file's checksum has to be, in hexadecimal; "" is not checked.
	SHA256 string
	// Output is its name in the sandbox. Default the last part of Value.
	Output string
	// Executable makes it so. Extract unpacks a .tar, .tar.gz, .tgz or .zip beside it.
	Executable, Extract bool
}

// File is the name of what is fetched in the sandbox.
func (u URI) File() string {
	if u.Output != "" {
		return u.Output
	}
	value := u.Value
	if parsed, err := url.Parse(value); err == nil && parsed.Path != "" {
		value = parsed.Path
	}
	return path.Base(value)
}

// HealthCheck is how an agent finds out whether a task works. Zero durations and Failures
// are their defaults.
type HealthCheck struct {
	Kind HealthKind
	// Command is run as the task is, for HealthCommand: 0 is healthy.
	Command Command
	// Port on the agent's loopback, for HealthHTTP and HealthTCP; of a Docker task the host
	// port of one of its Ports, or with none of them a port of the container.
	Port uint16
	// Path of HealthHTTP, where 200 to 399 is healthy. Default "/".
	Path string
	// Delay is from the start to the first check, Interval from the end of a check to the
	// next, Timeout what each may take. Failures within Grace after the start do not
	// count. Defaults 15 s, 10 s, 20 s, 10 s.
	Delay, Interval, Timeout, Grace time.Duration
	// Failures in a row end the task. Default 3.
	Failures int
}

// HealthKind is the kind of a health check.
type HealthKind uint8

const (
	HealthCommand HealthKind = 1
	HealthHTTP    HealthKind = 2
	HealthTCP     HealthKind = 3
)
