package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

// raftEvent is what a process of "demo raft" tells of its replica.
type raftEvent struct {
	Name string `json:"name"`
	api.FlightEvent
}

// raftReplica is a process of "demo raft": a node whose state machine is a list of
// commands, whose messages can be held and lost, and which tells every event.
type raftReplica struct {
	group  *synod.Group
	faults faults
}

// raftGroup is the group whose log the demo shows.
const raftGroup = "demo"

// The times of the demo: longer than the defaults, so that a busy machine does not
// elect somebody in the middle of an act, and that one can follow.
const (
	raftHeartbeat = 100 * time.Millisecond
	raftElection  = time.Second
	raftLease     = 400 * time.Millisecond
)

func (a *app) demoReplicaCommand() *cobra.Command {
	f := &startFlags{snapshotMiB: 1} // of "start" alone: nothing to complain about
	c := &cobra.Command{
		Use: "replica", Short: "a process of demo raft", Args: cobra.NoArgs, Hidden: true,
		Long:    "Run a process of demo raft until it is stopped: it writes one event a line.",
		Example: a.example("demo raft replica --name n1 --bootstrap"),
		RunE:    func(c *cobra.Command, _ []string) error { return a.serveReplica(c.Context(), f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "n1", "name of the process")
	flags.StringVar(&f.data, "data", "", "data directory; default data/NAME")
	flags.StringVar(&f.cluster, "cluster", "", "name of the three: gossip of others is not heard")
	flags.BoolVar(&f.bootstrap, "bootstrap", false, "be the first one")
	flags.StringSliceVar(&f.join, "join", nil, "gossip addresses of the others")
	flags.IntVar(&f.ports[0], "api-port", 4700, "port for the demo")
	flags.IntVar(&f.ports[1], "link-port", 4701, "port for the other processes")
	flags.IntVar(&f.ports[2], "gossip-port", 4702, "port for gossip, TCP and UDP")
	flags.StringVar(&f.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal")
	return c
}

// serveReplica runs a process until ctx ends or it must not go on.
func (a *app) serveReplica(ctx context.Context, f *startFlags) error {
	log, err := newLogger(a.err, f.logFormat, "warn")
	if err != nil {
		return err
	}
	addresses := f.addresses("127.0.0.1")
	listener, err := net.Listen("tcp", addresses.API)
	if err != nil {
		return listenError(addresses.API, "--api-port", err)
	}
	defer listener.Close()
	show := newEventWriter(func(e raftEvent) { _ = json.NewEncoder(a.out).Encode(e) }, func() {}) // a reader that has gone needs nothing
	defer show.end()
	r := &raftReplica{}
	config := synod.Config{Name: f.name, ClusterName: f.cluster, Dir: f.dir(), Bootstrap: f.bootstrap, Join: f.join, Listen: addresses, Logger: log,
		Heartbeat: raftHeartbeat, Election: raftElection, Lease: raftLease, Version: version, Groups: []synod.GroupConfig{r.config(f.name, show.event)}}
	node, err := synod.Start(ctx, config)
	if err != nil {
		return startError(ctx, f, config, err)
	}
	r.group = node.Group(raftGroup)
	limits := api.ServerLimits{BodyTime: 30 * time.Second, Logger: log}
	server := limits.Server(r.handler())
	go func() { _ = server.Serve(limits.Listener(listener, nil)) }() // it ends with Close
	select {
	case <-ctx.Done():
	case <-node.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(node.Err(), server.Close(), node.Stop(stop))
}

// config is the group whose events are shown and whose messages go through faults.
func (r *raftReplica) config(name string, show func(raftEvent)) synod.GroupConfig {
	return synod.GroupConfig{Name: raftGroup, New: func() synod.StateMachine { return &commandList{} },
		Event: func(e synod.FlightEvent) { show(raftEvent{name, api.NewFlightEvent(e)}) },
		Intercept: func(m synod.FlightEvent, send func()) {
			r.faults.intercept(leaving{to: m.PeerName, kind: m.Kind}, send)
		}}
}

func (r *raftReplica) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/faults", func(w http.ResponseWriter, q *http.Request) {
		if change, ok := readFaults(w, q); ok {
			r.faults.set(change.Faults, change.Release)
			decreeAnswer(w, http.StatusOK, change)
		}
	})
	mux.HandleFunc("PUT /v1/commands", r.propose)
	mux.HandleFunc("GET /v1/replica", r.look)
	return ownHost(mux)
}

// The fates of a command that is not done.
const (
	fateDone     = "done"
	fateUnknown  = "unknown"
	fateNotTaken = "not the leader"
)

// commandFate is what whoever proposed a command is told.
type commandFate struct {
	Fate  string `json:"fate"`
	Index uint64 `json:"index,omitempty"` // of a command that is done
}

// propose has this replica, and no other, take a command into its log.
func (r *raftReplica) propose(w http.ResponseWriter, q *http.Request) {
	ctx, cancel, err := within(q)
	if err != nil {
		decreeFailure(w, err)
		return
	}
	defer cancel()
	command, err := io.ReadAll(http.MaxBytesReader(w, q.Body, decreeValueBytes))
	if err != nil {
		decreeFailure(w, &api.Error{Code: api.CodeRequest, Message: "the command was not read", Why: plain(err)})
		return
	}
	result, err := r.group.Propose(ctx, command)
	answer := commandFate{Fate: fateDone, Index: result.Index}
	switch _, refused := errors.AsType[*synod.NotLeaderError](err); {
	case err == nil:
	case refused, errors.Is(err, synod.ErrNoLeader):
		answer.Fate = fateNotTaken
	case errors.Is(err, synod.ErrNotCommitted):
		answer.Fate = fateSurelyNot
	case errors.Is(err, synod.ErrUnknownOutcome):
		answer.Fate = fateUnknown
	default:
		decreeFailure(w, &api.Error{Code: api.CodeInternal, Message: "the command was not done", Why: plain(err)})
		return
	}
	decreeAnswer(w, http.StatusOK, answer)
}

// raftLook is what a replica holds.
type raftLook struct {
	Role     string        `json:"role"`
	Term     uint64        `json:"term"`
	Leader   string        `json:"leader"`
	Applied  uint64        `json:"applied"`
	Voters   int           `json:"voters"`
	Commands []listCommand `json:"commands"`
}

func (r *raftReplica) look(w http.ResponseWriter, q *http.Request) {
	ctx, cancel, err := within(q)
	if err != nil {
		decreeFailure(w, err)
		return
	}
	defer cancel()
	status, err := r.group.Status(ctx)
	look := raftLook{Role: status.Role, Term: status.Term, Leader: status.Leader}
	for _, m := range status.Members {
		if m.Voter && !status.Joint {
			look.Voters++
		}
	}
	if err == nil {
		err = r.group.Read(ctx, synod.Stale, func(machine synod.StateMachine, index uint64) {
			look.Applied, look.Commands = index, append(look.Commands, machine.(*commandList).commands...)
		})
	}
	if err != nil {
		decreeFailure(w, &api.Error{Code: api.CodeInternal, Message: "the replica does not answer", Why: plain(err)})
		return
	}
	decreeAnswer(w, http.StatusOK, look)
}

// listCommand is a command that was applied.
type listCommand struct {
	Index   uint64 `json:"index"`
	Command string `json:"command"`
}

// commandList is the demo's state machine: the commands in the order of the log.
type commandList struct {
	mu       sync.Mutex
	commands []listCommand
}

func (l *commandList) Apply(index uint64, _ int64, command []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands = append(l.commands, listCommand{index, string(command)})
	return nil
}

func (l *commandList) Snapshot() (io.WriterTo, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return listPicture(l.commands[:len(l.commands):len(l.commands)]), nil
}

func (l *commandList) Restore(r io.Reader) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands = nil
	if err := json.NewDecoder(r).Decode(&l.commands); err != nil {
		return fmt.Errorf("commands: %w", err)
	}
	return nil
}

// listPicture is a list as it was.
type listPicture []listCommand

func (p listPicture) WriteTo(w io.Writer) (int64, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(data)
	return int64(n), err
}
