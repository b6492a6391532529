package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A takeOver is one kill -9 of the leading server: how long clients wait.
type takeOver struct {
	Service  string  `json:"service"`
	Error    string  `json:"error,omitempty"`
	New      float64 `json:"new_session_ms"` // until a session that was opened after the kill has written
	Follower float64 `json:"follower_ms"`    // until one that was at a surviving server has written
	Leader   float64 `json:"leader_ms"`      // until one that was at the killed server has
}

const takeOverPatience = 40 * time.Second

// runTakeOver kills the leader of a whole ensemble under the eyes of three
// clients, and starts it again.
func runTakeOver(ctx context.Context, e *ensemble) (t takeOver, err error) {
	t.Service = e.name()
	leader, err := e.whole(ctx)
	if err != nil {
		return t, err
	}
	ctx, cancel := context.WithTimeout(ctx, takeOverPatience)
	defer cancel()
	var sessions [2]session
	for i := range sessions {
		if sessions[i], err = e.open(ctx, e.clientsFrom((leader+i)%replicaCount), coordTimeout); err != nil {
			return t, err
		}
		defer sessions[i].close()
		if err := writeUntilDone(ctx, sessions[i]); err != nil {
			return t, err
		}
	}
	killed := time.Now()
	e.servers[leader].kill()
	waits := []*float64{&t.Leader, &t.Follower, &t.New}
	failures := make([]error, len(waits))
	var clients sync.WaitGroup
	for i, wait := range waits {
		clients.Go(func() {
			if i < len(sessions) {
				failures[i] = writeUntilDone(ctx, sessions[i])
			} else {
				failures[i] = openAndWrite(ctx, e)
			}
			*wait = float64(time.Since(killed)) / 1e6
		})
	}
	clients.Wait()
	for _, failure := range failures {
		if failure != nil {
			return t, failure
		}
	}
	if err := e.startServer(leader); err != nil {
		return t, err
	}
	_, err = e.whole(ctx)
	return t, err
}

// writeUntilDone repeats a write until it is acknowledged.
func writeUntilDone(ctx context.Context, s session) error {
	value := make([]byte, coordValue)
	for {
		err := s.set(ctx, coordKey(0), value)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("no write after %v: %w", takeOverPatience, err)
		case s.over():
			return fmt.Errorf("a session has ended: %w", err)
		}
		time.Sleep(errorPause)
	}
}

// openAndWrite repeats to open a session until it has one, and writes in it.
func openAndWrite(ctx context.Context, e *ensemble) error {
	for {
		s, err := e.open(ctx, e.clients(), coordTimeout)
		if err == nil {
			defer s.close()
			return writeUntilDone(ctx, s)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("no session after %v: %w", takeOverPatience, err)
		}
		time.Sleep(errorPause)
	}
}
