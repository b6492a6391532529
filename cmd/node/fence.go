package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/recipes"
)

// tenant is a task that runs a command while it leads: what the next leader has to know to end it.
type tenant struct {
	Task      string `json:"task"` // FRAMEWORK/TASK
	Agent     string `json:"agent"`
	Container string `json:"container"` // no other start of a task has it, also not one with the same name
	Process   int    `json:"process"`   // of elect, in the task
	Start     uint64 `json:"start"`     // of that process, in the kernel's ticks since the boot
}

// fencer ends the command of the leader before.
type fencer struct {
	*app
	client   *api.Client
	election string
	self     tenant
	told     string // the last that was told, which is not told again
}

const (
	fencePause    = 50 * time.Millisecond // between two looks at a task that has to end
	fenceKill     = time.Second           // between two kills of it
	fenceSlow     = 3 * time.Second       // from the first kill until it is said that it has not ended it
	fenceStep     = 5 * time.Second       // for one question
	fenceGrace    = time.Millisecond      // from TERM to KILL: the least that there is
	fenceUnknown  = 3 * time.Second       // how long a task must be unknown: a master that was deposed finds that out sooner
	leftoverPause = 5 * time.Millisecond
)

// newFencer finds out which task this process belongs to.
func (a *app) newFencer(ctx context.Context, election, task string) (*fencer, error) {
	framework, id, found := strings.Cut(task, "/")
	container := ""
	switch {
	case task == "":
		framework, id, container = cmp.Or(os.Getenv("SYNOD_FRAMEWORK"), builtin), os.Getenv("SYNOD_TASK"), os.Getenv("SYNOD_CONTAINER")
	case !found:
		framework, id = builtin, task
	}
	if framework == "" || id == "" {
		return nil, &api.Error{Code: api.CodeUsage, Message: "--fence is for a task of the cluster, and this process is none",
			Why: "the leader before is ended as a task: SYNOD_TASK is not set", Do: []string{"run it as a job:  node run FILE", "name the task:  --task TASK, or FRAMEWORK/TASK"}}
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	t, err := ownTask(ctx, client, a.timeout, framework, id)
	if err == nil && container != "" && container != t.Container {
		err = &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("the task %s/%s is another one than this process belongs to", framework, id),
			Why: "it runs in container " + t.Container + ", this process in " + container, Do: []string{"name the right one:  --task TASK, or FRAMEWORK/TASK"}}
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	start, _ := processStart(os.Getpid()) // 0 where the kernel does not tell
	return &fencer{app: a, client: client, election: election, self: tenant{framework + "/" + id, t.Agent, t.Container, os.Getpid(), start}}, nil
}

// ownTask asks for the task that we are. The master may be new, and our agent not have come to it yet.
func ownTask(ctx context.Context, client *api.Client, limit time.Duration, framework, id string) (t api.Task, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		said := err
		t, err = client.Task(limited, framework, id)
		if said != nil && limited.Err() != nil && err != nil {
			return t, said // the time has ended amid the question
		}
		switch code := api.CodeOf(err); {
		case err == nil && over(t.State):
			return t, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("the task %s/%s has ended", framework, id), Why: "so it cannot be the one that runs this",
				Do: []string{"name the right one:  --task"}}
		case err == nil || code != api.CodeNotFound && !passing(err):
			return t, err
		}
		select {
		case <-limited.Done():
			return t, err
		case <-time.After(fencePause):
		}
	}
}

// over reports whether a task in a state has ended for good.
func over(state string) bool {
	for s := range mesos.Unknown {
		if s.String() == state {
			return s.Terminal()
		}
	}
	return false
}

// end returns nil when the command of the leader before is known to have ended.
func (f *fencer) end(ctx context.Context, former recipes.Former) error {
	var t tenant
	framework, id, found := "", "", false
	if err := json.Unmarshal(former.Holder, &t); err == nil {
		framework, id, found = strings.Cut(t.Task, "/")
	}
	if !found || t.Agent == "" || t.Container == "" {
		return &api.Error{Code: api.CodeData, Message: fmt.Sprintf("who led %q before cannot be ended", f.election), Why: "it was written down by something else than elect --fence",
			Do: []string{"when nobody leads any more:  node kv del " + f.election + ".fence"}}
	}
	if t.Container == f.self.Container {
		return f.endHere(ctx, t, former.Token)
	}
	f.told = ""
	err := f.endTask(ctx, t, framework, id)
	if err == nil {
		f.hint("the task %s, which led before with token %d, has ended", t.Task, former.Token)
	}
	return err
}

// endHere ends what an earlier process of this very task has left running.
func (f *fencer) endHere(ctx context.Context, t tenant, token uint64) error {
	if t.Process != f.self.Process || t.Start != f.self.Start {
		if err := endProcess(ctx, t.Process, t.Start); err != nil {
			return err
		}
	}
	return endLeftovers(ctx, leaderEnv(f.election, token))
}

// leaderEnv are the variables that every process of a leader's command has, unless it took them away.
func leaderEnv(election string, token uint64) []string {
	return []string{"SYNOD_ELECTION=" + election, fmt.Sprintf("SYNOD_TOKEN=%d", token)}
}

// endTask has a task killed, until the cluster knows that it has ended.
func (f *fencer) endTask(ctx context.Context, t tenant, framework, id string) error {
	var first, killed, unknown time.Time // when it was killed first, and last, and came to be unknown
	for {
		state, err := f.stateOf(ctx, t, framework, id)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil && over(state):
			return nil
		case err == nil && state == unknownTask:
			if unknown.IsZero() {
				unknown = time.Now()
			}
			if time.Since(unknown) >= fenceUnknown {
				return nil
			}
		case err != nil && !passing(err):
			return err
		default:
			unknown = time.Time{}
			if canKill := err == nil && state != hiddenTask && state != forgottenTask && t.Task != f.self.Task; canKill && time.Since(killed) >= fenceKill {
				if killed = time.Now(); first.IsZero() {
					first = killed
				}
				if err = f.kill(ctx, framework, id); err != nil && !passing(err) && ctx.Err() == nil {
					return err
				}
			}
			f.tell(t, state, err, !first.IsZero() && time.Since(first) >= fenceSlow)
		}
		select {
		case <-ctx.Done():
		case <-time.After(fencePause):
		}
	}
}

// What the cluster says of a task that it does not show.
const (
	unknownTask   = "unknown"     // it has ended and is forgotten
	hiddenTask    = "UNREACHABLE" // only its agent knows, which cannot be asked
	forgottenTask = "forgotten"   // only its agent knew, and that is forgotten too
)

// stateOf is what the cluster knows of a task: of that start of it alone, since the name may have been used again.
func (f *fencer) stateOf(ctx context.Context, t tenant, framework, id string) (string, error) {
	step, cancel := context.WithTimeout(ctx, fenceStep)
	defer cancel()
	task, err := f.client.Task(step, framework, id)
	switch {
	case err != nil && api.CodeOf(err) != api.CodeNotFound:
		return "", err
	case err == nil && task.Container == t.Container:
		return task.State, nil
	case err == nil:
		list, err := f.client.Tasks(step, api.TaskFilter{Framework: framework, Agent: t.Agent, Ended: true})
		if err != nil {
			return "", err
		}
		if i := slices.IndexFunc(list, func(other api.Task) bool { return other.Container == t.Container }); i >= 0 {
			return list[i].State, nil
		}
	}
	list, err := f.client.Agents(step)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(list, func(a api.Agent) bool { return a.ID == t.Agent })
	switch {
	case i < 0:
		return forgottenTask, nil
	case list[i].State == "registered" || list[i].State == "gone":
		return unknownTask, nil
	}
	return hiddenTask, nil
}

// kill has the task killed at once. What it has come to will be seen.
func (f *fencer) kill(ctx context.Context, framework, id string) error {
	step, cancel := context.WithTimeout(ctx, fenceStep)
	defer cancel()
	_, err := f.client.KillTask(step, framework, id, fenceGrace)
	if code := api.CodeOf(err); code == api.CodeNotFound || code == api.CodeConflict {
		return nil
	}
	return err
}

// tell says what is waited for, once. slow: it was killed a while ago.
func (f *fencer) tell(t tenant, state string, err error, slow bool) {
	text := fmt.Sprintf("the task %s led before: it is ended first", t.Task)
	switch {
	case err != nil:
		text = fmt.Sprintf("the task %s led before, and may run still: %s; the command waits", t.Task, plain(err))
	case state == hiddenTask:
		text = fmt.Sprintf("the task %s led before, and may run still: its agent cannot be reached; the command waits until it is back, "+
			"or until somebody says that it never comes:  node agents gone %s", t.Task, t.Agent)
	case state == forgottenTask:
		text = fmt.Sprintf("the task %s led before, and may run still: the cluster has forgotten its agent %s; the command waits until "+
			"somebody says that it does not:  node kv del %s.fence", t.Task, t.Agent, f.election)
	case t.Task == f.self.Task:
		text = fmt.Sprintf("another start of this task led before, and runs on agent %s still; the command waits until it has ended", t.Agent)
	case slow:
		text = fmt.Sprintf("the task %s led before, and has not ended %v after it was killed; the command waits; whether its agent %s answers:  node agents",
			t.Task, fenceSlow, t.Agent)
	}
	if text != f.told {
		f.told = text
		f.hint("%s", text)
	}
}
