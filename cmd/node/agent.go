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
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/mesos"
)

// agentFlags are the flags of "agent".
type agentFlags struct {
	file                          string
	name, work, listen, advertise string
	masters                       []string
	resources                     string
	attributes                    []string
	port                          int
	recover, cgroup, tokens       string
	token                         string // that it shows to nodes without TLS
	insecure, endTasks            bool
	sandboxAge                    time.Duration
	docker                        dockerFlags
	logLevel, logFormat           string

	via func(api.DialFunc) api.DialFunc // set in demo mode: how connections are made
}

func (a *app) agentCommand(f *agentFlags) *cobra.Command {
	c := &cobra.Command{
		Use: "agent", Short: "run tasks on this machine", Args: cobra.NoArgs,
		Long: "Run the tasks that the leading master sends, until it is stopped. --master names the API addresses of any nodes\n" +
			"of the cluster: the agent finds the leading master by them, and the next one when that changes.\n\n" +
			"SIGTERM, Ctrl-C and even kill -9 end the agent alone: its tasks run on, each under a small process of its own. An agent that is\n" +
			"started again in the same work directory takes them up, and tells how those ended that have ended meanwhile. To end all tasks of\n" +
			"a machine first, drain it, or start the agent with --recover cleanup. As a systemd service it needs KillMode=process.\n\n" +
			"Where a Docker engine answers, tasks may be containers (runtime: docker in a job), and the agent has the attribute docker=VERSION.\n" +
			"Containers get no privileges, and of the machine only what --docker-mounts and --docker-networks allow. They run on without the\n" +
			"agent too. Where none answers the agent says so, and runs processes alone until it is started again; one that has used an engine\n" +
			"before waits for it.",
		Example: a.example("agent --name a1 --master 127.0.0.1:4700 --work data/a1",
			"agent --name a2 --master 10.0.0.1:4700,10.0.0.2:4700 --resources 'cpus:4;mem:8192;ports:[31000-32000]' --attributes zone=a,rack=1"),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := settleFlags(c, f.file)
			if err != nil {
				return err
			}
			return s.placed(a.agent(c.Context(), f))
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.file, "config", "", "file with a line  KEY: VALUE  for each flag; variables such as NODE_NAME are stronger, and flags strongest")
	flags.StringVar(&f.name, "name", "", "name of the agent, for people; default that of the machine")
	flags.StringSliceVar(&f.masters, "master", []string{"127.0.0.1:4700"}, "API addresses of any nodes of the cluster")
	flags.StringVar(&f.work, "work", "", "work directory, of this agent alone; default data/NAME")
	flags.StringVar(&f.resources, "resources", "", "what tasks may use: 'cpus:2;mem:2048;ports:[31000-32000]', mem in MiB; default what the machine has, a quarter of the memory left out")
	flags.StringSliceVar(&f.attributes, "attributes", nil, "what tasks may ask for: KEY=VALUE,...")
	flags.StringVar(&f.listen, "listen", "127.0.0.1", "address to listen on; beyond loopback it needs TLS or --insecure")
	flags.StringVar(&f.advertise, "advertise", "", "address that the nodes are told; default that of --listen")
	flags.IntVar(&f.port, "port", 4705, "port for the nodes: logs, files and commands beside tasks. 0 takes any")
	flags.StringVar(&f.recover, "recover", "reconnect", "what becomes of tasks that run when the agent starts: reconnect takes them up, cleanup ends them all and then the agent")
	flags.BoolVar(&f.endTasks, "end-tasks", false, "end all tasks when the agent is stopped, as dev wants it: SIGTERM first, SIGKILL a second later")
	flags.StringVar(&f.cgroup, "cgroup", "", "cgroup below which each task gets its own; default synod, - for none")
	flags.DurationVar(&f.sandboxAge, "sandbox-age", 7*24*time.Hour, "how long the files of ended tasks are kept, less when the disk is nearly full")
	f.docker.add(flags)
	flags.StringVar(&f.tokens, "tokens", "", "file with the tokens that clients may show here in the place of a node's certificate (token new makes its lines)")
	flags.BoolVar(&f.insecure, "insecure", false, "allow addresses beyond loopback without TLS: anyone there can run commands here")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal")
	return c
}

// agent runs an agent until ctx ends or it must not go on.
func (a *app) agent(ctx context.Context, f *agentFlags) error {
	log, err := newLogger(a.err, f.logFormat, f.logLevel)
	if err != nil {
		return err
	}
	material, err := a.loadTLS()
	if err != nil {
		return err
	}
	if faults := openFaults(ctx, f.name, log); faults != nil {
		go faults.follow(ctx, func(faultNews) {})
		f.via = faults.via
	}
	if f.token, err = a.token(); err != nil {
		return err
	}
	config, err := f.config(material)
	if err != nil {
		return err
	}
	log = log.With("node", f.name)
	config.Logger = log
	tokens, err := openTokens(f.tokens, log)
	if err != nil {
		return err
	}
	if material != nil {
		go takeUpCertificates(ctx, material, log)
	}
	if err := closeDirectory(config.Work, workMode, log); err != nil {
		return err
	}
	listener, err := f.bind(&config)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := f.docker.open(ctx, &config, material, log); err != nil {
		return f.startError(ctx, err)
	}
	handle, err := agent.Start(ctx, config)
	if err != nil {
		return f.startError(ctx, err)
	}
	server, err := api.NewAgentServer(agentServerConfig(handle, f.name, config.Info.Address, material, tokens, log))
	if err != nil {
		return errors.Join(err, handle.Stop(ctx))
	}
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Error("api ends", "reason", err)
		}
	}()
	log.Info("started", "api", config.Info.Address, "work", config.Work, "resources", config.Info.Resources.String(), "pid", os.Getpid())
	notifyManager("READY=1")
	return f.run(ctx, handle, server, log)
}

func agentServerConfig(handle *agent.Handle, name, address string, material *cluster.TLS, tokens *api.Tokens, log *slog.Logger) api.AgentServerConfig {
	c := api.AgentServerConfig{Agent: handle, Name: name, Tokens: tokens, Hosts: advertised(address), Logger: log}
	if material != nil {
		c.TLSState = material.State
	}
	switch {
	case material != nil && tokens != nil:
		c.TLS = publicTLS(material)
	case material != nil:
		c.TLS = material.ServerConfig(cluster.RoleNode)
	}
	return c
}

// run waits for the end. Tasks are left as they are.
func (f *agentFlags) run(ctx context.Context, handle *agent.Handle, server *api.AgentServer, log *slog.Logger) error {
	shut := func() {
		stop, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(stop) // what is left after a second is cut
	}
	select {
	case <-handle.Done():
		shut()
		return f.endError(handle.Err(), log)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	running := runningTasks(stop, handle)
	notifyManager("STOPPING=1")
	log.Info("stopping", "reason", "signal", "tasks", running)
	shut()
	if err := handle.Stop(stop); err != nil {
		return &api.Error{Code: api.CodeTimeout, Message: "the agent did not stop in time", Why: plain(err),
			Do: []string{"look whether its disk hangs; its tasks run on, and nothing that it has told is lost"}}
	}
	if f.endTasks {
		if err := agent.EndTasks(stop, f.work, time.Second); err != nil {
			return &api.Error{Code: api.CodeTimeout, Message: "tasks of agent " + f.name + " do not end", Why: plain(err), Do: []string{"the next start in this work directory takes them up"}}
		}
		log.Info("stopped, and its tasks have ended", "tasks", running)
		return nil
	}
	if running != 0 {
		log.Info("stopped: its tasks run on, and the next start in this work directory takes them up", "tasks", running, "work", f.work)
	} else {
		log.Info("stopped")
	}
	return nil
}

// runningTasks is how many tasks run, -1 if the agent does not say: its disk may hang.
func runningTasks(ctx context.Context, handle *agent.Handle) (n int) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status := handle.Status(ctx)
	if ctx.Err() != nil {
		return -1
	}
	for _, t := range status.Tasks {
		if !t.State.Terminal() {
			n++
		}
	}
	return n
}

// config makes the agent's configuration of the flags.
func (f *agentFlags) config(material *cluster.TLS) (agent.Config, error) {
	c, wrong := f.describe(material)
	if f.endTasks {
		c.Lifeline = takeLifeline()
	}
	return c, firstError(wrong)
}

// describe makes the agent's configuration of the flags, and tells all that is wrong with them.
func (f *agentFlags) describe(material *cluster.TLS) (c agent.Config, wrong []error) {
	note := func(err error) {
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	note(f.setName())
	f.work = filepath.Clean(cmp.Or(f.work, filepath.Join("data", f.name)))
	c = agent.Config{Work: f.work, CgroupParent: f.cgroup, SandboxAge: f.sandboxAge}
	var err error
	c.Info, err = f.info()
	note(err)
	switch f.recover {
	case "reconnect":
	case "cleanup":
		c.Recover = mesos.Cleanup
	default:
		note(&api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("--recover cannot be %q", f.recover), Do: []string{"--recover reconnect or --recover cleanup"}})
	}
	if f.sandboxAge <= 0 {
		note(&api.Error{Code: api.CodeUsage, Message: "--sandbox-age must be above 0", Do: []string{"--sandbox-age 168h"}})
	}
	note(f.checkListen(material))
	note(f.checkToken(material))
	note(f.docker.check())
	c.DockerAllows = f.docker.allows(f.listen)
	var config *tls.Config
	if material != nil {
		config, f.token = material.ClientConfig(cluster.RoleNode), "" // the certificate says who it is
	}
	c.Dial, err = api.DialMasterVia(f.masters, config, f.token, f.via)
	if e, is := errors.AsType[*api.Error](err); is {
		e.Do = []string{"--master 127.0.0.1:4700"}
	}
	note(err)
	return c, wrong
}

// setName gives the agent the name of the machine if it has none, and checks it.
func (f *agentFlags) setName() error {
	if f.name == "" {
		host, err := os.Hostname()
		if err != nil {
			return &api.Error{Code: api.CodeUsage, Message: "the machine has no name", Why: plain(err), Do: []string{"--name a1"}}
		}
		f.name = host
	}
	if err := mesos.CheckName(f.name); err != nil {
		return &api.Error{Code: api.CodeUsage, Message: "--name cannot be that", Why: strings.TrimPrefix(err.Error(), "mesos: "), Do: []string{"--name a1"}}
	}
	return nil
}

// info is what the agent says of itself, but for its address.
func (f *agentFlags) info() (mesos.AgentInfo, error) {
	info := mesos.AgentInfo{Hostname: f.name, Attributes: map[string]string{}}
	text := cmp.Or(f.resources, machineResources())
	var err error
	if info.Resources, err = mesos.ParseResources(text); err != nil {
		return info, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("--resources cannot be %q", text), Why: strings.TrimPrefix(err.Error(), "mesos: "),
			Do: []string{"--resources 'cpus:2;mem:2048;ports:[31000-32000]'"}}
	}
	for _, pair := range f.attributes {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || mesos.CheckName(key) != nil || len(value) > mesos.MaxNameBytes {
			return info, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("--attributes cannot have %.300q", pair), Why: "it is KEY=VALUE", Do: []string{"--attributes zone=a,rack=1"}}
		}
		if key == mesos.DockerAttribute {
			return info, &api.Error{Code: api.CodeUsage, Message: "--attributes cannot have " + key, Why: "the agent says by itself which Docker engine it has", Do: []string{"--docker HOST, or leave it out"}}
		}
		if other, twice := info.Attributes[key]; twice {
			return info, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("the attribute %s is given twice", key), Why: fmt.Sprintf("as %s and as %s", other, value)}
		}
		info.Attributes[key] = value
	}
	return info, nil
}

// machineResources is what the machine has, three quarters of its memory.
func machineResources() string {
	text := fmt.Sprintf("cpus:%d;ports:[31000-32000]", runtime.NumCPU())
	if memory := totalMemory(); memory > 0 {
		text += fmt.Sprintf(";mem:%d", memory/4*3>>20)
	}
	return text
}

// totalMemory is the machine's, in bytes, 0 if nobody knows.
func totalMemory() uint64 {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseUint(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

func (f *agentFlags) checkListen(material *cluster.TLS) error {
	ip := net.ParseIP(f.listen)
	loopback := f.listen == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case !loopback && material == nil && !f.insecure:
		return &api.Error{Code: api.CodeInsecure, Message: "--listen " + f.listen + " needs TLS",
			Why: "it is not loopback: anyone who reaches it could run commands beside tasks",
			Do:  []string{"make certificates:  node tls init", "or, on a network you trust:  --insecure"}}
	case ip != nil && ip.IsUnspecified() && f.advertise == "":
		return &api.Error{Code: api.CodeUsage, Message: "with --listen " + f.listen + " the nodes must be told where this agent is",
			Do: []string{"--advertise ADDRESS, one of this machine's"}}
	case f.port < 0 || f.port > 65535:
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("--port cannot be %d", f.port), Why: "ports are 0 to 65535"}
	}
	if material == nil {
		return nil
	}
	if id := material.Identity(); id.Role != cluster.RoleAgent || id.Name != f.name {
		return &api.Error{Code: api.CodeTLS, Message: "agent " + f.name + " cannot use that certificate",
			Why: fmt.Sprintf("it is for the %s %s", id.Role, id.Name), Do: []string{"node tls issue " + f.name + " --role agent"}}
	}
	return nil
}

// checkToken refuses an agent that shows who it is, and would let in everybody.
func (f *agentFlags) checkToken(material *cluster.TLS) error {
	if f.token == "" || material != nil || f.tokens != "" {
		return nil
	}
	return &api.Error{Code: api.CodeInsecure, Message: "an agent that shows a token needs --tokens too",
		Why: "without it and without TLS every user of this machine could run commands beside its tasks, as the user of the agent",
		Do: []string{"--tokens FILE, the one of the nodes or a copy: it has no secrets of others", "or TLS:  node tls issue " + f.name + " --role agent",
			"or, where nodes take no tokens, without NODE_TOKEN and --token-file"}}
}

// bind listens, and notes the address that the nodes are told.
func (f *agentFlags) bind(c *agent.Config) (net.Listener, error) {
	address := net.JoinHostPort(f.listen, strconv.Itoa(f.port))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(address, "--port", err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	c.Info.Address = net.JoinHostPort(cmp.Or(f.advertise, f.listen), port)
	return listener, nil
}

// startError says why an agent did not start.
func (f *agentFlags) startError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := f.explain(err)
	e.Message = "agent " + f.name + " does not start"
	return e
}

// endError says why an agent has ended by itself.
func (f *agentFlags) endError(err error, log *slog.Logger) error {
	if errors.Is(err, agent.ErrCleanedUp) {
		log.Info("cleaned up: no task is left", "work", f.work)
		return nil
	}
	e := f.explain(err)
	e.Message = "agent " + f.name + " has ended by itself: it must not go on; its tasks run on"
	return e
}

func (f *agentFlags) explain(err error) *api.Error {
	e := &api.Error{Code: api.CodeInternal, Why: strings.TrimPrefix(plain(err), "agent: "),
		Do: []string{"find the cause, then start it again: it takes up its tasks"}}
	moveAway := []string{fmt.Sprintf("move it away:  mv %[1]s/checkpoint %[1]s/checkpoint.damaged", f.work),
		"start the agent again: it ends what is left of its tasks, and registers as a new agent",
		"then say that the old one does not come back, so that its tasks are started elsewhere:  node agents  lists it,  node agents gone ID"}
	_, damaged := errors.AsType[*agent.DamageError](err)
	_, contradicts := errors.AsType[*mesos.CheckpointError](err)
	_, locked := errors.AsType[*agent.LockedError](err)
	_, copied := errors.AsType[*agent.CopyError](err)
	engine, moved := errors.AsType[*agent.EngineError](err)
	less, reduced := errors.AsType[*mesos.ResourcesError](err)
	switch {
	case locked:
		e.Code, e.Do = api.CodeLocked, []string{"stop the other agent, or give this one a --work of its own"}
	case copied:
		e.Code = api.CodeLocked
		e.Do = []string{"give this agent a --work of its own", "or, if the agent in the other place never starts again:  rm " + filepath.Join(f.work, "home")}
	case damaged || contradicts:
		e.Code, e.Do = api.CodeDamage, moveAway
	case moved:
		e.Code = api.CodeUsage
		e.Do = []string{"start it with that engine:  --docker " + engine.Before, "or end its tasks there first:  --recover cleanup --docker " + engine.Before}
	case reduced:
		e.Code = api.CodeUsage
		e.Do = []string{fmt.Sprintf("give it at least what they use:  --resources '%v'", less.Used), "or end them first:  --recover cleanup"}
	case errors.Is(err, agent.ErrUnsupported):
		e.Code, e.Do = api.CodeUsage, []string{"run the agent on Linux; nodes run elsewhere too"}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Code, e.Do = api.CodeDiskFull, []string{"free space on the disk of " + f.work + ", then start it again: it takes up its tasks"}
	case errors.As(err, new(syscall.Errno)):
		e.Code, e.Do = api.CodeData, []string{"check the owner, the mode and the file system of " + f.work}
	}
	return e
}
