package raft

import "testing"

// What Gather promises: while it asks for more bytes, a proposal would leave for
// nobody; and when it asks for none, one would leave, or is written at once.
func TestGatherTellsWhatWouldLeave(t *testing.T) {
	w := newNetwork(t, 3, func(c *Config) { c.FullFrameBytes = 1000 })
	lead := w.elect(1)
	w.stabilize()
	for _, h := range w.hosts {
		h.silent = true // saves end when the test says so
	}
	propose := func(size int) (sent int) {
		before := len(w.queue)
		lead.turn(func(n *Node) {
			if _, err := n.Propose([][]byte{make([]byte, size)}); err != nil {
				t.Fatal(err)
			}
		})
		return len(w.queue) - before
	}
	if got := lead.node.Gather(); got != 0 {
		t.Fatalf("idle: gather %d, want 0", got)
	}
	if sent := propose(1); sent != 2 {
		t.Fatalf("idle: sent %d frames, want one to each follower", sent)
	}
	if got := lead.node.Gather(); got != 1000 {
		t.Fatalf("one frame under way to each: gather %d, want 1000", got)
	}
	if sent := propose(68); sent != 0 { // 100 bytes with the overhead of an entry
		t.Fatalf("asked to gather: sent %d frames, want none", sent)
	}
	if got := lead.node.Gather(); got != 900 {
		t.Fatalf("100 bytes wait: gather %d, want 900", got)
	}
	if sent := propose(900 - entryOverhead); sent != 2 {
		t.Fatalf("a full frame: sent %d, want 2", sent)
	}
	if lead.node.saves.durable == lead.node.log.last() {
		t.Fatal("the disk is silent, but the log is durable")
	}
	lead.turn(func(n *Node) { n.Step(2, AppendReply{Term: n.term, Match: n.log.last()}) })
	if got := lead.node.Gather(); got != 0 {
		t.Fatalf("a follower answered: gather %d, want 0", got)
	}
	if got := w.host(2).node.Gather(); got != 0 {
		t.Fatalf("a follower's gather is %d, want 0: it refuses at once", got)
	}
}

// A leader that needs nobody's answer gathers for its own disk.
func TestGatherForTheOwnDisk(t *testing.T) {
	w := newNetwork(t, 1, func(c *Config) { c.FullFrameBytes = 1000 })
	lead := w.elect(1)
	w.stabilize()
	lead.silent = true
	if got := lead.node.Gather(); got != 0 {
		t.Fatalf("idle disk: gather %d, want 0", got)
	}
	if _, err := lead.propose("a"); err != nil {
		t.Fatal(err)
	}
	if got := lead.node.Gather(); got != 1000 {
		t.Fatalf("busy disk: gather %d, want 1000", got)
	}
}

// A follower that has lost entries gets nothing any more, so nothing of it makes a
// turn worthwhile: who works with one node less needs to gather most.
func TestGatherDoesNotCountWhoHasLostEntries(t *testing.T) {
	w := newNetwork(t, 3, func(c *Config) { c.FullFrameBytes = 1000 })
	lead := w.elect(1)
	w.stabilize()
	for _, h := range w.hosts {
		h.silent = true
	}
	lead.turn(func(n *Node) { n.Step(3, HeartbeatReply{Term: n.term, Lost: true}) })
	if got := lead.node.Gather(); got != 0 {
		t.Fatalf("the other follower is idle: gather %d, want 0", got)
	}
	lead.turn(func(n *Node) {
		if _, err := n.Propose([][]byte{[]byte("a")}); err != nil {
			t.Fatal(err)
		}
	})
	if got := lead.node.Gather(); got != 1000 {
		t.Fatalf("one frame under way to the other follower: gather %d, want 1000", got)
	}
}
