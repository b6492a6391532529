package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/moby/client"
)

// Copy copies the files below a directory into one of a container that need not run: directories, files and
// symbolic links, others are left out. It is for a directory of the container's own. What it copies can be read by every user of the
// container, and directories written; it belongs to the container's user if that is a number, to root otherwise.
// In a container that is read-only the directory itself stays as it is, which is root's. An error of a file
// is a *fs.PathError. It takes as long as ctx allows.
func (e *Engine) Copy(ctx context.Context, id, from, to string) error {
	c, err := e.find(ctx, "copy", id)
	if err != nil {
		return err
	}
	// Of the directory to which a tar is unpacked the engine leaves the rights alone. So it is that above.
	into, prefix := path.Dir(to), path.Base(to)
	if c.HostConfig != nil && c.HostConfig.ReadonlyRootfs {
		into, prefix = to, "."
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(writer, from, prefix, c.Config.User)
		_ = writer.CloseWithError(err)
		packed <- err
	}()
	_, err = e.conn.Load().api.CopyToContainer(ctx, c.ID, client.CopyToContainerOptions{DestinationPath: into, Content: reader})
	_ = reader.CloseWithError(io.ErrClosedPipe)
	if problem := <-packed; problem != nil && !errors.Is(problem, io.ErrClosedPipe) {
		return fmt.Errorf("docker: copy: %w", problem)
	}
	return unlessEnded(ctx, "copy", wrong("copy", err))
}

// pack writes the files below a directory as a tar in which they are below prefix.
func pack(to io.Writer, from, prefix, user string) error {
	owner, group, _ := strings.Cut(user, ":")
	uid, uidError := strconv.Atoi(owner)
	gid, gidError := strconv.Atoi(group)
	if uidError != nil {
		uid = 0
	}
	if gidError != nil {
		gid = uid
	}
	root, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	w := tar.NewWriter(to)
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return packOne(w, root, name, path.Join(prefix, name), uid, gid)
	})
	if err != nil {
		return err
	}
	return w.Close()
}

func packOne(w *tar.Writer, root *os.Root, name, as string, uid, gid int) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	link := ""
	if info.Mode().Type() == fs.ModeSymlink {
		if link, err = root.Readlink(name); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return nil // A socket, of which there is no copy.
	}
	header.Name, header.Uid, header.Gid, header.Uname, header.Gname = as, uid, gid, "", ""
	switch {
	case info.IsDir():
		header.Name, header.Mode = as+"/", 0o777
	case link != "":
	case !info.Mode().IsRegular():
		return nil
	case info.Mode()&0o111 != 0:
		header.Mode = int64(info.Mode().Perm() | 0o555)
	default:
		header.Mode = int64(info.Mode().Perm() | 0o444)
	}
	if err := w.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.CopyN(w, f, header.Size)
	return err
}
