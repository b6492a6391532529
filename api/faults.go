package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

// FaultKind is what is done to processes of a demonstration.
type FaultKind string

const (
	// FaultKill ends a process as kill -9 does.
	FaultKill FaultKind = "kill"
	// FaultRestart starts a process again, after it has ended in order if it runs.
	FaultRestart FaultKind = "restart"
	// FaultPause stops a process where it stands (SIGSTOP).
	FaultPause FaultKind = "pause"
	// FaultResume lets a process that is paused go on (SIGCONT).
	FaultResume FaultKind = "resume"
	// FaultCut lets nothing pass between Nodes and all others.
	FaultCut FaultKind = "cut"
	// FaultSlow makes everything between Nodes and all others arrive Delay later.
	FaultSlow FaultKind = "slow"
	// FaultHeal ends faults: the one with ID, or those that concern Nodes, or else all.
	FaultHeal FaultKind = "heal"
)

// FaultKinds are all of them.
func FaultKinds() []FaultKind {
	return []FaultKind{FaultKill, FaultRestart, FaultPause, FaultResume, FaultCut, FaultSlow, FaultHeal}
}

// FaultRequest is the body of POST /v1/faults.
type FaultRequest struct {
	Kind FaultKind `json:"kind"`
	// Node, or Nodes, are the nodes and agents whom it concerns; of a cut they are one side.
	Node  string   `json:"node,omitempty"`
	Nodes []string `json:"nodes,omitempty"`
	Delay string   `json:"delay,omitempty"` // of FaultSlow, "800ms"
	For   string   `json:"for,omitempty"`   // the fault ends by itself after that time, "10s"; "": it does not
	ID    string   `json:"id,omitempty"`    // of FaultHeal
	// Yes makes also a fault by which the cluster loses its quorum.
	Yes bool `json:"yes,omitempty"`
}

// Fault is a fault in force, or one that has just ended.
type Fault struct {
	ID    string     `json:"id,omitempty"`
	Kind  FaultKind  `json:"kind"`
	Nodes []string   `json:"nodes"`
	Delay string     `json:"delay,omitempty"`
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until,omitempty"` // when it ends by itself
	Text  string     `json:"text"`            // what was done, for people: "n4 is killed"
	Seen  string     `json:"seen,omitempty"`  // what will be seen of it
}

// FaultProcess is a process of the demonstration.
type FaultProcess struct {
	Name  string `json:"name"`
	Agent bool   `json:"agent,omitempty"` // it runs tasks, and has no vote
	State string `json:"state"`           // running, paused, down
	PID   int    `json:"pid,omitempty"`
}

// FaultList is the answer of GET /v1/faults.
type FaultList struct {
	Demo   bool           `json:"demo"` // faults can be made here
	Faults []Fault        `json:"faults"`
	Nodes  []FaultProcess `json:"nodes"`
}

// FaultsDone is the answer of POST /v1/faults: the fault that was made, or those that were healed.
type FaultsDone struct {
	Faults []Fault `json:"faults"`
}

// FaultMaker makes faults on the processes of a demonstration. Its methods fail with an *Error.
type FaultMaker interface {
	Faults(ctx context.Context) (FaultList, error)
	MakeFault(ctx context.Context, f FaultRequest) (FaultsDone, error)
}

func (s *Server) getFaults(w http.ResponseWriter, r *http.Request) {
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(newQuery(r).err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	list := FaultList{Faults: []Fault{}, Nodes: []FaultProcess{}}
	if s.config.Faults != nil {
		if list, err = s.config.Faults.Faults(ctx); err != nil {
			writeError(w, err)
			return
		}
	}
	s.writeAnswer(w, list)
}

// maxFaultBody bounds the body of POST /v1/faults, in bytes.
const maxFaultBody = 16 << 10

func (s *Server) postFault(w http.ResponseWriter, r *http.Request) {
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(newQuery(r).err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	if err := s.mayBreak(r); err != nil {
		writeError(w, err)
		return
	}
	wanted, err := readFault(r)
	if err != nil {
		writeError(w, err)
		return
	}
	done, err := s.config.Faults.MakeFault(ctx, wanted)
	if err != nil {
		writeError(w, err)
		return
	}
	s.writeAnswer(w, done)
}

// mayBreak refuses faults outside a demonstration, and those that somebody elsewhere wants.
func (s *Server) mayBreak(r *http.Request) error {
	if s.config.Faults == nil {
		return &Error{Code: CodeNoDemo, Message: "faults are made in demo mode alone", Why: "this node was not started by  node dev , which carries them out",
			Do: []string{"try it on a cluster of its own:  node dev"}}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if !s.hosts.loopback() || err != nil || !isLoopback(host) {
		return &Error{Code: CodeNoDemo, Message: "faults are made from this machine alone", Why: "the request comes from " + r.RemoteAddr,
			Do: []string{"ask at 127.0.0.1"}}
	}
	return nil
}

// readFault reads and checks a request.
func readFault(r *http.Request) (FaultRequest, error) {
	var f FaultRequest
	body, err := io.ReadAll(io.LimitReader(r.Body, maxFaultBody))
	if err == nil {
		err = unmarshalStrictly(body, &f)
	}
	if err != nil {
		return f, badRequest("the fault cannot be read", Reason(err), `{"kind":"pause","node":"n2","for":"10s"}`)
	}
	return f, f.Check()
}

// Check says what is wrong with a request, with CodeRequest.
func (f FaultRequest) Check() error {
	targets := len(f.Targets())
	switch {
	case !slices.Contains(FaultKinds(), f.Kind):
		return badRequest(fmt.Sprintf("there is no fault %.100q", f.Kind), "", "kill, restart, pause, resume, cut, slow or heal")
	case f.Kind == FaultHeal && f.ID != "" && targets > 0:
		return badRequest("heal takes an id or nodes, not both", "", `{"kind":"heal","id":"f-3"}`)
	case f.Kind != FaultHeal && targets == 0:
		return badRequest("whom the fault concerns is missing", "", fmt.Sprintf(`{"kind":"%s","node":"n2"}`, f.Kind))
	case f.Kind != FaultHeal && f.ID != "":
		return badRequest("id is for heal alone", "", "")
	case f.Kind == FaultSlow && f.Delay == "":
		return badRequest("how slow is missing", "", `{"kind":"slow","node":"n2","delay":"800ms"}`)
	case f.Kind != FaultSlow && f.Delay != "":
		return badRequest("delay is for slow alone", "", "")
	case f.For != "" && (f.Kind == FaultHeal || f.Kind == FaultRestart || f.Kind == FaultResume):
		return badRequest("for is for faults that last", string(f.Kind)+" is done at once", "")
	}
	if _, err := faultTime("delay", f.Delay, time.Millisecond, time.Minute); err != nil {
		return err
	}
	_, err := faultTime("for", f.For, 100*time.Millisecond, time.Hour)
	return err
}

func faultTime(field, text string, least, most time.Duration) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		return 0, badRequest(fmt.Sprintf("%s cannot be %.100q", field, text), fmt.Sprintf("it is a time from %v to %v", least, most), "800ms or 10s")
	}
	return d, nil
}

// Targets are Node and Nodes.
func (f FaultRequest) Targets() []string {
	targets := slices.Clone(f.Nodes)
	if f.Node != "" {
		targets = append(targets, f.Node)
	}
	slices.Sort(targets)
	return slices.Compact(targets)
}

// Times are Delay and For, 0 for none, of a request that Check takes.
func (f FaultRequest) Times() (delay, lasts time.Duration) {
	delay, _ = time.ParseDuration(f.Delay)
	lasts, _ = time.ParseDuration(f.For)
	return delay, lasts
}

// Faults returns the faults in force on the processes of a demonstration.
func (c *Client) Faults(ctx context.Context) (FaultList, error) {
	var list FaultList
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/faults", what: "the list of faults"}, &list)
	return list, err
}

// MakeFault makes or heals faults. It fails with CodeNoDemo outside a demonstration, and with
// CodeQuorum if the cluster would lose its quorum and f does not say Yes.
func (c *Client) MakeFault(ctx context.Context, f FaultRequest) (FaultsDone, error) {
	body, err := json.Marshal(f)
	if err != nil {
		return FaultsDone{}, err
	}
	var done FaultsDone
	err = c.do(ctx, call{method: http.MethodPost, path: "/v1/faults", body: body, single: true, what: "the fault"}, &done)
	return done, err
}
