package process

import "syscall"

// longestLine is how far a log goes beyond its bound so as not to be cut within a line.
const longestLine = 64 << 10

// A log is one log file. With a bound the task writes into a pipe, and the shim from
// there into the file; when it is full it becomes the old one, in the place of the one
// before. Nothing that the task has written is lost by that; the shim's own death loses
// what is in the pipe. Without a bound the task has the file itself.
type log struct {
	name       string
	max        int64
	fd         int // of the file; -1: it could not be opened
	size       int64
	whole      bool // it ends with a line
	read, task int  // ends of the pipe; task is the file's without a bound
	lost       int64
}

func openLog(name string, max int64) (*log, error) {
	l := &log{name: name, max: max, read: -1, task: -1}
	if err := l.open(); err != nil {
		return nil, wrap("open log "+name, err)
	}
	if max == 0 {
		l.task = l.fd
		return l, nil
	}
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return nil, wrap("pipe of log "+name, err)
	}
	l.read, l.task = ends[0], ends[1]
	return l, wrap("pipe of log "+name, syscall.SetNonblock(l.read, true))
}

func (l *log) open() (err error) {
	l.size = 0
	l.fd, err = open(l.name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_APPEND, 0o640)
	return err
}

// started is told when the task has its end: the shim's own would keep the pipe open.
func (l *log) started() {
	syscall.Close(l.task)
	if l.max == 0 {
		l.fd = -1
	}
	l.task = -1
}

// drain reads once, so that a busy log does not keep the shim from all else: poll tells
// if there is more. It closes the pipe when that has ended.
func (l *log) drain(buffer []byte) {
	n, err := syscall.Read(l.read, buffer)
	switch {
	case err == syscall.EINTR || err == syscall.EAGAIN:
	case err != nil || n == 0:
		l.close()
	default:
		l.write(buffer[:n])
	}
}

// finish takes what is left when all processes of the task are gone.
func (l *log) finish(buffer []byte) {
	for l.read >= 0 {
		n, err := syscall.Read(l.read, buffer)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			l.close()
			return
		}
		l.write(buffer[:n])
	}
}

func (l *log) close() {
	syscall.Close(l.read)
	if l.fd >= 0 {
		syscall.Close(l.fd)
	}
	l.read, l.fd = -1, -1
}

// write rotates where a line ends.
func (l *log) write(p []byte) {
	for len(p) > 0 {
		if l.size+int64(len(p)) <= l.max {
			l.put(p)
			return
		}
		end := lastLine(p[:max(l.max-l.size, 0)])
		if end == 0 && l.whole && l.size > 0 { // not a byte of the next line
			if !l.rotate() {
				l.put(p)
				return
			}
			continue
		}
		if end == 0 {
			end = firstLine(p)
		}
		limit := max(l.max+longestLine-l.size, 0)
		if end == 0 && int64(len(p)) <= limit {
			l.put(p)
			return
		}
		if end == 0 || int64(end) > limit {
			end = int(min(limit, int64(len(p))))
		}
		l.put(p[:end])
		p = p[end:]
		if !l.rotate() {
			l.put(p)
			return
		}
	}
}

func (l *log) put(p []byte) {
	if l.fd < 0 && l.open() != nil {
		l.lost += int64(len(p))
		return
	}
	for len(p) > 0 {
		n, err := syscall.Write(l.fd, p)
		if err == syscall.EINTR {
			continue
		}
		if err != nil { // a full disk does not stop the task; what is lost is counted
			l.lost += int64(len(p))
			return
		}
		l.size += int64(n)
		l.whole = n > 0 && p[n-1] == '\n'
		p = p[n:]
	}
}

// rotate keeps the file under the name of the old one. If that fails, the file goes on:
// better beyond its bound than lost.
func (l *log) rotate() bool {
	if l.fd < 0 || syscall.Rename(l.name, l.name+OldSuffix) != nil {
		return false
	}
	syscall.Close(l.fd)
	l.fd = -1
	_ = l.open() // else put tries again
	return true
}

// lastLine returns how many bytes of p are whole lines.
func lastLine(p []byte) int {
	for i := len(p); i > 0; i-- {
		if p[i-1] == '\n' {
			return i
		}
	}
	return 0
}

// firstLine returns how long the first line of p is, 0 if it does not end in it.
func firstLine(p []byte) int {
	for i := range p {
		if p[i] == '\n' {
			return i + 1
		}
	}
	return 0
}
