package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/jobs"
)

// rollout watches one version of a job until it runs.
type rollout struct {
	*app
	flags   *rolloutFlags
	client  *api.Client
	name    string
	version uint64

	names    agentNames
	told     map[int]string // what was last told of each instance
	progress string
	waiting  map[int]time.Time // since when an instance cannot be placed
	good     time.Time         // since when all is as it should be
}

// How often a job is looked at, and how long it must run before it is said to: what ends at once is seen so.
const (
	rolloutPause  = 150 * time.Millisecond
	rolloutSettle = time.Second
)

// follow tells on standard error what becomes of the job until it runs.
func (r *rollout) follow(ctx context.Context) (api.Job, error) {
	r.told, r.waiting = map[int]string{}, map[int]time.Time{}
	began := time.Now()
	for {
		j, err := r.look(ctx)
		if err != nil {
			return j, err
		}
		r.tell(ctx, j)
		now := time.Now()
		v := judge(j, r.version, r.flags.wait)
		switch {
		case v.err != nil:
			return j, v.err
		case v.good && r.settled(j, now):
			return j, nil
		}
		if err := r.unplaced(j, now); err != nil {
			return j, err
		}
		if !r.flags.wait && now.Sub(began) > r.flags.within {
			return j, r.tooLong(j)
		}
		if !v.good {
			r.good = time.Time{}
		}
		select {
		case <-ctx.Done():
			r.hint("%s goes on without us; node stop %s  ends it", r.name, r.name)
			return j, ctx.Err()
		case <-time.After(rolloutPause):
		}
	}
}

// look reads the job. A cluster that elects a leader has not lost it.
func (r *rollout) look(ctx context.Context) (api.Job, error) {
	deadline := time.Now().Add(max(r.timeout, 30*time.Second))
	for {
		j, err := r.client.Job(ctx, r.name)
		if err == nil || !passing(err) || time.Now().After(deadline) || ctx.Err() != nil {
			if api.CodeOf(err) == api.CodeNotFound {
				return j, &api.Error{Code: api.CodeJob, Message: fmt.Sprintf("the job %q was stopped meanwhile", r.name)}
			}
			return j, err
		}
		select {
		case <-ctx.Done():
			return j, ctx.Err()
		case <-time.After(rolloutPause):
		}
	}
}

// settled reports whether the job has been well for long enough.
func (r *rollout) settled(j api.Job, now time.Time) bool {
	if r.good.IsZero() {
		r.good = now
	}
	return j.Kind != string(jobs.Service) || now.Sub(r.good) >= rolloutSettle
}

// verdict is what is to be said of a job at a moment.
type verdict struct {
	good bool
	err  error
}

// judge says whether a version of a job runs, or never will. wait: a job that ends must have ended.
func judge(j api.Job, version uint64, wait bool) verdict {
	failure := &api.Error{Code: api.CodeJob, Why: j.Progress, Do: []string{"node logs " + j.Name, "node ps " + j.Name + " --all"}}
	failed := j.Version > version && strings.Contains(j.Progress, fmt.Sprintf("version %d failed", version))
	switch {
	case failed && j.State == "rolling back":
		failure.Message = fmt.Sprintf("the change of %s to version %d has failed: what was before comes back", j.Name, version)
	case failed:
		failure.Message = fmt.Sprintf("the change of %s to version %d did not last: it has version %d", j.Name, version, j.Version)
	case j.Version > version:
		return verdict{err: &api.Error{Code: api.CodeConflict, Message: fmt.Sprintf("the job %s was changed meanwhile", j.Name),
			Why: fmt.Sprintf("version %d was expected, it has version %d", version, j.Version), Do: []string{"node jobs " + j.Name}}}
	case j.Version < version || j.State == "rolling back": // not heard of there yet; or rolled back as it was told to
		return verdict{}
	case j.State == "stopping" || j.State == "stopped":
		failure.Message = fmt.Sprintf("the job %s was stopped meanwhile", j.Name)
	case j.State == "failed":
		failure.Message, failure.Why = fmt.Sprintf("the job %s has failed", j.Name), strings.TrimPrefix(j.Progress+lastWords(j), "; ")
	case j.State == "done":
		return verdict{good: true}
	case j.Kind == string(jobs.Timed):
		return verdict{good: j.State == "waiting" || j.State == "running"}
	case j.Kind == string(jobs.Once):
		return verdict{good: !wait && allStarted(j)}
	default:
		return verdict{good: j.State == "running" && allRun(j)}
	}
	return verdict{err: failure}
}

// lastWords is what is said of the instances that have ended badly.
func lastWords(j api.Job) (text string) {
	for _, i := range j.Instances {
		if reason := reasonOf(i.Message, i.Exit, i.Signal); reason != "" && i.State != "RUNNING" && i.State != "FINISHED" {
			text += "; " + instanceName(j.Name, i.Index) + " " + reason
		}
	}
	return text
}

// allStarted: each instance runs, or has ended.
func allStarted(j api.Job) bool {
	started := 0
	for _, i := range j.Instances {
		if i.State == "RUNNING" || i.State == "FINISHED" {
			started++
		}
	}
	return started >= j.Count
}

// allRun: each instance runs, and none is known to be unwell. Which version they have says the job's state: a scaled
// job has those of before.
func allRun(j api.Job) bool {
	run := 0
	for _, i := range j.Instances {
		if i.State == "RUNNING" && i.Health != "unhealthy" && i.Pending == "" {
			run++
		}
	}
	return run == j.Count && len(j.Instances) == j.Count && j.Healthy >= j.Count
}

// unplaced is the error of an instance that has found no agent for too long.
func (r *rollout) unplaced(j api.Job, now time.Time) error {
	for _, i := range j.Instances {
		if !cannotPlace(i) {
			delete(r.waiting, i.Index)
			continue
		}
		if r.waiting[i.Index].IsZero() {
			r.waiting[i.Index] = now
		}
		if now.Sub(r.waiting[i.Index]) >= r.flags.patience {
			return &api.Error{Code: api.CodePlace, Message: "no agent can run " + instanceName(j.Name, i.Index), Why: i.Pending,
				Do: []string{"it starts when there is room; to give it up:  node stop " + j.Name, "node top", "node agents"}}
		}
	}
	return nil
}

// cannotPlace reports whether an instance waits for an agent with room, and not for its time.
func cannotPlace(i api.Instance) bool {
	return strings.HasPrefix(i.Pending, "needs ") && !strings.Contains(i.Pending, "is on its way")
}

func (r *rollout) tooLong(j api.Job) error {
	why := j.Progress
	for _, i := range j.Instances {
		why += "; " + r.words(j, i)
	}
	return &api.Error{Code: api.CodeUnhealthy, Message: fmt.Sprintf("%s does not run after %s", r.name, r.flags.within), Why: strings.TrimPrefix(why, "; "),
		Do: []string{"it goes on; look again:  node ps " + r.name, "node logs " + r.name}}
}

// tell shows what has changed.
func (r *rollout) tell(ctx context.Context, j api.Job) {
	if j.Progress != "" && j.Progress != r.progress {
		r.hint("%s: %s", j.Name, j.Progress)
	}
	r.progress = j.Progress
	for _, i := range j.Instances {
		if _, known := r.names[i.Agent]; i.Agent != "" && !known {
			if names, err := r.agentNames(ctx, r.client); err == nil {
				r.names = names
			}
		}
		if words := r.words(j, i); words != r.told[i.Index] {
			r.told[i.Index] = words
			r.hint("%s", words)
		}
	}
}

// words is what an instance does.
func (r *rollout) words(j api.Job, i api.Instance) string {
	text := instanceName(j.Name, i.Index) + "  "
	switch {
	case strings.HasPrefix(i.Pending, "it starts again in"): // without the seconds, which pass
		_, why, _ := strings.Cut(i.Pending, ": ")
		return text + "starts again soon: " + why
	case i.Pending != "":
		return text + stateOf(i) + ": " + i.Pending
	}
	text += stateOf(i)
	if i.Agent != "" {
		text += " on " + r.names.of(i.Agent)
	}
	if i.State == "RUNNING" && i.Health != "" {
		text += ", " + i.Health
	}
	if reason := reasonOf(i.Message, i.Exit, i.Signal); reason != "" && i.State != "RUNNING" && i.State != "STAGING" {
		text += ": " + reason
	}
	if j.State != "running" && i.Version != j.Version && i.Version != 0 {
		text += fmt.Sprintf(" (version %d)", i.Version)
	}
	return text
}
