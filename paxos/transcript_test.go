package paxos

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
// the roles did, up to an empty line. Lines that begin with # are comments.
// With -update the output is rewritten; read the diff.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d transcripts (error %v), want at least 10", len(files), err)
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
				t.Errorf("%s: got\n%s\nRun go test ./paxos -run Transcripts -update and read the diff.", file, firstDifference(string(want), string(got)))
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

func (s *transcript) run(t *testing.T, words []string) {
	name, args := words[0], words[1:]
	if name == "quietly" {
		s.quiet = true
		defer func() { s.quiet = false }()
		name, args = args[0], args[1:]
	}
	switch command, ok := groupCommands[name]; {
	case ok:
		command(t, s, args)
	case nodeCommands[name] != nil && len(args) > 0:
		nodeCommands[name](t, s, s.node(number(t, args[0])), args[1:])
	default:
		t.Fatalf("unknown command %q", words)
	}
}

func number(t *testing.T, text string) ID {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%q is not a number", text)
	}
	return ID(n)
}

func numbers(t *testing.T, text string) (ids []ID) {
	for _, s := range strings.Split(text, ",") {
		ids = append(ids, number(t, s))
	}
	return ids
}

// groupCommands concern all nodes.
var groupCommands = map[string]func(*testing.T, *transcript, []string){
	// nodes acceptors=1,2,3 proposers=7 learners=21,22 [scheme=one distinguished=22]
	"nodes": func(t *testing.T, s *transcript, args []string) {
		var c setup
		for _, a := range args {
			key, value, _ := strings.Cut(a, "=")
			switch key {
			case "acceptors":
				c.acceptors = numbers(t, value)
			case "proposers":
				c.proposers = numbers(t, value)
			case "learners":
				c.learners = numbers(t, value)
			case "distinguished":
				c.distinguished = numbers(t, value)
			case "scheme":
				c.scheme = Scheme(slices.Index([]string{"all", "one", "some"}, value))
			default:
				t.Fatalf("unknown setting %q", key)
			}
		}
		s.network = newNetwork(t, c)
		s.network.print = func(format string, args ...any) {
			if !s.quiet {
				fmt.Fprintf(&s.out, format+"\n", args...)
			}
		}
	},
	// stabilize: messages arrive until none is under way.
	"stabilize": func(_ *testing.T, s *transcript, _ []string) {
		for len(s.queue) > 0 {
			p := s.queue[0]
			s.queue = s.queue[1:]
			s.hand(p)
		}
	},
	// deliver [FROM [TO]]: the messages under way now arrive; 0 is everyone.
	"deliver": func(t *testing.T, s *transcript, args []string) {
		for _, p := range s.take(t, args) {
			s.hand(p)
		}
	},
	// drop [FROM [TO]]: they are lost.
	"drop": func(t *testing.T, s *transcript, args []string) { s.take(t, args) },
	// repeat [FROM [TO]]: they will arrive twice.
	"repeat": func(t *testing.T, s *transcript, args []string) {
		taken := s.take(t, args)
		s.queue = slices.Concat(s.queue, taken, taken)
	},
	// tick 100ms: time passes; nothing arrives.
	"tick": func(t *testing.T, s *transcript, args []string) {
		d, err := time.ParseDuration(args[0])
		if err != nil {
			t.Fatal(err)
		}
		for end := s.now + Time(d); s.tick(end); {
		}
	},
	// next: time passes up to the next deadline.
	"next": func(_ *testing.T, s *transcript, _ []string) { s.tick(never - 1) },
}

// take takes messages out of the network.
func (s *transcript) take(t *testing.T, args []string) (taken []packet) {
	var from, to ID
	if len(args) > 0 {
		from = number(t, args[0])
	}
	if len(args) > 1 {
		to = number(t, args[1])
	}
	s.queue = slices.DeleteFunc(s.queue, func(p packet) bool {
		matches := (from == None || p.from == from) && (to == None || p.to == to)
		if matches {
			taken = append(taken, p)
		}
		return matches
	})
	return taken
}

// nodeCommands concern the node that is their first argument.
var nodeCommands = map[string]func(*testing.T, *transcript, *node, []string){
	"propose": func(t *testing.T, s *transcript, n *node, args []string) {
		out, err := n.proposer.Propose(s.now, Value(args[0]))
		if err != nil {
			t.Fatal(err)
		}
		n.carryOut("proposer", out)
	},
	"finish": func(t *testing.T, s *transcript, n *node, _ []string) {
		out, err := n.proposer.Finish(s.now)
		if err != nil {
			t.Fatal(err)
		}
		n.carryOut("proposer", out)
	},
	"give-up": func(_ *testing.T, s *transcript, n *node, _ []string) {
		n.carryOut("proposer", n.proposer.GiveUp(s.now))
	},
	// distinguish N M: N is told that M is the distinguished proposer.
	"distinguish": func(t *testing.T, s *transcript, n *node, args []string) {
		n.carryOut("proposer", n.proposer.Distinguish(s.now, number(t, args[0])))
	},
	"crash":   func(_ *testing.T, _ *transcript, n *node, _ []string) { n.crash() },
	"restart": func(_ *testing.T, _ *transcript, n *node, _ []string) { n.start() },
	// break N: the disk of N fails.
	"break": func(_ *testing.T, _ *transcript, n *node, _ []string) { n.brokenDisk = true },
	// forge N accept ROUND VALUE: N's proposer is broken and sends this to all acceptors.
	"forge": func(t *testing.T, s *transcript, n *node, args []string) {
		b := Ballot{uint64(number(t, args[1])), n.id}
		for _, id := range n.acceptors {
			s.queue = append(s.queue, packet{n.id, id, Accept{b, Value(args[2])}})
		}
	},
}
