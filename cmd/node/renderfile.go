package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// replaceFile writes a file whole or not at all: who reads it sees the old content or the new one, also
// after a power cut. Mode and owner stay as they are. A file that has that content already is left alone.
// A mount point cannot be replaced: overwrite says what its readers see.
func replaceFile(name string, content []byte) (changed bool, err error) {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target // a link stays one
	}
	mode := fs.FileMode(0o644)
	info, err := os.Stat(name)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is no file", name)
	case err == nil:
		mode = info.Mode().Perm()
		old, err := os.ReadFile(name)
		switch {
		case err == nil && bytes.Equal(old, content):
			return false, nil
		case mountPoint(name):
			return overwrite(name, content)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".")
	if err != nil {
		return false, err
	}
	err = fill(temp, content, mode, info)
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // what went wrong before says more
	}
	if errors.Is(err, syscall.EBUSY) { // a mount point after all: this kernel does not tell
		return overwrite(name, content)
	}
	if err != nil {
		return false, err
	}
	return true, syncDir(filepath.Dir(name))
}

// fill writes a file and closes it. old, if any, is whose place it takes.
func fill(f *os.File, content []byte, mode fs.FileMode, old fs.FileInfo) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if old != nil && err == nil {
		if owner, ok := old.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(int(owner.Uid), int(owner.Gid)) // only root may give it to another
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// overwrite writes over a file in place, in steps each of which leaves it whole: line feeds make room for what is
// longer, then one write brings the new content, filled up with line feeds to the length that the file had before.
// It never gets shorter, so nobody reads half of it. It is no replacement: whoever reads while that one write goes on,
// for less than a microsecond in a file of up to 4 KiB, may see lines of both, and once in many thousands of such reads half of one line and half of another; and
// a power cut may leave it so.
func overwrite(name string, content []byte) (changed bool, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	old, err := io.ReadAll(f)
	if err != nil {
		return false, err
	}
	if more := len(content) - len(old); more > 0 {
		fill := lineFeeds(more)
		if _, err := f.WriteAt(fill, int64(len(old))); err != nil {
			return false, err
		}
		old = append(old, fill...)
	}
	content = append(bytes.Clone(content), lineFeeds(len(old)-len(content))...)
	first, last := difference(old, content)
	if first == last {
		return false, nil
	}
	if _, err := f.WriteAt(content[first:last], int64(first)); err != nil {
		return false, err
	}
	return true, f.Sync()
}

func lineFeeds(n int) []byte { return bytes.Repeat([]byte{'\n'}, n) }

// difference is the range of bytes outside which two texts of one length are the same.
func difference(a, b []byte) (first, last int) {
	for last = len(a); last > 0 && a[last-1] == b[last-1]; {
		last--
	}
	for first < last && a[first] == b[first] {
		first++
	}
	return first, last
}
