// Command chore is a task of the chaos campaigns: it does nothing but say in a ledger that
// it has begun, that it goes on, and how it ends. It is small, since hundreds run at once,
// and believes nobody: who else works on its unit it finds out by a lock of the kernel's.
//
//	CHORE_LEDGER  a file that all tasks of one unit append to
//	CHORE_TASK    the task's id
//	CHORE_TIME    how long it works
//	CHORE_CODE    the exit code
//	CHORE_DEAF    set: it takes no notice of SIGTERM
//
// Lines of the ledger are words apart by spaces: the monotonic clock in nanoseconds, what
// happens, the task, its container, its process and that one's parent, then more, and a dot,
// without which the process died while it wrote. Each begins with a new line for the same reason.
//
//	start                of a process
//	beat                 it goes on
//	overlap TASK         another process, of that task, works on the unit
//	term                 SIGTERM has come
//	exit CODE            the last line
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// beatEvery is how often a chore says that it goes on.
const beatEvery = 200 * time.Millisecond

type chore struct {
	ledger          *os.File
	task, container string
}

func main() {
	length, err := time.ParseDuration(os.Getenv("CHORE_TIME"))
	if err != nil {
		fail(err)
	}
	code, err := strconv.Atoi(os.Getenv("CHORE_CODE"))
	if err != nil {
		fail(err)
	}
	name := os.Getenv("CHORE_LEDGER")
	ledger, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fail(err)
	}
	c := chore{ledger, os.Getenv("CHORE_TASK"), container()}
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	c.say("start", "")
	if err := ledger.Sync(); err != nil {
		fail(err)
	}
	held := c.lock(name + ".lock")
	c.work(length, terms)
	c.say("exit", strconv.Itoa(code))
	if err := ledger.Sync(); err != nil {
		fail(err)
	}
	runtime.KeepAlive(held)
	os.Exit(code)
}

// container is that of the task, which starts in its sandbox, containers/<container>/sandbox. One that
// has no sandbox is in a container of an engine, whose host name is the container's.
func container() string {
	sandbox, err := os.Getwd()
	if err != nil {
		fail(err)
	}
	if filepath.Base(sandbox) == "sandbox" && filepath.Dir(sandbox) != "/mnt/mesos" {
		return filepath.Base(filepath.Dir(sandbox))
	}
	name, err := os.Hostname()
	if err != nil {
		fail(err)
	}
	return name
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "chore:", err)
	os.Exit(125)
}

// say appends a line, which no other line of another process can come into.
func (c chore) say(what, more string) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		fail(err)
	}
	if more != "" {
		more = " " + more
	}
	if _, err := fmt.Fprintf(c.ledger, "\n%d %s %s %s %d %d%s .\n", now.Nano(), what, c.task, c.container, os.Getpid(), os.Getppid(), more); err != nil {
		fail(err)
	}
	fmt.Printf("%s %s\n", what, c.task)
}

// lock takes the unit's lock, for as long as the file is open, and says so if another has it.
func (c chore) lock(name string) (held *os.File) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		fail(err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 300)
		n, _ := file.ReadAt(holder, 0)
		c.say("overlap", string(append(holder[:n], '?')))
		return file
	}
	if err := file.Truncate(0); err != nil {
		fail(err)
	}
	if _, err := file.WriteAt([]byte(c.task), 0); err != nil {
		fail(err)
	}
	return file
}

// work says every now and then that it goes on, until it has done so for long enough, or
// is told to end and obeys, as a process does that has no handler for it.
func (c chore) work(length time.Duration, terms <-chan os.Signal) {
	end, beat := time.After(length), time.NewTicker(beatEvery)
	for {
		select {
		case <-end:
			return
		case <-beat.C:
			c.say("beat", "")
		case <-terms:
			c.say("term", "")
			if os.Getenv("CHORE_DEAF") == "" {
				if os.Getpid() == 1 { // whom no signal ends
					os.Exit(128 + int(syscall.SIGTERM))
				}
				signal.Reset(syscall.SIGTERM)
				if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
					fail(err)
				}
				select {}
			}
		}
	}
}
