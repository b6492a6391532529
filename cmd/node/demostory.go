package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod/api"
)

// story is a demo in acts, each with the events of real processes, what was seen and
// which rules held.
type story struct {
	*app
	rules  map[string]string     // all of them, a plain sentence each
	follow func(context.Context) // shows events until its context ends, after all that has arrived
	count  func() map[string]int // if set, what the act's lines leave out, by process
	save   func() error          // keeps what was recorded
	logs   *lockedBuffer         // what the processes said
	next   string                // what to try after it
	number int                   // of the act that is played
}

// playedAct is what became of one act.
type playedAct struct {
	Title  string       `json:"title"`
	OK     bool         `json:"ok"`
	Millis float64      `json:"ms"`
	Seen   string       `json:"seen"`
	Rules  []ruleInForm `json:"rules"`
	// Heartbeats are not among the events: how many each process has sent.
	Heartbeats map[string]int `json:"heartbeats,omitempty"`
}

// ruleInForm is a rule in a sentence.
type ruleInForm struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

// storyResult is the last line with --output json.
type storyResult struct {
	Pass    bool    `json:"pass"`
	Seconds float64 `json:"seconds"`
	Passed  int     `json:"passed"`
	Acts    int     `json:"acts"`
}

// act is one part of the story: what is done and checked, and the rules that it shows.
type act struct {
	title string
	rules []string
	play  func(context.Context) (string, error)
}

// perform plays the acts until one fails.
func (s *story) perform(ctx context.Context, acts []act) error {
	began := time.Now()
	var played []playedAct
	for i, act := range acts {
		s.number = i + 1
		s.headline(fmt.Sprintf("%d  %s", s.number, act.title))
		p := s.play(ctx, act)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		played = append(played, p)
		s.conclude(p)
		if !p.OK {
			break
		}
	}
	if err := s.save(); err != nil {
		return err
	}
	return s.verdict(played, acts, time.Since(began))
}

// actTime bounds one act: a demo does not hang.
const actTime = time.Minute

// play plays an act while its events are shown.
func (s *story) play(ctx context.Context, a act) playedAct {
	ctx, cancel := context.WithTimeout(ctx, actTime)
	defer cancel()
	showing, done := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.follow(showing)
	}()
	start := time.Now()
	said, err := a.play(ctx)
	p := playedAct{Title: a.title, OK: err == nil, Millis: float64(time.Since(start).Microseconds()) / 1000, Seen: said}
	if err != nil {
		p.Seen = demoReason(err)
	}
	for _, rule := range a.rules {
		p.Rules = append(p.Rules, ruleInForm{rule, s.rules[rule]})
	}
	time.Sleep(2 * settle) // for what the processes have still to tell of this act
	done()
	<-ended
	if s.count != nil {
		p.Heartbeats = s.count()
	}
	return p
}

func (s *story) headline(text string) {
	if s.output == "json" {
		return
	}
	if s.colour() {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	fmt.Fprintf(s.out, "\nAct %s\n", text)
}

// conclude says what was seen and which rules held.
func (s *story) conclude(p playedAct) {
	if s.output == "json" {
		_ = s.line(map[string]any{"act": s.number, "verdict": p})
		return
	}
	word := "seen  "
	if !p.OK {
		word = "FAIL  "
	}
	wrapped(s.out, word, p.Seen)
	for _, name := range sortedKeys(p.Heartbeats) {
		fmt.Fprintf(s.out, "        (%s sent %d heartbeats)\n", name, p.Heartbeats[name])
	}
	for _, r := range p.Rules {
		if p.OK {
			wrapped(s.out, fmt.Sprintf("%-*s  ", s.ruleWidth(), r.Rule), r.Text)
		}
	}
}

// ruleWidth is what the longest name of a rule takes, or a word like FAIL.
func (s *story) ruleWidth() int {
	width := 4
	for rule := range s.rules {
		width = max(width, len(rule))
	}
	return width
}

// wrapped writes a text in lines of at most 80, the first one behind a word.
func wrapped(w io.Writer, word, text string) {
	line := "  " + word
	for _, part := range strings.Fields(text) {
		if len(line)+1+len(part) > 80 {
			fmt.Fprintln(w, line)
			line = strings.Repeat(" ", 8)
		}
		if !strings.HasSuffix(line, " ") {
			line += " "
		}
		line += part
	}
	fmt.Fprintln(w, line)
}

func (s *story) verdict(played []playedAct, acts []act, took time.Duration) error {
	result := storyResult{Acts: len(acts), Seconds: took.Seconds()}
	for _, p := range played {
		if p.OK {
			result.Passed++
		}
	}
	result.Pass = result.Passed == result.Acts
	if s.output == "json" {
		_ = s.line(map[string]any{"result": result})
	} else {
		s.table(played, acts)
		word := "PASS"
		if !result.Pass {
			word = "FAIL"
		}
		fmt.Fprintf(s.out, "%s  %d of %d acts in %.1f s\n", word, result.Passed, result.Acts, result.Seconds)
	}
	if !result.Pass {
		s.hint("what the processes said last:\n%s", s.logs.tail())
		return silent(api.CodeDemo.Info().Exit)
	}
	s.hint("Next:  %s %s", s.program, s.next)
	return nil
}

func (s *story) table(played []playedAct, acts []act) {
	fmt.Fprintln(s.out)
	rows := [][]string{{"ACT", "", "", "RULES"}}
	for i, a := range acts {
		word := "not played"
		if i < len(played) {
			word = fmt.Sprintf("ok   %4.1f s", played[i].Millis/1000)
			if !played[i].OK {
				word = "FAIL"
			}
		}
		rows = append(rows, []string{strconv.Itoa(i + 1), a.title, word, strings.Join(a.rules, " ")})
	}
	columns(s.out, rows)
}
