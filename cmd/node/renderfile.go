package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// replaceFile writes a file whole or not at all: who reads it sees the old content or the new one, also
// after a power cut. Mode and owner stay as they are. A file that has that content already is left alone.
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
		if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content) {
			return false, nil
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
		return false, err
	}
	return true, syncDirectory(filepath.Dir(name))
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

func syncDirectory(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
