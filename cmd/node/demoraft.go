package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// raftDemo shows Raft among three real processes.
type raftDemo struct {
	story
	trio  *trio
	lines *raftLines
}

func (a *app) demoRaftCommand() *cobra.Command {
	d := &raftDemo{story: story{app: a, rules: raftRules, next: "flight   shows the same of a node of dev or start"}}
	c := &cobra.Command{
		Use: "raft", Short: "terms, votes, log entries and faults of Raft, in half a minute", Args: cobra.NoArgs,
		Long: "Start three replicas, a process each, and show terms, votes and log entries as they happen. Acts: the first\n" +
			"leader, replication, the leader killed, a split vote, a minority cut off, a candidate whose log is too short,\n" +
			"an old leader that returns with entries nobody has, and a judgement over all that was seen. Each act says\n" +
			"what was seen and which rule held (a section of the Raft paper, D of the dissertation), and checks it: exit\n" +
			"code 1 if anything is not as it must be. With --output json one object a line: an event, an act, or the result.",
		Example: a.example("demo raft", "demo raft --output json"),
		RunE:    func(c *cobra.Command, _ []string) error { return d.run(c.Context()) },
	}
	c.AddCommand(a.demoReplicaCommand())
	return c
}

func (d *raftDemo) run(ctx context.Context) error {
	dir, remove, err := d.dataDir("")
	if err != nil {
		return err
	}
	defer remove()
	if d.trio, err = newTrio(d.app, dir); err != nil {
		return err
	}
	defer d.trio.fleet.end()
	d.lines = &raftLines{out: d.out, began: time.Now(), colour: d.colour(), seen: newRaftView()}
	shown := 0
	d.logs, d.save, d.count = d.trio.logs, func() error { return nil }, d.lines.heartbeats
	d.follow = func(ctx context.Context) { d.trio.hub.follow(ctx, &shown, d.show) }
	return d.perform(ctx, d.trio.acts())
}

func (d *raftDemo) show(events raftEvents) {
	for _, e := range events {
		d.lines.add(e)
		if d.output == "json" && !e.isHeartbeat() {
			_ = d.line(map[string]any{"act": d.number, "event": e}) // a reader that has gone needs nothing
		}
	}
	if d.output == "json" {
		d.lines.lines = nil
	}
	d.lines.flush()
}

// trio are the processes of the demo.
type trio struct {
	app   *app
	fleet *fleet
	hub   *hub[raftEvents, raftEvent]
	logs  *lockedBuffer
	asked map[uint64]string // commands that were told done, by their index
}

func newTrio(a *app, dir string) (*trio, error) {
	t := &trio{app: a, logs: &lockedBuffer{}, asked: map[uint64]string{},
		hub: newHub[raftEvents](func(e raftEvent) time.Time { return e.Time })}
	var err error
	if t.fleet, err = newFleet(3, 0, dir, func(*child) io.Writer { return t.logs }); err != nil {
		return nil, err
	}
	t.fleet.command = t.args
	t.fleet.output = func(*child) io.Writer { return t.hub.writer() }
	return t, nil
}

// args start one process; the first one founds the group.
func (t *trio) args(c *child) []string {
	args := []string{"demo", "raft", "replica", "--name", c.name, "--data", filepath.Join(t.fleet.dir, c.name), "--cluster", t.fleet.name, "--quiet"}
	for i, flag := range []string{"--api-port", "--link-port", "--gossip-port"} {
		args = append(args, flag, strconv.Itoa(c.ports[i]))
	}
	if c == t.fleet.nodes[0] {
		args = append(args, "--bootstrap")
	}
	for _, other := range t.fleet.nodes {
		if other != c {
			args = append(args, "--join", other.gossip())
		}
	}
	return args
}

func (t *trio) names() (names []string) {
	for _, c := range t.fleet.nodes {
		names = append(names, c.name)
	}
	return names
}

// without are the names of the others.
func (t *trio) without(names ...string) []string {
	return slices.DeleteFunc(t.names(), func(n string) bool { return slices.Contains(names, n) })
}

// kill ends a process as kill -9 does.
func (t *trio) kill(name string) { t.fleet.find(name).kill() }

// start starts a killed process again and waits until it has caught up with a leader.
func (t *trio) start(ctx context.Context, name string) error {
	mark := t.hub.mark()
	if err := t.fleet.start(t.fleet.find(name)); err != nil {
		return err
	}
	_, err := t.hub.await(ctx, mark, name+" following a leader", func(s raftEvents) bool {
		own := s.by(name).own("follower").last()
		return own.PeerName != "" && own.PeerName != name && len(s.by(name).own("committed").ofTerm(own.Term)) > 0
	})
	return err
}

// propose has one replica take a command, and no other.
func (t *trio) propose(ctx context.Context, name, command string, timeout time.Duration) (f commandFate, err error) {
	err = t.call(ctx, name, http.MethodPut, "/v1/commands", command, timeout, &f)
	return f, err
}

// done has the leader take a command that must be done.
func (t *trio) done(ctx context.Context, leader, command string) (uint64, error) {
	f, err := t.propose(ctx, leader, command, 10*time.Second)
	if err == nil && f.Fate == fateDone {
		t.asked[f.Index] = command
	}
	return f.Index, errors.Join(err, expect(err != nil || f.Fate == fateDone, "%s says %q about %s", leader, f.Fate, command))
}

func (t *trio) look(ctx context.Context, name string) (l raftLook, err error) {
	err = t.call(ctx, name, http.MethodGet, "/v1/replica", "", time.Second, &l)
	return l, err
}

// fault sets what becomes of the messages that leave a process, once it answers.
func (t *trio) fault(ctx context.Context, name string, faults ...fault) error {
	body, err := json.Marshal(faultChange{Faults: faults})
	if err != nil {
		return err
	}
	return t.retry(ctx, name+" does not answer", func() error {
		var set faultChange
		return t.call(ctx, name, http.MethodPut, "/v1/faults", string(body), time.Second, &set)
	})
}

// cut loses all messages of the log between one process and the others, both ways.
func (t *trio) cut(ctx context.Context, name string) error {
	err := t.fault(ctx, name, fault{Do: "lose"})
	for _, other := range t.without(name) {
		err = errors.Join(err, t.fault(ctx, other, fault{Do: "lose", To: name}))
	}
	return err
}

// heal ends all faults of processes.
func (t *trio) heal(ctx context.Context, names ...string) (err error) {
	for _, name := range names {
		err = errors.Join(err, t.fault(ctx, name))
	}
	return err
}

// retry tries until it succeeds or ctx ends.
func (t *trio) retry(ctx context.Context, what string, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (t *trio) call(ctx context.Context, name, method, path, body string, timeout time.Duration, v any) error {
	caller := &app{addr: t.fleet.find(name).api(), timeout: timeout}
	return caller.decreeCall(ctx, method, path, body, v)
}

// equal waits until all replicas have applied an index, and compares what they hold.
func (t *trio) equal(ctx context.Context, index uint64) ([]listCommand, error) {
	var first []listCommand
	for i, name := range t.names() {
		var l raftLook
		err := t.retry(ctx, name+" has not applied all", func() (err error) {
			if l, err = t.look(ctx, name); err == nil && l.Applied < index {
				err = fmt.Errorf("it has applied %d, wanted %d", l.Applied, index)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if i == 0 {
			first = l.Commands
		} else if err := expect(slices.Equal(first, l.Commands), "%s holds %v, %s holds %v", t.names()[0], first, name, l.Commands); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// elected waits for a leader of a newer term than after, among names, whose first entry is
// committed.
func (t *trio) elected(ctx context.Context, mark int, after uint64, names ...string) (leader raftEvent, err error) {
	_, err = t.hub.await(ctx, mark, fmt.Sprintf("a leader among %s in a term after %d", strings.Join(names, ", "), after), func(s raftEvents) bool {
		leader = s.by(names...).own("leader").last()
		return leader.Term > after && len(s.by(leader.Name).own("committed").ofTerm(leader.Term)) > 0
	})
	return leader, err
}

// leads is who leads now, and its term.
func (t *trio) leads(ctx context.Context) (name string, term uint64, err error) {
	err = t.retry(ctx, "nobody leads", func() error {
		for _, n := range t.names() {
			if l, err := t.look(ctx, n); err == nil && l.Role == "leader" && l.Term > term {
				name, term = n, l.Term
			}
		}
		return expect(name != "", "no leader")
	})
	return name, term, err
}
