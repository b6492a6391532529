package api

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxQueued and maxQueuedBytes bound what waits for the function of a watch. When it is
	// too slow the watch rests, and later goes on where it was.
	maxQueued      = 1024
	maxQueuedBytes = 4 << 20
)

// sessionWatcher is one watch of a session. Guarded by Session.mu.
type sessionWatcher struct {
	number uint64 // on the wire; a new one each time it begins anew
	path   string
	scope  string
	once   bool

	// after is the index up to which everything has come, if known is set. at is the index
	// of which part has come, delivered the changes of it, and again those of them that may
	// come again: all do that nobody has hidden meanwhile.
	after, at        uint64
	known            bool
	delivered, again []told
	acknowledged     bool // by the node at the other end of the present connection

	queue  []Change
	bytes  int
	busy   bool // its function runs
	rests  bool
	ended  bool
	err    error
	awaken chan struct{}
}

// Watch calls f with the changes around path, in order, one after the other, until ctx or the
// session ends or f returns an error, which it returns. It goes over the session's own
// connection; when that is made again, at whichever node, it goes on where it was: nothing is
// missed and nothing comes twice. Errors are those of Client.Watch, CodeSession, and CodeOverloaded
// when the session has 1024 watches.
func (s *Session) Watch(ctx context.Context, path string, o WatchOptions, f func(Change) error) error {
	scope, err := o.scope()
	path = strings.TrimPrefix(path, "/")
	if path != "" || scope == "node" {
		err = cmpError(err, checkPath(path))
	}
	if err != nil {
		return err
	}
	w := &sessionWatcher{path: path, scope: scope, once: o.Once, awaken: make(chan struct{}, 1)}
	if o.From > 0 {
		w.after, w.known = o.From-1, true
	}
	s.mu.Lock()
	full := s.watching == maxSessionWatches
	if !full {
		s.watching++
	}
	s.mu.Unlock()
	if full { // a node would end the connection
		return &Error{Code: CodeOverloaded, Message: "the session has too many watches", Why: "the limit is " + strconv.Itoa(maxSessionWatches)}
	}
	s.start(w)
	defer s.finish(w)
	for {
		change, more, err := s.next(ctx, w)
		if err != nil || !more {
			return err
		}
		if err := f(change); err != nil {
			return err
		}
	}
}

func cmpError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// scope is what the options watch, by name.
func (o WatchOptions) scope() (string, error) {
	switch {
	case o.Recursive && o.Children:
		return "", badRequest("Recursive and Children exclude each other", "children are part of everything below")
	case o.Recursive:
		return "tree", nil
	case o.Children:
		return "children", nil
	}
	return "node", nil
}

// start begins a watch, or begins it anew.
func (s *Session) start(w *sessionWatcher) {
	s.mu.Lock()
	s.lastWatch++
	w.number, w.rests = s.lastWatch, false
	s.watches[w.number] = w
	link, line := s.link, w.resume()
	s.mu.Unlock()
	if link != nil {
		link.send(line)
	}
}

// finish ends a watch.
func (s *Session) finish(w *sessionWatcher) {
	s.mu.Lock()
	watched := s.watches[w.number] == w
	delete(s.watches, w.number)
	s.watching--
	w.ended = true
	link := s.link
	s.mu.Unlock()
	s.news.raise()
	if watched && link != nil {
		link.send(unwatchLine(w.number))
	}
}

func unwatchLine(number uint64) []byte {
	line, _ := json.Marshal(sessionLineJSON{Unwatch: &number}) // a number always encodes
	return append(line, '\n')
}

// resume is the line that begins the watch where it is.
func (w *sessionWatcher) resume() []byte {
	line := sessionLineJSON{Watch: &w.number, Path: w.path, Scope: w.scope, Once: w.once}
	w.acknowledged, w.again = false, nil
	switch {
	case w.at > w.after && len(w.delivered) > 0:
		line.From, w.again = w.at, w.delivered
	case w.known:
		line.From = w.after + 1
	}
	text, _ := json.Marshal(line) // text and numbers always encode
	return append(text, '\n')
}

// resumeLocked are the lines that begin all watches on a new connection.
func (s *Session) resumeLocked() (lines []byte) {
	for _, w := range s.watches {
		lines = append(lines, w.resume()...)
	}
	return lines
}

// next waits for the next change; without more the watch has ended well.
func (s *Session) next(ctx context.Context, w *sessionWatcher) (change Change, more bool, err error) {
	for {
		s.mu.Lock()
		w.busy = false
		switch {
		case len(w.queue) > 0 && s.err == nil:
			change, w.queue, w.busy = w.queue[0], w.queue[1:], true
			w.bytes -= len(change.Value)
			s.mu.Unlock()
			s.news.raise()
			return change, true, ctx.Err()
		case w.ended:
			err := w.err
			s.mu.Unlock()
			return change, false, err
		}
		rests := w.rests
		s.mu.Unlock()
		if rests {
			s.start(w)
		}
		select {
		case <-w.awaken:
		case <-ctx.Done():
			return change, false, ctx.Err()
		case <-s.lost:
			return change, false, s.Err()
		}
	}
}

func (w *sessionWatcher) wake() {
	select {
	case w.awaken <- struct{}{}:
	default: // it is awake
	}
}

// onWatchLine takes note of what a node says about watches.
func (s *Session) onWatchLine(link *sessionLink, line nodeLine) {
	s.mu.Lock()
	var tired []byte
	switch {
	case s.link != link: // another connection goes on
	case line.Change != nil:
		for _, number := range line.Watch {
			if w := s.watches[number]; w != nil && !w.take(*line.Change) {
				w.rests = true
				delete(s.watches, number)
				tired = append(tired, unwatchLine(number)...)
			}
		}
	case line.Watching != nil:
		if w := s.watches[*line.Watching]; w != nil {
			w.acknowledged = true
			if !w.known {
				w.after, w.known = line.Index, true
			}
		}
	case line.Synced != nil:
		s.reachedLocked(*line.Synced)
	case line.Unwatched != nil:
		if w := s.watches[*line.Unwatched]; w != nil {
			w.ended = true
			if line.Error != nil {
				w.err = line.Error
			}
			delete(s.watches, *line.Unwatched)
			w.wake()
		}
	}
	s.mu.Unlock()
	s.news.raise()
	if tired != nil {
		link.send(tired)
	}
}

// take queues a change, unless it has come before. It reports false when that was the last
// that there was room for.
func (w *sessionWatcher) take(c Change) bool {
	this := told{c.Kind, c.Path, c.Version}
	switch i := slices.Index(w.again, this); {
	case c.Index != w.at:
		if w.whole(); w.ended {
			return true
		}
		w.after, w.at, w.known = max(w.after, w.at), c.Index, true
	case i >= 0:
		w.again = w.again[i+1:]
		return true
	}
	w.delivered = append(w.delivered, this)
	w.queue = append(w.queue, c)
	w.bytes += len(c.Value)
	w.wake()
	return len(w.queue) < maxQueued && w.bytes < maxQueuedBytes
}

// whole notes that the index of which a part has come is complete: its rest may be hidden
// now, and then the node does not know that a watch for once has had its changes.
func (w *sessionWatcher) whole() {
	if w.once && len(w.delivered) > 0 {
		w.ended = true
		w.wake()
	}
	w.delivered, w.again = w.delivered[:0], nil
}

// reachedLocked notes that all changes up to an index have come, of the watches that the
// node knows of.
func (s *Session) reachedLocked(index uint64) {
	for _, w := range s.watches {
		if w.acknowledged && index > w.after && index >= w.at {
			w.whole()
			w.after, w.at = index, 0
		}
	}
}

// barrier waits until every watch has been told all changes up to an index, unless its
// function runs. It ends with the session too.
func (s *Session) barrier(ctx context.Context, index uint64) error {
	type question struct {
		link  *sessionLink
		watch uint64 // the last one that it was meant of
	}
	var asked question
	for index > 0 {
		news := s.news.wait()
		s.mu.Lock()
		done := s.err != nil || s.toldLocked(index)
		ask := question{s.link, s.lastWatch}
		ready := s.link != nil && s.heardLocked(index)
		s.mu.Unlock()
		if done {
			return nil
		}
		if ready && ask != asked {
			asked = ask
			line, _ := json.Marshal(sessionLineJSON{Sync: &index}) // a number always encodes
			ask.link.send(append(line, '\n'))
		}
		select {
		case <-news:
		case <-ctx.Done():
			return &Error{Code: CodeUnknown, Message: "it was done, but the session's watches have not been told yet",
				Why: Reason(ctx.Err())}
		}
	}
	return nil
}

// heardLocked reports whether the node has taken note of every watch that has not been told
// all changes up to an index: its answer to a sync is not meant of others.
func (s *Session) heardLocked(index uint64) bool {
	for _, w := range s.watches {
		if w.known && w.after < index && !w.acknowledged {
			return false
		}
	}
	return true
}

func (s *Session) toldLocked(index uint64) bool {
	for _, w := range s.watches {
		if w.known && w.after < index || len(w.queue) > 0 && !w.busy {
			return false
		}
	}
	return true
}
