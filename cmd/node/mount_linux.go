package main

import "golang.org/x/sys/unix"

// mountPoint reports whether something is mounted at a file, which can then not be renamed over. A kernel
// before 5.8 does not tell: false.
func mountPoint(name string) bool {
	var s unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, name, 0, 0, &s)
	return err == nil && s.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
