package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/mesos"
)

// Bounds of a Spec.
const (
	MaxNameBytes   = 63
	MaxCount       = 10_000
	MaxPorts       = 100
	MaxConstraints = 32
	// MaxFetched and MaxKillGrace are what agents take of a task, by default.
	MaxFetched   = 64
	MaxKillGrace = time.Hour
	// MaxSpecBytes is how long a Spec may be, encoded.
	MaxSpecBytes = 24 << 10
	// MinReplaceAfter is the least ReplaceAfter. It also is at least so long that three
	// quarters of it are KillGrace and MinRun.
	MinReplaceAfter = 10 * time.Second
	// MinRun is how long a task that may be replaced has to be able to run without a master.
	MinRun = 5 * time.Second
	// MaxTime bounds all durations of a Spec.
	MaxTime = 366 * 24 * time.Hour
)

// WithDefaults fills in what is not said.
func (s Spec) WithDefaults() Spec {
	set := func(to *time.Duration, value time.Duration) {
		if *to == 0 {
			*to = value
		}
	}
	if s.Kind == "" {
		s.Kind = Service
	}
	if s.CPUs == 0 {
		s.CPUs = mesos.One / 10
	}
	if s.Memory == 0 {
		s.Memory = 64 * mesos.One
	}
	if s.Role == "" {
		s.Role = "*"
	}
	if s.Restart.On == "" {
		s.Restart.On = "failure"
		if s.Kind == Service {
			s.Restart.On = "always"
		}
	}
	set(&s.KillGrace, 3*time.Second)
	set(&s.Restart.BackoffMin, time.Second)
	set(&s.Restart.BackoffMax, max(time.Minute, s.Restart.BackoffMin))
	if s.Update.Parallel == 0 {
		s.Update.Parallel = 1
	}
	if s.Docker != nil && s.Docker.Network == "" {
		d := *s.Docker
		d.Network = "bridge"
		s.Docker = &d
	}
	set(&s.Update.HealthyAfter, 5*time.Second)
	set(&s.Update.Deadline, 2*time.Minute)
	return s
}

// StopAfter is how long a task of the job may run while its agent hears of no master: a
// quarter less than ReplaceAfter, so that it is dead before another one starts, by clocks
// that do not go quite alike; 0 is for ever.
func (s *Spec) StopAfter() time.Duration { return s.ReplaceAfter / 4 * 3 }

// Fault is what is wrong with one field of a Spec.
type Fault struct {
	Field string // as in the Spec: "Name", "Update.Parallel", "Ports"
	Text  string
}

// Faults are all that are wrong with a Spec.
type Faults []Fault

func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i := range f {
		texts[i] = f[i].Field + " " + f[i].Text
	}
	return "jobs: " + strings.Join(texts, "; ")
}

// Check says what is wrong with a Spec that has its defaults: nil or Faults. Whether the
// Schedule makes sense is not looked at.
func (s *Spec) Check() error {
	var f Faults
	no := func(field, format string, args ...any) { f = append(f, Fault{field, fmt.Sprintf(format, args...)}) }
	if err := checkJobName(s.Name); err != nil {
		no("Name", "%v", err)
	}
	if !slices.Contains([]Kind{Service, Once, Timed}, s.Kind) {
		no("Kind", "is %q, must be service, once or timed", s.Kind)
	}
	if s.Count < 0 || s.Count > MaxCount {
		no("Count", "is %d, must be 0 to %d", s.Count, MaxCount)
	}
	s.checkDocker(no)
	if s.CPUs <= 0 || s.Memory <= 0 || s.Disk < 0 || max(s.CPUs, s.Memory, s.Disk) > mesos.MaxMilli/1000 {
		no("Resources", "are cpus:%v, mem:%v, disk:%v, must be more than 0 (disk 0 is none)", s.CPUs, s.Memory, s.Disk)
	}
	if err := mesos.CheckName(s.Role); err != nil {
		no("Role", "is no name: %v", err)
	}
	if (s.Kind == Timed) != (s.Schedule != "") {
		no("Schedule", "is for jobs that run by a timetable, and they need one")
	}
	s.checkPorts(no)
	s.checkConstraints(no)
	s.checkTimes(no)
	if len(f) == 0 {
		if data, err := json.Marshal(s); err != nil || len(data) > MaxSpecBytes {
			no("Command", "and the rest take %d bytes, at most %d may be", len(data), MaxSpecBytes)
		}
	}
	if len(f) > 0 {
		return f
	}
	return nil
}

func checkJobName(name string) error {
	ok := len(name) >= 1 && len(name) <= MaxNameBytes && name[0] >= 'a' && name[0] <= 'z'
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return fmt.Errorf("is %.80q, must be 1 to %d of a-z, 0-9 and -, and begin with a letter", name, MaxNameBytes)
	}
	return nil
}

func (s *Spec) checkPorts(no func(field, format string, args ...any)) {
	if len(s.Ports) > MaxPorts {
		no("Ports", "are %d, at most %d may be", len(s.Ports), MaxPorts)
		return
	}
	for i, p := range s.Ports {
		if checkJobName(p.Name) != nil {
			no("Ports", "have the name %.80q, must be of a-z, 0-9 and -", p.Name)
		}
		for _, q := range s.Ports[:i] {
			if q.Name == p.Name || q.Host == p.Host && p.Host != 0 {
				no("Ports", "have %q twice, or two of one number", p.Name)
			}
		}
	}
	if s.Health == nil {
		return
	}
	switch h := s.Health; {
	case h.Kind == mesos.HealthCommand && h.Command.Value == "":
		no("Health", "has no command")
	case h.Kind != mesos.HealthCommand && h.Kind != mesos.HealthHTTP && h.Kind != mesos.HealthTCP:
		no("Health", "asks neither by a command, http nor tcp")
	case h.Kind != mesos.HealthCommand && h.Port == 0 && !slices.ContainsFunc(s.Ports, func(p Port) bool { return p.Name == s.HealthPort }):
		no("Health", "asks the port %q, which is none of the job's", s.HealthPort)
	case h.Path != "" && h.Path[0] != '/':
		no("Health", "has the path %.80q, must begin with /", h.Path)
	}
	for _, d := range []time.Duration{s.Health.Delay, s.Health.Interval, s.Health.Timeout, s.Health.Grace} {
		if d < 0 || d > mesos.MaxHealthTime {
			no("Health", "has a time of %v, must be 0 to %v", d, mesos.MaxHealthTime)
		}
	}
	if s.Health.Failures < 0 {
		no("Health", "ends the task after %d failures", s.Health.Failures)
	}
}

func (s *Spec) checkConstraints(no func(field, format string, args ...any)) {
	if len(s.Constraints) > MaxConstraints {
		no("Constraints", "are %d, at most %d may be", len(s.Constraints), MaxConstraints)
	}
	for _, c := range s.Constraints {
		valued := c.Operator == "is" || c.Operator == "not"
		switch {
		case !valued && c.Operator != "unique" && c.Operator != "spread":
			no("Constraints", "have the operator %.80q, must be is, not, unique or spread", c.Operator)
		case c.Attribute == "" || len(c.Attribute) > MaxNameBytes*4:
			no("Constraints", "have one without an attribute")
		case valued != (c.Value != ""):
			no("Constraints", "have %q with the value %.80q: is and not have one, unique and spread have none", c.Operator, c.Value)
		}
	}
}

func (s *Spec) checkTimes(no func(field, format string, args ...any)) {
	for field, d := range map[string]time.Duration{"KillGrace": s.KillGrace, "ReplaceAfter": s.ReplaceAfter, "Restart.BackoffMin": s.Restart.BackoffMin,
		"Restart.BackoffMax": s.Restart.BackoffMax, "Update.HealthyAfter": s.Update.HealthyAfter, "Update.Deadline": s.Update.Deadline} {
		if d < 0 || d > MaxTime {
			no(field, "is %v, must be 0 to a year", d)
		}
	}
	if s.KillGrace > MaxKillGrace {
		no("KillGrace", "is %v, must be at most %v", s.KillGrace, MaxKillGrace)
	}
	if s.ReplaceAfter != 0 && (s.ReplaceAfter < MinReplaceAfter || s.StopAfter() < s.KillGrace+MinRun) {
		no("ReplaceAfter", "is %v, must be at least %v: the task has to be dead before, with its grace of %v",
			s.ReplaceAfter, max(MinReplaceAfter, (s.KillGrace+MinRun)/3*4+time.Second).Round(time.Second), s.KillGrace)
	}
	r, u := &s.Restart, &s.Update
	if !slices.Contains([]string{"always", "failure", "never"}, r.On) || r.On == "always" && s.Kind != Service {
		no("Restart.On", "is %.80q, must be always (of services), failure or never", r.On)
	}
	if r.BackoffMin > r.BackoffMax {
		no("Restart.BackoffMin", "is %v, more than the most, %v", r.BackoffMin, r.BackoffMax)
	}
	if r.GiveUpAfter < 0 {
		no("Restart.GiveUpAfter", "is %d", r.GiveUpAfter)
	}
	if u.Parallel < 1 {
		no("Update.Parallel", "is %d", u.Parallel)
	}
	if u.Deadline <= u.HealthyAfter {
		no("Update.Deadline", "is %v, not more than the %v that an instance has to run", u.Deadline, u.HealthyAfter)
	}
}

// sameTask reports whether a task of one may go on as one of the other.
func sameTask(a, b Spec) bool {
	a.Count, a.Restart, a.Update, a.Schedule, a.Overlap = b.Count, b.Restart, b.Update, b.Schedule, b.Overlap
	return sameSpec(a, b)
}

// sameSpec takes what is empty for what is not there.
func sameSpec(a, b Spec) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	one, err1 := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(one) == string(other)
}

// invalid is wrapped by what is said of a document that cannot be read.
var errDocument = errors.New("jobs: malformed document")
