package chaos

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Memory is what a process holds, in bytes.
type Memory struct {
	Now  int64 // resident (VmRSS)
	Most int64 // the most it ever was (VmHWM)
}

// Memory is what the process holds now; zero if it has ended.
func (p *Process) Memory() (m Memory) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil || !p.Alive() {
		return Memory{}
	}
	for line := range lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			m.Now = kib << 10
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			m.Most = kib << 10
		}
	}
	return m
}

// HeldBytes is how much of the disk node n takes: its files, and what it has
// removed but still reads from.
func (n *Node) HeldBytes() (int64, error) {
	bytes, err := DiskBytes(n.Dir)
	if err != nil {
		return 0, err
	}
	handles := fmt.Sprintf("/proc/%d/fd", n.Process().Pid())
	list, err := os.ReadDir(handles)
	if err != nil {
		return bytes, nil // no process, no handles
	}
	for _, h := range list {
		var stat syscall.Stat_t
		name := filepath.Join(handles, h.Name())
		target, err := os.Readlink(name)
		if err != nil || !strings.HasPrefix(target, n.Dir) || !strings.HasSuffix(target, " (deleted)") {
			continue
		}
		if syscall.Stat(name, &stat) == nil {
			bytes += stat.Blocks * 512
		}
	}
	return bytes, nil
}

// DiskBytes is how much of the disk the files below dir take.
func DiskBytes(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // removed meanwhile
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += stat.Blocks * 512
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("chaos: size of %s: %w", dir, err)
	}
	return bytes, nil
}
