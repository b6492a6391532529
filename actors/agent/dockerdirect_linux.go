package agent

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/synod-go/synod/mesos"
)

// signalProcess sends a signal to the first process of a container, with which all others end if it is SIGKILL, and reports
// whether it was there: an agent in a container of its own does not see it. It is known by its environment, and as the first one of its
// namespace.
func signalProcess(c mesos.ContainerID, signal string) bool {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range all {
		dir := filepath.Dir(name)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if sent := signalIf(pid, numberOf(signal), func() bool { return isFirstOf(dir, c) }); sent {
			return true
		}
	}
	return false
}

// numberOf is that of a signal as an image may name it: SIGQUIT, QUIT or 3. Of what else it may say it is that of SIGTERM.
func numberOf(signal string) unix.Signal {
	if n, err := strconv.Atoi(signal); err == nil && n > 0 && n < 65 {
		return unix.Signal(n)
	}
	return cmp.Or(unix.SignalNum(signal), unix.SignalNum("SIG"+signal), unix.SIGTERM)
}

// signalIf sends a process a signal if it is the one: it is held meanwhile, so that another of its number is not taken for it.
func signalIf(pid int, signal unix.Signal, is func() bool) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return is() && unix.PidfdSendSignal(fd, signal, nil, 0) == nil
}

// isFirstOf reports whether a directory of /proc is that of the first process of a container.
func isFirstOf(dir string, c mesos.ContainerID) bool {
	environment, err := os.ReadFile(filepath.Join(dir, "environ"))
	if err != nil || !bytes.Contains(append([]byte{0}, environment...), []byte("\x00"+containerVariable+"="+c.String()+"\x00")) {
		return false
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if numbers, found := strings.CutPrefix(line, "NSpid:"); found {
			list := strings.Fields(numbers)
			return len(list) > 1 && list[len(list)-1] == "1"
		}
	}
	return false
}
