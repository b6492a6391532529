package raft

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the output in testdata/*.txt")

// TestTranscripts replays testdata/*.txt: commands, a line "----", and all that
// the replicas did, up to an empty line. Lines that begin with # are comments.
// With -update the output is rewritten; read the diff.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d transcripts (error %v), want at least 40", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(want))
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s\nRun go test ./raft -run Transcripts -update and read the diff.", file, firstDifference(string(want), string(got)))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range g {
		if i >= len(w) || w[i] != g[i] {
			return fmt.Sprintf("line %d: %s\nwant: %s", i+1, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return "less than wanted"
}

// transcript is one file being replayed.
type transcript struct {
	*network
	out   bytes.Buffer
	quiet bool
}

func replay(t *testing.T, text string) []byte {
	s := &transcript{}
	var result bytes.Buffer
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		s.out.Reset()
		for _, line := range strings.Split(commands, "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				s.run(t, strings.Fields(line))
			}
		}
		fmt.Fprintf(&result, "%s\n", strings.TrimRight(commands, "\n"))
		if s.network != nil {
			fmt.Fprintf(&result, "----\n%s", s.out.String())
		}
		result.WriteString("\n")
	}
	return append(bytes.TrimRight(result.Bytes(), "\n"), '\n')
}

func (s *transcript) print(format string, args ...any) {
	if !s.quiet {
		fmt.Fprintf(&s.out, format+"\n", args...)
	}
}

func number(t *testing.T, text string) ID {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%q is not a number", text)
	}
	return ID(n)
}

func duration(t *testing.T, text string) Time {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return Time(d)
}

// run carries out one command. A command that begins with "quietly" prints
// nothing.
func (s *transcript) run(t *testing.T, words []string) {
	s.quiet = words[0] == "quietly"
	if s.quiet {
		words = words[1:]
	}
	name, args := words[0], words[1:]
	if name == "new-group" {
		s.newGroup(t, args)
		return
	}
	if f, ok := groupCommands[name]; ok {
		f(t, s, args)
		return
	}
	f, ok := hostCommands[name]
	if !ok || len(args) == 0 {
		t.Fatalf("unknown command %q", strings.Join(words, " "))
	}
	f(t, s, s.host(number(t, args[0])), args[1:])
}

// newGroup: new-group 3 [hosts=4] [priority=2:5] [NAME=NUMBER of Config...]
func (s *transcript) newGroup(t *testing.T, args []string) {
	n := int(number(t, args[0]))
	var members []Member
	for id := ID(1); id <= ID(n); id++ {
		members = append(members, Member{ID: id, Voter: true})
	}
	hosts := n
	var changes []func(*Config)
	for _, a := range args[1:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "hosts":
			hosts = int(number(t, value))
		case "priority":
			id, p, _ := strings.Cut(value, ":")
			members[number(t, id)-1].Priority = int32(number(t, p))
		default:
			changes = append(changes, configChange(t, key, value))
		}
	}
	s.network = newNetworkOf(t, members, hosts, changes...)
	s.network.trace = s.print
}

func configChange(t *testing.T, key, value string) func(*Config) {
	v := int(number(t, value))
	return func(c *Config) {
		switch key {
		case "append":
			c.MaxAppendBytes = v
		case "frames":
			c.MaxInflightFrames = v
		case "full":
			c.FullFrameBytes = v
		case "uncommitted":
			c.MaxUncommittedBytes = v
		case "apply":
			c.MaxApplyBytes = v
		case "reads":
			c.MaxReads = v
		case "chunk":
			c.MaxChunkBytes = v
		case "trailing":
			c.TrailingEntries = v
		case "catch-up":
			c.CatchUpBytes = v
		case "within":
			c.PromoteWithin = v
		default:
			t.Fatalf("unknown setting %q", key)
		}
	}
}

// groupCommands concern all replicas.
var groupCommands = map[string]func(*testing.T, *transcript, []string){
	// tick 100ms: time passes; nothing arrives, nothing becomes durable.
	"tick": func(t *testing.T, s *transcript, args []string) {
		s.tick(duration(t, args[0]), func() {})
	},
	// run 100ms: time passes; messages and disks are fast.
	"run": func(t *testing.T, s *transcript, args []string) { s.network.run(duration(t, args[0])) },
	// stabilize: messages arrive and disks write until all is at rest.
	"stabilize": func(_ *testing.T, s *transcript, _ []string) { s.stabilize() },
	// deliver [FROM [TO]]: the messages under way now arrive; 0 is everyone.
	"deliver": func(t *testing.T, s *transcript, args []string) {
		from, to := pair(t, args)
		queue := s.queue
		s.queue = nil
		for _, p := range queue {
			if (from == None || p.from == from) && (to == None || p.to == to) {
				s.hand(p)
			} else {
				s.queue = append(s.queue, p)
			}
		}
	},
	// repeat [FROM [TO]]: what is under way will arrive twice.
	"repeat": func(t *testing.T, s *transcript, args []string) {
		from, to := pair(t, args)
		for _, p := range slices.Clone(s.queue) {
			if (from == None || p.from == from) && (to == None || p.to == to) {
				s.queue = append(s.queue, p)
			}
		}
	},
	// drop [FROM [TO]]: the messages under way are lost.
	"drop": func(t *testing.T, s *transcript, args []string) {
		from, to := pair(t, args)
		s.queue = slices.DeleteFunc(s.queue, func(p packet) bool {
			return (from == None || p.from == from) && (to == None || p.to == to)
		})
	},
	// cut A B: nothing arrives from A at B.
	"cut": func(t *testing.T, s *transcript, args []string) {
		from, to := pair(t, args)
		s.network.cut[[2]ID{from, to}] = true
	},
	"heal": func(_ *testing.T, s *transcript, _ []string) { s.heal() },
	// logs: where everybody is.
	"logs": func(_ *testing.T, s *transcript, _ []string) {
		for _, h := range s.hosts {
			if h.node == nil {
				s.print("%d: down", h.id)
				continue
			}
			n := h.node
			s.print("%d: %v of term %d, log %d..%d [%s], commit %d, state %v", h.id, n.role, n.term,
				n.log.first(), n.log.last(), showEntries(n.log.slice(n.log.first(), n.log.last())), n.commit, h.machine)
		}
	},
	// leases: who may read without asking.
	"leases": func(_ *testing.T, s *transcript, _ []string) {
		for _, h := range s.hosts {
			s.print("%d: lease until %s at %d, now %s", h.id, showTime(h.lease), h.leaseIndex, showTime(h.clock()))
		}
	},
}

func pair(t *testing.T, args []string) (from, to ID) {
	if len(args) > 0 {
		from = number(t, args[0])
	}
	if len(args) > 1 {
		to = number(t, args[1])
	}
	return from, to
}

// hostCommands concern the replica that is their first argument.
var hostCommands = map[string]func(*testing.T, *transcript, *host, []string){
	// elect: the replica becomes the leader, somehow.
	"elect": func(_ *testing.T, s *transcript, h *host, _ []string) { s.network.elect(h.id) },
	"campaign": func(_ *testing.T, _ *transcript, h *host, _ []string) {
		h.turn(func(n *Node) { n.Campaign() })
	},
	"propose": func(_ *testing.T, s *transcript, h *host, args []string) {
		first, err := h.propose(args...)
		s.print("%d: proposed at %d, error %v", h.id, first, err)
	},
	"read": func(t *testing.T, s *transcript, h *host, args []string) {
		ref := uint64(number(t, args[0]))
		var err error
		h.turn(func(n *Node) { err = n.ReadIndex(ref) })
		s.print("%d: read %d, error %v", h.id, ref, err)
	},
	// change N 1v 2v 4p>2: the new members.
	"change": func(t *testing.T, s *transcript, h *host, args []string) {
		version := h.status().Configuration.Version
		if v, ok := strings.CutPrefix(args[0], "@"); ok {
			version, args = Index(number(t, v)), args[1:]
		}
		members := parseMembers(t, args)
		var at Index
		var err error
		h.turn(func(n *Node) { at, err = n.ChangeMembership(members, version) })
		s.print("%d: change at %d, error %v", h.id, at, err)
	},
	"transfer": func(t *testing.T, s *transcript, h *host, args []string) {
		var err error
		h.turn(func(n *Node) { err = n.TransferLeadership(number(t, args[0])) })
		s.print("%d: transfer, error %v", h.id, err)
	},
	// lost N PEER: N's connection to PEER closes.
	"lost": func(t *testing.T, _ *transcript, h *host, args []string) {
		h.turn(func(n *Node) { n.PeerLost(number(t, args[0])) })
	},
	// saved N [COUNT]: the oldest saves, or all, become durable.
	"saved": func(t *testing.T, _ *transcript, h *host, args []string) {
		count := len(h.pending)
		if len(args) > 0 {
			count = int(number(t, args[0]))
		}
		h.saved(count)
	},
	// hold-saves N, stall N, unstall N: saves wait for "saved"; never end; end.
	"hold-saves": func(_ *testing.T, _ *transcript, h *host, _ []string) { h.silent = true },
	"stall":      func(_ *testing.T, _ *transcript, h *host, _ []string) { h.stalled = true },
	"unstall":    func(_ *testing.T, _ *transcript, h *host, _ []string) { h.stalled, h.silent = false, false },
	"isolate":    func(_ *testing.T, s *transcript, h *host, _ []string) { s.isolate(h.id) },
	"crash":      func(_ *testing.T, _ *transcript, h *host, _ []string) { h.crash() },
	"restart":    func(_ *testing.T, _ *transcript, h *host, _ []string) { h.start() },
	"snapshot":   func(_ *testing.T, _ *transcript, h *host, _ []string) { h.snapshot() },
	// prune N: of N's snapshots only the newest is left.
	"prune": func(_ *testing.T, _ *transcript, h *host, _ []string) { h.prune() },
	// log N TERM...: the replica starts with entries of these terms.
	"log": func(t *testing.T, _ *transcript, h *host, args []string) {
		h.disk.Entries = nil
		for i, a := range args {
			term := Term(number(t, a))
			h.disk.Entries = append(h.disk.Entries, Entry{Term: term, Index: Index(i + 1), Data: []byte("t" + a)})
			h.disk.HardState.Term = term
		}
		h.crash()
		h.start()
	},
	// forget N COUNT: the replica starts without the last entries of its disk.
	"forget": func(t *testing.T, _ *transcript, h *host, args []string) {
		h.crash()
		h.disk.Entries = h.disk.Entries[:len(h.disk.Entries)-int(number(t, args[0]))]
		h.start()
	},
	// hold-install N, installed N: a complete snapshot waits.
	"hold-install": func(_ *testing.T, _ *transcript, h *host, _ []string) { h.hold = true },
	"installed": func(_ *testing.T, _ *transcript, h *host, _ []string) {
		h.turn(func(*Node) { h.install() })
	},
	// spoil N: what it has received of a snapshot is damaged.
	"spoil": func(_ *testing.T, _ *transcript, h *host, _ []string) { h.partial[0] ^= 1 },
	// unsent N PEER: N cannot read its snapshot for PEER.
	"unsent": func(t *testing.T, _ *transcript, h *host, args []string) {
		h.turn(func(n *Node) { n.SnapshotUnsent(number(t, args[0])) })
	},
	"status": func(_ *testing.T, s *transcript, h *host, _ []string) {
		st := h.status()
		s.print("%d: %v of term %d, leader %d, commit %d, applied %d, log %d..%d, %s, stalled %v, transfer to %d", st.ID, st.Role,
			st.Term, st.Leader, st.Commit, st.Applied, st.FirstIndex, st.LastIndex, show(st.Configuration), st.Stalled, st.TransferTo)
		for _, p := range st.Peers {
			s.print("   %d: %v, match %d, next %d, active %v, stalled %v, %d bytes under way", p.ID, p.State, p.Match, p.Next,
				p.Active, p.Stalled, p.Inflight)
		}
	},
}

// parseMembers reads what show prints: 1v, 2n, 4p, 5p>2, 3v!7.
func parseMembers(t *testing.T, args []string) (members []Member) {
	for _, a := range args {
		var m Member
		if head, replaces, ok := strings.Cut(a, ">"); ok {
			a, m.Replaces = head, number(t, replaces)
		}
		if head, priority, ok := strings.Cut(a, "!"); ok {
			a, m.Priority = head, int32(number(t, priority))
		}
		digits := strings.TrimRight(a, "vnp")
		m.ID = number(t, digits)
		m.Voter = strings.Contains(a, "v")
		m.Promote = strings.Contains(a, "p")
		members = append(members, m)
	}
	return members
}
