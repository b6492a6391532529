package storage

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OS returns the file system of the machine. On Linux, files opened with Direct
// use O_DIRECT and O_DSYNC; where that is refused they fall back to plain writes
// and fdatasync.
func OS() FS { return osFS{} }

type osFS struct{}

// osFile is a file of the machine. refused is set once the system has refused an
// O_DIRECT transfer; such a refusal wrote nothing, so repeating it is not a retry
// of a failed write.
type osFile struct {
	*os.File
	durable bool
	direct  atomic.Bool
}

func (osFS) Open(name string, flag OpenFlag) (File, error) {
	mode := os.O_RDONLY
	if flag&(Write|Create) != 0 {
		mode = os.O_RDWR
	}
	if flag&Create != 0 {
		mode |= os.O_CREATE | os.O_TRUNC
	}
	if flag&Direct != 0 {
		if f, err := os.OpenFile(name, mode|directFlags, 0o600); err == nil {
			file := &osFile{File: f, durable: directFlags != 0}
			file.direct.Store(directFlags != 0)
			return file, nil
		} else if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
			return nil, err
		}
	}
	f, err := os.OpenFile(name, mode, 0o600)
	if err != nil {
		return nil, err
	}
	if flag&Direct != 0 {
		dropCache(f)
	}
	return &osFile{File: f}, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) MakeDir(dir string) error { return os.MkdirAll(dir, 0o700) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) Lock(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		// Inspect may lock what it cannot write.
		if read, readErr := os.Open(name); readErr == nil {
			f, err = read, nil
		}
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &osFile{File: f}, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, err
}

func (osFS) Free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

func (f *osFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.File.ReadAt(p, offset)
	if errors.Is(err, unix.EINVAL) && f.leaveDirect() {
		n, err = f.File.ReadAt(p, offset)
	}
	return n, err
}

func (f *osFile) WriteAt(p []byte, offset int64) (int, error) {
	n, err := f.File.WriteAt(p, offset)
	if n == 0 && errors.Is(err, unix.EINVAL) && f.leaveDirect() {
		n, err = f.File.WriteAt(p, offset)
	}
	return n, err
}

// leaveDirect turns O_DIRECT off after a refused transfer; O_DSYNC stays, so the
// file is as durable as before. It reports false if it was off already.
func (f *osFile) leaveDirect() bool {
	if !f.direct.Swap(false) {
		return false
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags&^directFlags)
	return err == nil
}

func (f *osFile) Sync() error {
	if err := dataSync(f.File); err != nil {
		return &fs.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
	return nil
}

func (f *osFile) Durable() bool { return f.durable }

// Allocate claims size bytes for the file without writing them.
func (f *osFile) Allocate(size int64) error { return allocate(f.File, size) }

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// alignedBuffer returns n bytes that begin at a multiple of BlockBytes, as Direct
// files need them.
func alignedBuffer(n int) []byte {
	b := make([]byte, n+BlockBytes)
	skip := BlockBytes - int(uintptr(unsafe.Pointer(&b[0]))%BlockBytes)
	return b[skip : skip+n : skip+n]
}
