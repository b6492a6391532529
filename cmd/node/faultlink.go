package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// demoSocket is the variable by which dev tells its children where to ask for faults.
const demoSocket = "NODE_DEMO"

// faultLink is a child's connection to the dev that started it.
type faultLink struct {
	name   string
	http   *http.Client
	log    *slog.Logger
	faults cluster.Faults
	has    uint64
}

// openFaults connects to the dev that has started this process, and learns what is cut before
// anything else is connected; nil outside demo mode.
func openFaults(ctx context.Context, name string, log *slog.Logger) *faultLink {
	socket := os.Getenv(demoSocket)
	if socket == "" {
		return nil
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	l := &faultLink{name: name, log: log, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
	ctx, cancel := context.WithTimeout(ctx, toldPatience)
	defer cancel()
	if _, err := l.ask(ctx); err != nil {
		log.Warn("no faults can be made here", "reason", plain(err))
		return nil
	}
	return l
}

// follow applies what changes until ctx ends, and has it told by tell.
func (l *faultLink) follow(ctx context.Context, tell func(faultNews)) {
	for ctx.Err() == nil {
		news, err := l.ask(ctx)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond): // dev is ending, or very busy
			}
		}
		for _, n := range news {
			tell(n)
		}
	}
}

// ask waits for a change, and applies it.
func (l *faultLink) ask(ctx context.Context) ([]faultNews, error) {
	var answer toldRules
	query := url.Values{"name": {l.name}, "has": {fmt.Sprint(l.has)}}
	if err := l.do(ctx, http.MethodGet, "/rules?"+query.Encode(), nil, &answer); err != nil {
		return nil, err
	}
	if answer.Version == l.has {
		return nil, nil
	}
	at := map[string]cluster.Fault{}
	for addr, r := range answer.At {
		at[addr] = cluster.Fault{Cut: r.Cut, Delay: time.Duration(r.DelayMillis) * time.Millisecond}
	}
	l.faults.Set(at)
	l.has = answer.Version
	return answer.News, nil
}

func (l *faultLink) do(ctx context.Context, method, path string, body []byte, v any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://dev"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := l.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusOK {
		return json.Unmarshal(content, v)
	}
	refused := &api.Error{}
	if err := json.Unmarshal(content, refused); err != nil {
		return err
	}
	return refused
}

// Faults asks dev.
func (l *faultLink) Faults(ctx context.Context) (list api.FaultList, err error) {
	if err := l.do(ctx, http.MethodGet, "/v1/faults", nil, &list); err != nil {
		return list, faultError(err)
	}
	return list, nil
}

// MakeFault has dev do it.
func (l *faultLink) MakeFault(ctx context.Context, f api.FaultRequest) (done api.FaultsDone, err error) {
	body, err := json.Marshal(f)
	if err != nil {
		return done, err
	}
	if err := l.do(ctx, http.MethodPost, "/v1/faults?from="+url.QueryEscape(l.name), body, &done); err != nil {
		return done, faultError(err)
	}
	return done, nil
}

// via has connections held up by the faults.
func (l *faultLink) via(dial api.DialFunc) api.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return l.faults.Dial(dial)(ctx, network, addr)
	}
}

// event is what a node tells of a fault.
func (n faultNews) event() synod.Event {
	return synod.Event{Kind: "fault", Reason: n.Text, Attrs: map[string]string{"fault": cmp.Or(n.ID, "-"), "what": n.Kind}}
}
