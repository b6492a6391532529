package synod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/backup"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/replica"
	"github.com/synod-go/synod/storage"
)

// Backup is the state of all groups of a cluster, as a stream in the format of package
// backup. It holds files open until Close.
type Backup struct {
	header  backup.Header
	size    int64
	readers []*storage.SnapshotReader
}

// Backup takes a snapshot of each group on this node and returns them as one file to be.
// In it is every write that was acknowledged anywhere before Backup was called, and some
// later ones; each group is as it was at one index, but two groups are not of one moment.
// Errors: ErrNoStateMachine on a witness, ErrNoLeader, ErrOverloaded, and ctx's.
func (n *Node) Backup(ctx context.Context) (*Backup, error) {
	b := &Backup{header: backup.Header{Cluster: n.Cluster(), Node: n.cfg.Name, Version: n.cfg.Version, Time: time.Now().UTC()}}
	for _, g := range n.groups {
		if err := b.add(ctx, g); err != nil {
			b.Close()
			return nil, err
		}
	}
	var err error
	if b.size, err = b.header.Size(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// add takes a snapshot of a group that is not older than now.
func (b *Backup) add(ctx context.Context, g *Group) error {
	if g.witness() {
		return ErrNoStateMachine
	}
	if _, err := g.handle.ReadIndex(ctx); err != nil {
		return g.readError(err)
	}
	for {
		index, err := g.handle.Snapshot(ctx)
		if err == nil {
			err = b.open(g, uint64(index))
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, group.ErrOverloaded), errors.Is(err, storage.ErrNotFound):
			// Another snapshot is under way, or two newer ones have come meanwhile.
			if err := g.node.pause(ctx); err != nil {
				return err
			}
		default:
			return g.readError(err)
		}
	}
}

func (b *Backup) open(g *Group, index uint64) error {
	reader, err := g.node.store.OpenSnapshot(g.id, index)
	if err != nil {
		return err
	}
	b.readers = append(b.readers, reader)
	meta := reader.Meta()
	head, err := replica.ReadSnapshotHeader(io.NewSectionReader(reader, 0, meta.Size))
	if err != nil {
		return fmt.Errorf("synod: backup of group %s: %w", g.name, err)
	}
	configuration, err := consensus.DecodeConfiguration(meta.Header)
	if err != nil {
		return fmt.Errorf("synod: backup of group %s: %w", g.name, err)
	}
	entry := backup.Group{Name: g.name, Engine: string(g.config.Engine), Index: meta.Index, Term: meta.Term,
		Digest: fmt.Sprintf("%016x", head.Digest), Size: meta.Size}
	for _, m := range configuration.Members {
		entry.Members = append(entry.Members, m.Name)
	}
	b.header.Groups = append(b.header.Groups, entry)
	return nil
}

// Header says what is in the backup.
func (b *Backup) Header() backup.Header { return b.header }

// Size is how many bytes WriteTo writes.
func (b *Backup) Size() int64 { return b.size }

// WriteTo writes the backup. Every byte is verified on its way from the disk; what a
// failed one has written lacks the checksum at the end.
func (b *Backup) WriteTo(w io.Writer) (int64, error) {
	out, err := backup.NewWriter(w, b.header)
	if err != nil {
		return 0, err
	}
	for _, r := range b.readers {
		if err := out.Group(io.NewSectionReader(r, 0, r.Meta().Size)); err != nil {
			return out.Written(), err
		}
	}
	err = out.Close()
	return out.Written(), err
}

// Close lets go of the files.
func (b *Backup) Close() {
	for _, r := range b.readers {
		_ = r.Close()
	}
}
