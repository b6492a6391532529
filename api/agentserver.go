package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod/actors/agent"
	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/mesos"
)

// LocalAgent is what an AgentServer shows of an agent: *agent.Handle.
type LocalAgent interface {
	Status(ctx context.Context) agent.Status
	Logs(ctx context.Context, c mesos.ContainerID, o agent.LogOptions, w io.Writer) error
	Files(c mesos.ContainerID, path string) ([]agent.FileInfo, error)
	IsDirectory(c mesos.ContainerID, path string) (bool, error)
	OpenFile(c mesos.ContainerID, path string) (io.ReadSeekCloser, error)
	Exec(ctx context.Context, c mesos.ContainerID, e agent.Exec) (int, error)
}

// AgentServerConfig configures an AgentServer. Agent is required.
type AgentServerConfig struct {
	Agent LocalAgent
	// Name is the agent's, in answers.
	Name string
	// TLS makes the server speak TLS. Without Tokens it should let in none but the nodes of the cluster, which ask in
	// the place of people; with them, also clients that show no certificate.
	TLS *tls.Config
	// TLSState tells how long the certificate holds. nil: there is none.
	TLSState func() cluster.TLSState
	// Tokens are taken in the place of a certificate. Default nil: none.
	Tokens *Tokens
	// Hosts is what it is in Config.
	Hosts []string
	// Logger gets failures. Default slog.Default().
	Logger *slog.Logger
	// MaxConnections bounds the connections. Default 512.
	MaxConnections int
	// MaxStrangers bounds those of one address that have shown neither a certificate nor a token: see ServerLimits. Default 100.
	MaxStrangers int
	// SlowClient is how long a client may take nothing of its answer, or to send a body. Default 30 s.
	SlowClient time.Duration
	// ExecBeat is how often the connection of a command is looked at whether its caller is there. Default 5 s.
	ExecBeat time.Duration
}

// AgentServer answers HTTP for one agent: its tasks' logs and files, and commands beside them.
type AgentServer struct {
	config AgentServerConfig
	gate   gate
	http   *http.Server
	hosts  hosts
	ctx    context.Context // ends with Shutdown
	cancel context.CancelFunc
}

// NewAgentServer returns a server that does not listen yet.
func NewAgentServer(c AgentServerConfig) (*AgentServer, error) {
	if c.Agent == nil {
		return nil, errors.New("api: AgentServerConfig.Agent is missing")
	}
	c.MaxConnections = cmp.Or(c.MaxConnections, 512)
	c.SlowClient = cmp.Or(c.SlowClient, 30*time.Second)
	c.ExecBeat = cmp.Or(c.ExecBeat, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	s := &AgentServer{config: c, gate: newGate(c.TLS, c.Tokens, nil)}
	s.hosts.what, s.hosts.names, s.hosts.open = "agent", c.Hosts, s.gate.open()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = s.limits().Server(s.newHandler())
	return s, nil
}

func (s *AgentServer) limits() ServerLimits {
	return ServerLimits{Connections: s.config.MaxConnections, Strangers: s.config.MaxStrangers, Known: s.gate.known(),
		BodyTime: s.config.SlowClient, Logger: s.config.Logger}
}

// Handler is the interface, for a listener of the caller's own.
func (s *AgentServer) Handler() http.Handler { return s.http.Handler }

// Serve answers connections of l until Shutdown, and then returns nil.
func (s *AgentServer) Serve(l net.Listener) error {
	s.hosts.listensAt(l.Addr())
	if err := s.http.Serve(s.limits().Listener(l, s.config.TLS)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: serve %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown ends streams and commands, lets other requests end until ctx does, then cuts what is left.
func (s *AgentServer) Shutdown(ctx context.Context) error {
	s.cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// routes is the table of what there is, each with the role that it takes.
func (s *AgentServer) routes() []route {
	type methods = map[string]http.HandlerFunc
	const view, operate = cluster.RoleView, cluster.RoleOperate
	return []route{
		{"/livez", anyone, methods{"GET": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }}},
		{"/metrics", view, methods{"GET": s.getMetrics}},
		{"/v1/agent", view, methods{"GET": s.getAgent}},
		{"/v1/containers/{container}/logs", view, methods{"GET": s.getLogs}},
		{"/v1/containers/{container}/files", operate, methods{"GET": s.getFiles}}, // there may be secrets
		{"/v1/containers/{container}/files/{path...}", operate, methods{"GET": s.getFiles}},
		{"/v1/containers/{container}/exec", operate, methods{"POST": s.postExec}},
		{"/", view, nil}, // what is nowhere else
	}
}

func (s *AgentServer) newHandler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range s.routes() {
		mux.Handle(route.pattern, s.guard(route))
	}
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set(headerNode, s.config.Name)
		wrong := s.hosts.refuse(r)
		switch {
		case wrong != nil:
			writeError(w, wrong)
		case origin.Check(r) != nil:
			writeError(w, &Error{Code: CodeOrigin, Message: "a page of another web origin may not do that here"})
		case uncleanPath(r.URL) != nil:
			writeError(w, badRequest("the path is not clean", "it has an empty part, . or .."))
		default:
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.config.SlowClient)) // a recorder in a test has none
			mux.ServeHTTP(w, r)
		}
	})
}

// guard checks the sender's role and the method, and runs the method's handler.
func (s *AgentServer) guard(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		handle := route.methods[method]
		need := route.need
		if handle == nil && need == anyone {
			need = cluster.RoleView
		}
		switch {
		case !s.gate.allows(r, need):
			writeError(w, s.gate.refuse(w.Header(), r, need))
		case len(route.methods) == 0:
			writeError(w, &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is nothing at %.200q on an agent", r.URL.Path),
				Do: []string{"ask a node of the cluster, see docs/api.md"}})
		case handle == nil:
			w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(route.methods)), ", "))
			writeError(w, &Error{Code: CodeMethod, Message: fmt.Sprintf("%s does not take %s", r.URL.Path, r.Method)})
		default:
			s.gate.serve(w, r, handle)
		}
	})
}

// agentStatus is an agent as it sees itself, on the wire.
type agentStatus struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Address    string            `json:"address"`
	Term       uint64            `json:"term"`
	Registered bool              `json:"registered"`
	Recovering bool              `json:"recovering,omitempty"`
	Resources  string            `json:"resources"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Tasks      []Task            `json:"tasks"`
}

// statusTime is how long an agent has to answer.
const statusTime = 5 * time.Second

// status asks the agent, which does not answer while its disk hangs.
func (s *AgentServer) status(r *http.Request) (agent.Status, error) {
	ctx, cancel := context.WithTimeout(r.Context(), statusTime)
	defer cancel()
	status := s.config.Agent.Status(ctx)
	if ctx.Err() != nil {
		return status, &Error{Code: CodeTimeout, Message: "the agent does not answer", Do: []string{"look whether its disk hangs"}}
	}
	return status, nil
}

func (s *AgentServer) getAgent(w http.ResponseWriter, r *http.Request) {
	status, err := s.status(r)
	if err != nil {
		writeError(w, err)
		return
	}
	answer := agentStatus{ID: string(status.ID), Name: status.Info.Hostname, Address: status.Info.Address, Term: uint64(status.Term),
		Registered: status.Registered, Recovering: status.Recovering, Resources: status.Info.Resources.String(),
		Attributes: status.Info.Attributes, Tasks: []Task{}}
	for _, t := range status.Tasks {
		answer.Tasks = append(answer.Tasks, Task{Framework: string(t.Key.Framework), ID: string(t.Key.Task), Name: t.Name, Agent: answer.ID,
			AgentName: answer.Name, Container: t.Container.String(), State: t.State.String(), Health: healthWord(t.Health), Resources: t.Resources.String()})
	}
	writeJSON(w, http.StatusOK, answer)
}

// healthWord is a health in words, "" if nobody has looked.
func healthWord(h mesos.Health) string {
	switch h {
	case mesos.Healthy:
		return "healthy"
	case mesos.Unhealthy:
		return "unhealthy"
	}
	return ""
}

// containerOf reads the container in the address.
func containerOf(r *http.Request) (c mesos.ContainerID, err error) {
	text := r.PathValue("container")
	if len(text) == 32 {
		if _, err = hex.Decode(c[:], []byte(text)); err == nil {
			return c, nil
		}
	}
	return c, badRequest(fmt.Sprintf("%.100q is no container", text), "it has 32 hexadecimal digits")
}

// agentError is what an agent's error means to others.
func agentError(err error) error {
	switch {
	case errors.Is(err, agent.ErrNoContainer):
		return &Error{Code: CodeNotFound, Message: "the agent has no files of this task", Why: "it has never had it, or its sandbox was removed some time after its end"}
	case errors.Is(err, agent.ErrOutside):
		return badRequest("the path leads out of the sandbox", "")
	case errors.Is(err, agent.ErrNoFile):
		return &Error{Code: CodeNotFound, Message: "there is no such file in the sandbox", Why: strings.TrimPrefix(err.Error(), "agent: ")}
	case errors.Is(err, agent.ErrNotRunning):
		return &Error{Code: CodeConflict, Message: "the task is not running", Why: "a command runs beside a task that runs"}
	case errors.Is(err, agent.ErrTooManyExecs):
		return &Error{Code: CodeOverloaded, Message: "too many commands run beside tasks of this agent"}
	case errors.Is(err, agent.ErrNoEngine):
		return &Error{Code: CodeAgent, Message: "the Docker engine on the agent's machine does not answer", Why: strings.TrimPrefix(err.Error(), "docker: "),
			Do: []string{"docker info   there: it hangs or says why not", "systemctl restart docker   there, if it hangs"}}
	case errors.Is(err, agent.ErrCannotRun):
		return &Error{Code: CodeNotFound, Message: "the command cannot be started", Why: strings.TrimPrefix(err.Error(), agent.ErrCannotRun.Error()+": ")}
	}
	return err
}

// queryNumber reads a number of the query, 0 if it is not there.
func queryNumber(r *http.Request, name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, badRequest(fmt.Sprintf("%s cannot be %.100q", name, text), "it is a whole number, 0 or more")
	}
	return n, nil
}

// logTail bounds the lines that are looked for.
const logTail = 1 << 20

func (s *AgentServer) getLogs(w http.ResponseWriter, r *http.Request) {
	c, err1 := containerOf(r)
	tail, err2 := queryNumber(r, "tail")
	from, err3 := queryNumber(r, "from")
	if err := errors.Join(err1, err2, err3); err != nil {
		writeError(w, firstError(err1, err2, err3))
		return
	}
	out := &streamWriter{w: w, control: http.NewResponseController(w), patience: s.config.SlowClient}
	o := agent.LogOptions{Stream: agent.LogStream(cmp.Or(r.URL.Query().Get("stream"), "stdout")), Tail: int(min(tail, logTail)), From: from,
		Follow: r.URL.Query().Get("follow") == "true", Begin: out.begin}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	err := s.config.Agent.Logs(ctx, c, o, out)
	switch {
	case err == nil:
	case !out.begun:
		writeError(w, agentError(err))
	default:
		panic(http.ErrAbortHandler) // it broke off: an end would look like that of the log
	}
}

func firstError(list ...error) error {
	return list[slices.IndexFunc(list, func(err error) bool { return err != nil })]
}

// streamWriter writes a stream as it comes: each piece has a deadline of its own and is
// not kept back.
type streamWriter struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	begun    bool
}

// begin writes the header.
func (s *streamWriter) begin(offset int64) {
	s.begun = true
	s.w.Header().Set("Content-Type", "application/octet-stream")
	s.w.Header().Set(headerOffset, strconv.FormatInt(offset, 10))
	s.w.WriteHeader(http.StatusOK)
	_ = s.control.Flush()
}

// Write writes and flushes.
func (s *streamWriter) Write(p []byte) (int, error) {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.patience))
	n, err := s.w.Write(p)
	if err == nil {
		err = s.control.Flush()
	}
	return n, err
}

func (s *AgentServer) getFiles(w http.ResponseWriter, r *http.Request) {
	c, err := containerOf(r)
	path := r.PathValue("path")
	directory := false
	if err == nil {
		directory, err = s.config.Agent.IsDirectory(c, path)
	}
	if err == nil && directory {
		var list []agent.FileInfo
		if list, err = s.config.Agent.Files(c, path); err == nil {
			writeJSON(w, http.StatusOK, list)
			return
		}
	}
	var f io.ReadSeekCloser
	if err == nil {
		f, err = s.config.Agent.OpenFile(c, path)
	}
	if err != nil {
		writeError(w, agentError(err))
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream") // a page in a sandbox is no page of ours
	w.Header().Set("Content-Disposition", "attachment")
	slow := &streamWriter{w: w, control: http.NewResponseController(w), patience: s.config.SlowClient}
	http.ServeContent(fileWriter{w, slow}, r, "", time.Time{}, f)
}

// fileWriter gives each write a deadline of its own.
type fileWriter struct {
	http.ResponseWriter
	slow *streamWriter
}

// Write writes.
func (f fileWriter) Write(p []byte) (int, error) {
	_ = f.slow.control.SetWriteDeadline(time.Now().Add(f.slow.patience))
	return f.ResponseWriter.Write(p)
}

func (s *AgentServer) getMetrics(w http.ResponseWriter, r *http.Request) {
	status, err := s.status(r)
	if err != nil {
		writeError(w, err)
		return
	}
	states := map[mesos.TaskState]int{}
	for _, t := range status.Tasks {
		states[t.State]++
	}
	registered := 0
	if status.Registered {
		registered = 1
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprintf(w, "# HELP synod_agent_registered Whether a master has admitted the agent and is heard.\n# TYPE synod_agent_registered gauge\nsynod_agent_registered %d\n", registered)
	fmt.Fprintf(w, "# HELP synod_agent_term The mastership that the agent knows.\n# TYPE synod_agent_term gauge\nsynod_agent_term %d\n", status.Term)
	if s.config.TLSState != nil {
		fmt.Fprintf(w, "# HELP synod_certificate_seconds How long the certificate is valid.\n# TYPE synod_certificate_seconds gauge\nsynod_certificate_seconds %.0f\n",
			time.Until(s.config.TLSState().Until).Seconds())
	}
	fmt.Fprint(w, "# HELP synod_agent_tasks Tasks that are not done, by state.\n# TYPE synod_agent_tasks gauge\n")
	for _, state := range []mesos.TaskState{mesos.Staging, mesos.Running, mesos.Killing, mesos.Finished, mesos.Failed, mesos.Killed, mesos.Dropped, mesos.Errored} {
		fmt.Fprintf(w, "synod_agent_tasks{state=%q} %d\n", state, states[state])
	}
}
