package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/api"
)

// The fates that an answer tells; failures are errors.
const (
	fateChosen    = "chosen"
	fateSurelyNot = "surely not"
)

// decreeProcess is a process of decrees with its HTTP interface.
type decreeProcess struct {
	decrees *synod.Decrees
	faults  *faults // nil unless allowed
	show    *eventWriter[synod.DecreeEvent]
}

// decreeValueBytes bounds the body of a request: no value may be longer.
const decreeValueBytes = 64 << 10

func (p *decreeProcess) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/decrees/{name}", p.decide)
	mux.HandleFunc("GET /v1/decrees/{name}", p.learn)
	mux.HandleFunc("GET /v1/recording", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		_ = decree.WriteRecording(w, p.decrees.Recording()) // who asked has gone
	})
	if p.faults != nil {
		mux.HandleFunc("PUT /v1/faults", p.setFaults)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		decreeFailure(w, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path)})
	})
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		decreeFailure(w, &api.Error{Code: api.CodeOrigin, Message: "a page of another web origin may not write here"})
	}))
	return ownHost(origin.Handler(mux))
}

// ownHost refuses what a web page may have sent here by a name of its own.
func ownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" && r.TLS == nil {
			decreeFailure(w, &api.Error{Code: api.CodeHost, Message: fmt.Sprintf("this process is not called %q", host)})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// within returns the time that a caller gives: 5 s, or what it says.
func within(r *http.Request) (context.Context, context.CancelFunc, error) {
	timeout := 5 * time.Second
	if text := r.URL.Query().Get("timeout"); text != "" {
		var err error
		if timeout, err = time.ParseDuration(text); err != nil || timeout <= 0 {
			return nil, nil, &api.Error{Code: api.CodeRequest, Message: fmt.Sprintf("%q is no time to wait", text), Do: []string{"timeout=5s"}}
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}

func (p *decreeProcess) decide(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, decreeValueBytes))
	if err != nil {
		decreeFailure(w, &api.Error{Code: api.CodeTooLarge, Message: "the value is too large", Why: fmt.Sprintf("at most %d bytes are possible", decreeValueBytes)})
		return
	}
	ctx, cancel, err := within(r)
	if err != nil {
		decreeFailure(w, err)
		return
	}
	defer cancel()
	name := r.PathValue("name")
	chosen, err := p.decrees.Decide(ctx, name, value)
	if err != nil {
		decreeFailure(w, decideError(name, err))
		return
	}
	fate := fateSurelyNot
	if string(chosen) == string(value) {
		fate = fateChosen
	}
	decreeAnswer(w, http.StatusOK, decided{Decree: name, Fate: fate, Value: string(chosen)})
}

func decideError(name string, err error) error {
	e := &api.Error{Code: api.CodeInternal, Message: fmt.Sprintf("decree %q is not decided", name), Why: plain(err)}
	switch {
	case errors.Is(err, synod.ErrRole):
		e.Code, e.Do = api.CodeRequest, []string{"ask a process that plays the proposer"}
	case errors.Is(err, synod.ErrUnknownOutcome):
		e.Code, e.Message = api.CodeUnknown, fmt.Sprintf("the value may be chosen for decree %q, now or later", name)
		e.Do = []string{"node decree learn " + name, "or decide it again: what is chosen stays"}
	case errors.Is(err, synod.ErrNotChosen) && errors.Is(err, synod.ErrOverloaded):
		e.Code = api.CodeOverloaded
	case errors.Is(err, synod.ErrNotChosen):
		e.Code, e.Message = api.CodeTimeout, fmt.Sprintf("the value is surely not chosen for decree %q", name)
	case errors.Is(err, synod.ErrTooLarge):
		e.Code = api.CodeTooLarge
	case errors.Is(err, synod.ErrOverloaded):
		e.Code = api.CodeOverloaded
	}
	return e
}

func (p *decreeProcess) learn(w http.ResponseWriter, r *http.Request) {
	ctx, cancel, err := within(r)
	if err != nil {
		decreeFailure(w, err)
		return
	}
	defer cancel()
	name := r.PathValue("name")
	value, err := p.decrees.Learn(ctx, name)
	if err == nil {
		decreeAnswer(w, http.StatusOK, decided{Decree: name, Value: string(value)})
		return
	}
	e := &api.Error{Code: api.CodeTimeout, Message: fmt.Sprintf("no value is known to be chosen for decree %q", name), Why: plain(err)}
	switch {
	case errors.Is(err, synod.ErrRole):
		e.Code, e.Do = api.CodeRequest, []string{"ask a process that plays the learner"}
	case errors.Is(err, synod.ErrOverloaded):
		e.Code = api.CodeOverloaded
	case errors.Is(err, context.DeadlineExceeded):
		e.Why, e.Do = "", []string{"--timeout 10s waits longer", "node decree decide " + name + " VALUE"}
	}
	decreeFailure(w, e)
}

func (p *decreeProcess) setFaults(w http.ResponseWriter, r *http.Request) {
	if change, ok := readFaults(w, r); ok {
		p.faults.set(change.Faults, change.Release)
		decreeAnswer(w, http.StatusOK, change)
	}
}

// readFaults reads the body of PUT /v1/faults; false if it has refused it.
func readFaults(w http.ResponseWriter, r *http.Request) (change faultChange, ok bool) {
	if err := readJSON(http.MaxBytesReader(w, r.Body, decreeValueBytes), &change); err != nil {
		decreeFailure(w, &api.Error{Code: api.CodeRequest, Message: "these are no faults", Why: plain(err)})
		return change, false
	}
	for _, f := range change.Faults {
		if f.Do != "hold" && f.Do != "lose" {
			decreeFailure(w, &api.Error{Code: api.CodeRequest, Message: fmt.Sprintf("there is no fault %q", f.Do), Do: []string{"hold or lose"}})
			return change, false
		}
	}
	return change, true
}

// readJSON reads one document. It refuses one that is nested too deep.
func readJSON(from io.Reader, v any) error {
	body, err := io.ReadAll(from)
	if err == nil {
		err = api.CheckDepth(body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

func decreeAnswer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who asked has gone
}

func decreeFailure(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		e = &api.Error{Code: api.CodeInternal, Message: "the request failed", Why: plain(err)}
	}
	status := e.Code.Info().Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	decreeAnswer(w, status, e)
}
