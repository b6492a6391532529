package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/recipes"
)

// The tasks of the demo: containers that write ledgers, and members that do so while they lead.
const (
	demoChores    = 4
	demoMembers   = 5
	demoChoreJob  = "chore"
	demoMemberJob = "member"
	demoElection  = "team"
)

// jobs is the file of the demo's jobs.
func (d *dockerDemo) jobs() []byte {
	var env strings.Builder
	for _, v := range demoEnv(demoAPI()) {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&env, "%s%s: %s", map[bool]string{true: ", "}[env.Len() > 0], name, quote(value))
	}
	common := fmt.Sprintf("runtime: docker\nimage: %s\nnetwork: %s\nread_only: true\ncpus: 0.05\nmemory: 64MiB\nkill_grace: 1s\nconstraints: [\"spread hostname\"]\n"+
		"on_unreachable: keep\nrestart: {backoff: 200ms..2s}\nmounts: [\"%s:/ledgers\", \"%s:/tls:ro\"]\n",
		quote(d.dock.image()), d.dock.name("agents"), d.dock.name(demoLedgers), d.dock.name(demoTLS))
	return fmt.Appendf(nil, "name: %s\ncount: %d\n%sexec: [demo, chore, --ledgers, /ledgers]\n---\n"+
		"name: %s\ncount: %d\n%senv: {%s}\n"+
		"exec: [elect, %s, --fence, --session-timeout, 2s, --grace, 500ms, --, /node, demo, chore, --ledgers, /ledgers]\n",
		demoChoreJob, demoChores, common, demoMemberJob, demoMembers, common, env.String(), demoElection)
}

// demoMember is a member that leads.
type demoMember struct {
	unit, container string
	token           uint64
}

func (d *dockerDemo) runTasks(ctx context.Context) (string, error) {
	start := time.Now()
	if _, err := d.client.PutJobs(ctx, d.jobs(), 0); err != nil {
		return "", err
	}
	if err := d.allRun(ctx, demoChores+demoMembers); err != nil {
		return "", err
	}
	took := msSince(start)
	if err := d.begun(ctx, jobUnits(demoChoreJob, demoChores)); err != nil {
		return "", err
	}
	leader, err := d.elected(ctx, 0)
	if err != nil {
		return "", err
	}
	if err := d.begun(ctx, []string{leader.unit}); err != nil {
		return "", err
	}
	d.tasks, d.began = demoChores+demoMembers, time.Now()
	return fmt.Sprintf("%d run after %s; %s leads, token %d", demoChores+demoMembers, took, leader.unit, leader.token), nil
}

// allRun waits until as many tasks run, by what the cluster says and by what the engine says.
func (d *dockerDemo) allRun(ctx context.Context, n int) error {
	return soon(ctx, many(n, "task")+" that run", func(ctx context.Context) error {
		tasks, err := d.client.Tasks(ctx, api.TaskFilter{})
		if err != nil {
			return err
		}
		run, why := map[string]bool{}, ""
		for _, t := range tasks {
			if t.State == mesos.Running.String() {
				run[t.ID] = true
			} else {
				why = cmp.Or(t.Message, t.Reason, why)
			}
		}
		if len(run) != n || len(tasks) != n {
			return fmt.Errorf("%d of %d run: %s", len(run), len(tasks), why)
		}
		boxes, err := d.dock.tasks(ctx, false)
		for id := range boxes {
			if err == nil && !run[id] {
				err = fmt.Errorf("the engine has a container of task %s", id)
			}
		}
		return errors.Join(err, expect(err != nil || len(boxes) == n, "the engine runs %d containers", len(boxes)))
	})
}

// ledgers are those of all tasks, by unit.
type ledgers map[string]ledger

func (d *dockerDemo) readNow(ctx context.Context) (ledgers, error) {
	files, err := d.dock.get(ctx, demoFiles, "/ledgers")
	if err != nil {
		return nil, err
	}
	all := ledgers{}
	for unit, text := range files {
		if all[unit], err = parseLedger(unit, text); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// begun waits until each unit has written a line.
func (d *dockerDemo) begun(ctx context.Context, units []string) error {
	return soon(ctx, many(len(units), "task")+" that work", func(ctx context.Context) error {
		all, err := d.readNow(ctx)
		for _, unit := range units {
			if err == nil && all[unit].lines() == 0 {
				err = fmt.Errorf("%s has written nothing", unit)
			}
		}
		return err
	})
}

// demoLines is how much a task has to write to be seen at work: two seconds' worth.
const demoLines = 40

// writeOn waits until each unit has written some lines more.
func (d *dockerDemo) writeOn(ctx context.Context, units []string) error {
	before, err := d.readNow(ctx)
	if err != nil {
		return err
	}
	return soon(ctx, "lines of all tasks", func(ctx context.Context) error {
		all, err := d.readNow(ctx)
		for _, unit := range units {
			if n := all[unit].lines() - before[unit].lines(); err == nil && n < demoLines {
				err = fmt.Errorf("%s has written %d lines", unit, n)
			}
		}
		return err
	})
}

// elected waits for a leader with a token above one, and finds which member it is.
func (d *dockerDemo) elected(ctx context.Context, above uint64) (m demoMember, err error) {
	var host string
	err = recipes.Observe(ctx, d.client, demoElection, func(l recipes.Leader) error {
		if l.Token <= above {
			return nil
		}
		host, _, _ = strings.Cut(string(l.Value), " ")
		m.token = l.Token
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		return m, err
	}
	return m, soon(ctx, "the container of the member that leads", func(ctx context.Context) error {
		boxes, err := d.dock.tasks(ctx, false)
		if err != nil {
			return err
		}
		job, err := d.client.Job(ctx, demoMemberJob)
		if err != nil {
			return err
		}
		for _, i := range job.Instances {
			if id := boxes[i.Task]; host != "" && strings.HasPrefix(id, host) {
				m.unit, m.container = fmt.Sprintf("%s.%d", demoMemberJob, i.Index), id
				return nil
			}
		}
		return fmt.Errorf("%q is none of them", host)
	})
}

// killMember kills the container of the member that leads: another one leads when that is known to be dead, and
// the killed one is replaced.
func (d *dockerDemo) killMember(ctx context.Context) (string, error) {
	old, err := d.elected(ctx, 0)
	if err != nil {
		return "", err
	}
	start := time.Now()
	if err := d.dock.kill(ctx, old.container); err != nil {
		return "", err
	}
	now, err := d.elected(ctx, old.token)
	if err != nil {
		return "", err
	}
	var first time.Time
	err = soon(ctx, "work of the new leader", func(ctx context.Context) error {
		all, err := d.readNow(ctx)
		if err != nil {
			return err
		}
		for _, s := range all[now.unit].spells() {
			if s.from.After(start) {
				first = s.from
				return nil
			}
		}
		return errors.New("it has not begun")
	})
	if err != nil {
		return "", err
	}
	took := first.Sub(start).Milliseconds()
	if err := d.allRun(ctx, d.tasks); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s killed; %s leads and works after %d ms, token %d; all %d run again after %s", old.unit, now.unit, took, now.token, d.tasks, msSince(start)), nil
}

// spell is the time in which one process has written in a ledger.
type spell struct{ from, to time.Time }

func (l ledger) spells() (list []spell) {
	for _, e := range l {
		if e.word == "start" {
			list = append(list, spell{from: e.at})
		}
		if len(list) > 0 {
			list[len(list)-1].to = e.at
		}
	}
	return list
}

// readLedgers looks in what the tasks have written themselves: chores were started once and never
// stopped, and no two members worked at once.
func (d *dockerDemo) readLedgers(ctx context.Context) (string, error) {
	if err := d.allRun(ctx, d.tasks); err != nil {
		return "", err
	}
	before, err := d.readNow(ctx)
	if err != nil {
		return "", err
	}
	chores := jobUnits(demoChoreJob, d.tasks-demoMembers)
	var silence time.Duration
	err = soon(ctx, "lines of all chores", func(ctx context.Context) error {
		all, err := d.readNow(ctx)
		for _, unit := range chores {
			switch {
			case err != nil:
			case len(all[unit].starts()) != 1:
				return fmt.Errorf("%s was started %d times: %w", unit, len(all[unit].starts()), errNever)
			case all[unit].lines() <= before[unit].lines():
				err = fmt.Errorf("%s has written nothing since line %d", unit, before[unit].lines())
			default:
				silence = max(silence, all[unit].silence(d.began))
			}
		}
		return err
	})
	if err != nil {
		return "", err
	}
	spells, err := before.leaders()
	return fmt.Sprintf("%d chores, each started once, longest silence %d ms; %d times a member led, never two at once", len(chores), silence.Milliseconds(), len(spells)), err
}

// leaders are the times in which members have led, one after the other.
func (all ledgers) leaders() (list []spell, err error) {
	units := map[spell]string{}
	for unit, l := range all {
		if strings.HasPrefix(unit, demoMemberJob+".") {
			for _, s := range l.spells() {
				list, units[s] = append(list, s), unit
			}
		}
	}
	slices.SortFunc(list, func(a, b spell) int { return a.from.Compare(b.from) })
	for i := 1; i < len(list); i++ {
		if list[i].from.Before(list[i-1].to) {
			return list, fmt.Errorf("%s led when %s began", units[list[i-1]], units[list[i]])
		}
	}
	return list, nil
}

// demoWriter writes keys, one after the other, all the time.
type demoWriter struct {
	stop  context.CancelFunc
	done  chan struct{}
	mu    sync.Mutex
	acked map[string]string
	last  time.Time
	gap   time.Duration // the longest time without an acknowledged write since it was asked for
}

// demoWrites is the pause between two writes.
const demoWrites = 10 * time.Millisecond

func startWriter(ctx context.Context, client *api.Client) *demoWriter {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &demoWriter{stop: cancel, done: make(chan struct{}), acked: map[string]string{}, last: time.Now()}
	go func() {
		defer close(w.done)
		for n := 0; ; n++ {
			w.write(ctx, client, n)
			select {
			case <-ctx.Done():
				return
			case <-time.After(demoWrites):
			}
		}
	}()
	return w
}

// write writes one key until that is acknowledged: the same value twice is no harm.
func (w *demoWriter) write(ctx context.Context, client *api.Client, n int) {
	key, value := fmt.Sprintf("demo/w%06d", n), fmt.Sprintf("value %d", n)
	for ctx.Err() == nil {
		_, err := client.Put(ctx, key, []byte(value), api.WriteOptions{})
		w.mu.Lock()
		if err == nil {
			w.acked[key] = value
			w.gap, w.last = max(w.gap, time.Since(w.last)), time.Now()
		}
		w.mu.Unlock()
		if err == nil {
			return
		}
	}
}

// longest is the longest time without an acknowledged write since it was asked for the last time.
func (w *demoWriter) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	gap := max(w.gap, time.Since(w.last))
	w.gap = 0
	return gap
}

// end ends it and returns what was acknowledged.
func (w *demoWriter) end() map[string]string {
	w.stop()
	<-w.done
	return w.acked
}
