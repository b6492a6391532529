package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/framework"
	"github.com/synod-go/synod/mesos"
)

// keeperPath is where in the tree a keeper writes down what it starts, before it does.
const keeperPath = "frameworks/keeper/tasks"

// keeperUnit is something to be done once: a chore with more arguments.
type keeperUnit struct {
	name string
	args []string
}

// keeper is the scheduler of the demos. It starts each unit, and starts it again, as another task, only if that
// has surely not run.
type keeper struct {
	client  *api.Client
	program string
	ledgers string
	units   []keeperUnit
	each    int // how many tasks an offer gets at most
	say     func(keeperEvent)

	mu      sync.Mutex
	session *framework.Session
	tasks   map[string]string // what was started for a unit
}

// keeperEvent is what a keeper tells.
type keeperEvent struct {
	At        time.Time `json:"at"`
	Scheduler string    `json:"scheduler,omitempty"`
	// Word is leads, update, order, or ended.
	Word      string `json:"word"`
	Framework string `json:"framework,omitempty"`
	Master    string `json:"master,omitempty"`
	Term      uint64 `json:"term,omitempty"`
	Known     int    `json:"known,omitempty"` // tasks that were written down
	Task      string `json:"task,omitempty"`
	State     string `json:"state,omitempty"`
	ID        string `json:"id,omitempty"` // of the update; "" if a master made it
	Exit      string `json:"exit,omitempty"`
	Text      string `json:"text,omitempty"`
}

var keeperNeeds = func() mesos.Resources {
	r, err := mesos.ParseResources("cpus:0.1;mem:64")
	if err != nil {
		panic(err)
	}
	return r
}()

func (k *keeper) Subscribed(ctx context.Context, s *framework.Session) (known []mesos.ReconcileTask, err error) {
	list, err := k.client.List(ctx, keeperPath, api.ListOptions{Limit: 1000})
	if err != nil && api.CodeOf(err) != api.CodeNotFound { // there was none yet
		return nil, err
	}
	k.mu.Lock()
	k.session, k.tasks = s, map[string]string{}
	for _, e := range list.Entries {
		task := strings.TrimPrefix(e.Path, keeperPath+"/")
		unit, _, _ := strings.Cut(task, "-")
		k.tasks[unit], known = task, append(known, mesos.ReconcileTask{Task: mesos.TaskID(task)})
	}
	k.mu.Unlock()
	k.tell(keeperEvent{Word: "leads", Framework: string(s.Framework()), Master: s.Subscribed().Master, Term: uint64(s.Subscribed().Term), Known: len(known)})
	return known, nil
}

func (k *keeper) tell(e keeperEvent) {
	e.At = time.Now()
	k.say(e)
}

func (k *keeper) Offers(ctx context.Context, s *framework.Session, offers []mesos.OfferInfo) error {
	for _, o := range offers {
		var start []mesos.TaskInfo
		rest, fits := o.Resources.Sub(keeperNeeds)
		for _, u := range k.units {
			if k.taskOf(u.name) != "" || len(start) == k.each || !fits {
				continue
			}
			task := u.name + "-" + api.NewRequestID().String()
			if _, err := k.client.Put(ctx, keeperPath+"/"+task, nil, api.WriteOptions{}); err != nil {
				return err
			}
			k.setTask(u.name, task)
			start = append(start, k.task(u, mesos.TaskID(task), o.Agent))
			rest, fits = rest.Sub(keeperNeeds)
		}
		if err := s.Accept(ctx, []mesos.OfferID{o.ID}, start, time.Second); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) task(u keeperUnit, id mesos.TaskID, agent mesos.AgentID) mesos.TaskInfo {
	args := append([]string{"demo", "chore", "--ledgers", k.ledgers, "--unit", u.name}, u.args...)
	return mesos.TaskInfo{ID: id, Name: u.name, Agent: agent, Resources: keeperNeeds, KillGrace: time.Second,
		Command: mesos.Command{Value: k.program, Arguments: args}}
}

func (k *keeper) taskOf(unit string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tasks[unit]
}

func (k *keeper) setTask(unit, task string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tasks[unit] = task
}

// Update starts again only what has surely not been done.
func (k *keeper) Update(ctx context.Context, s *framework.Session, status mesos.TaskStatus) error {
	e := keeperEvent{Word: "update", Task: string(status.Task.Task), State: status.State.String(), Text: status.Message}
	if status.ID != (mesos.UpdateID{}) {
		e.ID = fmt.Sprintf("%x", status.ID)
	}
	if status.HasExit {
		e.Exit = fmt.Sprintf("exit %d", status.ExitCode)
		if status.Signal != 0 {
			e.Exit = fmt.Sprintf("signal %d", status.Signal)
		}
	}
	k.tell(e)
	switch status.State {
	case mesos.Errored, mesos.Lost, mesos.Dropped, mesos.Unknown:
	default:
		return nil
	}
	task := string(status.Task.Task)
	unit, _, _ := strings.Cut(task, "-")
	if k.taskOf(unit) != task {
		return nil
	}
	if _, err := k.client.Delete(ctx, keeperPath+"/"+task, api.WriteOptions{}); err != nil && api.CodeOf(err) != api.CodeNotFound {
		return err
	}
	k.setTask(unit, "")
	return s.Revive(ctx)
}

// order carries out what it is told from outside, with the latest subscription that it had.
func (k *keeper) order(ctx context.Context, task string) error {
	k.mu.Lock()
	s := k.session
	k.mu.Unlock()
	if s == nil {
		return fmt.Errorf("it has never led")
	}
	return s.Kill(ctx, mesos.TaskID(task), time.Second)
}
