package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/containerd/errdefs"
)

// Errors of an Engine.
var (
	// ErrNoEngine says that no engine answers, or that its answer was cut off or makes no sense: nothing is known. What
	// was asked for may have been done, and may yet be done.
	ErrNoEngine = errors.New("docker: no engine answers")
	// ErrNoContainer says that there is no container of ours of that id.
	ErrNoContainer = errors.New("docker: no such container")
	// ErrExists says that there is one already.
	ErrExists = errors.New("docker: the container is there already")
	// ErrConflict says that the container is in another state than the call needs.
	ErrConflict = errors.New("docker: the container is in another state")
	// ErrNoImage says that the engine does not have the image, and could not get it.
	ErrNoImage = errors.New("docker: no such image")
	// ErrNotRunning says that the container does not run.
	ErrNotRunning = errors.New("docker: the container is not running")
	// ErrCannotRun is wrapped by what is said of a command that cannot be started.
	ErrCannotRun = errors.New("docker: the command cannot be started")
)

// RefusedError is what an engine has answered that did not do what it was asked for.
type RefusedError struct {
	Call  string // "create", "start" ...
	Words string // the engine's own, at most about 1 KiB
	kind  error
}

func (r *RefusedError) Error() string {
	if r.kind != nil {
		return r.kind.Error() + ": " + r.Words
	}
	return "docker: " + r.Call + ": " + r.Words
}

func (r *RefusedError) Unwrap() error { return r.kind }

// refused makes the error of an answer. kind may be nil.
func refused(call, words string, kind error) error {
	return &RefusedError{Call: call, Words: cut(words), kind: kind}
}

// away are words of engines that cannot do anything just now. They come with a status that is no different
// from that of an answer.
var away = []string{"daemon is shutting down", "containerd.sock", "transport is closing"}

// wrong makes one of our errors of one of the client library's: a RefusedError of an engine's answer, and
// ErrNoEngine of everything else.
func wrong(call string, err error) error {
	if err == nil {
		return nil
	}
	words := strings.ReplaceAll(err.Error(), "Error response from daemon: ", "")
	if !answered(err) {
		return fmt.Errorf("%w: %s: %s", ErrNoEngine, call, cut(words))
	}
	for _, w := range away {
		if strings.Contains(words, w) {
			return fmt.Errorf("%w: %s: %s", ErrNoEngine, call, cut(words))
		}
	}
	switch {
	case errdefs.IsUnavailable(err):
		return fmt.Errorf("%w: %s: %s", ErrNoEngine, call, cut(words))
	case errdefs.IsNotFound(err) && strings.Contains(words, "No such container"):
		return refused(call, words, ErrNoContainer)
	case errdefs.IsNotFound(err) && strings.Contains(words, "No such image"):
		return refused(call, words, ErrNoImage)
	case errdefs.IsConflict(err) && (strings.Contains(words, "is not running") || strings.Contains(words, "not running")):
		return refused(call, words, ErrNotRunning)
	case errdefs.IsConflict(err):
		return refused(call, words, ErrConflict)
	}
	return refused(call, words, nil)
}

// answered reports whether an error is that of an HTTP status: the library gives those and only those a class.
func answered(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	for _, is := range []func(error) bool{
		errdefs.IsNotFound, errdefs.IsConflict, errdefs.IsInvalidArgument, errdefs.IsInternal, errdefs.IsUnavailable,
		errdefs.IsPermissionDenied, errdefs.IsUnauthorized, errdefs.IsNotImplemented, errdefs.IsUnknown,
		errdefs.IsNotModified, errdefs.IsResourceExhausted, errdefs.IsFailedPrecondition,
	} {
		if is(err) {
			return true
		}
	}
	return false
}

// maxWords bounds what is told of an engine's words, in bytes.
const maxWords = 1024

// cut bounds a text and makes one line of valid UTF-8 of it.
func cut(text string) string {
	if len(text) > 2*maxWords {
		text = text[:2*maxWords]
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) <= maxWords {
		return text
	}
	text = text[:maxWords]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + " ..."
}
