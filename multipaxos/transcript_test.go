package multipaxos

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

	"github.com/synod-go/synod/consensus"
)

var update = flag.Bool("update", false, "rewrite the output in testdata/*.txt")

// TestTranscripts replays testdata/*.txt: commands, a line "----", and all that
// the replicas did, up to an empty line. Lines that begin with # are comments.
// With -update the output is rewritten; read the diff.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d transcripts (error %v), want at least 20", len(files), err)
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
				t.Errorf("%s: got\n%s\nRun go test ./multipaxos -run Transcripts -update and read the diff.", file, firstDifference(string(want), string(got)))
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
		fmt.Fprintf(&result, "%s\n----\n%s\n", strings.TrimRight(commands, "\n"), s.out.String())
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
	f, ok := driverCommands[name]
	if !ok || len(args) == 0 {
		t.Fatalf("unknown command %q", strings.Join(words, " "))
	}
	f(t, s, s.at(number(t, args[0])), args[1:])
}

// newGroup: new-group 1v 2v 3v [hosts=4] [NAME=NUMBER of Config...]
func (s *transcript) newGroup(t *testing.T, args []string) {
	var words []string
	hosts := 0
	var changes []func(*Config)
	for _, a := range args {
		key, value, set := strings.Cut(a, "=")
		switch {
		case !set:
			words = append(words, a)
		case key == "hosts":
			hosts = int(number(t, value))
		default:
			changes = append(changes, configChange(t, key, value))
		}
	}
	s.network = newNetwork(t, parseMembers(t, words), hosts, changes...)
	s.network.trace = s.print
}

func configChange(t *testing.T, key, value string) func(*Config) {
	v := int(number(t, value))
	return func(c *Config) {
		switch key {
		case "accept":
			c.MaxAcceptBytes = v
		case "frames":
			c.MaxInflightFrames = v
		case "window":
			c.Window = v
		case "reads":
			c.MaxReads = v
		case "chunk":
			c.MaxChunkBytes = v
		case "trailing":
			c.TrailingEntries = v
		case "catch-up":
			c.CatchUpTime = Time(v) * millisecond
		case "within":
			c.PromoteWithin = v
		default:
			t.Fatalf("unknown setting %q", key)
		}
	}
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

// groupCommands concern all replicas.
var groupCommands = map[string]func(*testing.T, *transcript, []string){
	// tick 100ms: time passes; nothing arrives, nothing becomes durable.
	"tick": func(t *testing.T, s *transcript, args []string) { s.tick(duration(t, args[0]), func() {}) },
	// run 100ms: time passes; messages and disks are fast.
	"run": func(t *testing.T, s *transcript, args []string) { s.network.run(duration(t, args[0])) },
	// stabilize: messages arrive and disks write until all is at rest.
	"stabilize": func(_ *testing.T, s *transcript, _ []string) { s.stabilize() },
	// deliver [FROM [TO]]: the messages under way now arrive; 0 is everyone.
	"deliver": func(t *testing.T, s *transcript, args []string) {
		for _, l := range s.take(t, args) {
			s.hand(l)
		}
	},
	// repeat [FROM [TO]]: what is under way will arrive twice.
	"repeat": func(t *testing.T, s *transcript, args []string) {
		for _, l := range s.take(t, args) {
			s.queue = append(s.queue, l, l)
		}
	},
	// drop [FROM [TO]]: the messages under way are lost.
	"drop": func(t *testing.T, s *transcript, args []string) { s.take(t, args) },
	// delay [FROM [TO]]: the messages under way arrive with "arrive".
	"delay": func(t *testing.T, s *transcript, args []string) { s.late = append(s.late, s.take(t, args)...) },
	"arrive": func(t *testing.T, s *transcript, args []string) {
		late := s.late
		s.late = nil
		for _, l := range late {
			s.hand(l)
		}
	},
	// cut A B: nothing arrives from A at B.
	"cut": func(t *testing.T, s *transcript, args []string) {
		from, to := pair(t, args)
		s.network.cut[[2]ID{from, to}] = true
	},
	"heal": func(_ *testing.T, s *transcript, _ []string) { s.heal() },
	// logs: where everybody is.
	"logs": func(_ *testing.T, s *transcript, _ []string) {
		for _, d := range s.drivers {
			if d.node == nil {
				s.print("%d: down", d.id)
				continue
			}
			n := d.node
			s.print("%d: %v, promised %s, epoch %d, slots %d..%d, chosen %d, snapshot %d, state %v", d.id, n.Role(), FormatBallot(n.promised),
				n.epoch(), n.log.prev+1, n.log.end, n.chosen, n.snapshot.Index, d.machine)
		}
	},
	// leases: who may read without asking.
	"leases": func(_ *testing.T, s *transcript, _ []string) {
		for _, d := range s.drivers {
			s.print("%d: lease until %s, now %s", d.id, showTime(d.lease), showTime(s.now))
		}
	},
}

// take removes the messages under way that match.
func (s *transcript) take(t *testing.T, args []string) (taken []letter) {
	from, to := pair(t, args)
	s.queue = slices.DeleteFunc(s.queue, func(l letter) bool {
		if l.matches(from, to) {
			taken = append(taken, l)
			return true
		}
		return false
	})
	return taken
}

// driverCommands concern the replica that is their first argument.
var driverCommands = map[string]func(*testing.T, *transcript, *driver, []string){
	// elect: the replica becomes the leader, somehow.
	"elect":    func(_ *testing.T, s *transcript, d *driver, _ []string) { s.network.elect(d.id) },
	"campaign": func(_ *testing.T, _ *transcript, d *driver, _ []string) { d.turn(func(n *Node) { n.Campaign() }) },
	"propose": func(_ *testing.T, s *transcript, d *driver, args []string) {
		first, err := d.propose(args...)
		s.print("%d: proposed at %d, error %v", d.id, first, err)
	},
	"read": func(t *testing.T, s *transcript, d *driver, args []string) {
		ref := uint64(number(t, args[0]))
		var err error
		d.turn(func(n *Node) { err = n.ReadIndex(ref) })
		s.print("%d: read %d, error %v", d.id, ref, err)
	},
	// change N [@VERSION] 1v 2v 4p>2: the new members.
	"change": func(t *testing.T, s *transcript, d *driver, args []string) {
		version := d.node.Configuration().Version
		if v, ok := strings.CutPrefix(args[0], "@"); ok {
			version, args = Index(number(t, v)), args[1:]
		}
		members := parseMembers(t, args)
		var at Index
		var err error
		d.turn(func(n *Node) { at, err = n.ChangeMembership(members, version) })
		s.print("%d: SEAL at %d, error %v", d.id, at, err)
	},
	"transfer": func(t *testing.T, s *transcript, d *driver, args []string) {
		var err error
		d.turn(func(n *Node) { err = n.TransferLeadership(number(t, args[0])) })
		s.print("%d: transfer, error %v", d.id, err)
	},
	// lost N PEER: N's connection to PEER closes.
	"lost": func(t *testing.T, _ *transcript, d *driver, args []string) {
		d.turn(func(n *Node) { n.PeerLost(number(t, args[0])) })
	},
	// saved N [COUNT]: the oldest saves, or all, become durable.
	"saved": func(t *testing.T, _ *transcript, d *driver, args []string) {
		count := len(d.pending)
		if len(args) > 0 {
			count = int(number(t, args[0]))
		}
		d.saved(count)
	},
	// hold-saves N, stall N, unstall N: saves wait for "saved"; never end; end.
	"hold-saves": func(_ *testing.T, _ *transcript, d *driver, _ []string) { d.held = true },
	"stall":      func(_ *testing.T, _ *transcript, d *driver, _ []string) { d.stalled = true },
	"unstall":    func(_ *testing.T, _ *transcript, d *driver, _ []string) { d.stalled, d.held = false, false },
	"isolate":    func(_ *testing.T, s *transcript, d *driver, _ []string) { s.isolate(d.id) },
	"crash":      func(_ *testing.T, _ *transcript, d *driver, _ []string) { d.crash() },
	"restart":    func(_ *testing.T, _ *transcript, d *driver, _ []string) { d.start() },
	"snapshot":   func(_ *testing.T, _ *transcript, d *driver, _ []string) { d.snapshot() },
	// spoil N: a bit of N's snapshot file flips.
	"spoil": func(_ *testing.T, _ *transcript, d *driver, _ []string) { d.data[0] ^= 1 },
	// step N FROM Prepare|Accept|Heartbeat BALLOT, step N FROM Nack BALLOT REASON
	// PROMISED: a message that nobody here has sent.
	"step": func(t *testing.T, s *transcript, d *driver, args []string) {
		s.hand(letter{number(t, args[0]), d.id, parseMessage(t, d.node.chosen, args[1:])})
	},
	// forget N COUNT: the replica starts without the last records of its disk.
	"forget": func(t *testing.T, _ *transcript, d *driver, args []string) {
		d.crash()
		d.disk = d.disk[:len(d.disk)-int(number(t, args[0]))]
		d.start()
	},
	"status": func(_ *testing.T, s *transcript, d *driver, _ []string) {
		st := d.node.Status()
		s.print("%d: %v, ballot %s, leader %d, chosen %d, applied %d, slots %d..%d, %s, stalled %v, transfer to %d, left %q", st.ID, st.Role,
			FormatBallot(st.Term), st.Leader, st.Commit, st.Applied, st.FirstIndex, st.LastIndex, show(st.Configuration), st.Stalled, st.TransferTo, st.Left)
		for _, p := range st.Peers {
			s.print("   %d: match %d, next %d, active %v, stalled %v, %d bytes under way", p.ID, p.Match, p.Next, p.Active, p.Stalled, p.Inflight)
		}
	},
}

// parseMessage returns a message for a replica whose chosen prefix is given.
func parseMessage(t *testing.T, chosen Index, args []string) Message {
	b := parseBallot(t, args[1])
	switch args[0] {
	case "Prepare":
		return Prepare{Ballot: b, From: chosen + 1}
	case "Accept":
		return Accept{Ballot: b, Start: chosen + 1, Entries: []Entry{{Term: b, Index: chosen + 1, Data: []byte("x")}}}
	case "Heartbeat":
		return Heartbeat{Ballot: b, Start: chosen + 1}
	case "Nack":
		for r := RefusedPromised; r < reasonsEnd; r++ {
			if r.String() == args[2] {
				return Nack{Ballot: b, Reason: r, Promised: parseBallot(t, args[3])}
			}
		}
	}
	t.Fatalf("unknown message %q", strings.Join(args, " "))
	return nil
}

func parseBallot(t *testing.T, text string) Ballot {
	parts := strings.Split(text, ".")
	return ballot(uint32(number(t, parts[0])), uint32(number(t, parts[1])), int(number(t, parts[2])))
}

// parseMembers reads what show prints: 1v, 2n, 4p, 5p>2, 3v!7, 4vA.
func parseMembers(t *testing.T, args []string) (members []Member) {
	for _, a := range args {
		var m Member
		if head, replaces, ok := strings.Cut(a, ">"); ok {
			a, m.Replaces = head, number(t, replaces)
		}
		if head, priority, ok := strings.Cut(a, "!"); ok {
			a, m.Priority = head, int32(number(t, priority))
		}
		m.ID = number(t, strings.TrimRight(a, "vnpPAL"))
		m.Voter = strings.Contains(a, "v")
		m.Promote = strings.Contains(a, "p")
		for i, r := range "PAL" {
			if strings.ContainsRune(a, r) {
				m.Roles |= consensus.Roles(1) << i
			}
		}
		members = append(members, m)
	}
	return members
}
