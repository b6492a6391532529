package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/synod-go/synod/api"
)

// told is the answer to a child that asks what holds.
type toldRules struct {
	Version uint64          `json:"version"`
	At      map[string]rule `json:"at"`
	News    []faultNews     `json:"news,omitempty"`
}

const (
	// longestSocket is as long as the path of a socket may be.
	longestSocket = 100
	// rulesPatience is how long a child's question waits for a change.
	rulesPatience = 20 * time.Second
	// toldPatience is how long a fault waits for all children to know of it.
	toldPatience = 2 * time.Second
)

// serve listens for the children. stop ends it.
func (b *breaker) serve() (stop func(), err error) {
	dir, remove := b.fleet.dir, func() {}
	if len(filepath.Join(dir, "faults.sock")) > longestSocket {
		if dir, err = os.MkdirTemp("", "synod-faults-"); err != nil {
			return nil, tempError(err)
		}
		remove = func() { os.RemoveAll(dir) }
	}
	if b.socket, err = filepath.Abs(filepath.Join(dir, "faults.sock")); err != nil {
		return nil, err
	}
	_ = os.Remove(b.socket) // of a dev that was killed
	listener, err := net.Listen("unix", b.socket)
	if err != nil {
		remove()
		return nil, &api.Error{Code: api.CodeData, Message: "no socket can be made in " + dir, Why: plain(err)}
	}
	_ = os.Chmod(b.socket, 0o600) // its directory is ours alone besides
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/faults", b.getFaults)
	mux.HandleFunc("POST /v1/faults", b.postFault)
	mux.HandleFunc("GET /rules", b.getRules)
	b.http = api.ServerLimits{}.Server(mux)
	go func() { _ = b.http.Serve(listener) }() // it ends with stop
	return func() { b.http.Close(); remove() }, nil
}

func (b *breaker) getFaults(w http.ResponseWriter, r *http.Request) {
	list, _ := b.Faults(r.Context()) // it does not fail
	_ = json.NewEncoder(w).Encode(list)
}

func (b *breaker) postFault(w http.ResponseWriter, r *http.Request) {
	var f api.FaultRequest
	err := readJSON(http.MaxBytesReader(w, r.Body, 64<<10), &f)
	if err != nil {
		decreeFailure(w, &api.Error{Code: api.CodeRequest, Message: "the fault cannot be read", Why: plain(err)})
		return
	}
	done, err := b.makeFault(r.Context(), f, r.FormValue("from"))
	if err != nil {
		decreeFailure(w, err)
		return
	}
	_ = json.NewEncoder(w).Encode(done)
}

// getRules answers a child once there is something new. What it has, it has applied.
func (b *breaker) getRules(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	has, _ := strconv.ParseUint(r.FormValue("has"), 10, 64)
	c := b.fleet.find(name)
	if c == nil {
		decreeFailure(w, &api.Error{Code: api.CodeNotFound, Message: "there is no node " + name})
		return
	}
	late := time.After(rulesPatience)
	for {
		b.mu.Lock()
		if b.told[name] != has && has != 0 {
			b.told[name] = has
			b.wakeLocked()
		}
		if b.version > has {
			break // locked
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			_ = json.NewEncoder(w).Encode(toldRules{Version: has})
			return
		case <-r.Context().Done():
			return
		}
	}
	answer := toldRules{Version: b.version, At: b.rules(c)}
	for _, n := range b.news {
		if has != 0 && n.Version > has { // who has just started was told nothing yet, and need not hear what is over
			answer.News = append(answer.News, n)
		}
	}
	b.mu.Unlock()
	_ = json.NewEncoder(w).Encode(answer)
}

func (b *breaker) wakeLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// tell makes the children ask anew, and tells them of f. b.mu is held.
func (b *breaker) tell(f api.Fault, text string) uint64 {
	b.version++
	if len(b.news) >= maxFaultNews {
		b.news = append(b.news[:0], b.news[maxFaultNews/4:]...)
	}
	b.news = append(b.news, faultNews{Version: b.version, ID: f.ID, Kind: string(f.Kind), Text: text})
	b.wakeLocked()
	return b.version
}

// awaitTold waits until those of list that run have applied a version.
func (b *breaker) awaitTold(ctx context.Context, version uint64, list []*child) error {
	ctx, cancel := context.WithTimeout(ctx, toldPatience)
	defer cancel()
	for {
		b.mu.Lock()
		var behind []*child
		for _, c := range list {
			if told, asked := b.told[c.name]; asked && told < version && b.state(c) == "running" {
				behind = append(behind, c)
			}
		}
		changed := b.changed
		b.mu.Unlock()
		if len(behind) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &api.Error{Code: api.CodeTimeout, Message: named(behind) + " has not been told yet", Why: "the fault is made, and holds there once it is known",
				Do: []string{"node fault ls"}}
		}
	}
}

// faultError is what a child answers when it cannot reach its dev.
func faultError(err error) error {
	if e, is := errors.AsType[*api.Error](err); is {
		return e
	}
	return &api.Error{Code: api.CodeNoDemo, Message: "who made this cluster does not answer", Why: plain(err), Do: []string{"start a new one:  node dev"}}
}
