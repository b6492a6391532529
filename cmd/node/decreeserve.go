package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// learnAfter is how long a learner waits by default before it asks.
const learnAfter = 300 * time.Millisecond

// decreeFlags are the flags of "decree serve".
type decreeFlags struct {
	startFlags
	acceptors, roles, distinguished []string
	proposer, scheme, recording     string
	retransmit, backoff, learnAfter time.Duration
	recorded                        int
	faults                          bool
}

func (a *app) decreeServe() *cobra.Command {
	f := &decreeFlags{}
	f.bootstrap, f.snapshotMiB = true, 1 // of "start" alone: nothing to complain about
	c := &cobra.Command{
		Use: "serve", Short: "run one process that plays roles of Paxos", Args: cobra.NoArgs,
		Long: "Run one process that plays roles of Paxos until it is stopped, and show its ballots, promises, votes and\n" +
			"chosen values as they happen; with --output json as one JSON object a line. A stopped process is started\n" +
			"again with the same flags. The acceptors are the same on all processes and for ever: a name stands for the\n" +
			"disk that it has when the first value is proposed, and an acceptor that loses it never votes again.",
		Example: a.example("decree serve --name a1 --acceptors a1,a2,a3",
			"decree serve --name a2 --acceptors a1,a2,a3 --join 127.0.0.1:4702 --api-port 4710 --link-port 4711 --gossip-port 4712",
			"decree serve --name p1 --acceptors a1,a2,a3 --roles proposer --join 127.0.0.1:4702 --api-port 4720 --link-port 4721 --gossip-port 4722"),
		RunE: func(c *cobra.Command, _ []string) error { return a.serveDecrees(c.Context(), f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "a1", "name of the process, unique")
	flags.StringVar(&f.cluster, "cluster", "", "name of those that pass decrees together; default that in the certificate, or "+synod.DefaultClusterName)
	flags.StringVar(&f.data, "data", "", "data directory; default data/NAME")
	flags.StringSliceVar(&f.acceptors, "acceptors", nil, "names of all acceptors, an odd number; the same on all processes (required)")
	flags.StringSliceVar(&f.roles, "roles", nil, "proposer, acceptor, learner; default proposer and learner, and acceptor if it is one of --acceptors")
	flags.StringVar(&f.scheme, "scheme", "all", "how learners are told: all of them by each acceptor, or through one or some of --distinguished")
	flags.StringSliceVar(&f.distinguished, "distinguished", nil, "names of the distinguished learners, the first one first")
	flags.StringVar(&f.proposer, "proposer", "", "name of the distinguished proposer; default everyone proposes")
	flags.StringSliceVar(&f.join, "join", nil, "gossip addresses of other processes")
	flags.StringVar(&f.listen, "listen", "127.0.0.1", "address to listen on; beyond loopback it needs TLS or --insecure")
	flags.StringVar(&f.advertise, "advertise", "", "address that the others are told; default that of --listen")
	flags.IntVar(&f.ports[0], "api-port", 4700, "port of the HTTP API")
	flags.IntVar(&f.ports[1], "link-port", 4701, "port for the other processes")
	flags.IntVar(&f.ports[2], "gossip-port", 4702, "port for gossip, TCP and UDP")
	flags.StringVar(&f.gossipKey, "gossip-key", "", "file with the key for gossip (tls init makes one)")
	flags.BoolVar(&f.insecure, "insecure", false, "allow addresses beyond loopback without TLS: anyone there can propose")
	flags.DurationVar(&f.retransmit, "retransmit", 100*time.Millisecond, "how long an acceptor may be silent before it is asked again")
	flags.DurationVar(&f.backoff, "backoff", 20*time.Millisecond, "base of the random wait after a duel")
	flags.DurationVar(&f.learnAfter, "learn-after", learnAfter, "how long a learner waits before it asks")
	flags.IntVar(&f.recorded, "recorded", 4096, "how many events the flight recorder keeps")
	flags.StringVar(&f.recording, "recording", "", "file for what the flight recorder holds at the end")
	flags.BoolVar(&f.faults, "faults", false, "let the API hold and lose messages: for demonstrations")
	flags.StringVar(&f.logLevel, "log-level", "warn", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal")
	return c
}

// serveDecrees runs a process until ctx ends or it must not go on.
func (a *app) serveDecrees(ctx context.Context, f *decreeFlags) error {
	p := &decreeProcess{show: a.newDecreeWriter()}
	config, err := a.decreesConfig(f, p)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", config.Listen.API)
	if err != nil {
		return listenError(config.Listen.API, "--api-port", err)
	}
	defer listener.Close()
	defer p.show.end()
	if p.decrees, err = synod.OpenDecrees(ctx, config); err != nil {
		return decreeStartError(ctx, f, config, err)
	}
	limits := api.ServerLimits{BodyTime: 30 * time.Second, Logger: config.Logger}
	if config.TLS != nil {
		limits.Known = func(*http.Request) bool { return true } // no other request comes through the handshake
	}
	server := limits.Server(p.handler())
	go func() { _ = server.Serve(limits.Listener(listener, decreeTLS(config.TLS))) }() // it ends with Close
	a.hint("%s %016x plays %v; api %s, gossip %s, pid %d", f.name, p.decrees.ID(), words(config.Roles), config.Listen.API,
		config.Listen.Gossip, os.Getpid())
	select {
	case <-ctx.Done():
	case <-p.decrees.Done():
	}
	err = p.decrees.Err()
	_ = server.Close()
	p.decrees.Close()
	return errors.Join(f.saveRecording(p.decrees), endedDecrees(f, err))
}

func words(roles []synod.Role) string {
	var all []string
	for _, r := range roles {
		all = append(all, string(r))
	}
	return strings.Join(all, ", ")
}

// decreesConfig makes the configuration of the flags.
func (a *app) decreesConfig(f *decreeFlags, p *decreeProcess) (synod.DecreesConfig, error) {
	log, err := newLogger(a.err, f.logFormat, f.logLevel)
	if err != nil {
		return synod.DecreesConfig{}, err
	}
	material, err := a.loadTLS()
	if err != nil {
		return synod.DecreesConfig{}, err
	}
	keys, err := loadGossipKeys(f.gossipKey)
	if err != nil {
		return synod.DecreesConfig{}, err
	}
	advertise, err := f.checkAddresses(material != nil && keys != nil)
	if err != nil {
		return synod.DecreesConfig{}, err
	}
	if err := f.check(material, log); err != nil {
		return synod.DecreesConfig{}, err
	}
	scheme, roles, err := f.schemeAndRoles()
	if err != nil {
		return synod.DecreesConfig{}, err
	}
	config := synod.DecreesConfig{Name: f.name, ClusterName: f.cluster, Data: f.dir(), Acceptors: f.acceptors, Roles: roles,
		Scheme: scheme, Distinguished: f.distinguished, Proposer: f.proposer, Join: f.join,
		Listen: f.addresses(f.listen), Advertise: f.addresses(advertise), TLS: material, GossipKey: keys.first(), GossipAlso: keys.also(), Insecure: f.insecure,
		Retransmit: f.retransmit, Backoff: f.backoff, LearnTimeout: f.learnAfter, Recorded: f.recorded,
		Event: p.show.event, Logger: log}
	if f.faults {
		p.faults = &faults{}
		config.Intercept = func(m synod.DecreeEvent, send func()) {
			p.faults.intercept(leaving{to: m.ToName, kind: m.Kind, decree: m.Decree}, send)
		}
	}
	return config, nil
}

func (f *decreeFlags) schemeAndRoles() (synod.LearnerScheme, []synod.Role, error) {
	schemes := []synod.LearnerScheme{synod.AllLearners, synod.OneLearner, synod.SomeLearners}
	i := slices.IndexFunc(schemes, func(s synod.LearnerScheme) bool { return s.String() == f.scheme })
	if i < 0 {
		return 0, nil, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("there is no scheme %q", f.scheme), Do: []string{"--scheme all, one or some"}}
	}
	var roles []synod.Role
	for _, r := range f.roles {
		roles = append(roles, synod.Role(r))
	}
	if len(roles) == 0 { // the default of DecreesConfig, to be shown
		roles = []synod.Role{synod.RoleProposer, synod.RoleLearner}
		if slices.Contains(f.acceptors, f.name) {
			roles = append(roles, synod.RoleAcceptor)
		}
	}
	if len(f.acceptors) == 0 {
		return 0, nil, &api.Error{Code: api.CodeUsage, Message: "nobody votes", Why: "the acceptors are named on every process, the same ones",
			Do: []string{"--acceptors a1,a2,a3"}}
	}
	return schemes[i], roles, nil
}

// saveRecording writes what the flight recorder holds.
func (f *decreeFlags) saveRecording(d *synod.Decrees) error {
	if f.recording == "" {
		return nil
	}
	file, err := os.Create(filepath.Clean(f.recording))
	if err == nil {
		err = errors.Join(decree.WriteRecording(file, d.Recording()), file.Close())
	}
	if err != nil {
		return &api.Error{Code: api.CodeData, Message: f.recording + " cannot be written", Why: plain(err)}
	}
	return nil
}

// decreeStartError says why a process did not start.
func decreeStartError(ctx context.Context, f *decreeFlags, c synod.DecreesConfig, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	code := failStopCode(err)
	switch {
	case code == api.CodeInternal && strings.Contains(err.Error(), "founding: "):
		return &api.Error{Code: api.CodeCluster, Message: fmt.Sprintf("process %s does not start", f.name), Why: plain(err),
			Do: []string{"start it with the --acceptors that it had, or with a --data of its own"}}
	case code == api.CodeInternal && strings.Contains(err.Error(), "synod: "):
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("process %s does not start", f.name), Why: decreeWords(plain(err)),
			Do: []string{"node decree serve --help"}}
	}
	e := &api.Error{Code: code, Message: fmt.Sprintf("process %s does not start", f.name), Why: plain(err)}
	switch code {
	case api.CodeLocked:
		e.Do = []string{"stop the other process, or give this one a --data of its own"}
	case api.CodeDamage, api.CodeLost:
		e.Do = []string{"node inspect acceptor --data " + f.dir(), "move the directory away: an acceptor without it never votes again"}
	case api.CodeCluster:
		e.Do = []string{"give it its own --data and --name"}
	}
	return e
}

// decreeWords puts flags in the place of fields of synod.DecreesConfig.
func decreeWords(text string) string {
	for _, field := range []string{"Acceptors", "Roles", "Scheme", "Distinguished", "Name"} {
		text = strings.NewReplacer("DecreesConfig."+field, "--"+strings.ToLower(field), "Config."+field, "--"+strings.ToLower(field)).Replace(text)
	}
	return text
}

func endedDecrees(f *decreeFlags, err error) error {
	if err == nil {
		return nil
	}
	return &api.Error{Code: failStopCode(err), Message: "the process has ended by itself: it must not go on", Why: plain(err),
		Do: []string{"node inspect acceptor --data " + f.dir()}}
}

// decreeTLS lets in who shows a certificate of the cluster with which it may decide something, and nobody else.
func decreeTLS(material *cluster.TLS) *tls.Config {
	if material == nil {
		return nil
	}
	return material.ServerConfig(cluster.RoleNode, cluster.RoleUse, cluster.RoleOperate, cluster.RoleAdmin, cluster.RoleClient)
}
