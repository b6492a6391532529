package api

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestASessionsWatchGoesOnAmidAnIndexWhateverIsHiddenMeanwhile(t *testing.T) {
	for _, test := range []struct {
		name  string
		once  bool
		parts []string // each over a connection of its own
		want  string
	}{
		{"all comes again", false, []string{"5:a 5:b", "5:a 5:b 5:c 6:d"}, "5:a 5:b 5:c 6:d"},
		{"again and again", false, []string{"5:a", "5:a 5:b", "5:a", "5:a 5:b 5:c"}, "5:a 5:b 5:c"},
		{"some hidden", false, []string{"5:a 5:b", "5:b 5:c"}, "5:a 5:b 5:c"},
		{"all hidden", false, []string{"5:a 5:b", "6:a 6:c"}, "5:a 5:b 6:a 6:c"},
		{"shown meanwhile", false, []string{"5:b", "5:a 5:b 5:c"}, "5:b 5:a 5:c"},
		{"the same twice", false, []string{"5:a", "5:a 5:a"}, "5:a 5:a"},
		{"once", true, []string{"5:a", "5:a 5:b"}, "5:a 5:b"},
		{"once, the rest hidden", true, []string{"5:a", "6:b 6:c"}, "5:a, ended"},
	} {
		w := &sessionWatcher{after: 4, known: true, once: test.once, awaken: make(chan struct{}, 1)}
		for _, part := range test.parts {
			w.resume()
			for word := range strings.FieldsSeq(part) {
				c := Change{Kind: "created"}
				fmt.Sscanf(word, "%d:%s", &c.Index, &c.Path) // as it is written above
				w.take(c)
			}
		}
		var got []string
		for _, c := range w.queue {
			got = append(got, fmt.Sprintf("%d:%s", c.Index, c.Path))
		}
		told := strings.Join(got, " ")
		if w.ended {
			told += ", ended"
		}
		if told != test.want {
			t.Errorf("%s: told %q, want %q", test.name, told, test.want)
		}
	}
}

// loneSession is a session that nothing runs for.
func loneSession(t *testing.T) *Session {
	t.Helper()
	s, err := newTestClient(t, deadAddress(t)).newSession(openedJSON{Session: 1, Timeout: "1h", Linger: "1h"}, newPassword())
	if err != nil {
		t.Fatal(err)
	}
	s.alarm, s.until = time.AfterFunc(time.Hour, s.ring), clock()+time.Hour
	t.Cleanup(func() { s.lose(sessionClosed(), false) })
	return s
}

func TestAWatchForOnceEndsWhenASignTellsThatItsIndexIsPast(t *testing.T) {
	s, link := loneSession(t), &sessionLink{}
	w := &sessionWatcher{number: 1, after: 4, known: true, once: true, acknowledged: true, awaken: make(chan struct{}, 1)}
	s.link, s.watches[1] = link, w
	s.onAlive(link, nodeLine{Alive: new(uint64(1)), Index: 4})
	if w.ended {
		t.Fatal("the watch has ended before anything came")
	}
	w.take(Change{Kind: "created", Path: "a", Index: 5})
	w.resume()
	w.acknowledged = true // the node at the other end tells nothing of index 5: it is hidden now
	s.onAlive(link, nodeLine{Alive: new(uint64(2)), Index: 5})
	if !w.ended || len(w.queue) != 1 {
		t.Errorf("the watch has ended: %t, with %d changes, want 1", w.ended, len(w.queue))
	}
}

// prompt is a node that answers a sync at once.
type prompt struct {
	net.Conn
	answer func()
}

func (p prompt) SetWriteDeadline(time.Time) error { return nil }

func (p prompt) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte(`{"sync":`)) {
		p.answer()
	}
	return len(line), nil
}

// The answer to a sync is meant of the watches alone that the node has begun: one that it came
// before would be waited for until the next sign of life.
func TestAnAnswerWaitsForWatchesThatTheNodeTakesNoteOfLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, link := loneSession(t), &sessionLink{}
		at := uint64(5)
		link.conn = prompt{answer: func() { s.onWatchLine(link, nodeLine{Synced: &at}) }}
		early, late := &sessionWatcher{number: 1, after: 3, known: true}, &sessionWatcher{number: 2, after: 3, known: true}
		s.link, s.watches[1], s.lastWatch = link, early, 1
		told := make(chan error, 1)
		go func() { told <- s.barrier(context.Background(), at) }()
		synctest.Wait() // the barrier waits
		s.mu.Lock()
		s.watches[2], s.lastWatch = late, 2
		s.mu.Unlock()
		for _, w := range []*sessionWatcher{early, late} {
			if len(told) > 0 {
				t.Fatalf("watch %d is not begun, and the answer has not waited", w.number)
			}
			s.onWatchLine(link, nodeLine{Watching: &w.number, Index: 3})
			synctest.Wait()
		}
		select {
		case err := <-told:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the answer waits though the node tells how far both watches are")
			s.lose(sessionClosed(), false) // the barrier ends
		}
	})
}
