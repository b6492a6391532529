package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/synod-go/synod/api"
)

// jobDemo is the part of demo about tasks: a job that runs all the time, through what happens to the nodes.
type jobDemo struct {
	*taskDemo
	pids  map[string]int // the job's processes by the names of their ledgers
	began time.Time
}

const (
	jobDemoName  = "job"
	jobDemoCount = 4
)

func (d *jobDemo) runJob(ctx context.Context) (string, error) {
	d.began = time.Now()
	units, err := d.jobChores(ctx, jobDemoName, jobDemoCount)
	if err != nil {
		return "", err
	}
	if d.pids, err = d.chores(ctx, units); err != nil {
		return "", err
	}
	took := msSince(d.began)
	if err := d.running(ctx, d.pids); err != nil {
		return "", err
	}
	d.began = time.Now()
	return fmt.Sprintf("%d pids after %s", len(d.pids), took), nil
}

// killAgent kills one of the agents, starts it again, and looks what has become of the job meanwhile, and in all that
// was done to the nodes before.
func (d *jobDemo) killAgent(ctx context.Context) (string, error) {
	victim := d.fleet.agents[0]
	before, err := d.agentIDs(ctx)
	if err != nil {
		return "", err
	}
	tasks, err := d.client.Tasks(ctx, api.TaskFilter{Agent: before[victim.name]})
	if err != nil {
		return "", err
	}
	victim.kill()
	if err := d.noticed(ctx, victim.name); err != nil {
		return "", err
	}
	start := time.Now()
	if err := d.fleet.start(victim); err != nil {
		return "", err
	}
	after, err := d.agentIDs(ctx)
	if err != nil {
		return "", err
	}
	if took := msSince(start); maps.Equal(before, after) {
		if err := d.running(ctx, d.pids); err != nil {
			return "", err
		}
		silence, err := d.sameProcesses(ctx, d.pids, d.began)
		return fmt.Sprintf("%s, with %s, back after %s; %d of %d pids as at first, longest silence %d ms", victim.name, many(len(tasks), "task"), took,
			len(d.pids), jobDemoCount, silence.Milliseconds()), err
	}
	return "", fmt.Errorf("the agents are %v now, before that %v", after, before)
}
