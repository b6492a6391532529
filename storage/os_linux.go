package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// directFlags bypass the page cache and make each write durable in one call.
const directFlags = unix.O_DIRECT | unix.O_DSYNC

func dataSync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// dropCache forgets clean pages, so that reads come from the device. It is a
// hint: where it does nothing, so does everything that could be done instead.
func dropCache(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// allocate claims size bytes for f without writing them.
func allocate(f *os.File, size int64) error {
	for {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != unix.EINTR {
			return err
		}
	}
}
