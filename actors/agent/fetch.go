package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/synod-go/synod/mesos"
)

// Bounds of fetching.
const (
	fetchTimeout  = time.Hour        // of all files of a task
	fetchSilence  = 30 * time.Second // of a server, until its answer begins
	fetchStall    = time.Minute      // of a server, within its answer
	maxRedirects  = 5
	fetchMost     = 64 // files of a task
	fetchFileMode = 0o644
)

// fetchAll fetches what a task needs into its sandbox, one file after the other.
func (h *Handle) fetchAll(ctx context.Context, sandbox string, uris []mesos.URI) error {
	if len(uris) > fetchMost {
		return fmt.Errorf("%d files are to be fetched, at most %d can be", len(uris), fetchMost)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	root, err := os.OpenRoot(sandbox)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, u := range uris {
		if err := fetch(ctx, root, u, h.cfg.MaxFetchBytes); err != nil {
			return fmt.Errorf("%s cannot be fetched: %w", u.Value, err)
		}
	}
	return nil
}

// fetch fetches one file, checks it, and makes it what is asked for.
func fetch(ctx context.Context, root *os.Root, u mesos.URI, most int64) error {
	name := u.File()
	if !filepath.IsLocal(name) || name == "." {
		return fmt.Errorf("%w: its name in the sandbox would be %q", ErrOutside, name)
	}
	source, err := open(ctx, u.Value)
	if err != nil {
		return err
	}
	defer source.Close()
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	mode := os.FileMode(fetchFileMode)
	if u.Executable {
		mode = 0o755
	}
	if err := save(root, name, source, mode, most, u.SHA256); err != nil {
		return err
	}
	if u.Extract {
		return extract(ctx, root, name, most)
	}
	return nil
}

// save writes a file of the sandbox anew: whole and with the right checksum, or it is an error.
func save(root *os.Root, name string, source io.Reader, mode os.FileMode, most int64, sum string) error {
	_ = root.Remove(name) // another URI may have made it; if it cannot be removed the next line says why
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, hash), io.LimitReader(source, most+1))
	switch got := hex.EncodeToString(hash.Sum(nil)); {
	case err != nil:
		return err
	case n > most:
		return fmt.Errorf("it has more than %d bytes", most)
	case sum != "" && !strings.EqualFold(sum, got):
		return fmt.Errorf("its SHA-256 is %s, not %s", got, sum)
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Close()
}

// open opens what a URI names.
func open(ctx context.Context, value string) (io.ReadCloser, error) {
	switch scheme, rest, _ := strings.Cut(value, "://"); {
	case strings.HasPrefix(value, "/"):
		return openFile(value)
	case scheme == "file":
		if u, err := url.Parse(value); err == nil && (u.Host == "" || u.Host == "localhost") && u.Path != "" {
			return openFile(u.Path)
		}
	case (scheme == "http" || scheme == "https") && rest != "":
		return openHTTP(ctx, value, fetchStall)
	}
	return nil, errors.New("it is no absolute path and no file, http or https URI")
}

func openFile(name string) (io.ReadCloser, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errors.New("it is no regular file")
	}
	return f, nil
}

// fetches asks for files: without the compression of HTTP, which would change checksums.
var fetches = &http.Client{
	Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableCompression: true, DisableKeepAlives: true,
		DialContext:           (&net.Dialer{Timeout: fetchSilence, Control: notLinkLocal}).DialContext,
		TLSHandshakeTimeout:   fetchSilence,
		ResponseHeaderTimeout: fetchSilence, MaxResponseHeaderBytes: 64 << 10},
	CheckRedirect: checkRedirect,
}

// checkRedirect ends a fetch that is sent on too often, or from a server that has shown a certificate to one that shows none.
func checkRedirect(to *http.Request, via []*http.Request) error {
	switch from := via[len(via)-1].URL; {
	case len(via) > maxRedirects:
		return fmt.Errorf("it is sent on more than %d times", maxRedirects)
	case from.Scheme == "https" && to.URL.Scheme != "https":
		return fmt.Errorf("%s sends it on to %s without https", from.Host, to.URL.Host)
	}
	return nil
}

// notLinkLocal refuses link-local addresses, whatever the name that has led there: no file is there, but the machine's
// own secrets, where it is one of a cloud.
func notLinkLocal(_, address string, _ syscall.RawConn) error {
	if to, err := netip.ParseAddrPort(address); err == nil && to.Addr().Unmap().IsLinkLocalUnicast() {
		return fmt.Errorf("%s is a link-local address", to.Addr())
	}
	return nil
}

// errStalled is why a fetch ends whose server is silent for too long.
var errStalled = errors.New("the server sends nothing more")

// steady is the body of an answer. A Read that gets nothing for so long ends the request.
type steady struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	stall  time.Duration
	timer  *time.Timer // runs within a Read
}

// Read reads.
func (s *steady) Read(p []byte) (int, error) {
	s.timer.Reset(s.stall)
	n, err := s.ReadCloser.Read(p)
	s.timer.Stop()
	if err != nil && err != io.EOF && context.Cause(s.ctx) == errStalled {
		err = fmt.Errorf("%w for %v", errStalled, s.stall)
	}
	return n, err
}

// Close ends the request.
func (s *steady) Close() error {
	s.timer.Stop()
	s.cancel(nil)
	return s.ReadCloser.Close()
}

func openHTTP(ctx context.Context, value string, stall time.Duration) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	response, err := getHTTP(ctx, value)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	timer := time.AfterFunc(stall, func() { cancel(errStalled) })
	timer.Stop()
	return &steady{response.Body, ctx, cancel, stall, timer}, nil
}

func getHTTP(ctx context.Context, value string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, value, nil)
	if err != nil {
		return nil, err
	}
	response, err := fetches.Do(request)
	if err != nil {
		if inner, is := errors.AsType[*url.Error](err); is {
			err = inner.Err
		}
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("the server answers %s", response.Status)
	}
	return response, nil
}
