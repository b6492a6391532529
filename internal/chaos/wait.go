package chaos

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// pollEvery is how often a condition of the world is looked at that nobody
// announces.
const pollEvery = 5 * time.Millisecond

// fatal marks an error after which waiting is pointless.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// poll repeats f until it returns nil or a fatal error, for at most limit, and
// returns its last error.
func poll(limit time.Duration, f func() error) error { return pollEach(pollEvery, limit, f) }

// pollEach is poll for what is not to be done as often: starting a process takes a core from those that it asks about.
func pollEach(every, limit time.Duration, f func() error) error {
	deadline := time.After(limit)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := f()
		if _, pointless := errors.AsType[fatal](err); err == nil || pointless {
			return err
		}
		select {
		case <-deadline:
			return fmt.Errorf("not within %v: %w", limit, err)
		case <-tick.C:
		}
	}
}

// lines yields the lines of text.
func lines(text string) iter.Seq[string] { return strings.SplitSeq(text, "\n") }
