package agent

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxEntries is how many files an archive may hold.
const maxEntries = 100_000

// extractor unpacks one archive beside it. Whatever the archive says, the kernel lets nothing be
// written outside of the sandbox.
type extractor struct {
	ctx     context.Context
	root    *os.Root
	dir     string
	left    int64 // bytes that may still be written
	entries int
}

// extract unpacks a .tar, .tar.gz, .tgz or .zip beside it: at most as many bytes as the limit.
func extract(ctx context.Context, root *os.Root, name string, most int64) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	x := &extractor{ctx: ctx, root: root, dir: path.Dir(name), left: most}
	switch lower := strings.ToLower(name); {
	case strings.HasSuffix(lower, ".tar"):
		err = x.tar(f)
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"):
		var plain *gzip.Reader
		if plain, err = gzip.NewReader(f); err == nil {
			err = x.tar(plain)
		}
	case strings.HasSuffix(lower, ".zip"):
		err = x.zip(f)
	default:
		err = errors.New("it is no .tar, .tar.gz, .tgz or .zip")
	}
	if err != nil {
		return fmt.Errorf("it cannot be unpacked: %w", err)
	}
	return nil
}

func (x *extractor) tar(r io.Reader) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch mode := h.FileInfo().Mode().Perm(); h.Typeflag {
		case tar.TypeDir:
			err = x.directory(h.Name)
		case tar.TypeReg:
			err = x.file(h.Name, mode, t)
		case tar.TypeSymlink:
			err = x.link(h.Name, h.Linkname)
		case tar.TypeXGlobalHeader:
		default:
			err = fmt.Errorf("%q is neither a file nor a directory nor a symbolic link", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func (x *extractor) zip(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return err
	}
	for _, e := range z.File {
		switch mode := e.Mode(); {
		case mode.IsDir():
			err = x.directory(e.Name)
		case mode.IsRegular():
			err = x.zipped(e)
		default:
			err = fmt.Errorf("%q is neither a file nor a directory", e.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *extractor) zipped(e *zip.File) error {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	return x.file(e.Name, e.Mode().Perm(), r)
}

// place is where an entry goes.
func (x *extractor) place(name string) (string, error) {
	if x.entries++; x.entries > maxEntries {
		return "", fmt.Errorf("it has more than %d entries", maxEntries)
	}
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	if !filepath.IsLocal(clean) {
		return "", fmt.Errorf("%w: %q", ErrOutside, name)
	}
	return path.Join(x.dir, clean), x.ctx.Err()
}

func (x *extractor) directory(name string) error {
	p, err := x.place(name)
	if err != nil {
		return err
	}
	return x.root.MkdirAll(p, 0o755)
}

func (x *extractor) file(name string, mode os.FileMode, r io.Reader) error {
	p, err := x.place(name)
	if err != nil {
		return err
	}
	if err := x.root.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	if err := x.root.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := x.root.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode|0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(f, io.LimitReader(r, x.left+1))
	if x.left -= n; x.left < 0 {
		return errors.New("it holds more bytes than a fetched file may have")
	}
	return errors.Join(err, f.Close())
}

// link makes a symbolic link that stays in the sandbox.
func (x *extractor) link(name, to string) error {
	p, err := x.place(name)
	if err != nil {
		return err
	}
	if path.IsAbs(to) || !filepath.IsLocal(path.Join(path.Dir(p), to)) {
		return fmt.Errorf("%w: %q leads to %q", ErrOutside, name, to)
	}
	if err := x.root.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	return x.root.Symlink(to, p)
}
