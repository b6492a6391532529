package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// blockBytes is the unit in which an O_DIRECT file is written.
const blockBytes = 4096

// A ringFile is a preallocated, zero-filled file that is written in turn from
// begin to end and then again from the begin. Every write is durable when it
// returns.
type ringFile struct {
	file   *os.File
	size   int64
	offset int64
}

// createRing creates the file with O_DIRECT|O_DSYNC, or with O_DSYNC alone where
// the file system has no direct writes.
func createRing(name string, size int64) (*ringFile, error) {
	if err := fillWithZeros(name, size); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_DIRECT|unix.O_DSYNC, 0o600)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(name, os.O_RDWR|unix.O_DSYNC, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("open ring file: %w", err)
	}
	return &ringFile{file: f, size: size}, nil
}

// append writes blocks, whose length and address are multiples of blockBytes, at
// the next place.
func (r *ringFile) append(blocks []byte) error {
	if int64(len(blocks)) > r.size {
		return fmt.Errorf("ring file: %d bytes do not fit into %d", len(blocks), r.size)
	}
	if r.offset+int64(len(blocks)) > r.size {
		r.offset = 0
	}
	_, err := r.file.WriteAt(blocks, r.offset)
	r.offset += int64(len(blocks))
	return err
}

func (r *ringFile) close() error { return r.file.Close() }

// fillWithZeros writes and syncs size zero bytes, so that later writes change
// neither the file's length nor its extents.
func fillWithZeros(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create ring file: %w", err)
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size && err == nil; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// alignedBytes returns size bytes, rounded up to whole blocks, that begin at a
// multiple of blockBytes.
func alignedBytes(size int) []byte {
	size = wholeBlocks(size)
	b := make([]byte, size+blockBytes)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (blockBytes - 1)
	return b[skip : skip+size : skip+size]
}

// wholeBlocks rounds size up to a multiple of blockBytes.
func wholeBlocks(size int) int { return (size + blockBytes - 1) &^ (blockBytes - 1) }

// dataSync makes what was written durable, and of the metadata only what it takes
// to read it back.
func dataSync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
