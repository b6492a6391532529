package main

import (
	"bufio"
	"context"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// input is what read makes of standard input. A read that waits for a person hears nothing of
// Ctrl-C: it is left behind when ctx ends, and ends with the process. On a terminal, where
// nothing else tells that something is waited for, asked does, unless it is empty.
func input[T any](ctx context.Context, a *app, asked string, read func(io.Reader) (T, error)) (T, error) {
	if asked != "" && takesTerminal(a.in) != nil {
		a.hint("%s", asked)
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read(a.in)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// readAll is all of standard input.
func (a *app) readAll(ctx context.Context, what string) ([]byte, error) {
	return input(ctx, a, what+" is read from this terminal: Ctrl-D at the beginning of a line ends it", io.ReadAll)
}

// firstLine is the first line of standard input: an answer, for example.
func (a *app) firstLine(ctx context.Context, asked string) (string, error) {
	line, err := input(ctx, a, asked, func(in io.Reader) (string, error) {
		return bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	})
	if err == io.EOF {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

// password is the first line of standard input, which a terminal does not show.
func (a *app) password(ctx context.Context) (string, error) {
	if terminal := takesTerminal(a.in); terminal != nil {
		before, err := unix.IoctlGetTermios(int(terminal.Fd()), getTermios)
		if err == nil {
			hidden := *before
			hidden.Lflag &^= unix.ECHO
			_ = unix.IoctlSetTermios(int(terminal.Fd()), setTermios, &hidden) // shown, if the terminal cannot hide it
			defer unix.IoctlSetTermios(int(terminal.Fd()), setTermios, before)
		}
	}
	return a.firstLine(ctx, "the password is read from this terminal, which does not show it: Enter ends it")
}
