package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// screen is a terminal as long as a verb draws on all of it. What stood there before is shown again afterwards.
type screen struct {
	out     *os.File
	in      *os.File // where keys come from, nil if they are not ours to read
	before  *unix.Termios
	keys    chan byte
	resized chan os.Signal
	stopped chan os.Signal // Ctrl-Z
}

// What terminals understand since the VT100 and xterm.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K" // from the cursor to the end of the line
	clearBelow  = "\x1b[J"
)

// terminalOf is w if it is a terminal.
func terminalOf(w io.Writer) *os.File {
	if !isTerminal(w) {
		return nil
	}
	return w.(*os.File)
}

func openScreen(out *os.File, in io.Reader) (*screen, error) {
	s := &screen{out: out, in: takesTerminal(in), keys: make(chan byte), resized: make(chan os.Signal, 1), stopped: make(chan os.Signal, 1)}
	if err := s.enter(); err != nil {
		return nil, err
	}
	signal.Notify(s.resized, syscall.SIGWINCH)
	signal.Notify(s.stopped, syscall.SIGTSTP)
	if s.in != nil {
		go s.readKeys()
	}
	return s, nil
}

// enter has keys read one by one and unseen; Ctrl-C and Ctrl-Z stay signals.
func (s *screen) enter() error {
	if s.in != nil {
		before, err := unix.IoctlGetTermios(int(s.in.Fd()), getTermios)
		if err != nil {
			return fmt.Errorf("the terminal: %w", err)
		}
		raw := *before
		raw.Lflag &^= unix.ICANON | unix.ECHO
		raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
		if err := unix.IoctlSetTermios(int(s.in.Fd()), setTermios, &raw); err != nil {
			return fmt.Errorf("the terminal: %w", err)
		}
		s.before = before
	}
	_, err := io.WriteString(s.out, enterScreen)
	return err
}

// leave shows what stood there before. A terminal that is gone needs nothing.
func (s *screen) leave() {
	_, _ = io.WriteString(s.out, leaveScreen)
	if s.before != nil {
		_ = unix.IoctlSetTermios(int(s.in.Fd()), setTermios, s.before)
	}
}

func (s *screen) close() {
	signal.Stop(s.resized)
	signal.Stop(s.stopped)
	s.leave()
}

// suspend gives the terminal back and stops this process until the shell lets it go on.
func (s *screen) suspend() {
	s.leave()
	_ = syscall.Kill(0, syscall.SIGSTOP) // our group, as Ctrl-Z does it
	_ = s.enter()                        // a terminal that is gone ends us by SIGHUP
}

// readKeys ends with the process: nothing else ends a read of a terminal.
func (s *screen) readKeys() {
	for key := []byte{0}; ; {
		n, err := s.in.Read(key)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
		if n == 1 {
			s.keys <- key[0]
		}
	}
}

// size is 80 to 24 where the terminal does not know.
func (s *screen) size() (width, height int) {
	size, err := unix.IoctlGetWinsize(int(s.out.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}

// draw puts lines over those of before, in one write and without clearing anything that stays: nothing flickers. A terminal
// that is gone ends this process by a signal.
func (s *screen) draw(lines []string) {
	_, _ = io.WriteString(s.out, home+strings.Join(lines, clearLine+"\r\n")+clearLine+clearBelow)
}
