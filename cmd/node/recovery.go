package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

// recovery is what a starting node is doing: it is told by the node and tells
// the log and /readyz.
type recovery struct {
	log   *slog.Logger
	began time.Time

	mu          sync.Mutex
	stage       string // of synod.Config.Progress
	done, total int64  // bytes
	since       time.Time
}

func newRecovery(log *slog.Logger) *recovery {
	now := time.Now()
	return &recovery{log: log, began: now, since: now}
}

// progress is the node's synod.Config.Progress.
func (r *recovery) progress(stage string, done, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if stage != r.stage {
		r.stage, r.since = stage, time.Now()
	}
	r.done, r.total = done, total
}

// stageNames say to people what a stage is.
var stageNames = map[string]string{"log": "reading the log", "replay": "replaying the log",
	"snapshot": "checking a snapshot", "restore": "restoring a snapshot"}

// seedsStage is the one in which nothing is recovered.
const seedsStage = "seeds"

// checks is the server's api.Config.Starting.
func (r *recovery) checks() []api.Check {
	r.mu.Lock()
	defer r.mu.Unlock()
	reason := "opening the data directory"
	if r.stage == seedsStage {
		reason = fmt.Sprintf("%d of %d nodes to join have said whether there is a cluster", r.done, r.total)
	} else if r.stage != "" {
		reason = fmt.Sprintf("%s: %s of %s", cmp.Or(stageNames[r.stage], r.stage), sized(r.done), sized(r.total))
	}
	return []api.Check{{Name: "start", Reason: reason, Since: r.since}}
}

// say logs every second how far the start has come, until started is closed.
func (r *recovery) say(started <-chan struct{}) {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case <-started:
			return
		case <-tick.C:
		}
		r.mu.Lock()
		stage, done, total := r.stage, r.done, r.total
		r.mu.Unlock()
		if stage == seedsStage {
			continue // the node itself says for whom it waits
		}
		r.log.Info("recovering", "stage", cmp.Or(stage, "open"), "done", sized(done), "of", sized(total))
	}
}

const (
	sayEvery = time.Second
	// warnEvery is how often a node that waits for others says so.
	warnEvery = 10 * time.Second
)

// sayReady says when the node can work, and until then why it cannot: every
// second while it applies its log, seldom while it waits for others.
func (r *recovery) sayReady(ctx context.Context, node *synod.Node) {
	for warned := time.Now(); ; {
		wait, cancel := context.WithTimeout(ctx, sayEvery)
		err := node.Ready(wait)
		cancel()
		if err == nil {
			r.log.Info("ready", "cluster", node.Cluster(), "after", time.Since(r.began).Round(time.Millisecond))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-node.Done():
			return
		default:
		}
		if r.sayApplying(ctx, node) || time.Since(warned) < warnEvery {
			continue
		}
		warned = time.Now()
		attrs := []any{"cluster", cmp.Or(node.Cluster(), "none"), "members seen", len(node.Members())}
		r.log.Warn("not ready yet: no leader, or no place in the cluster", append(attrs, leaderless(groupsOf(ctx, node))...)...)
	}
}

// groupsOf is what the groups say of themselves within a second.
func groupsOf(ctx context.Context, node *synod.Node) (list []synod.GroupStatus) {
	ctx, cancel := context.WithTimeout(ctx, sayEvery)
	defer cancel()
	for _, g := range node.Groups() {
		if status, err := g.Status(ctx); err == nil {
			list = append(list, status)
		}
	}
	return list
}

// leaderless names, for a line of the log, the groups without a leader, and says what to do about
// one that the node's cluster does not have: a newer version than that which has founded it does.
func leaderless(groups []synod.GroupStatus) (attrs []any) {
	var without, unfounded []string
	placed := false
	for _, g := range groups {
		switch {
		case g.Leader != "":
			placed = true
			continue
		case len(g.Members) == 0:
			unfounded = append(unfounded, g.Name)
		}
		without = append(without, g.Name)
	}
	if len(without) > 0 {
		attrs = append(attrs, "without leader", strings.Join(without, ","))
	}
	if placed && len(unfounded) > 0 {
		attrs = append(attrs, "do", "if an older version has founded the cluster, without "+strings.Join(unfounded, " and ")+
			": start the node that has founded it again, once, with --bootstrap")
	}
	return attrs
}

// sayApplying reports whether the node applies committed entries, and says how
// far that is.
func (r *recovery) sayApplying(ctx context.Context, node *synod.Node) (applying bool) {
	ctx, cancel := context.WithTimeout(ctx, sayEvery)
	defer cancel()
	for _, g := range node.Groups() {
		status, err := g.Status(ctx)
		if err == nil && status.Applied < status.Commit {
			r.log.Info("recovering", "stage", "apply", "group", g.Name(), "done", status.Applied, "of", status.Commit)
			applying = true
		}
	}
	return applying
}
