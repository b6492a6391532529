package multipaxos

import (
	"errors"
	"math"
	"testing"
)

// Each field of a Config that cannot be is named.
func TestAConfigThatCannotBeIsNamed(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"ID":                func(c *Config) { c.ID = None },
		"Heartbeat":         func(c *Config) { c.Heartbeat = 7 },
		"Election":          func(c *Config) { c.Heartbeat, c.Election = 10, 29 },
		"Lease":             func(c *Config) { c.Lease = c.withDefaults().Election + 1 },
		"MaxDrift":          func(c *Config) { c.Lease, c.MaxDrift = 100, 100 },
		"DiskStall":         func(c *Config) { c.DiskStall = -1 },
		"CatchUpTime":       func(c *Config) { c.CatchUpTime = -1 },
		"MaxAcceptBytes":    func(c *Config) { c.MaxAcceptBytes = -1 },
		"MaxInflightBytes":  func(c *Config) { c.MaxInflightBytes = -1 },
		"MaxInflightFrames": func(c *Config) { c.MaxInflightFrames = -1 },
		"FullFrameBytes":    func(c *Config) { c.FullFrameBytes = -1 },
		"Window":            func(c *Config) { c.Window = -1 },
		"MaxUnchosenBytes":  func(c *Config) { c.MaxUnchosenBytes = -1 },
		"MaxApplyBytes":     func(c *Config) { c.MaxApplyBytes = -1 },
		"MaxReads":          func(c *Config) { c.MaxReads = -1 },
		"MaxChunkBytes":     func(c *Config) { c.MaxChunkBytes = -1 },
		"TrailingEntries":   func(c *Config) { c.TrailingEntries = -1 },
		"TrailingBytes":     func(c *Config) { c.TrailingBytes = -1 },
		"CatchUpBytes":      func(c *Config) { c.CatchUpBytes = -1 },
		"PromoteWithin":     func(c *Config) { c.PromoteWithin = -1 },
	} {
		c := Config{ID: 1}
		change(&c)
		_, err := New(c, State{})
		var wrong *ConfigError
		if !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: error %v", field, err)
		}
	}
	if _, err := New(Config{ID: 1, Election: 1<<53 + 1}, State{}); err == nil {
		t.Error("an Election of more than a hundred days")
	}
	if _, err := New(Config{ID: 1}, State{}); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

// What ChangeMembership refuses, and why.
func TestChangesThatCannotBeAreRefused(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{})
	if _, err := r.ChangeMembership(voters(3), 0); !errors.Is(err, ErrNotLeader) {
		t.Errorf("follower: %v", err)
	}
	b := r.isElected(2)
	for name, c := range map[string]struct {
		members []Member
		version Index
		want    error
	}{
		"stale":        {voters(3), 9, ErrStaleVersion},
		"nobody":       {nil, 0, ErrInvalidMembership},
		"no acceptor":  {[]Member{{ID: 1}}, 0, ErrInvalidMembership},
		"no proposer":  {[]Member{{ID: 1, Voter: true, Roles: 2}}, 0, ErrInvalidMembership},
		"twice":        {[]Member{{ID: 1, Voter: true}, {ID: 1, Voter: true}}, 0, ErrInvalidMembership},
		"without ID":   {[]Member{{Voter: true}}, 0, ErrInvalidMembership},
		"unknown role": {[]Member{{ID: 1, Voter: true, Roles: 128 | 2}}, 0, ErrInvalidMembership},
	} {
		if _, err := r.ChangeMembership(c.members, c.version); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	at, err := r.ChangeMembership([]Member{{ID: 2, Voter: true, Outgoing: true, Promote: true}, {ID: 1, Voter: true, Leaving: true}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ChangeMembership(voters(3), 0); !errors.Is(err, ErrChangePending) {
		t.Errorf("a second change: %v", err)
	}
	if _, err := r.Propose([][]byte{nil}); !errors.Is(err, ErrSealing) || r.Gather() != math.MaxInt {
		t.Errorf("a proposal behind a SEAL: %v, gather %d", err, r.Gather())
	}
	r.at(r.now)
	r.save()
	r.step(2, Accepted{b, at, at})
	if c := r.Configuration(); c.Epoch != 2 || show(c) != "epoch 2 {1v 2v}" || c.Members[0].Leaving || c.Members[1].Outgoing {
		t.Errorf("configuration %+v", c)
	}
	if _, err := r.Propose([][]byte{nil}); !errors.Is(err, ErrSealing) {
		t.Errorf("a proposal while the leader prepares: %v", err)
	}
}

// Gather says how much must be proposed for any of it to leave at once.
func TestGatherTellsWhenProposingIsOfUse(t *testing.T) {
	r := newSolo(t, 1, voters(3), State{}, func(c *Config) { c.FullFrameBytes, c.MaxInflightFrames = 1000, 2 })
	if r.Gather() != 0 {
		t.Errorf("a follower gathers %d", r.Gather())
	}
	b := r.isElected(2)
	r.step(3, Accepted{b, r.lead.start, r.lead.marker})
	propose := func(size int) {
		r.Propose([][]byte{make([]byte, size-slotOverhead)})
		r.at(r.now)
	}
	for i, c := range []struct{ size, want int }{{100, 1000}, {400, 600}, {500, 100}, {200, math.MaxInt}} {
		if propose(c.size); r.Gather() != c.want {
			t.Errorf("step %d: gathers %d, want %d", i, r.Gather(), c.want)
		}
	}
	alone := newSolo(t, 1, voters(1), State{})
	alone.Campaign()
	for alone.at(alone.now); alone.role != Leader; alone.save() {
	}
	alone.save()
	if alone.Gather() != 0 {
		t.Errorf("the only acceptor gathers %d", alone.Gather())
	}
	alone.Propose([][]byte{nil})
	if alone.at(alone.now); alone.Gather() != alone.cfg.FullFrameBytes {
		t.Errorf("the only acceptor gathers %d while it saves", alone.Gather())
	}
}
