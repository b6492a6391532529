package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/synod-go/synod/internal/docker"
)

// maxTailLines bounds how many ends of lines are remembered to find the last ones.
const maxTailLines = 1 << 20

// keepLogs copies what a container has written into its run directory.
func (d *dockerContainerizer) keepLogs(ctx context.Context, at place) error {
	for _, stream := range []LogStream{"stdout", "stderr"} {
		name := at.paths.log(stream)
		f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		err = d.engine.Logs(ctx, at.id.String(), string(stream), false, f)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return errors.Join(err, os.Remove(name+".new"))
		}
		if err := os.Rename(name+".new", name); err != nil {
			return err
		}
	}
	return nil
}

// logs asks the engine while the container runs. Afterwards they are in the run directory. A follower of a log that is rotated
// while the engine is away misses what was rotated away, and as much again.
func (d *dockerContainerizer) logs(ctx context.Context, at place, o LogOptions, w io.Writer) error {
	if _, err := os.Stat(at.paths.dir); err != nil {
		return ErrNoContainer
	}
	if d.engine == nil || at.paths.has(exitFile) && at.paths.has(string(o.Stream)) {
		return d.h.savedLogs(ctx, at, o, w)
	}
	ctx, _, done, err := d.use(ctx, at.id)
	if err != nil {
		return err
	}
	defer done()
	l := &engineLog{d: d, at: at, o: o, w: w}
	if err := l.seek(ctx); err != nil {
		return err
	}
	if o.Begin != nil {
		o.Begin(l.offset)
	}
	if !o.Follow {
		return l.once(ctx, false)
	}
	return l.follow(ctx)
}

// engineLog writes a log that the engine has.
type engineLog struct {
	d  *dockerContainerizer
	at place
	o  LogOptions
	w  io.Writer
	// offset is that of what is to be written next.
	offset int64
}

// seek finds where it begins.
func (l *engineLog) seek(ctx context.Context) error {
	if l.o.Tail < 0 || l.o.Tail == 0 && l.o.From <= 0 {
		return nil
	}
	tail := min(l.o.Tail, maxTailLines)
	lines := &lineEnds{most: tail + 1}
	err := l.d.engine.Logs(ctx, l.at.id.String(), string(l.o.Stream), false, lines)
	if err != nil && !errors.Is(err, docker.ErrNoContainer) {
		return err
	}
	if tail > 0 {
		l.offset = lines.tail(tail)
	} else {
		l.offset = min(l.o.From, lines.bytes)
	}
	return nil
}

// once writes what there is from the offset on, with follow until the container ends.
func (l *engineLog) once(ctx context.Context, follow bool) error {
	from := &skipping{skip: l.offset, w: l.w}
	err := l.d.engine.Logs(ctx, l.at.id.String(), string(l.o.Stream), follow, from)
	l.offset += from.written
	switch {
	case from.err != nil:
		return from.err
	case errors.Is(err, docker.ErrNoContainer), follow && errors.Is(err, docker.ErrNoEngine):
		return nil // it is not made yet, or has been removed; or one comes
	}
	return err
}

// follow goes on until the container has ended, also if the engine goes away and comes back.
func (l *engineLog) follow(ctx context.Context) error {
	for looks := 1; ; looks++ {
		over := l.d.h.hasEnded(l.at.id) || looks%askEvery == 0 && !l.d.h.living().running(l.at.id)
		if _, err := os.Stat(l.at.paths.dir); err != nil {
			return nil
		}
		if over && l.at.paths.has(string(l.o.Stream)) {
			return l.d.h.savedLogs(ctx, l.at, LogOptions{Stream: l.o.Stream, From: l.offset}, l.w)
		}
		if err := l.once(ctx, !over); err != nil || over {
			return err
		}
		pause(ctx, min(logPause*time.Duration(looks), enginePause))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// skipping leaves the first bytes out.
type skipping struct {
	skip, written int64
	w             io.Writer
	err           error // of w
}

func (s *skipping) Write(p []byte) (int, error) {
	n := min(s.skip, int64(len(p)))
	s.skip -= n
	if n == int64(len(p)) {
		return len(p), nil
	}
	wrote, err := s.w.Write(p[n:])
	s.written += int64(wrote)
	if err != nil {
		s.err = err
		return int(n) + wrote, err
	}
	return len(p), nil
}

// lineEnds remembers where the last lines end.
type lineEnds struct {
	most  int
	bytes int64
	ends  []int64 // behind each line feed, the last ones
}

func (l *lineEnds) Write(p []byte) (int, error) {
	for i, b := range p {
		if b == '\n' {
			l.ends = append(l.ends, l.bytes+int64(i)+1)
			if len(l.ends) >= 2*l.most {
				l.ends = append(l.ends[:0], l.ends[len(l.ends)-l.most:]...)
			}
		}
	}
	l.bytes += int64(len(p))
	return len(p), nil
}

// tail is where so many lines before the end begin. What is behind the last line feed is a line.
func (l *lineEnds) tail(lines int) int64 {
	begins := l.ends
	if n := len(begins); n > 0 && begins[n-1] == l.bytes {
		begins = begins[:n-1] // nothing is behind it
	}
	if len(begins) < lines {
		return 0
	}
	return begins[len(begins)-lines]
}
