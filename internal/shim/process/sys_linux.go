package process

import (
	"syscall"
	"unsafe"
)

const (
	sysPidfdSendSignal = 424 // the same on all architectures, as are all from 424 on
	sysPidfdOpen       = 434

	prSetChildSubreaper = 36
	clockRealtime       = 0
	clockMonotonic      = 1
	pollIn              = 1
)

type pollFD struct {
	fd              int32
	events, revents int16
}

// poll waits for one of fds, or until the clock says deadline if that is not 0.
func poll(fds []pollFD, deadline int64) {
	var timeout *syscall.Timespec
	if deadline != 0 {
		t := syscall.NsecToTimespec(max(deadline-clock(clockMonotonic), 0))
		timeout = &t
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
		uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
	if errno != 0 { // interrupted: nothing is ready
		for i := range fds {
			fds[i].revents = 0
		}
	}
}

func clock(id uintptr) int64 {
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

// setSignal ignores a signal or gives it back its default action, behind the back of Go's
// runtime, and reports whether it was ignored before. A child of a fork has the default
// action for each signal for which the runtime has a handler, whatever is set here.
func setSignal(signal syscall.Signal, ignore bool) (ignored bool) {
	type action struct{ handler, flags, restorer, mask uint64 }
	const ignoreAction = 1
	var set, old action
	if ignore {
		set.handler = ignoreAction
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(signal), uintptr(unsafe.Pointer(&set)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	return old.handler == ignoreAction
}

// SignalProcess sends a signal to a process, and to no other that has got its pid since.
func SignalProcess(p Process, signal syscall.Signal) error {
	fd, _, errno := syscall.RawSyscall(sysPidfdOpen, uintptr(p.PID), 0, 0)
	if errno == syscall.ENOSYS || errno == syscall.EPERM { // a kernel before 5.3, or a filter of old
		if !p.Alive() {
			return syscall.ESRCH
		}
		return syscall.Kill(p.PID, signal)
	}
	if errno != 0 {
		return errno
	}
	defer syscall.Close(int(fd))
	if !p.Alive() {
		return syscall.ESRCH
	}
	if _, _, errno = syscall.RawSyscall6(sysPidfdSendSignal, fd, uintptr(signal), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// readFile reads a small file, of at most limit bytes.
func readFile(name string, limit int) ([]byte, error) {
	fd, err := open(name, syscall.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	var out []byte
	buffer := make([]byte, 4096)
	for {
		n, err := syscall.Read(fd, buffer)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return out, nil
		case len(out)+n > limit:
			return nil, Problem(name + " is too long")
		default:
			out = append(out, buffer[:n]...)
		}
	}
}

func open(name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := syscall.Open(name, flags|syscall.O_CLOEXEC, mode)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := syscall.Write(fd, p)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// writeRecord makes a file that is there whole or not at all, after a power cut too if durable.
func writeRecord(name string, r Record, durable bool) error {
	temporary := name + ".tmp"
	err := writeTemporary(temporary, r.Encode(), durable)
	if err == nil {
		err = syscall.Rename(temporary, name)
	}
	if err != nil {
		syscall.Unlink(temporary)
		return wrap("write "+name, err)
	}
	if durable {
		return wrap("flush the directory of "+name, syncDirectory("."))
	}
	return nil
}

func writeTemporary(name string, text []byte, durable bool) error {
	fd, err := open(name, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = writeAll(fd, text)
	if err == nil && durable {
		err = syscall.Fsync(fd)
	}
	if closing := syscall.Close(fd); err == nil {
		err = closing
	}
	return err
}

func syncDirectory(name string) error {
	fd, err := open(name, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Fsync(fd)
}

// writeText writes into a file that is there, as those of /proc and of cgroups are.
func writeText(name, text string) error {
	fd, err := open(name, syscall.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return writeAll(fd, []byte(text))
}

func exists(name string) bool {
	return syscall.Access(name, 0) == nil
}
