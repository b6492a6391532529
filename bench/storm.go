package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"time"
)

// A storm is what happens when all sessions fall silent at once.
type storm struct {
	BeforeMS  float64 `json:"before_ms"`  // the longest time without an acknowledged write before it, in calmTime
	StallMS   float64 `json:"stall_ms"`   // the same from the silence until all have expired
	FirstMS   float64 `json:"first_ms"`   // from the silence until the first has expired
	AllMS     float64 `json:"all_ms"`     // until all have
	MiB       float64 `json:"mib"`        // of the largest server, before
	AfterMiB  float64 `json:"after_mib"`  // and after
	ServerCPU float64 `json:"server_cpu"` // seconds, meanwhile
}

const (
	calmTime      = 5 * time.Second
	stormPatience = 60 * time.Second // beyond the timeout
	countInterval = 20 * time.Millisecond
)

// runStorm stops a process with all sessions (SIGSTOP) and lets another client write.
func (o *sessionsOptions) runStorm(ctx context.Context, e *ensemble, out io.Writer) error {
	p, err := startProber(ctx, e, o.timeout)
	if err != nil {
		return err
	}
	defer p.stop()
	config, err := json.Marshal(holdConfig{serviceFlags: o.serviceFlags, Clients: e.clients(), Sessions: o.sessions, Timeout: o.timeout})
	if err != nil {
		return err
	}
	clients, err := startProcess(filepath.Join(e.dir, "hold.stderr"), "hold", string(config))
	if err != nil {
		return err
	}
	defer func() {
		_ = clients.kill() // it may be stopped
		clients.end()
	}()
	if _, err := clients.wait("started", holdPatience); err != nil {
		return err
	}
	var s storm
	time.Sleep(calmTime) // what opening the sessions has stirred up
	p.longest()
	time.Sleep(calmTime)
	s.BeforeMS, s.MiB = float64(p.longest())/1e6, largestMiB(e.pids())
	before, err := readMeters(e.pids())
	if err != nil {
		return err
	}
	if err := clients.command.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := s.await(ctx, p, o); err != nil {
		return err
	}
	after, err := readMeters(e.pids())
	if err != nil {
		return err
	}
	s.ServerCPU, s.AfterMiB = after.used(before).Seconds(), largestMiB(e.pids())
	fmt.Fprintf(out, "all silent: the first expired after %.1f s, all after %.1f s; writes stood at most %.0f ms (%.0f ms in %v before); %.1f s of the servers' CPU; %.0f MiB, then %.0f\n",
		s.FirstMS/1e3, s.AllMS/1e3, s.StallMS, s.BeforeMS, calmTime, s.ServerCPU, s.MiB, s.AfterMiB)
	return writeJSON(o.json, s)
}

// await returns when all ephemeral keys are gone.
func (s *storm) await(ctx context.Context, p *prober, o *sessionsOptions) error {
	begun := time.Now()
	for ctx.Err() == nil {
		n, err := p.session.count(ctx, holdRoot)
		at := float64(time.Since(begun)) / 1e6
		switch {
		case err != nil:
			return err
		case n == 0:
			s.AllMS, s.StallMS = at, float64(p.longest())/1e6
			return nil
		case n == o.sessions:
			s.FirstMS = at
		}
		if time.Since(begun) > o.timeout+stormPatience {
			return fmt.Errorf("%d of %d sessions are left after %v", n, o.sessions, time.Since(begun))
		}
		time.Sleep(countInterval)
	}
	return ctx.Err()
}
