package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// A holder has many sessions open, each with one ephemeral key below holdRoot.
type holder struct{ sessions []session }

const (
	holdRoot     = "held"
	holdPatience = 5 * time.Minute
	// holdTry is for a session and its key: other work may have the machine.
	holdTry = time.Minute
)

// holdSessions opens n sessions, spread over the servers, and creates their keys.
func holdSessions(ctx context.Context, s service, clients []string, n int, timeout time.Duration) (*holder, error) {
	h := &holder{sessions: make([]session, n)}
	err := inParallel(openMost, n, func(i int) error {
		ctx, cancel := context.WithTimeout(ctx, holdTry)
		defer cancel()
		own := slices.Concat(clients[i%len(clients):], clients[:i%len(clients)])
		one, err := s.open(ctx, own, timeout)
		if err != nil {
			return fmt.Errorf("open session %d: %w", i+1, err)
		}
		h.sessions[i] = one
		if _, err := one.create(ctx, heldKey(i), nil, ephemeral); err != nil {
			return fmt.Errorf("create the key of session %d: %w", i+1, err)
		}
		return nil
	})
	return h, err
}

func heldKey(i int) string { return fmt.Sprintf("%s/s%06d", holdRoot, i+1) }

// over is how many of the sessions know that they have ended.
func (h *holder) over() int { return h.with(session.over) }

// adrift is how many have no server's word at the moment that they are alive.
func (h *holder) adrift() int {
	return h.with(func(s session) bool { return !s.connected() })
}

func (h *holder) with(property func(session) bool) (n int) {
	for _, s := range h.sessions {
		if property(s) {
			n++
		}
	}
	return n
}

// A holdConfig is what a process of its own holds: `bench hold`.
type holdConfig struct {
	serviceFlags
	Clients  []string      `json:"clients"`
	Sessions int           `json:"sessions"`
	Timeout  time.Duration `json:"timeout"`
}

// runHold holds sessions until its standard input ends, and closes none of them:
// to the servers it is a client that has died.
func runHold(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("hold: for the tool itself")
	}
	var c holdConfig
	if err := json.Unmarshal([]byte(arguments[0]), &c); err != nil {
		return err
	}
	s, err := c.service(c.Service)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), holdPatience)
	defer cancel()
	if _, err := holdSessions(ctx, s, c.Clients, c.Sessions, c.Timeout); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(event{Kind: "started"}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
