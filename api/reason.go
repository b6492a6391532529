package api

import (
	"errors"
	"strings"
)

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && timeout.Timeout()
}

// trimSyscall drops the names of system calls and packages in front of a reason.
func trimSyscall(text string) string {
	for _, prefix := range []string{"connect: ", "read: ", "write: ", "net/http: ", "http: ", "tls: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}
