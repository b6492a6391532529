package jobs

import (
	"time"

	"github.com/synod-go/synod/mesos"
)

// Kind of a job.
type Kind string

const (
	// Service: Count instances are kept running.
	Service Kind = "service"
	// Once: Count instances run to their end.
	Once Kind = "once"
	// Timed: as Once, whenever the Schedule says.
	Timed Kind = "timed"
)

// Spec is a job as people want it.
type Spec struct {
	// Name is 1 to 63 of a-z, 0-9 and -, and begins with a letter.
	Name string
	Kind Kind
	// Count is how many instances there are, 0 to 10,000. Default 1.
	Count int
	// Command may be empty if Docker is there.
	Command mesos.Command
	// Docker makes the instances containers, on agents that have mesos.DockerAttribute; its Ports
	// are made of the Spec's. Default of its Network is "bridge". nil: they are processes.
	Docker *mesos.Docker `json:",omitempty"`
	// CPUs default 0.1, Memory and Disk are in MiB, defaults 64 and 0.
	CPUs, Memory, Disk mesos.Milli
	Ports              []Port
	Role               string // default "*"
	Constraints        []Constraint
	Health             *mesos.HealthCheck
	HealthPort         string // name of the port that Health asks
	Restart            Restart
	KillGrace          time.Duration // default 3 s
	// ReplaceAfter is how long after its agent was lost an instance is replaced; 0: never,
	// until the agent is back or an operator says it is gone.
	ReplaceAfter time.Duration
	Update       Update
	// Schedule is for Timed: five fields as in crontab, or @hourly and such; in UTC.
	Schedule string
	// Overlap lets a timed run begin while the one before goes on; otherwise it is passed over.
	Overlap bool
	Labels  map[string]string
}

// Port is one that an instance gets of its agent. The command finds it as PORT_NAME in its
// environment, and the first one as PORT. In a container these are its own, and the agent's
// is HOST_PORT_NAME.
type Port struct {
	Name string
	Host uint16 // a fixed one; 0: any of the agent's
	// Container is the number in the container, of Docker tasks; 0: that of the agent's.
	Container uint16 `json:",omitempty"`
}

// Constraint bounds on which agents instances run, by an attribute; "hostname" and "agent"
// are attributes of every one.
type Constraint struct {
	Attribute string
	// Operator is "is", "not" (with Value), or "unique" (no two instances on one value) or
	// "spread" (as evenly over its values as what is offered allows).
	Operator string
	Value    string
}

// Restart is what follows when an instance ends.
type Restart struct {
	// On is "always" (default of services), "failure" (default of others) or "never".
	On string
	// BackoffMin and BackoffMax bound the wait, which doubles from end to end and begins anew
	// after an instance has run for BackoffMax. Defaults 1 s and 1 min.
	BackoffMin, BackoffMax time.Duration
	// GiveUpAfter restarts in a row; 0: never.
	GiveUpAfter int
}

// Update is how instances are replaced when the Spec changes.
type Update struct {
	// Parallel is how many at a time. Default 1.
	Parallel int
	// HealthyAfter is how long a new instance has to run, and to be healthy if it has a
	// check, until the next one follows. Default 5 s.
	HealthyAfter time.Duration
	// Deadline is how long one may take until the update has failed. Default 2 min.
	Deadline time.Duration
	// NoRollback leaves a failed update as it is. Otherwise the Spec of before comes back.
	NoRollback bool
}
