package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/coordination"
	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/ui"
)

// coordinationGroup is the name of the group that holds the tree.
const coordinationGroup = "coordination"

// registryGroup is the name of the group that holds the masters' registry. Its log is kept
// by Paxos on all clusters.
const registryGroup = "registry"

// roleControl is the role of a node that holds the tree: what it announces by gossip.
const roleControl = "control"

// maxSnapshotMiB is as much log as the data directory may hold.
const maxSnapshotMiB = 4096

// startFlags are the flags of "start".
type startFlags struct {
	config              string
	name, data, cluster string
	bootstrap, insecure bool
	join                []string
	listen, advertise   string
	ports               [3]int // API, link, gossip
	voters, priority    int
	engine, roles       string
	gossipKey, tokens   string
	snapshotMiB         int
	logLevel, logFormat string
	heartbeat           time.Duration
	election, lease     time.Duration
	profilePort         int
	agentPing           time.Duration
	agentTimeout        time.Duration
}

func (a *app) startCommand(f *startFlags) *cobra.Command {
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
			s, err := settleFlags(c, f.config)
			if err != nil {
				return err
			}
			return s.placed(a.start(c.Context(), f))
		},
	}
	f.add(c)
	return c
}

// add gives a verb the flags of start.
func (f *startFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.config, "config", "", "file with a line  KEY: VALUE  for each flag; variables such as NODE_NAME are stronger, and flags strongest")
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
	flags.StringVar(&f.tokens, "tokens", "", "file with the tokens that clients may show in the place of a certificate (token new makes its lines)")
	flags.BoolVar(&f.insecure, "insecure", false, "allow addresses beyond loopback without TLS: anyone there can read and write")
	flags.IntVar(&f.snapshotMiB, "snapshot-mib", 64, "MiB of log that make the next snapshot: more of them make restarts slower and need more memory")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal")
	flags.DurationVar(&f.heartbeat, "heartbeat", 50*time.Millisecond, "how often the leader shows itself")
	flags.DurationVar(&f.election, "election", 300*time.Millisecond, "silence of the leader before an election")
	flags.DurationVar(&f.lease, "lease", 0, "how long a lease read may rely on the last heartbeat; default half of --election")
	flags.DurationVar(&f.agentPing, "agent-ping", 5*time.Second, "how often the leading master asks an agent for a sign of life: without five it is unreachable")
	flags.DurationVar(&f.agentTimeout, "agent-timeout", 10*time.Minute, "how long after an election an agent may stay away before it is unreachable")
	flags.IntVar(&f.profilePort, "profile-port", 0, "port on 127.0.0.1 for profiles of the process (go tool pprof); 0: none")
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
	tokens, err := openTokens(f.tokens, log)
	if err != nil {
		return err
	}
	log = log.With("node", f.name) // the node itself adds its name
	stopProfiles, err := serveProfiles(f.profilePort, log)
	if err != nil {
		return err
	}
	defer stopProfiles()
	faults := openFaults(ctx, f.name, log)
	if faults != nil {
		config.Faults = &faults.faults
	}
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
	if config.Groups, err = f.groups(tree); err != nil {
		return err
	}
	server, err := a.server(recovery, config, faults, tokens, log)
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
	server.SetMaster(node.Group(registryGroup).Master())
	server.SetJobs(node.Group(registryGroup).Jobs())
	server.SetBackend(backend)
	if err := setPage(server, config, log); err != nil {
		shut(server)
		return errors.Join(err, node.Stop(ctx))
	}
	if faults != nil {
		go faults.follow(ctx, func(n faultNews) { node.Tell(n.event()) })
	}
	log.Info("started", "api", config.Advertise.API, "link", config.Advertise.Link, "gossip", config.Advertise.Gossip,
		"data", config.Dir, "pid", os.Getpid(), "after", time.Since(recovery.began).Round(time.Millisecond))
	notifyManager("READY=1") // it serves; whether it has a leader is for /readyz to say
	go recovery.sayReady(ctx, node)
	go f.takeUpKeys(ctx, node, keysOf(config), log)
	if config.TLS != nil {
		go takeUpCertificates(ctx, config.TLS, log)
	}
	return a.runNode(ctx, f, node, server, log)
}

// setPage gives the node its live page.
func setPage(server *api.Server, c synod.Config, log *slog.Logger) error {
	config := ui.Config{Look: server.Look, Token: server.PageToken, Logger: log}
	if c.TLS != nil {
		config.TLS = c.TLS.ClientConfig(cluster.RoleNode)
	}
	page, err := ui.New(config)
	if err != nil {
		return err
	}
	server.SetPage(page)
	return nil
}

// groups are the replicated state machines of every node.
func (f *startFlags) groups(tree *api.Tree) ([]synod.GroupConfig, error) {
	if f.agentPing < time.Millisecond || f.agentTimeout < time.Second {
		return nil, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("agents cannot be watched with --agent-ping %v and --agent-timeout %v", f.agentPing, f.agentTimeout),
			Why: "they are at least 1ms and 1s", Do: []string{"leave them out: the defaults are 5s and 10m"}}
	}
	master := &synod.MasterConfig{Master: mesos.MasterConfig{PingInterval: f.agentPing, RegisterTimeout: f.agentTimeout}}
	return []synod.GroupConfig{
		{Name: coordinationGroup, Engine: synod.Engine(f.engine), Sessions: true, New: func() synod.StateMachine { return tree.New() }, SnapshotBytes: f.snapshotMiB << 20},
		{Name: registryGroup, Engine: synod.Paxos, Master: master, New: newRegistry, SnapshotBytes: f.snapshotMiB << 20},
	}, nil
}

func newRegistry() synod.StateMachine {
	r, err := mesos.NewRegistry(mesos.RegistryConfig{})
	if err != nil {
		panic(err) // the defaults are right
	}
	return r
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
	notifyManager("STOPPING=1")
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
	config, wrong := a.describeNode(f)
	if err := firstError(wrong); err != nil {
		return config, err
	}
	config.Logger = log
	return config, f.checkMachine(log)
}

// describeNode makes the node's configuration of the flags, and tells all that is wrong with them.
// It looks at no more of the machine than at the files that they name.
func (a *app) describeNode(f *startFlags) (synod.Config, []error) {
	material, noTLS := a.loadTLS()
	keys, noKey := loadGossipKeys(f.gossipKey)
	roles, noRoles := f.paxosRoles()
	advertise, noAddress := f.checkAddresses(material != nil && keys != nil)
	wrong := []error{noTLS, noKey, checkEngine(f.engine), noRoles, noAddress, f.checkCertificate(material)}
	wrong = append(wrong, f.wrongAddresses()...)
	return synod.Config{
		Name: f.name, Dir: f.dir(), Bootstrap: f.bootstrap, Join: f.join,
		Listen: f.addresses(f.listen), Advertise: f.addresses(advertise), Voters: f.voters, Priority: f.priority, PaxosRoles: roles,
		TLS: material, GossipKey: keys.first(), GossipAlso: keys.also(), Insecure: f.insecure, Heartbeat: f.heartbeat, Election: f.election, Lease: f.lease,
		ClusterName: f.cluster, Roles: []string{roleControl}, Version: version,
	}, slices.DeleteFunc(wrong, func(err error) bool { return err == nil })
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
		return "", &api.Error{Code: api.CodeInsecure, Message: "--listen " + f.listen + " needs TLS and a gossip key",
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
	for i, port := range f.ports {
		if port < 1 || port > 65535 {
			return "", &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("%s cannot be %d", portFlags[i], port), Why: "ports are 1 to 65535"}
		}
	}
	return cmp.Or(f.advertise, f.listen), nil
}

// server makes the node's HTTP API, which has no node to speak for yet.
func (a *app) server(recovery *recovery, c synod.Config, faults *faultLink, tokens *api.Tokens, log *slog.Logger) (*api.Server, error) {
	config := api.Config{Starting: recovery.checks, Name: c.Name, Logger: log, Tokens: tokens, Hosts: advertised(c.Advertise.API)}
	if faults != nil {
		config.Faults, config.Dial = faults, faults.via(new(net.Dialer).DialContext)
	}
	if c.TLS != nil {
		config.TLS = publicTLS(c.TLS)
		config.ForwardTLS, config.AgentTLS = c.TLS.ClientConfig(cluster.RoleNode), c.TLS.ClientConfig(cluster.RoleAgent)
	}
	return api.NewServer(config)
}

// advertised is the host that others are told, by which they ask for us.
func advertised(address string) []string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return []string{host}
	}
	return nil
}

// publicTLS lets anyone connect; the routes that need a certificate ask for it.
func publicTLS(material *cluster.TLS) *tls.Config {
	config := material.ServerConfig() // whatever its role
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

// dir is the data directory.
func (f *startFlags) dir() string { return filepath.Clean(cmp.Or(f.data, "data/"+f.name)) }
