package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
)

const (
	identityMagic  = "SYNODIDN"
	identityFormat = 1
	identityName   = "identity"
	// maxNameBytes bounds the names of a node and a cluster.
	maxNameBytes = 255
	// maxIdentityBytes bounds what is read of the file: two names and the rest.
	maxIdentityBytes = 32 + 2*(2+maxNameBytes)
)

// Identity says whose directory this is. It is written once, when the directory
// is made; later only Cluster is filled in.
type Identity struct {
	Cluster string // "" until the node has joined one
	Node    string // the name that the operator gave
	// Incarnation is random and never 0. A node that has lost its disk comes back
	// with another one and so never speaks for what it has forgotten.
	Incarnation uint64
	Format      uint32 // of the directory
}

func (i Identity) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 24, maxIdentityBytes)
	copy(b, identityMagic)
	le.PutUint32(b[8:], i.Format)
	le.PutUint64(b[16:], i.Incarnation)
	for _, name := range []string{i.Node, i.Cluster} {
		b = le.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
	}
	le.PutUint32(b[12:], identitySum(b))
	return b
}

// identitySum covers the whole file except the sum itself. Every format keeps
// magic, format and sum where they are, so that damage is told from a newer one.
func identitySum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:])
}

// decodeIdentity reads an identity file.
func decodeIdentity(name string, b []byte) (Identity, error) {
	le := binary.LittleEndian
	damage := &DamageError{File: name, Reason: "identity is not what was written"}
	if len(b) < 24 || string(b[:8]) != identityMagic || le.Uint32(b[12:]) != identitySum(b) {
		return Identity{}, damage
	}
	i := Identity{Format: le.Uint32(b[8:]), Incarnation: le.Uint64(b[16:])}
	if i.Format > identityFormat {
		return Identity{}, &FormatError{File: name, Format: i.Format, Supported: identityFormat}
	}
	rest := b[24:]
	for _, field := range []*string{&i.Node, &i.Cluster} {
		if len(rest) < 2 || len(rest)-2 < int(le.Uint16(rest)) || le.Uint16(rest) > maxNameBytes {
			return Identity{}, damage
		}
		n := 2 + int(le.Uint16(rest))
		*field, rest = string(rest[2:n]), rest[n:]
	}
	if len(rest) > 0 || i.Incarnation == 0 {
		return Identity{}, damage
	}
	return i, nil
}

// readIdentity returns fs.ErrNotExist, wrapped, if there is no identity yet.
func readIdentity(fsys FS, dir string) (Identity, error) {
	name := path.Join(dir, identityName)
	b, err := readFile(fsys, name, maxIdentityBytes+1)
	if err != nil {
		return Identity{}, fmt.Errorf("storage: read identity: %w", err)
	}
	return decodeIdentity(name, b)
}

func writeIdentity(fsys FS, dir string, i Identity) error {
	if err := replaceFile(fsys, path.Join(dir, identityName), i.encode()); err != nil {
		return fmt.Errorf("storage: write identity: %w", err)
	}
	return nil
}

// replaceFile replaces a small file in one step (D8): temp, fsync, rename, fsync
// of the directory.
func replaceFile(fsys FS, name string, content []byte) error {
	f, err := fsys.Open(name+tempSuffix, Create)
	if err == nil {
		_, err = f.WriteAt(content, 0)
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = fsys.Rename(name+tempSuffix, name)
	}
	if err == nil {
		err = fsys.SyncDir(path.Dir(name))
	}
	return err
}

// readFile reads at most limit bytes of a small file.
func readFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, limit))
	if n, err := f.ReadAt(b, 0); err != nil && !(errors.Is(err, io.EOF) && n == len(b)) {
		return nil, err
	}
	return b, nil
}

// Identity returns whose directory this is. Safe for concurrent use.
func (s *Store) Identity() Identity {
	s.identityMu.Lock()
	defer s.identityMu.Unlock()
	return s.identity
}

// SetCluster writes the cluster into the identity, durably. It may be called
// again with the same id; with another one it returns *IdentityError. It waits
// for the disk.
func (s *Store) SetCluster(id string) error {
	s.identityMu.Lock()
	defer s.identityMu.Unlock()
	switch {
	case len(id) == 0 || len(id) > maxNameBytes:
		return fmt.Errorf("storage: cluster id has %d bytes, want 1 to %d", len(id), maxNameBytes)
	case s.identity.Cluster == id:
		return nil
	case s.identity.Cluster != "":
		return &IdentityError{Dir: s.dir, Field: "cluster", Want: id, Have: s.identity.Cluster}
	}
	next := s.identity
	next.Cluster = id
	if err := writeIdentity(s.fs, s.dir, next); err != nil {
		return err
	}
	s.identity = next
	return nil
}

// establish reads the identity and checks that it is the expected one. It returns
// false for a directory that was never completed.
func (s *Store) establish() (bool, error) {
	i, err := readIdentity(s.fs, s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	o := &s.options
	if i.Node != o.Node {
		return false, &IdentityError{Dir: s.dir, Field: "node", Want: o.Node, Have: i.Node}
	}
	if o.Cluster != "" && i.Cluster != "" && o.Cluster != i.Cluster {
		return false, &IdentityError{Dir: s.dir, Field: "cluster", Want: o.Cluster, Have: i.Cluster}
	}
	s.identity = i
	return true, nil
}
