package jobs

import (
	"errors"
	"fmt"
	"time"

	"github.com/synod-go/synod/mesos"
)

// Config is how Jobs are set up. What is zero has its default.
type Config struct {
	// Next is when a Schedule comes next after a Unix time; false if never, or if it makes no
	// sense. Without it no job is Timed.
	Next func(schedule string, after time.Duration) (time.Duration, bool)
	// Late is how long after its time a run may begin that no master was there to begin. Of
	// several that were missed only the last one is made up for. Default 5 min.
	Late time.Duration
	// PingInterval is the master's: how often it asks an agent for a sign of life. A
	// ReplaceAfter is refused that leaves a task less than two of them, since an agent knows
	// that it was heard only by the ping after. Default 15 s.
	PingInterval time.Duration
	// MaxJobs and MaxInstances are how many there may be in all. Defaults 10,000 and 100,000.
	MaxJobs, MaxInstances int
}

func (c Config) withDefaults() (Config, error) {
	if c.Late == 0 {
		c.Late = 5 * time.Minute
	}
	if c.PingInterval == 0 {
		c.PingInterval = 15 * time.Second
	}
	if c.MaxJobs == 0 {
		c.MaxJobs = 10_000
	}
	if c.MaxInstances == 0 {
		c.MaxInstances = 100_000
	}
	if c.Next == nil {
		c.Next = func(string, time.Duration) (time.Duration, bool) { return 0, false }
	}
	if c.Late < 0 || c.PingInterval < 0 || c.MaxJobs < 0 || c.MaxInstances < 0 {
		return c, errors.New("jobs: a bound of Config is negative")
	}
	return c, nil
}

// leastReplaceAfter is the least ReplaceAfter of a job: a task is told to end while its agent
// is well if it may run for less than two pings, and what they need on their way.
func (c Config) leastReplaceAfter(s *Spec) time.Duration {
	run := s.KillGrace + 2*c.PingInterval + MinRun
	return max(MinReplaceAfter, (run/3*4 + time.Second - 1).Truncate(time.Second))
}

// Times that are nobody's to choose.
const (
	// askFirst and askMost are how long a task may be silent until the master is asked for it,
	// first and later.
	askFirst, askMost = time.Second, 30 * time.Second
	// launchSilence is how long one that was just launched may.
	launchSilence = 15 * time.Second
	// killAgain is how long until a kill that did not help is repeated.
	killAgain = 10 * time.Second
	// saveAgain is how long until something is tried again that the registry did not take.
	saveAgain = time.Second
	// reviveAgain is the least time between two calls for offers.
	reviveAgain = 50 * time.Millisecond
	// sweepEvery is how often the master is asked for tasks that nobody knows.
	sweepEvery = 10 * time.Minute
	// maxStrays bounds what is remembered of tasks that nobody wants.
	maxStrays = 10_000
	// askAtOnce is how many tasks one reconciliation names.
	askAtOnce = 1000
)

// numberBlock is how many numbers for tasks are set aside at once.
const numberBlock = 10_000

// Code says what became of what people asked for.
type Code uint8

const (
	Done Code = iota
	// NotFound: there is no such job.
	NotFound
	// Conflict: the job has another version than was expected, or does something that does
	// not go together with what was asked for.
	Conflict
	// Invalid: the Spec makes no sense.
	Invalid
	// Refused: a bound is reached, or the registry takes nothing. Nothing was done.
	Refused
)

// Answer is that of a Put, Scale, Stop, Rollback or Restart, once each.
type Answer struct {
	Request uint64
	Code    Code
	// Version is the job's, afterwards.
	Version uint64
	// Text says why, unless the Code is Done.
	Text string
}

// Save is an operation for the registry. What has become of it is told by Saved.
type Save struct {
	Number    uint64
	Operation mesos.RegistryOperation
}

// Output is what is to be done, in this order.
type Output struct {
	// Save has at most one operation for each document that Saved has not told of.
	Save []Save
	// Calls are for the master, one after the other.
	Calls []mesos.CallBody
	// Answers are for people.
	Answers []Answer
	// Roles, unless nil, are those to subscribe with from now on: a new subscription.
	Roles []string
	// Changed are the jobs that look otherwise than before.
	Changed []string
}

// FormatTask is the id of a task: job, index, and a number that no other task ever has.
func FormatTask(job string, index int, number uint64) mesos.TaskID {
	return mesos.TaskID(fmt.Sprintf("%s.%d.%d", job, index, number))
}
