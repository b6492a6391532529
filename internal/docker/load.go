package docker

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/distribution/reference"
	"github.com/moby/moby/client"
)

// maxIndex bounds a file in an image's tar that has names, in bytes.
const maxIndex = 4 << 20

// maxLinks bounds the links in an image's tar, of which docker save makes one for a layer that is there already, and
// maxPath the names of its files, in bytes.
const maxLinks, maxPath = 10_000, 4096

// load gives the engine a tar, as docker save makes them. What else it brings would take the place of
// others' images of that name, so a tar that has another name is refused.
func (e *Engine) load(ctx context.Context, name string, open func() (io.ReadCloser, error)) error {
	err := read(ctx, open, func(r io.Reader) error {
		other := ""
		err := namesIn(r, func(n string) bool {
			if whole(n) != whole(name) {
				other = n
			}
			return other == ""
		})
		switch {
		case err != nil:
			return refused("load", "this is no tar of an image: "+err.Error(), nil)
		case other != "":
			return refused("load", fmt.Sprintf("the file has the image %.200q: it may have %s alone", other, name), ErrNoImage)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return read(ctx, open, func(r io.Reader) error {
		answer, err := e.conn.Load().api.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
		if err != nil {
			return unlessEnded(ctx, "load", wrong("load", err))
		}
		defer func() { _ = answer.Close() }()
		return unlessEnded(ctx, "load", progress("load", answer))
	})
}

// read has f read a file until ctx ends. An error of the file is that, whatever f made of it.
func read(ctx context.Context, open func() (io.ReadCloser, error), f func(io.Reader) error) error {
	file, err := open()
	if err != nil {
		return fmt.Errorf("docker: load: %w", err)
	}
	defer func() { _ = file.Close() }()
	from := &source{Reader: file, ctx: ctx}
	err = f(from)
	if err != nil && from.failed != nil {
		return fmt.Errorf("docker: load: %w", from.failed)
	}
	return err
}

// source keeps the error of a reader.
type source struct {
	io.Reader
	ctx    context.Context
	failed error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if ended := s.ctx.Err(); ended != nil {
		n, err = 0, ended
	}
	if err != nil && err != io.EOF {
		s.failed = err
	}
	return n, err
}

// whole is an image's name with all that is left out of it, so that two can be compared.
func whole(name string) string {
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return name
	}
	return named.String()
}

// namesIn calls each with the names that the images in a tar have, until it returns false.
func namesIn(r io.Reader, each func(string) bool) error {
	r, err := plainTar(bufio.NewReader(r))
	if err != nil {
		return err
	}
	links := map[string]bool{}
	for t := tar.NewReader(r); ; {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean("/" + header.Name)
		if err := behindNoLink(links, header, name); err != nil {
			return err
		}
		find := indexes[name]
		if find == nil {
			continue
		}
		if header.Typeflag != tar.TypeReg || header.Size > maxIndex { // An engine would follow a link.
			return fmt.Errorf("its %.80s is no file of at most %d bytes", header.Name, maxIndex)
		}
		text, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		found, err := find(text)
		if err != nil {
			return fmt.Errorf("its %.80s: %w", header.Name, err)
		}
		for _, n := range found {
			if !each(n) {
				return nil
			}
		}
	}
}

// behindNoLink refuses a file to which an engine comes by a link of the same tar: it is another one then than it is
// called. A hard link may be one of a symbolic link.
func behindNoLink(links map[string]bool, header *tar.Header, name string) error {
	if len(name) > maxPath {
		return fmt.Errorf("it has a name of %d bytes", len(name))
	}
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if links[dir] {
			return fmt.Errorf("its %.80s is behind a link", header.Name)
		}
	}
	if header.Typeflag == tar.TypeSymlink || header.Typeflag == tar.TypeLink {
		links[name] = true
	}
	if len(links) > maxLinks {
		return fmt.Errorf("it has more than %d links", maxLinks)
	}
	return nil
}

// plainTar is a tar without its compression by gzip. An engine finds out itself how a file is compressed: what
// it could take for anything else must not be taken for a tar here.
func plainTar(b *bufio.Reader) (io.Reader, error) {
	magic, _ := b.Peek(4)
	if bytes.HasPrefix(magic, []byte("\x1f\x8b")) {
		return gzip.NewReader(b)
	}
	if bytes.HasPrefix(magic, []byte("BZh")) || bytes.ContainsFunc(magic, func(r rune) bool { return r != 0 && r < ' ' || r > '~' }) {
		return nil, errors.New("it is compressed, and not by gzip, or begins with no name")
	}
	return b, nil
}

// indexes are the files with names, of three generations of engines.
var indexes = map[string]func([]byte) ([]string, error){
	"/manifest.json": func(text []byte) (names []string, err error) {
		var images []struct{ RepoTags []string }
		err = json.Unmarshal(text, &images)
		for _, image := range images {
			names = append(names, image.RepoTags...)
		}
		return names, err
	},
	"/repositories": func(text []byte) (names []string, err error) {
		var tags map[string]map[string]string
		err = json.Unmarshal(text, &tags)
		for name, ids := range tags {
			for tag := range ids {
				names = append(names, name+":"+tag)
			}
		}
		return names, err
	},
	"/index.json": func(text []byte) (names []string, err error) {
		var index struct {
			Manifests []struct{ Annotations map[string]string }
		}
		err = json.Unmarshal(text, &index)
		for _, m := range index.Manifests {
			if name := m.Annotations["io.containerd.image.name"]; name != "" {
				names = append(names, name)
			} else if name := m.Annotations["org.opencontainers.image.ref.name"]; name != "" {
				names = append(names, name)
			}
		}
		return names, err
	},
}
