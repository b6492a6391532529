package synod

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synod-go/synod/replica"
)

// counted is a state machine that counts its commands.
type counted struct{ n int }

func (c *counted) Apply(uint64, int64, []byte) []byte { c.n++; return nil }
func (c *counted) Snapshot() (io.WriterTo, error) {
	return strings.NewReader(strings.Repeat("x", c.n)), nil
}
func (c *counted) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	c.n = len(data)
	return err
}

func TestASurvivorFoundsAClusterThatTheOldNodesNeverDisturb(t *testing.T) {
	for _, engine := range []Engine{Raft, Paxos} {
		t.Run(string(engine), func(t *testing.T) {
			p, ctx := planned(t, 3), minute(t)
			groups := []GroupConfig{{Name: "g", Engine: engine, New: func() StateMachine { return &counted{} }}}
			for i := range p.nodes {
				p.nodes[i].Groups = groups
			}
			nodes := p.startAll(ctx, 3, 0, 1, 2)
			for range 20 {
				request := NewRequestID() // a second node is asked where the first cannot tell what became of it
				if err := nodes[0].await(ctx, func() bool {
					for _, n := range nodes {
						if _, err := n.groups[0].ProposeOnce(ctx, request, []byte("x")); err == nil {
							return true
						}
					}
					return false
				}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := nodes[1].groups[0].handle.ReadIndex(ctx); err != nil { // it has them all
				t.Fatal(err)
			}
			for _, n := range nodes {
				n.end(ErrStopped)
			}

			old := p.nodes[1].Dir
			s, err := OpenSurvivor(old, groups)
			if err != nil {
				t.Fatal(err)
			}
			into := filepath.Join(t.TempDir(), "new")
			restored, err := s.Found(into)
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenSurvivor(old, groups); !errors.Is(err, ErrLost) {
				t.Errorf("the old directory may be used again: %v", err)
			}

			p.nodes[1].Dir = into
			alone, err := p.start(ctx, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := alone.Ready(ctx); err != nil {
				t.Fatal(err)
			}
			has := 0
			if err := alone.groups[0].Read(ctx, Linearizable, func(m StateMachine, _ uint64) { has = m.(*counted).n }); err != nil || has != 20 {
				t.Errorf("the new cluster has %d commands, %v: want 20", has, err)
			}
			if r, err := alone.groups[0].Propose(ctx, []byte("x")); err != nil || r.Index <= restored.Groups[0].Index {
				t.Errorf("a command went to index %d, %v: want one above %d", r.Index, err, restored.Groups[0].Index)
			}
			// Both old ones come back. They would be a majority of the old cluster.
			for _, i := range []int{0, 2} {
				back, err := p.start(ctx, i)
				if err == nil {
					select {
					case <-back.Done():
						err = back.Err()
					case <-ctx.Done():
					}
				}
				if !errors.Is(err, ErrLost) {
					t.Errorf("%s of the old cluster goes on: %v", p.nodes[i].Name, err)
				}
			}
			// With a directory of its own one joins.
			p.lose(2)
			p.nodes[2].Bootstrap = false
			joined, err := p.start(ctx, 2)
			if err != nil {
				t.Fatal(err)
			}
			awaitVoters(t, ctx, joined, 2)
			if joined.Cluster() != restored.Cluster {
				t.Errorf("it joined %s, want %s", joined.Cluster(), restored.Cluster)
			}
		})
	}
}

// oneGroup begins a cluster of one node with a group g.
func oneGroup(add addGroup) error {
	state, err := replica.New(replica.Config{}, &counted{})
	if err != nil {
		return err
	}
	return add("g", Raft, state)
}

func TestNoTwoDirectoriesAreLeftToStartOnWhicheverStepFails(t *testing.T) {
	in := t.TempDir()
	old, made := filepath.Join(in, "old"), filepath.Join(in, "new")
	before, err := begin(RestoreConfig{Dir: old, Name: "n1"}, "", oneGroup, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	groups := []GroupConfig{{Name: "g", New: func() StateMachine { return &counted{} }}}
	s, err := OpenSurvivor(old, groups)
	if err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(old, "lost")
	if err := os.MkdirAll(filepath.Join(mark, "in the way"), 0o700); err != nil { // no file can take its place
		t.Fatal(err)
	}
	restored, err := s.Found(made)
	if err == nil || restored.Cluster != "" {
		t.Fatalf("the old directory cannot be marked: %+v, %v", restored, err)
	}
	if _, err := OpenSurvivor(made, groups); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "begin again") {
		t.Errorf("the new directory, beside one that is not marked: %v", err)
	}
	if err := errors.Join(s.Close(), os.RemoveAll(mark)); err != nil {
		t.Fatal(err)
	}
	again, err := OpenSurvivor(old, groups)
	if err != nil {
		t.Fatalf("the old directory, after a failure that has not marked it: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}

	whole := filepath.Join(in, "whole")
	restored, err = begin(RestoreConfig{Dir: whole, Name: "n1"}, before.Cluster, oneGroup, func(string) error {
		text, err := os.ReadFile(filepath.Join(whole, "lost"))
		if err != nil || string(text) != unreleased {
			t.Errorf("as the old directory is marked, the new one says %q, %v", text, err)
		}
		return errors.Join(os.Remove(filepath.Join(whole, "lost")), os.MkdirAll(filepath.Join(whole, "lost", "in the way"), 0o700))
	})
	if err == nil || restored.Cluster == "" || restored.Cluster == before.Cluster {
		t.Errorf("the mark cannot be taken off: %+v, %v", restored, err)
	}
}
