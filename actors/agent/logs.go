package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/synod-go/synod/mesos"
)

// LogStream is one of a task's logs: "stdout" or "stderr".
type LogStream string

// LogOptions say which part of a log is wanted.
type LogOptions struct {
	Stream LogStream
	// Tail begins that many lines before the end; negative: at the beginning. From is the
	// offset in bytes, of what is kept, at which it begins, if Tail is 0.
	Tail int
	From int64
	// Follow goes on until the container has ended and all is written, or ctx ends.
	Follow bool
	// Begin, if set, is told the offset of the first byte before that is written.
	Begin func(offset int64)
}

// logPause is how often a log is looked at that is followed, askEvery how many looks later the
// agent is asked whether the container has ended: one may without having written how.
const (
	logPause = 50 * time.Millisecond
	askEvery = 20
)

// Logs writes a container's log to w: of one that was rotated the older file first. A follower
// that is slower than two rotations misses what was rotated away.
func (h *Handle) Logs(ctx context.Context, c mesos.ContainerID, o LogOptions, w io.Writer) error {
	if o.Stream != "stdout" && o.Stream != "stderr" {
		return fmt.Errorf("%w: there is no log %q", ErrNoFile, o.Stream)
	}
	at := h.at(c)
	return at.containerizer.logs(ctx, at.place, o, w)
}

// savedLogs writes a log that is in the run directory.
func (h *Handle) savedLogs(ctx context.Context, at place, o LogOptions, w io.Writer) error {
	c, p := at.id, at.paths
	l := &logReader{p: p, stream: o.Stream, w: w}
	if err := l.open(); err != nil {
		return err
	}
	defer func() { l.close() }()
	if err := l.seek(o); err != nil {
		return err
	}
	if o.Begin != nil {
		o.Begin(l.offset())
	}
	for looks := 1; ; looks++ {
		over := !o.Follow || h.hasEnded(c) || looks%askEvery == 0 && !h.living().running(c) // before the copy: what comes later is in it
		if _, err := os.Stat(p.dir); err != nil {
			over = true
		}
		if err := l.copy(ctx); err != nil || over {
			return err
		}
		pause(ctx, logPause)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// logReader reads a log across its rotations.
type logReader struct {
	p      paths
	stream LogStream
	w      io.Writer
	// older is what was rotated away before, nil if it is read to its end. file is nil as
	// long as there is none.
	older, file *os.File
}

// open opens both files as they were at one moment.
func (l *logReader) open() error {
	for {
		file, err := openIf(l.p.log(l.stream))
		if err != nil {
			return err
		}
		older, err := openIf(l.p.log(l.stream + ".1"))
		if err != nil {
			return err
		}
		if file != nil && older != nil && same(file, older) { // rotated in between
			file.Close()
			older.Close()
			continue
		}
		l.file, l.older = file, older
		return nil
	}
}

func openIf(name string) (*os.File, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

func same(a, b *os.File) bool {
	x, err1 := a.Stat()
	y, err2 := b.Stat()
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

func (l *logReader) close() {
	for _, f := range []*os.File{l.older, l.file} {
		if f != nil {
			f.Close()
		}
	}
}

// seek goes to where it is to begin.
func (l *logReader) seek(o LogOptions) error {
	files := []*os.File{l.older, l.file}
	switch {
	case o.Tail > 0:
		return l.seekTail(o.Tail)
	case o.Tail < 0:
		return nil
	}
	from := max(0, o.From)
	for _, f := range files {
		if f == nil {
			continue
		}
		size, err := f.Seek(0, io.SeekEnd)
		if err == nil && from < size {
			_, err = f.Seek(from, io.SeekStart)
		}
		if err != nil {
			return err
		}
		from = max(0, from-size)
	}
	return nil
}

// offset is where it will begin, counted from the first byte that is kept.
func (l *logReader) offset() (offset int64) {
	for _, f := range []*os.File{l.older, l.file} {
		if f != nil {
			at, _ := f.Seek(0, io.SeekCurrent)
			offset += at
		}
	}
	return offset
}

// seekTail goes so many lines back from the end.
func (l *logReader) seekTail(lines int) error {
	for _, f := range []*os.File{l.file, l.older} {
		if f == nil {
			continue
		}
		if lines == 0 {
			if _, err := f.Seek(0, io.SeekEnd); err != nil {
				return err
			}
			continue
		}
		left, err := seekLines(f, lines)
		if err != nil {
			return err
		}
		lines = left
	}
	return nil
}

// seekLines goes so many lines back from the end of a file and returns how many are missing.
// What is behind the last line feed is a line.
func seekLines(f *os.File, lines int) (missing int, err error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	buffer := make([]byte, 64<<10)
	for at := end; at > 0; {
		n := min(int64(len(buffer)), at)
		at -= n
		if _, err := f.ReadAt(buffer[:n], at); err != nil && err != io.EOF {
			return 0, err
		}
		for piece := buffer[:n]; ; {
			i := bytes.LastIndexByte(piece, '\n')
			if i < 0 {
				break
			}
			if at+int64(i) != end-1 {
				if lines--; lines == 0 {
					_, err := f.Seek(at+int64(i)+1, io.SeekStart)
					return 0, err
				}
			}
			piece = piece[:i]
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	if end > 0 {
		lines--
	}
	return lines, err
}

// copy writes all that is there.
func (l *logReader) copy(ctx context.Context) error {
	if l.older != nil {
		if err := l.drain(ctx, l.older); err != nil {
			return err
		}
		l.older.Close()
		l.older = nil
	}
	for {
		if l.file != nil {
			if err := l.drain(ctx, l.file); err != nil {
				return err
			}
		}
		next, err := openIf(l.p.log(l.stream))
		if err != nil || next == nil {
			return err
		}
		if l.file == nil {
			l.file = next
			continue
		}
		if same(l.file, next) {
			next.Close()
			return nil
		}
		if err := l.drain(ctx, l.file); err != nil { // nothing is written to it any more
			next.Close()
			return err
		}
		l.file.Close()
		l.file = next
	}
}

func (l *logReader) drain(ctx context.Context, f *os.File) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := f.Read(buffer)
		if n > 0 {
			if _, err := l.w.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
}
