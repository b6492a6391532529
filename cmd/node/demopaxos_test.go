package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/internal/sim/flight"
	"github.com/synod-go/synod/paxos"
)

// cmdAlterVote changes the value of the first vote that a recording tells of.
func cmdAlterVote(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	events, err := readRecording(file)
	ts.Check(err)
	i := slices.IndexFunc(events, func(e synod.DecreeEvent) bool { return e.Kind == "accepted" && !e.Received && !e.Ballot.IsZero() })
	if i < 0 {
		ts.Fatalf("%s tells of no vote", args[0])
	}
	events[i].Value = []byte("altered")
	var out bytes.Buffer
	ts.Check(decree.WriteRecording(&out, events))
	ts.Check(os.WriteFile(file, out.Bytes(), 0o600))
}

// TestDemoPaxosAsJSON: each line is one object of the three that docs/cli.md tells of,
// and the recording is the same in fresh cores.
func TestDemoPaxosAsJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("starts eight processes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "flight.jsonl")
	cmd := self(t, ctx, "demo", "paxos", "--output", "json", "--recording", file)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, lastLines(string(out), 40))
	}
	var acts, events int
	var result storyResult
	for text := range strings.Lines(string(out)) {
		var line struct {
			Act     int
			Event   *synod.DecreeEvent
			Verdict *playedAct
			Result  *storyResult
		}
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&line); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		switch {
		case line.Event != nil:
			events++
		case line.Verdict != nil && line.Verdict.OK && line.Verdict.Seen != "" && len(line.Verdict.Rules) > 0:
			acts++
		case line.Result != nil:
			result = *line.Result
		default:
			t.Errorf("line %q tells of nothing", text)
		}
	}
	if !result.Pass || result.Acts != acts || acts != 9 || events < 100 {
		t.Errorf("%d acts and %d events before %+v, want 9 acts, all passed", acts, events, result)
	}
	recorded, err := readRecording(file)
	if err != nil {
		t.Fatal(err)
	}
	if report := flight.Replay(recorded); len(report.Findings) > 0 || report.Compared < 100 {
		t.Errorf("replayed: %+v", report)
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func TestADemoInWhichSomethingElseIsSeenFails(t *testing.T) {
	var out, hints bytes.Buffer
	d := &story{app: &app{program: "node", out: &out, err: &hints}, rules: ruleTexts, logs: &lockedBuffer{},
		follow: func(context.Context) {}, save: func() error { return nil }}
	acts := []act{
		{"first", []string{"P3"}, func(context.Context) (string, error) { return "as it must be", nil }},
		{"second", []string{"L1"}, func(context.Context) (string, error) { return "", expect(false, "two values are chosen") }},
		{"third", []string{"P3"}, func(context.Context) (string, error) { return "", nil }},
	}
	err := d.perform(t.Context(), acts)
	if code, is := errors.AsType[silent](err); !is || code != 1 {
		t.Errorf("%v, want exit code 1", err)
	}
	for _, want := range []string{"FAIL  not as it must be: two values are chosen", "P3    A ballot has one value.", "FAIL  1 of 3 acts", "not played"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestEveryRuleOfAnActHasASentence(t *testing.T) {
	d := &paxosDemo{council: &council{acceptors: []string{"a1", "a2", "a3"}}}
	used := map[string]bool{}
	for _, a := range d.acts() {
		for _, rule := range a.rules {
			used[rule] = true
			if ruleTexts[rule] == "" {
				t.Errorf("%s shows rule %s, of which nothing is said", a.title, rule)
			}
		}
	}
	for rule := range ruleTexts {
		if !used[rule] {
			t.Errorf("no act shows rule %s", rule)
		}
	}
}

func TestHeldMessagesLeaveInTheirOrderWhenNothingHoldsThem(t *testing.T) {
	var f faults
	var sent []string
	send := func(kind, to string) {
		f.intercept(leaving{kind: kind, to: to, decree: "x"}, func() { sent = append(sent, kind+" "+to) })
	}
	f.set([]fault{{Do: "hold", Kind: "accept"}, {Do: "lose", To: "a2"}}, false)
	for _, to := range []string{"a1", "a2"} {
		send("prepare", to)
		send("accept", to)
	}
	if want := []string{"prepare a1"}; !slices.Equal(sent, want) {
		t.Fatalf("sent %q, want %q", sent, want)
	}
	f.set([]fault{{Do: "hold", Kind: "accept", To: "a2"}}, false)
	f.set([]fault{{Do: "hold"}}, true)
	send("prepare", "a3")
	if want := []string{"prepare a1", "accept a1", "accept a2"}; !slices.Equal(sent, want) {
		t.Fatalf("sent %q, want %q", sent, want)
	}
	f.set([]fault{{Do: "lose"}}, false)
	f.set(nil, false)
	if len(sent) != 3 {
		t.Errorf("what was lost was sent: %q", sent)
	}
}

func TestEventsAreLinesOfEightyColumns(t *testing.T) {
	var out bytes.Buffer
	began := time.Unix(1000, 0)
	l := &eventLines{out: &out, names: map[uint64]string{}, began: began}
	b := paxos.Ballot{Round: 65601, Node: 1}
	at := func(ms int, e synod.DecreeEvent) {
		e.Time, e.Decree = began.Add(time.Duration(ms)*time.Millisecond), "colour"
		l.add(e)
	}
	for _, to := range []string{"a1", "a2"} {
		at(1, synod.DecreeEvent{Node: 1, Name: "p1", Role: synod.RoleProposer, Kind: "prepare", Ballot: b, FromName: "p1", ToName: to})
		at(2, synod.DecreeEvent{Node: 2, Name: to, Role: synod.RoleAcceptor, Kind: "prepare", Ballot: b, Received: true})
	}
	at(3, synod.DecreeEvent{Node: 2, Name: "a1", Role: synod.RoleAcceptor, Kind: "promise", Ballot: b, ToName: "p1", Other: paxos.Ballot{Round: 3, Node: 1},
		Value: []byte("a value of many words")})
	at(4, synod.DecreeEvent{Node: 2, Name: "a1", Role: synod.RoleAcceptor, Kind: "nack", Ballot: b, ToName: "p1", Other: b})
	for i := range 3 {
		l.flush()
		at(100*i+100, synod.DecreeEvent{Node: 1, Name: "p1", Role: synod.RoleProposer, Kind: "prepare", Ballot: b, ToName: "a2"})
	}
	l.flush()
	want := `         decree "colour"
  0.001  p1  prepare  65601.p1            to a1 a2
  0.003  a1  promise  65601.p1            to p1: voted "a value of" in 3.p1
  0.004  a1  nack     65601.p1            to p1: 65601.p1 is promised
  0.100  p1  prepare  65601.p1            again to a2
`
	if out.String() != want {
		t.Errorf("lines\n%s\nwant\n%s", out.String(), want)
	}
}
