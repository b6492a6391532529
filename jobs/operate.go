package jobs

import (
	"fmt"
	"time"

	"github.com/synod-go/synod/mesos"
)

// Put runs a job, or changes it if there is one of that name. Expect, unless 0, is the
// version that it must have. The Answer comes when it is in the registry.
func (j *Jobs) Put(now time.Duration, request uint64, s Spec, expect uint64) {
	j.enter(now)
	s = s.WithDefaults()
	if err := s.Check(); err != nil {
		j.answer(request, Invalid, 0, err.Error())
		return
	}
	if least := j.config.leastReplaceAfter(&s); s.ReplaceAfter != 0 && s.ReplaceAfter < least {
		j.answer(request, Invalid, 0, fmt.Sprintf("jobs: on_unreachable: replace after %v is too soon. It is at least %v here: the master asks agents every %v, and "+
			"three quarters are for two of these, for kill_grace, %v, and %v more", s.ReplaceAfter, least, j.config.PingInterval, s.KillGrace, MinRun))
		return
	}
	if !j.roleFits(s.Role) {
		j.answer(request, Refused, 0, fmt.Sprintf("the jobs have %d roles, with those that a rollback may bring back, which is as many as may be", mesos.MaxRegistryLabels))
		return
	}
	if s.Kind == Timed {
		if _, ok := j.config.Next(s.Schedule, j.now); !ok {
			j.answer(request, Invalid, 0, fmt.Sprintf("jobs: schedule is %.80q, which never comes or makes no sense: it is five fields as in crontab, or @hourly and such", s.Schedule))
			return
		}
	}
	b := j.jobs[s.Name]
	if b == nil {
		j.create(request, s, expect)
		return
	}
	if !j.may(request, b, expect) || !j.room(request, &s, &b.Spec) {
		return
	}
	doc, same := b.jobDocument, sameSpec(s, b.Spec)
	switch {
	case s.Kind != b.Spec.Kind:
		j.answer(request, Conflict, b.Version, fmt.Sprintf("%s is of kind %s: stop it first, or use another name", s.Name, b.Spec.Kind))
		return
	case s.Kind == Once:
		if same && b.live(0) {
			j.answerAs(request, b)
			return
		}
		if b.live(0) {
			j.answer(request, Conflict, b.Version, s.Name+" still runs: stop it first, or wait for its end")
			return
		}
		doc.Runs = []time.Duration{max(j.now, b.Runs[0]+1)}
	case same && b.Update != updateFailed:
		j.answerAs(request, b)
		return
	}
	if s.Kind == Timed && s.Count > b.Spec.Count {
		doc.Runs = b.underWay()
	}
	doc.change(s)
	if s.Kind == Timed && s.Schedule != b.Spec.Schedule {
		doc.Last, doc.Note = j.now, ""
	}
	j.change(request, b, doc)
}

// roleFits reports whether a framework may have another role beside those that the jobs have, or may have again.
func (j *Jobs) roleFits(role string) bool {
	roles := map[string]bool{"*": true, role: true}
	for _, b := range j.jobs {
		roles[b.Spec.Role] = true
		if b.Previous != nil {
			roles[b.Previous.Role] = true
		}
	}
	return len(roles) <= mesos.MaxRegistryLabels
}

// proven reports whether all instances have come to run with the Spec of now, or may be
// believed to: it is worth going back to.
func (d *jobDocument) proven() bool { return d.Update != updating && d.Update != updateFailed }

// change makes s what the job is to be, by an update if its task is another one.
func (d *jobDocument) change(s Spec) {
	before := d.Spec
	d.Version++
	d.Spec = s
	if sameTask(before, s) && d.Update != updateFailed {
		return
	}
	if d.proven() || d.Previous == nil { // else that of before is the last that has worked
		d.Previous, d.PreviousTemplate = &before, d.Template
	}
	d.Template = d.Version
	d.Update, d.Failed = updating, ""
	if s.Kind != Service {
		d.Update = ""
	}
}

func (j *Jobs) create(request uint64, s Spec, expect uint64) {
	switch {
	case expect != 0:
		j.answer(request, Conflict, 0, fmt.Sprintf("there is no job %s, version %d was expected", s.Name, expect))
		return
	case len(j.jobs) >= j.config.MaxJobs:
		j.answer(request, Refused, 0, fmt.Sprintf("there are %d jobs, which is as many as may be", len(j.jobs)))
		return
	case !j.room(request, &s, &Spec{}):
		return
	}
	doc := jobDocument{Spec: s, Version: 1, Template: 1, Last: j.now}
	if s.Kind == Once {
		doc.Runs = []time.Duration{max(1, j.now)}
	}
	b := j.newJob(doc)
	j.saveJob(b, func(ok bool) {
		if ok {
			j.answer(request, Done, 1, "")
			return
		}
		b.gone = true
		j.touch(b)
		j.answer(request, Refused, 0, fmt.Sprintf("the registry did not take %s: it is full or overloaded", s.Name))
	})
}

// room reports whether there may be so many instances more.
func (j *Jobs) room(request uint64, s, before *Spec) bool {
	more, all := s.most()-before.most(), 0
	for _, b := range j.jobs {
		all += b.Spec.most()
	}
	if more > 0 && all+more > j.config.MaxInstances {
		j.answer(request, Refused, 0, fmt.Sprintf("there are %d instances; with %d more there are too many: at most %d", all, more, j.config.MaxInstances))
		return false
	}
	return true
}

// most is how many instances there may be at a time.
func (s *Spec) most() int {
	if s.Kind == Timed && s.Overlap {
		return s.Count * maxOverlap
	}
	return s.Count
}

// may reports whether a job may be changed.
func (j *Jobs) may(request uint64, b *job, expect uint64) bool {
	switch {
	case b.Stopping || b.gone:
		j.answer(request, Conflict, b.Version, b.Spec.Name+" is being stopped: wait until it is gone")
	case expect != 0 && expect != b.Version:
		j.answer(request, Conflict, b.Version, fmt.Sprintf("%s has version %d, not %d", b.Spec.Name, b.Version, expect))
	default:
		return true
	}
	return false
}

// change saves what a job is to be, and answers.
func (j *Jobs) change(request uint64, b *job, doc jobDocument) {
	b.become(doc)
	for _, i := range b.instances {
		i.began = 0
	}
	j.saveJob(b, func(ok bool) {
		if ok {
			j.answer(request, Done, doc.Version, "")
			return
		}
		j.answer(request, Refused, b.Version, fmt.Sprintf("the registry did not take the change of %s: it is full or overloaded", b.Spec.Name))
	})
}

// named finds a job that may be changed, or answers why not.
func (j *Jobs) named(request uint64, name string) *job {
	b := j.jobs[name]
	if b == nil || b.gone {
		j.answer(request, NotFound, 0, fmt.Sprintf("there is no job %.80q", name))
		return nil
	}
	if !j.may(request, b, 0) {
		return nil
	}
	return b
}

// Scale changes the Count of a job. What are too many end from the highest index on.
func (j *Jobs) Scale(now time.Duration, request uint64, name string, count int) {
	j.enter(now)
	b := j.named(request, name)
	if b == nil {
		return
	}
	s := b.Spec
	s.Count = count
	if err := s.Check(); err != nil {
		j.answer(request, Invalid, b.Version, err.Error())
		return
	}
	if count == b.Spec.Count {
		j.answerAs(request, b)
		return
	}
	if !j.room(request, &s, &b.Spec) {
		return
	}
	doc := b.jobDocument
	if s.Kind == Timed && count > b.Spec.Count {
		doc.Runs = b.underWay()
	}
	doc.Version++
	doc.Spec = s
	j.change(request, b, doc)
}

// Stop ends all instances of a job and forgets it once they have ended.
func (j *Jobs) Stop(now time.Duration, request uint64, name string) {
	j.enter(now)
	if b := j.jobs[name]; b != nil && b.Stopping && !b.gone {
		j.answerAs(request, b)
		return
	}
	b := j.named(request, name)
	if b == nil {
		return
	}
	doc := b.jobDocument
	doc.Stopping, doc.Update = true, ""
	j.change(request, b, doc)
}

// Rollback brings the Spec of before back; its Count stays as it is.
func (j *Jobs) Rollback(now time.Duration, request uint64, name string) {
	j.enter(now)
	b := j.named(request, name)
	if b == nil {
		return
	}
	if b.Previous == nil || b.Spec.Kind == Once {
		j.answer(request, Conflict, b.Version, name+" has nothing to go back to")
		return
	}
	doc, now2 := b.jobDocument, b.Spec
	doc.Spec, doc.Template = *b.Previous, b.PreviousTemplate
	doc.Spec.Count = b.Spec.Count
	doc.Previous, doc.PreviousTemplate = &now2, b.Template
	doc.Version++
	doc.Failed, doc.Update = "", ""
	if b.Spec.Kind == Service {
		doc.Update = rollingBack
	}
	if doc.Spec.Schedule != now2.Schedule { // the times of that one that have passed were nobody's
		doc.Last, doc.Note = j.now, ""
	}
	j.change(request, b, doc)
}

// Restart replaces all instances of a service, as an update does, or runs a job anew that has
// run once.
func (j *Jobs) Restart(now time.Duration, request uint64, name string) {
	j.enter(now)
	b := j.named(request, name)
	if b == nil {
		return
	}
	doc := b.jobDocument
	doc.Version++
	switch {
	case b.Spec.Kind == Service:
		if doc.proven() { // else the update goes on, from the beginning
			doc.Previous, doc.PreviousTemplate = nil, 0
		}
		doc.Template, doc.Update, doc.Failed = doc.Version, updating, ""
	case b.Spec.Kind == Timed:
		j.answer(request, Conflict, b.Version, name+" runs by a timetable: there is nothing to restart")
		return
	case b.live(0):
		j.answer(request, Conflict, b.Version, name+" still runs: stop it first, or wait for its end")
		return
	default:
		doc.Runs = []time.Duration{max(j.now, b.Runs[0]+1)}
	}
	j.change(request, b, doc)
}

func (j *Jobs) answer(request uint64, code Code, version uint64, text string) {
	j.out.Answers = append(j.out.Answers, Answer{request, code, version, text})
}

// answerAs answers that all is as it is to be, when the registry has that.
func (j *Jobs) answerAs(request uint64, b *job) {
	if b.record.settled() {
		j.answer(request, Done, b.Version, "")
		return
	}
	j.change(request, b, b.jobDocument)
}
