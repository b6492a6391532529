package storage

import "path"

// Walk calls f with the records of a log, in the order in which they were
// written, from a directory that is not open: for tools that know what is in
// them. Records that were released, and states that were carried along, may
// come too. It stops without an error where the log ends or is damaged: Inspect
// tells which. An error of f ends it and is returned. r.Data must not be kept.
func Walk(fsys FS, dir string, f func(r Record) error) error {
	var stopped error
	s := &scanner{
		fs: fsys, dir: path.Join(path.Clean(dir), logDirName), progress: func(int64, int64) {},
		visit: func(_ *scanned, h batchHeader, b []byte) error {
			return eachRecord(h, b, func(r Record, flags uint8) error {
				if flags&recordRelease == 0 && stopped == nil {
					stopped = f(r)
				}
				return stopped
			})
		},
	}
	if i, err := readIdentity(fsys, path.Clean(dir)); err == nil {
		s.incarnation = i.Incarnation
	}
	if err := s.run(); err != nil {
		return err
	}
	return stopped
}
