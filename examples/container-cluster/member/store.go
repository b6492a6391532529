package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// errFenced says that a later leader was here, by which this one is none any more.
	errFenced = errors.New("a later leader has been here")
	// errTwo says that what must never be is so.
	errTwo = errors.New("another notebook runs still")
)

// store is the notebook in the directory that all members share:
//
//	notebook/cells      what people wrote, as JSON
//	notebook/token      the highest fencing token that was here
//	notebook/lock       held for each look at the token and the write after it
//	notebook/running    locked as long as a notebook runs, by the kernel
//	notebook/runs/N     from when to when the one with token N ran, for whoever checks
//	notebook/overlaps   a line for each that began while another one ran: there must be none
type store struct {
	dir, member string
	token       uint64
	running     *os.File
}

// openStore begins a run of the notebook: from now on those with lower tokens can write no more.
func openStore(shared string, token uint64, member string) (*store, error) {
	s := &store{dir: filepath.Join(shared, "notebook"), token: token, member: member}
	if err := os.MkdirAll(filepath.Join(s.dir, "runs"), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, "running"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	s.running = f
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		s.complain(err)
		return nil, errTwo
	}
	return s, s.guarded(func() error { return nil })
}

// complain writes down that this one began while another one ran.
func (s *store) complain(why error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "overlaps"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s token %d at %s: %v\n", time.Now().UTC().Format(time.RFC3339Nano), s.token, s.member, why)
}

// guarded does something that only the leader may do. It returns errFenced, and has done nothing, if
// one with a higher token was here: who stood still for a while learns it here at the latest.
func (s *store) guarded(do func() error) error {
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	file := filepath.Join(s.dir, "token")
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	highest, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // 0 if there was none
	switch {
	case s.token < highest:
		return errFenced
	case s.token > highest:
		if err := replace(file, []byte(strconv.FormatUint(s.token, 10)+"\n")); err != nil {
			return err
		}
	}
	return do()
}

// replace writes a file whole or not at all.
func replace(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	return err
}

// cell is one thing that somebody wrote, and the run of the notebook that saved it.
type cell struct {
	Text  string    `json:"text"`
	Token uint64    `json:"token"`
	Time  time.Time `json:"time"`
}

func (s *store) cells() (cells []cell, err error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "cells"))
	if errors.Is(err, fs.ErrNotExist) {
		return []cell{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &cells)
	}
	return cells, err
}

// add saves one more cell.
func (s *store) add(text string) error {
	return s.guarded(func() error {
		cells, err := s.cells()
		if err != nil {
			return err
		}
		data, err := json.Marshal(append(cells, cell{text, s.token, time.Now().UTC()}))
		if err != nil {
			return err
		}
		return replace(filepath.Join(s.dir, "cells"), data)
	})
}

// run is from when to when a notebook ran, by the clock that all containers of a machine have in common.
type run struct {
	Token  uint64 `json:"token"`
	Member string `json:"member"`
	Began  int64  `json:"began"` // nanoseconds
	Last   int64  `json:"last"`
	// Time is when it began, by the clock on the wall.
	Time time.Time `json:"time"`
}

// witness writes down every 50 ms that this notebook runs, until ctx ends. It returns errFenced when it
// must not run any more.
func (s *store) witness(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	file, fresh := filepath.Join(s.dir, "runs", strconv.FormatUint(s.token, 10)), filepath.Join(s.dir, "run.new")
	for r := (run{Token: s.token, Member: s.member, Began: now(), Time: time.Now().UTC()}); ; {
		r.Last = now()
		data, err := json.Marshal(r)
		if err == nil {
			err = s.guarded(func() error { // whole at every moment: whoever writes it may be killed
				return errors.Join(os.WriteFile(fresh, data, 0o644), os.Rename(fresh, file))
			})
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// now is the machine's time since its start.
func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // is always there
	return t.Nano()
}
