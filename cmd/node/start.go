package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/storage"
)

// coordinationGroup is the name of the group that holds the tree.
const coordinationGroup = "coordination"

// roleControl is the role of a node that holds the tree: what it announces by gossip.
const roleControl = "control"

// maxSnapshotMiB is as much log as the data directory may hold.
const maxSnapshotMiB = 4096

// startFlags are the flags of "start".
type startFlags struct {
	config              string
	checkOnly           bool
	name, data, cluster string
	bootstrap, insecure bool
	join                []string
	listen, advertise   string
	ports               [3]int // API, link, gossip
	voters, priority    int
	engine, roles       string
	gossipKey           string
	snapshotMiB         int
	logLevel, logFormat string
	heartbeat           time.Duration
	election, lease     time.Duration
}

func (a *app) startCommand() *cobra.Command {
	f := &startFlags{}
	c := &cobra.Command{
		Use: "start", Short: "run one node of a cluster", Args: cobra.NoArgs,
		Long: "Run one node until it is stopped. The first node of a cluster is started with --bootstrap, all others\n" +
			"with --join and the gossip address of any node; they become voters by themselves. A stopped node is\n" +
			"started again with the same flags. SIGTERM or Ctrl-C stops it in order: it hands over the leadership,\n" +
			"leaves gossip and flushes its log.\n\n" +
			"A node whose data directory is gone or damaged is started again without --bootstrap and with --join: it\n" +
			"joins as a new member and is filled from the others. With both flags, a node without data asks all of\n" +
			"--join first and waits until each of them has answered: it founds a cluster if none of them has one, and\n" +
			"joins if one has. With --bootstrap alone it asks nobody, and founds a second cluster beside its own.",
		Example: a.example("start --name n1 --data data/n1 --bootstrap",
			"start --name n2 --data data/n2 --join 127.0.0.1:4702 --api-port 4710 --link-port 4711 --gossip-port 4712",
			"start --config server1.yaml"),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.config == "" && !f.checkOnly {
				return a.start(c.Context(), f)
			}
			return a.startByFile(c, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.config, "config", "", "file with a line  KEY: VALUE  for each flag; flags on the command line are stronger")
	flags.BoolVar(&f.checkOnly, "check", false, "start nothing: show what holds, and where each value comes from")
	flags.StringVar(&f.name, "name", "n1", "name of the node, unique in the cluster")
	flags.StringVar(&f.cluster, "cluster", "", "name of the cluster: gossip of another one is not heard; default that in the certificate, or "+synod.DefaultClusterName)
	flags.StringVar(&f.data, "data", "", "data directory; default data/NAME")
	flags.BoolVar(&f.bootstrap, "bootstrap", false, "found a cluster: on its first node alone, when it starts for the first time")
	flags.StringSliceVar(&f.join, "join", nil, "gossip addresses of nodes of the cluster; with --bootstrap of all others")
	flags.StringVar(&f.listen, "listen", "127.0.0.1", "address to listen on; beyond loopback it needs TLS or --insecure")
	flags.StringVar(&f.advertise, "advertise", "", "address that the others are told; default that of --listen")
	flags.IntVar(&f.ports[0], "api-port", 4700, "port of the HTTP API")
	flags.IntVar(&f.ports[1], "link-port", 4701, "port for the other nodes")
	flags.IntVar(&f.ports[2], "gossip-port", 4702, "port for gossip, TCP and UDP")
	flags.IntVar(&f.voters, "voters", 3, "how many nodes shall vote; odd")
	flags.IntVar(&f.priority, "priority", 0, "the highest one that has caught up leads")
	engineFlag(c, &f.engine)
	flags.StringVar(&f.roles, "roles", "", "with --engine paxos: which of proposer, acceptor and learner the node is; default all")
	flags.StringVar(&f.gossipKey, "gossip-key", "", "file with the key for gossip (tls init makes one)")
	flags.BoolVar(&f.insecure, "insecure", false, "allow addresses beyond loopback without TLS: anyone there can read and write")
	flags.IntVar(&f.snapshotMiB, "snapshot-mib", 64, "MiB of log that make the next snapshot: more of them make restarts slower and need more memory")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal")
	flags.DurationVar(&f.heartbeat, "heartbeat", 50*time.Millisecond, "how often the leader shows itself")
	flags.DurationVar(&f.election, "election", 300*time.Millisecond, "silence of the leader before an election")
	flags.DurationVar(&f.lease, "lease", 0, "how long a lease read may rely on the last heartbeat; default half of --election")
	return c
}

// startByFile starts the node that a file describes, or shows what it says.
func (a *app) startByFile(c *cobra.Command, f *startFlags) error {
	var origins map[string]string
	if f.config != "" {
		var err error
		if origins, err = applyConfigFile(c, f.config); err != nil {
			return err
		}
	}
	if f.checkOnly {
		return a.showSettings(c, origins)
	}
	return a.start(c.Context(), f)
}

// start runs a node until ctx ends or the node must not go on.
func (a *app) start(ctx context.Context, f *startFlags) error {
	log, err := newLogger(a.err, f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	config, err := a.nodeConfig(f, log)
	if err != nil {
		return err
	}
	log = log.With("node", f.name) // the node itself adds its name
	recovery := newRecovery(log)
	config.Progress = recovery.progress
	listener, err := net.Listen("tcp", config.Listen.API)
	if err != nil {
		return listenError(config.Listen.API, "--api-port", err)
	}
	defer listener.Close()
	tree, err := api.NewTree(coordination.Config{})
	if err != nil {
		return err
	}
	config.Groups = []synod.GroupConfig{{Name: coordinationGroup, Engine: synod.Engine(f.engine), Sessions: true, New: func() synod.StateMachine { return tree.New() },
		SnapshotBytes: f.snapshotMiB << 20}}
	server, err := a.server(recovery, config, log)
	if err != nil {
		return err
	}
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Error("api ends", "reason", err)
		}
	}()
	node, err := startNode(ctx, config, recovery)
	if err != nil {
		shut(server)
		return startError(ctx, f, config, err)
	}
	backend, err := api.NewBackend(node, coordinationGroup, tree)
	if err != nil {
		shut(server)
		return errors.Join(err, node.Stop(ctx))
	}
	server.SetBackend(backend)
	log.Info("started", "api", config.Advertise.API, "link", config.Advertise.Link, "gossip", config.Advertise.Gossip,
		"data", config.Dir, "pid", os.Getpid(), "after", time.Since(recovery.began).Round(time.Millisecond))
	go recovery.sayReady(ctx, node)
	return a.runNode(ctx, f, node, server, log)
}

// startNode starts the node; recovery says meanwhile what it is doing.
func startNode(ctx context.Context, config synod.Config, recovery *recovery) (*synod.Node, error) {
	started := make(chan struct{})
	defer close(started)
	go recovery.say(started)
	return synod.Start(ctx, config)
}

// runNode waits for the end and stops in order.
func (a *app) runNode(ctx context.Context, f *startFlags, node *synod.Node, server *api.Server, log *slog.Logger) error {
	select {
	case <-node.Done():
		shut(server)
		if wrong, is := errors.AsType[*synod.EngineError](node.Err()); is {
			return f.engineError(wrong)
		}
		return &api.Error{Code: failStopCode(node.Err()), Message: "the node has ended by itself: it must not go on", Why: plain(node.Err()),
			Do: endedDo(f, node.Err())}
	case <-ctx.Done():
	}
	log.Info("stopping", "reason", "signal")
	stop, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := node.Stop(stop)
	shut(server)
	if err != nil {
		why, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "synod: stop: "), ": "+stop.Err().Error())
		return &api.Error{Code: api.CodeTimeout, Message: "the node did not stop in time", Why: why,
			Do: []string{"look whether its disk hangs; nothing acknowledged is lost"}}
	}
	log.Info("stopped")
	return nil
}

// stopTimeout is how long a node may take to stop before its process ends anyway.
const stopTimeout = 8 * time.Second

func shut(server *api.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = server.Shutdown(ctx) // what is left after a second is cut
}

// nodeConfig makes the node's configuration of the flags.
func (a *app) nodeConfig(f *startFlags, log *slog.Logger) (synod.Config, error) {
	material, err := a.loadTLS()
	if err != nil {
		return synod.Config{}, err
	}
	key, err := loadGossipKey(f.gossipKey)
	if err != nil {
		return synod.Config{}, err
	}
	if err := checkEngine(f.engine); err != nil {
		return synod.Config{}, err
	}
	roles, err := f.paxosRoles()
	if err != nil {
		return synod.Config{}, err
	}
	advertise, err := f.checkAddresses(material != nil && key != nil)
	if err != nil {
		return synod.Config{}, err
	}
	if err := f.check(material, log); err != nil {
		return synod.Config{}, err
	}
	return synod.Config{
		Name: f.name, Dir: f.dir(), Bootstrap: f.bootstrap, Join: f.join,
		Listen: f.addresses(f.listen), Advertise: f.addresses(advertise), Voters: f.voters, Priority: f.priority, PaxosRoles: roles,
		TLS: material, GossipKey: key, Insecure: f.insecure, Heartbeat: f.heartbeat, Election: f.election, Lease: f.lease,
		ClusterName: f.cluster, Roles: []string{roleControl}, Version: version, Logger: log,
	}, nil
}

func (f *startFlags) addresses(host string) synod.Addresses {
	join := func(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
	return synod.Addresses{API: join(f.ports[0]), Link: join(f.ports[1]), Gossip: join(f.ports[2])}
}

// checkAddresses returns the address that the others are told.
func (f *startFlags) checkAddresses(protected bool) (string, error) {
	ip := net.ParseIP(f.listen)
	loopback := f.listen == "localhost" || ip != nil && ip.IsLoopback()
	if !loopback && !protected && !f.insecure {
		return "", &api.Error{Code: api.CodeInsecure, Message: "listening on " + f.listen + " needs TLS and a gossip key",
			Why: "it is not loopback: anyone who reaches it could read and write",
			Do:  []string{"make certificates:  node tls init", "or, on a network you trust:  --insecure"}}
	}
	if ip != nil && ip.IsUnspecified() && f.advertise == "" {
		return "", &api.Error{Code: api.CodeUsage, Message: "with --listen " + f.listen + " the others must be told where this node is",
			Do: []string{"--advertise ADDRESS, one of this machine's"}}
	}
	if f.snapshotMiB < 1 || f.snapshotMiB > maxSnapshotMiB {
		return "", &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("a snapshot every %d MiB of log is not possible", f.snapshotMiB),
			Why: fmt.Sprintf("--snapshot-mib is 1 to %d", maxSnapshotMiB)}
	}
	for _, port := range f.ports {
		if port < 1 || port > 65535 {
			return "", &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("there is no port %d", port), Why: "ports are 1 to 65535"}
		}
	}
	return cmp.Or(f.advertise, f.listen), nil
}

// server makes the node's HTTP API, which has no node to speak for yet.
func (a *app) server(recovery *recovery, c synod.Config, log *slog.Logger) (*api.Server, error) {
	config := api.Config{Starting: recovery.checks, Name: c.Name, Logger: log}
	if c.TLS != nil {
		config.TLS, config.Certified = publicTLS(c.TLS), certified(c.TLS)
		config.FromNode = func(state tls.ConnectionState) bool {
			id, err := cluster.PeerIdentity(state)
			return err == nil && id.Role == cluster.RoleNode
		}
		config.ForwardTLS = c.TLS.ClientConfig(cluster.RoleNode)
	}
	return api.NewServer(config)
}

// publicTLS lets anyone connect; the routes that need a certificate ask for it.
func publicTLS(material *cluster.TLS) *tls.Config {
	config := material.ServerConfig(cluster.RoleNode, cluster.RoleClient)
	verify := config.VerifyConnection
	config.ClientAuth = tls.RequestClientCert
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		return verify(state)
	}
	return config
}

// certified reports whether a connection has shown a certificate of the
// cluster: publicTLS has verified the one it shows.
func certified(*cluster.TLS) func(tls.ConnectionState) bool {
	return func(state tls.ConnectionState) bool { return len(state.PeerCertificates) > 0 }
}

// loadGossipKey reads a key of 16, 24 or 32 bytes, raw or in base64.
func loadGossipKey(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, &api.Error{Code: api.CodeTLS, Message: "the gossip key cannot be read", Why: plain(err), Do: []string{"make one:  node tls init"}}
	}
	key := content
	if decoded, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(content))); err == nil {
		key = decoded
	}
	if len(key) != 16 && len(key) != 24 && len(key) != 32 {
		return nil, &api.Error{Code: api.CodeTLS, Message: fmt.Sprintf("the gossip key in %s cannot be used", file),
			Why: fmt.Sprintf("it has %d bytes, want 16, 24 or 32", len(key)), Do: []string{"make one:  node tls init"}}
	}
	return key, nil
}

// startError says why a node did not start.
func startError(ctx context.Context, f *startFlags, c synod.Config, err error) error {
	if ctx.Err() != nil {
		return ctx.Err() // it was told to end while it started
	}
	code, do := failStopCode(err), []string(nil)
	if wrong, is := errors.AsType[*synod.EngineError](err); is {
		return f.engineError(wrong)
	}
	if wrong, is := errors.AsType[*synod.RolesError](err); is {
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("node %s does not start as %s", f.name, wrong.Given),
			Why: plain(wrong), Do: rolesDo(wrong)}
	}
	switch {
	case code == api.CodeLocked:
		do = []string{"stop the other node, or give this one a --data of its own"}
	case code == api.CodeFormat:
		do = []string{"start it with the version that wrote it, or a newer one"}
	case code == api.CodeDamage:
		do = f.joinAnew("damaged")
	case code == api.CodeLost:
		do = f.joinAnew("lost")
	case code == api.CodeQuarantined:
		do = f.joinAnew("quarantined")
	case isSecond(err):
		do = f.joinAnew("second")
	case code == api.CodeCluster:
		do = []string{"give the node its own --data and --name"}
	case code == api.CodeData:
		do = []string{"check its owner, its mode and its file system"}
	case code == api.CodeDiskFull:
		do = []string{"free space on it: a new node needs about 200 MiB, and some to work with"}
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EACCES):
		return listenError(c.Listen.Link+" or "+c.Listen.Gossip, "--link-port and --gossip-port", err)
	case strings.Contains(err.Error(), "synod: "): // of synod.Config
		code = api.CodeUsage
		do = []string{"node start --help"}
	}
	return &api.Error{Code: code, Message: fmt.Sprintf("node %s does not start", f.name), Why: configWords(plain(err)), Do: do}
}

// engineError says what to do about a group that has another engine.
func (f *startFlags) engineError(wrong *synod.EngineError) error {
	return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("node %s does not start with engine %s", f.name, wrong.Wanted),
		Why: plain(wrong), Do: []string{fmt.Sprintf("start it with --engine %s", wrong.Founded), "or give it another --data, to found or join another cluster"}}
}

// endedDo says what to do about a node that has ended by itself.
func endedDo(f *startFlags, err error) []string {
	switch {
	case failStopCode(err) == api.CodeDamage:
		return f.joinAnew("damaged")
	case failStopCode(err) == api.CodeLost:
		return f.joinAnew("lost")
	case failStopCode(err) == api.CodeQuarantined:
		return f.joinAnew("quarantined")
	case isSecond(err):
		return f.joinAnew("second")
	}
	if wrong, is := errors.AsType[*synod.RolesError](err); is {
		return rolesDo(wrong)
	}
	return []string{"find the cause, then start it again: what was acknowledged is on the other nodes too"}
}

// joinAnew says how a node goes on whose directory is of no use to it. What is in
// it may be of use to somebody: it is moved.
func (f *startFlags) joinAnew(suffix string) []string {
	join := strings.Join(f.join, ",")
	return []string{"look at it:  node inspect wal " + f.dir(),
		fmt.Sprintf("move it away:  mv %s %[1]s.%s", f.dir(), suffix),
		"start the node again without --bootstrap and with --join " + cmp.Or(join, "GOSSIP-ADDRESS-OF-ANOTHER-NODE") +
			": it joins as a new member and is filled from the others"}
}

// isSecond reports whether a node ended because it had founded a second cluster.
func isSecond(err error) bool {
	_, is := errors.AsType[*synod.SecondClusterError](err)
	return is
}

// dir is the data directory.
func (f *startFlags) dir() string { return filepath.Clean(cmp.Or(f.data, "data/"+f.name)) }

// failStopCode is the code of an error of the data directory.
func failStopCode(err error) api.Code {
	if _, is := errors.AsType[*storage.DamageError](err); is {
		return api.CodeDamage
	}
	if errors.Is(err, synod.ErrQuarantined) { // before ErrLost, which it may be as well
		return api.CodeQuarantined
	}
	if errors.Is(err, synod.ErrLost) {
		return api.CodeLost
	}
	if _, is := errors.AsType[*storage.FormatError](err); is {
		return api.CodeFormat
	}
	if _, is := errors.AsType[*storage.IdentityError](err); is {
		return api.CodeCluster
	}
	if isSecond(err) {
		return api.CodeCluster
	}
	if _, is := errors.AsType[*synod.RolesError](err); is {
		return api.CodeUsage
	}
	_, file := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, storage.ErrLocked):
		return api.CodeLocked
	case errors.Is(err, storage.ErrFull), errors.Is(err, syscall.ENOSPC):
		return api.CodeDiskFull
	case file, errors.Is(err, storage.ErrReadOnly):
		return api.CodeData
	}
	return api.CodeInternal
}
