package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
)

// startAll starts the containers and waits until all are there for each other.
func (d *dockerDemo) startAll(ctx context.Context) (_ string, err error) {
	start := time.Now()
	names := slices.Concat(demoNodes, demoAgents)
	if err := parallel(len(names), len(names), func(i int) error { return d.dock.start(ctx, names[i]) }); err != nil {
		return "", err
	}
	if d.client, err = d.newClient(10*time.Second, demoNodes...); err != nil {
		return "", err
	}
	if d.hasty, err = d.newClient(demoAsk, demoNodes...); err != nil {
		return "", err
	}
	d.own = map[string]*api.Client{}
	for _, name := range demoNodes {
		if d.own[name], err = d.newClient(2*time.Second, name); err != nil {
			return "", err
		}
	}
	up, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	status, err := d.awaitStatus(up, "a cluster of 3", allVote(len(demoNodes)))
	if err != nil {
		return "", err
	}
	took := msSince(start)
	if err := d.awaitAgents(up); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s after %s, 2 agents registered after %s", leads(status), took, msSince(start)), nil
}

// demoAsk bounds one question, so that a node that is cut off does not take the time of all.
const demoAsk = 3 * time.Second

// soon tries until it succeeds, or never will, or ctx ends; one try takes demoAsk at most.
func soon(ctx context.Context, what string, try func(context.Context) error) error {
	return eventually(ctx, what, func() error {
		ctx, cancel := context.WithTimeout(ctx, demoAsk)
		defer cancel()
		return try(ctx)
	})
}

// awaitStatus waits until the cluster is as it should be.
func (d *dockerDemo) awaitStatus(ctx context.Context, what string, good func(api.Status) bool) (status api.Status, err error) {
	err = soon(ctx, what, func(ctx context.Context) error {
		if status, err = d.client.Status(ctx, false); err == nil && !good(status) {
			err = errors.New(upReason(status, nil))
		}
		return err
	})
	return status, err
}

// awaitAgents waits until both are registered, and have an engine.
func (d *dockerDemo) awaitAgents(ctx context.Context) error {
	return soon(ctx, "2 agents with an engine", func(ctx context.Context) error {
		list, err := d.client.Agents(ctx)
		if err != nil {
			return err
		}
		registered := map[string]bool{}
		for _, a := range list {
			switch {
			case a.State != "registered": // also one whose registration a master of before did not live to answer
			case a.Attributes[mesos.DockerAttribute] == "":
				return fmt.Errorf("%s has no Docker engine: %w", a.Name, errNever)
			default:
				registered[a.Name] = true
			}
		}
		return expect(len(registered) == len(demoAgents), "%d agents are registered", len(registered))
	})
}

func (d *dockerDemo) putKeys(ctx context.Context) (string, error) {
	seen, err := d.demo.putKeys(ctx)
	if err == nil {
		d.writer = startWriter(ctx, d.hasty)
	}
	return seen, err
}

// leader asks who leads, and returns the others too.
func (d *dockerDemo) leader(ctx context.Context) (leader string, others []string, err error) {
	status, err := d.awaitStatus(ctx, "a leader", func(s api.Status) bool { return s.Leader != "" })
	if err != nil {
		return "", nil, err
	}
	others = slices.DeleteFunc(slices.Clone(demoNodes), func(name string) bool { return name == status.Leader })
	return status.Leader, others, expect(len(others) == len(demoNodes)-1, "the leader %q is not one of ours", status.Leader)
}

// cut cuts containers off from the networks on which they reach others, until join.
func (d *dockerDemo) cut(ctx context.Context, names ...string) error {
	for _, name := range names {
		for _, from := range netsOf(name) {
			if err := d.dock.disconnect(ctx, name, from); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dockerDemo) join(ctx context.Context, names ...string) error {
	for _, name := range names {
		for _, to := range netsOf(name) {
			if err := d.dock.connect(ctx, name, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func netsOf(name string) []string {
	if slices.Contains(demoAgents, name) {
		return []string{"agents"}
	}
	return demoNets
}

// cutMinority cuts off a follower and an agent: the others go on, and the tasks of the agent too.
func (d *dockerDemo) cutMinority(ctx context.Context) (string, error) {
	leader, others, err := d.leader(ctx)
	if err != nil {
		return "", err
	}
	node, agent := others[0], demoAgents[1]
	d.writer.longest()
	if err := d.cut(ctx, node, agent); err != nil {
		return "", err
	}
	if err := d.refuses(ctx, node); err != nil {
		return "", err
	}
	if err := d.writeOn(ctx, jobUnits(demoChoreJob, d.tasks-demoMembers)); err != nil {
		return "", err
	}
	gap, start := d.writer.longest(), time.Now()
	now, _, err := d.leader(ctx)
	if err = errors.Join(err, expect(now != node, "%s leads, which is alone", now)); err != nil {
		return "", err
	}
	leads := leader + " leads on"
	if now != leader { // the machine stands still at times
		leads = fmt.Sprintf("%s leads, before it %s", now, leader)
	}
	if err := d.join(ctx, node, agent); err != nil {
		return "", err
	}
	if _, err := d.awaitStatus(ctx, node+" that has caught up", func(s api.Status) bool { return caughtUp(s, node) }); err != nil {
		return "", err
	}
	took := msSince(start)
	if err := errors.Join(d.awaitAgents(ctx), d.allRun(ctx, d.tasks)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s and %s cut off; %s, writes waited %d ms at most; alone %s refuses; back and caught up after %s, %d tasks as before",
		node, agent, leads, gap.Milliseconds(), node, took, d.tasks), nil
}

// refuses has a node that is alone asked for a key that the others have written meanwhile: it must not answer
// with what it has.
func (d *dockerDemo) refuses(ctx context.Context, node string) error {
	key := fmt.Sprintf("demo/cut-%d", time.Now().UnixNano())
	if _, err := d.client.Put(ctx, key, []byte("new"), api.WriteOptions{}); err != nil {
		return err
	}
	d.acked[key] = "new"
	for _, ask := range []func(context.Context) error{
		func(ctx context.Context) error { _, _, err := d.own[node].Get(ctx, key, api.ReadOptions{}); return err },
		func(ctx context.Context) error {
			_, err := d.own[node].Put(ctx, "demo/never", []byte("written by a minority"), api.WriteOptions{})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(ctx, demoAsk)
		err := ask(ctx)
		cancel()
		switch {
		case err == nil:
			return fmt.Errorf("%s answers, and nobody else hears it", node)
		case isCode(err, api.CodeNotFound):
			return fmt.Errorf("%s says that there is no %s, which was acknowledged", node, key)
		}
	}
	return nil
}

func isCode(err error, code api.Code) bool {
	e, is := errors.AsType[*api.Error](err)
	return is && e.Code == code
}

// cutLeader cuts off the leader: another one leads, and the old one says nothing that is not true any more.
func (d *dockerDemo) cutLeader(ctx context.Context) (string, error) {
	leader, _, err := d.leader(ctx)
	if err != nil {
		return "", err
	}
	d.writer.longest()
	start := time.Now()
	if err := d.cut(ctx, leader); err != nil {
		return "", err
	}
	now, took, err := d.otherLeader(ctx, leader, start)
	if err != nil {
		return "", err
	}
	if err := d.refuses(ctx, leader); err != nil {
		return "", err
	}
	gap := d.writer.longest()
	start = time.Now()
	if err := d.join(ctx, leader); err != nil {
		return "", err
	}
	if _, err := d.awaitStatus(ctx, leader+" that has caught up", func(s api.Status) bool { return caughtUp(s, leader) }); err != nil {
		return "", err
	}
	back := msSince(start)
	return fmt.Sprintf("%s cut off; %s leads after %d ms, writes waited %d ms at most; alone %s refuses; back and caught up after %s",
		leader, now, took.Milliseconds(), gap.Milliseconds(), leader, back), errors.Join(d.awaitAgents(ctx), d.allRun(ctx, d.tasks))
}

// otherLeader waits for another leader, one that has had a write acknowledged.
func (d *dockerDemo) otherLeader(ctx context.Context, old string, since time.Time) (leader string, took time.Duration, err error) {
	var others []string
	for _, name := range demoNodes {
		if name != old {
			others = append(others, name)
		}
	}
	client, err := d.newClient(10*time.Second, others...)
	if err != nil {
		return "", 0, err
	}
	defer client.Close()
	err = soon(ctx, "another leader", func(ctx context.Context) error {
		status, err := client.Status(ctx, false)
		if leader = status.Leader; err == nil {
			err = expect(leader != "" && leader != old, "%q leads", leader)
		}
		return err
	})
	if err == nil {
		_, err = client.Put(ctx, "demo/led", []byte(leader), api.WriteOptions{})
	}
	return leader, time.Since(since), err
}

// leadingMaster asks the nodes, but one, whose master leads.
func (d *dockerDemo) leadingMaster(ctx context.Context, but string) (name string, err error) {
	err = soon(ctx, "a leading master", func(ctx context.Context) error {
		for _, node := range demoNodes {
			if node == but {
				continue
			}
			checks, _, err := d.own[node].Ready(ctx)
			if err != nil {
				return err
			}
			for _, c := range checks {
				if strings.HasPrefix(c.Name, "master:") && c.OK && c.Reason == "this node's master leads" {
					name = node
					return nil
				}
			}
		}
		return errors.New("there is none")
	})
	return name, err
}

// killMaster kills the container of the leading master, and has another one launch a task.
func (d *dockerDemo) killMaster(ctx context.Context) (_ string, err error) {
	if d.dead, err = d.leadingMaster(ctx, ""); err != nil {
		return "", err
	}
	d.writer.longest()
	start := time.Now()
	if err := d.dock.kill(ctx, d.dock.name(d.dead)); err != nil {
		return "", err
	}
	now, err := d.leadingMaster(ctx, d.dead)
	if err != nil {
		return "", err
	}
	took, count := msSince(start), d.tasks-demoMembers+1
	if _, err := d.client.ScaleJob(ctx, demoChoreJob, count); err != nil {
		return "", err
	}
	d.tasks++
	if err := d.begun(ctx, jobUnits(demoChoreJob, count)); err != nil {
		return "", err
	}
	launched, gap := msSince(start), d.writer.longest()
	return fmt.Sprintf("%s killed; the master of %s leads after %s, writes waited %d ms at most; a new task works after %s; %d run",
		d.dead, now, took, gap.Milliseconds(), launched, d.tasks), d.allRun(ctx, d.tasks)
}

func (d *dockerDemo) startKilled(ctx context.Context) (string, error) {
	start := time.Now()
	if err := d.dock.start(ctx, d.dead); err != nil {
		return "", err
	}
	status, err := d.awaitStatus(ctx, d.dead+" that has caught up", func(s api.Status) bool { return caughtUp(s, d.dead) })
	return fmt.Sprintf("%s has caught up after %s; %s leads on", d.dead, msSince(start), status.Leader), err
}

// readAll ends the writer and reads what was acknowledged.
func (d *dockerDemo) readAll(ctx context.Context) (string, error) {
	written := d.writer.end()
	maps.Copy(d.acked, written)
	return d.readBack(ctx)
}

func (d *dockerDemo) compareNodes(ctx context.Context) (string, error) {
	return sameDigests(ctx, demoNodes, func(ctx context.Context) (digests []api.Digest, err error) {
		for _, name := range demoNodes {
			status, err := d.own[name].Status(ctx, true)
			if err != nil {
				return nil, err
			}
			digests = append(digests, status.Digest)
		}
		return digests, nil
	})
}
