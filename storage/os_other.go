//go:build !linux

package storage

import (
	"errors"
	"os"
)

// Elsewhere there is no O_DIRECT that could be relied on: every write is plain,
// and os.File.Sync asks the device to flush (F_FULLFSYNC on macOS).
const directFlags = 0

func dataSync(f *os.File) error { return f.Sync() }

func dropCache(*os.File) {}

func allocate(*os.File, int64) error { return errors.ErrUnsupported }
