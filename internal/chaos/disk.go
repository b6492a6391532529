package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disk is a file system of its own in an image file, mounted for the host only.
type Disk struct {
	Type  string // "ext4" or "xfs"
	Mount string // where it is mounted
	host  *Host
	image string
}

// The shutdown ioctls: the file system stops at once, as if the power had gone,
// and what is only in memory is lost. Without a log flush the journal is lost too.
const (
	ioctlShutdown  = 0x8004587d // EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
	shutdownNoSync = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH, XFS_FSOP_GOING_FLAGS_NOLOGFLUSH
)

// NewDisk makes a file system of bytes in dir and mounts it. XFS needs 300 MiB.
func NewDisk(host *Host, kind, dir, name string, bytes int64) (*Disk, error) {
	d := &Disk{Type: kind, Mount: filepath.Join(dir, name), host: host, image: filepath.Join(dir, name+".img")}
	image, err := os.Create(d.image)
	if err != nil {
		return nil, fmt.Errorf("chaos: disk image: %w", err)
	}
	defer image.Close()
	if err := image.Truncate(bytes); err != nil {
		return nil, fmt.Errorf("chaos: disk image: %w", err)
	}
	if err := os.MkdirAll(d.Mount, 0o700); err != nil {
		return nil, fmt.Errorf("chaos: mount point: %w", err)
	}
	// The file system starts out as a machine has it after years: no lazy
	// initialisation that writes in the background.
	quick := map[string][]string{
		"ext4": {"-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"},
		"xfs":  {"-q", "-f"},
	}
	if err := command("mkfs."+kind, append(quick[kind], d.image)...); err != nil {
		return nil, err
	}
	return d, d.mount()
}

func (d *Disk) mount() error {
	return d.host.Do(func() error { return command("mount", "-t", d.Type, "-o", "loop", d.image, d.Mount) })
}

// Cut takes the power from the file system: it does nothing more to the disk.
func (d *Disk) Cut() error {
	return d.host.Do(func() error {
		root, err := os.Open(d.Mount)
		if err != nil {
			return fmt.Errorf("chaos: cut %s: %w", d.Mount, err)
		}
		defer root.Close()
		flags := uint32(shutdownNoSync)
		_, _, failed := unix.Syscall(unix.SYS_IOCTL, root.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&flags)))
		if failed != 0 {
			return fmt.Errorf("chaos: shutdown ioctl on %s: %w", d.Mount, failed)
		}
		return nil
	})
}

// Remount unmounts a file system that nobody uses any more and mounts it again,
// which replays its journal as a boot does.
func (d *Disk) Remount() error {
	if err := d.Unmount(); err != nil {
		return err
	}
	return d.mount()
}

// Remember keeps a copy of the disk as it is now. The file system stands still
// for that long.
func (d *Disk) Remember() error {
	return d.host.Do(func() error {
		if err := command("fsfreeze", "--freeze", d.Mount); err != nil {
			return err
		}
		err := command("cp", "--sparse=always", d.image, d.image+".old")
		return errors.Join(err, command("fsfreeze", "--unfreeze", d.Mount))
	})
}

// Forget puts the remembered copy in the place of the disk: everything written
// since, flushed or not, has never reached it. Nobody may use the disk.
func (d *Disk) Forget() error {
	if err := d.Unmount(); err != nil {
		return err
	}
	if err := os.Rename(d.image+".old", d.image); err != nil {
		return fmt.Errorf("chaos: forget: %w", err)
	}
	return d.mount()
}

// ReadOnly mounts a file system that nobody uses so that it cannot be written.
func (d *Disk) ReadOnly() error {
	return d.host.Do(func() error { return command("mount", "-o", "remount,ro", d.Mount) })
}

// Unmount ends the use of the file system.
func (d *Disk) Unmount() error {
	// A killed process gives its files back a moment after it has been reaped.
	return poll(5*time.Second, func() error {
		return d.host.Do(func() error { return unix.Unmount(d.Mount, 0) })
	})
}

// Do runs f where the file system can be seen.
func (d *Disk) Do(f func() error) error { return d.host.Do(f) }

// Fill leaves free bytes at most on the file system. The file it writes is
// removed by Unfill.
func (d *Disk) Fill(free int64) error {
	return d.host.Do(func() error {
		f, err := os.Create(d.filler())
		if err != nil {
			return fmt.Errorf("chaos: fill %s: %w", d.Mount, err)
		}
		defer f.Close()
		var fs unix.Statfs_t
		if err := unix.Statfs(d.Mount, &fs); err != nil {
			return fmt.Errorf("chaos: fill %s: %w", d.Mount, err)
		}
		// Steps get smaller, since the file system needs some blocks to remember
		// the others.
		left, size := int64(fs.Bavail)*fs.Bsize-free, int64(0)
		for step := left; step >= fs.Bsize && left > 0; step = min(step/2, left) {
			for step <= left && unix.Fallocate(int(f.Fd()), 0, size, step) == nil {
				left, size = left-step, size+step
			}
		}
		return nil
	})
}

// Unfill gives the space that Fill took back.
func (d *Disk) Unfill() error {
	return d.host.Do(func() error { return os.Remove(d.filler()) })
}

func (d *Disk) filler() string { return filepath.Join(d.Mount, "filler") }
