package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

const (
	// dataMode is the mode of a data directory: what is in it is everybody's keys, whatever their access lists say.
	dataMode fs.FileMode = 0o700
	// workMode is that of an agent's work directory: tasks of other users pass through it to their sandboxes.
	workMode fs.FileMode = 0o711
)

// closeDirectory takes from a directory what others may do beyond most. One that is wider is not what its owner wants,
// but what mkdir or a container engine has made of it, so that it is mended and told rather than refused. It is
// refused if it cannot be mended: then it is somebody else's. One that is not there is made later, with the right mode.
func closeDirectory(dir string, most fs.FileMode, log *slog.Logger) error {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil // whoever uses it tells what is wrong with it
	}
	wide := info.Mode().Perm() &^ most
	if wide == 0 {
		return nil
	}
	err = os.Chmod(dir, info.Mode()&^wide)
	if now, statErr := os.Stat(dir); err == nil && statErr == nil && now.Mode().Perm()&^most != 0 {
		err = errors.New("the file system keeps no modes")
	}
	if err != nil {
		return &api.Error{Code: api.CodeData, Message: fmt.Sprintf("others may look into the directory %s or write there (mode %v)", dir, info.Mode().Perm()),
			Why: "it cannot be closed to them: " + plain(err),
			Do:  []string{fmt.Sprintf("chmod %o %s", most, dir), "or choose a directory in it, which is made with that mode:  " + dir + "/node"}}
	}
	log.Warn("directory closed to others", "dir", dir, "mode", (info.Mode() &^ wide).Perm().String(), "was", info.Mode().Perm().String())
	return nil
}

// readSecret reads at most limit bytes of a file that nobody but its owner may read.
func readSecret(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, &cluster.KeyModeError{File: file, Mode: mode}
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// secretDo says what to do about a secret that cannot be used: close it to others and, as they may have read it, replace
// it, or otherwise.
func secretDo(err error, replace, otherwise string) []string {
	if wide, is := errors.AsType[*cluster.KeyModeError](err); is {
		return []string{"chmod 600 " + wide.File, "if somebody may have read it, replace it:  " + replace}
	}
	return []string{otherwise}
}
