package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// warnings is a log handler that keeps the warnings.
type warnings struct {
	mu    sync.Mutex
	lines []string
	came  chan struct{} // cap 1
}

func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w *warnings) WithGroup(string) slog.Handler            { return w }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return nil
	}
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	w.mu.Lock()
	w.lines = append(w.lines, line)
	w.mu.Unlock()
	select {
	case w.came <- struct{}{}:
	default:
	}
	return nil
}

func (w *warnings) with(text string) (some []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range w.lines {
		if strings.Contains(line, text) {
			some = append(some, line)
		}
	}
	return some
}

func TestAKeyThatDoesNotFitIsToldOnce(t *testing.T) {
	one, two := [][]byte{bytes.Repeat([]byte{1}, 32)}, [][]byte{bytes.Repeat([]byte{2}, 32)}
	for _, test := range []struct {
		name         string
		seed, joiner [][]byte
	}{{"another key", one, two}, {"no key", one, nil}, {"a key where none is used", nil, one}} {
		t.Run(test.name, func(t *testing.T) {
			seed := startGossip(t, 1, func(c *GossipConfig) { c.Keys = test.seed })
			log := &warnings{came: make(chan struct{}, 1)}
			joiner := startGossip(t, 2, func(c *GossipConfig) {
				c.Keys, c.Seeds, c.Logger = test.joiner, []string{seed.Addr()}, slog.New(log)
			})
			for timeout := time.After(20 * time.Second); len(log.with("give all nodes the same one")) == 0; {
				select {
				case <-log.came:
				case <-timeout:
					t.Fatalf("not told: %q", log.lines)
				}
			}
			if _, err := joiner.Join(seed.Addr()); err == nil {
				t.Fatal("joined")
			}
			if told := log.with("give all nodes the same one"); len(told) != 1 || !strings.Contains(told[0], seed.Addr()) {
				t.Fatalf("told %q, want once, with %s", told, seed.Addr())
			}
		})
	}
}

func TestNoiseDoesNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &warnings{}
		l := &gossipLog{log: slog.New(log), told: map[string]*told{}}
		line := func(format string, args ...any) { _, _ = fmt.Fprintf(l, format+"\n", args...) }
		for i := range 500 {
			line("[ERR] memberlist: msg type (%d) not supported from=10.0.0.%d:9", i%256, i%200)
			line("[ERR] memberlist: discarding packet with unacceptable label %q: from=10.0.0.1:%d", fmt.Sprint("l", i), i)
			line("[WARN] memberlist: Refuting a suspect message (from: n1/1)")
			line("[DEBUG] memberlist: Stream connection from=10.0.0.1:%d", i)
		}
		if len(log.lines) != 2 {
			t.Fatalf("%d warnings of two texts: %q", len(log.lines), log.lines)
		}
		time.Sleep(gossipLogEvery)
		line("[ERR] memberlist: msg type (7) not supported from=10.0.0.1:9")
		if last := log.lines[len(log.lines)-1]; len(log.lines) != 3 || !strings.Contains(last, "suppressed=499") {
			t.Fatalf("after a second: %q, want one more, with those left out", log.lines)
		}
		time.Sleep(gossipLogEvery)
		for i := range 10 * maxTexts { // texts that a sender makes up
			line("[WARN] memberlist: Rejected node %s", strings.Repeat("x", i))
		}
		if got := len(log.lines) - 3; got > maxTexts+1 || len(l.told) > maxTexts+1 {
			t.Fatalf("%d lines of made-up texts, %d remembered; want at most %d", got, len(l.told), maxTexts+1)
		}
	})
}

func TestAClosingGossipDoesNotComplainOfItsSockets(t *testing.T) {
	log, closing := &warnings{}, make(chan struct{})
	l := &gossipLog{log: slog.New(log), closing: closing, told: map[string]*told{}}
	write := func() {
		_, _ = fmt.Fprintln(l, "[ERR] memberlist: Error reading UDP packet: read udp 127.0.0.1:1: use of closed network connection")
	}
	write()
	close(closing)
	write()
	l.told = map[string]*told{}
	write()
	if len(log.lines) != 1 {
		t.Fatalf("warnings %q, want the one before the end", log.lines)
	}
}
