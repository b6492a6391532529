package jobs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod/mesos"
)

// The documents in the registry, JSON each. Fields that are not known are left out of
// account: a newer version has written them.
//
//	jobs.number           the first number that no task may have yet
//	jobs.job.NAME         a job as it is wanted
//	jobs.task.NAME.INDEX  an instance and the last task that was started for it
const (
	prefix       = "jobs."
	numberName   = prefix + "number"
	jobPrefix    = prefix + "job."
	taskPrefix   = prefix + "task."
	updating     = "updating"
	rollingBack  = "rolling back"
	updateFailed = "failed"
)

// JobPrefix is what the names of the documents of jobs begin with, one for each.
const JobPrefix = jobPrefix

// DocumentPrefix is what the names of all documents begin with.
const DocumentPrefix = prefix

// jobDocument is a job. Its slices and pointers are never changed, only replaced.
type jobDocument struct {
	Spec    Spec
	Version uint64
	// Template is the Version that first had the task of now: instances of another one are
	// replaced.
	Template uint64
	// Previous is what a rollback brings back, with its Template.
	Previous         *Spec  `json:",omitempty"`
	PreviousTemplate uint64 `json:",omitempty"`
	// Update is "", updating, rollingBack or updateFailed, and Failed says why the last one
	// has failed.
	Update, Failed string `json:",omitempty"`
	Stopping       bool   `json:",omitempty"`
	// Runs are those of a job that ends, by slot, each the Unix time that it was begun for. A
	// job that runs once has one.
	Runs []time.Duration `json:",omitempty"`
	// Last is the Unix time of the timetable that was run, or passed over, last.
	Last time.Duration `json:",omitempty"`
	// Note says what was special about the last runs.
	Note string `json:",omitempty"`
}

// instanceDocument is an instance. Task may run from when this is in the registry until it
// is there with Ended.
type instanceDocument struct {
	Template uint64
	Version  uint64
	Run      time.Duration `json:",omitempty"`
	Task     mesos.TaskID
	Agent    mesos.AgentID
	Hostname string
	// Values are those of the attributes by which instances are told apart.
	Values  map[string]string `json:",omitempty"`
	Ports   []uint16          `json:",omitempty"`
	Started time.Duration     // Unix time
	// ReplaceAfter and KillGrace are those that the task was started with.
	ReplaceAfter, KillGrace time.Duration `json:",omitempty"`

	// Ended says that Task surely has ended, or never started, and State how.
	Ended            bool            `json:",omitempty"`
	State            mesos.TaskState `json:",omitempty"`
	Since            time.Duration   `json:",omitempty"`
	Message          string          `json:",omitempty"`
	HasExit          bool            `json:",omitempty"`
	ExitCode, Signal int             `json:",omitempty"`

	// Restarts in a row. The next one is not before NotBefore. Done has ended well for good;
	// GaveUp has not.
	Restarts  int           `json:",omitempty"`
	NotBefore time.Duration `json:",omitempty"`
	Done      bool          `json:",omitempty"`
	GaveUp    bool          `json:",omitempty"`
}

type numberDocument struct{ Next uint64 }

func jobName(name string) string { return jobPrefix + name }

func instanceName(job string, index int) string { return taskPrefix + job + "." + strconv.Itoa(index) }

// parseInstanceName is the inverse of instanceName.
func parseInstanceName(name string) (job string, index int, ok bool) {
	job, number, ok := strings.Cut(strings.TrimPrefix(name, taskPrefix), ".")
	index, err := strconv.Atoi(number)
	return job, index, ok && err == nil && index >= 0 && checkJobName(job) == nil && instanceName(job, index) == name
}

func encodeDocument(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("jobs: a document cannot be encoded: %v", err))
	}
	return data
}

func decodeDocument(d mesos.Document, v any) error {
	if err := json.Unmarshal(d.Data, v); err != nil {
		return fmt.Errorf("%w %s: %w", errDocument, d.Name, err)
	}
	return nil
}

// record is a document on its way into the registry, one operation at a time: what changes
// meanwhile goes with the next one. then are told when what they wait for is there, or that
// the registry did not take it.
type record struct {
	name       string
	encode     func() mesos.RegistryOperation
	under      bool // an operation is under way, for then
	then, next []func(ok bool)
}

// settled reports whether the registry has all of it.
func (r *record) settled() bool { return !r.under && len(r.next) == 0 }

func (j *Jobs) save(r *record, then func(ok bool)) {
	r.next = append(r.next, then)
	if !r.under {
		j.flush(r)
	}
}

func (j *Jobs) flush(r *record) {
	r.under, r.then, r.next = true, r.next, nil
	j.saveNumber++
	j.saving[j.saveNumber] = r
	j.out.Save = append(j.out.Save, Save{j.saveNumber, r.encode()})
}

// Saved tells whether the registry has what Save said. If not, it never will.
func (j *Jobs) Saved(now time.Duration, number uint64, ok bool) {
	j.enter(now)
	r := j.saving[number]
	if r == nil {
		panic(fmt.Sprintf("jobs: save %d was told of twice, or never asked for", number))
	}
	delete(j.saving, number)
	then := r.then
	r.under, r.then = false, nil
	if !ok {
		then, r.next = append(then, r.next...), nil
	}
	for _, f := range then {
		f(ok)
	}
	if len(r.next) > 0 && !r.under {
		j.flush(r)
	}
}
