//go:build linux

package agent

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
)

// files is a server of files by path.
func files(t *testing.T, content map[string][]byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/loop" {
			http.Redirect(w, r, "/loop", http.StatusFound)
			return
		}
		body, ok := content[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func tarOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		body := h.Linkname
		if h.Typeflag == tar.TypeReg {
			h.Linkname, h.Size = "", int64(len(body))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			_, _ = w.Write([]byte(body))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte("in " + name))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fetchInto fetches into a new sandbox with a limit of 1 MiB.
func fetchInto(t *testing.T, uris ...mesos.URI) (sandbox string, err error) {
	h, _, p := quiet(t)
	h.cfg.MaxFetchBytes = 1 << 20
	return p.sandbox(), h.fetchAll(t.Context(), p.sandbox(), uris)
}

func mustHave(t *testing.T, want string, parts ...string) os.FileMode {
	t.Helper()
	name := filepath.Join(parts...)
	text, err := os.ReadFile(name)
	if err != nil || string(text) != want {
		t.Errorf("%s has %q, %v, want %q", name, text, err, want)
		return 0
	}
	info, _ := os.Stat(name)
	return info.Mode().Perm()
}

func TestFilesAreFetchedCheckedAndUnpacked(t *testing.T) {
	sum := sha256.Sum256([]byte("tool"))
	archive := tarOf(t, tar.Header{Name: "bin/", Typeflag: tar.TypeDir}, tar.Header{Name: "bin/run", Typeflag: tar.TypeReg, Linkname: "#!", Mode: 0o755},
		tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "bin/run"})
	url := files(t, map[string][]byte{"/tool": []byte("tool"), "/a.tar": archive, "/b.tgz": gzipped(t, archive), "/c.zip": zipOf(t, "x/y", "z")})
	local := filepath.Join(t.TempDir(), "local file")
	write(t, "local", local)
	sandbox, err := fetchInto(t, mesos.URI{Value: url + "/tool", SHA256: strings.ToUpper(hex.EncodeToString(sum[:])), Executable: true},
		mesos.URI{Value: url + "/tool?x=1", Output: "deep/down/other"}, mesos.URI{Value: local}, mesos.URI{Value: "file://" + strings.ReplaceAll(local, " ", "%20"), Output: "second"},
		mesos.URI{Value: url + "/a.tar", Output: "a/a.tar", Extract: true}, mesos.URI{Value: url + "/b.tgz", Output: "b/b.tgz", Extract: true}, mesos.URI{Value: url + "/c.zip", Extract: true})
	if err != nil {
		t.Fatal(err)
	}
	if mode := mustHave(t, "tool", sandbox, "tool"); mode != 0o755 {
		t.Errorf("tool has mode %v", mode)
	}
	if mode := mustHave(t, "tool", sandbox, "deep/down/other"); mode != 0o644 {
		t.Errorf("other has mode %v", mode)
	}
	mustHave(t, "local", sandbox, "local file")
	mustHave(t, "local", sandbox, "second")
	for _, dir := range []string{"a", "b"} {
		if mode := mustHave(t, "#!", sandbox, dir, "bin/run"); mode != 0o755 {
			t.Errorf("%s/bin/run has mode %v", dir, mode)
		}
		mustHave(t, "#!", sandbox, dir, "link")
	}
	mustHave(t, "in x/y", sandbox, "x/y")
	mustHave(t, "in z", sandbox, "z")
}

func TestWhatCannotOrMustNotBeFetchedIsRefused(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 1<<20+1)
	bomb := gzipped(t, tarOf(t, tar.Header{Name: "big", Typeflag: tar.TypeReg, Linkname: string(bytes.Repeat([]byte{0}, 2<<20))}))
	reg := func(name string) []byte {
		return tarOf(t, tar.Header{Name: name, Typeflag: tar.TypeReg, Linkname: "evil"})
	}
	link := func(name, to string) []byte {
		return tarOf(t, tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to})
	}
	url := files(t, map[string][]byte{"/f": []byte("f"), "/big": big, "/bomb.tgz": bomb, "/up.tar": reg("../up"), "/abs.tar": reg("/tmp/abs"), "/l1.tar": link("l", "../../x"),
		"/l2.tar": link("l", "/etc"), "/dev.tar": tarOf(t, tar.Header{Name: "d", Typeflag: tar.TypeChar}), "/hard.tar": tarOf(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		"/up.zip": zipOf(t, "../up"), "/no.tar": []byte("no tar at all, but long enough"), "/no.zip": []byte("no"), "/no.tgz": []byte("no"), "/exact": big[1:]})
	for _, c := range []struct {
		u    mesos.URI
		says string
	}{
		{mesos.URI{Value: url + "/nosuch"}, "404"},
		{mesos.URI{Value: url + "/loop"}, "more than 5 times"},
		{mesos.URI{Value: url + "/big"}, "more than 1048576 bytes"},
		{mesos.URI{Value: url + "/f", SHA256: "00"}, "SHA-256"},
		{mesos.URI{Value: url + "/f", Output: "../f"}, "sandbox"},
		{mesos.URI{Value: url + "/f", Output: "/f"}, "sandbox"},
		{mesos.URI{Value: url + "/"}, "sandbox"},
		{mesos.URI{Value: "relative"}, "absolute path"},
		{mesos.URI{Value: "ftp://x/y"}, "absolute path"},
		{mesos.URI{Value: "file://other/y"}, "absolute path"},
		{mesos.URI{Value: "/no/such/file"}, "no such file"},
		{mesos.URI{Value: "/dev/zero"}, "regular"},
		{mesos.URI{Value: t.TempDir()}, "regular"},
		{mesos.URI{Value: "http://127.0.0.1:1/x"}, "refused"},
		{mesos.URI{Value: url + "/f", Extract: true}, "no .tar"},
		{mesos.URI{Value: url + "/bomb.tgz", Extract: true}, "more bytes"},
		{mesos.URI{Value: url + "/up.tar", Extract: true}, "out of the sandbox"},
		{mesos.URI{Value: url + "/abs.tar", Extract: true}, "out of the sandbox"},
		{mesos.URI{Value: url + "/l1.tar", Extract: true}, "out of the sandbox"},
		{mesos.URI{Value: url + "/l2.tar", Extract: true}, "out of the sandbox"},
		{mesos.URI{Value: url + "/dev.tar", Extract: true}, "neither"},
		{mesos.URI{Value: url + "/hard.tar", Extract: true}, "neither"},
		{mesos.URI{Value: url + "/up.zip", Extract: true}, "out of the sandbox"},
		{mesos.URI{Value: url + "/no.tar", Extract: true}, "unpacked"},
		{mesos.URI{Value: url + "/no.zip", Extract: true}, "unpacked"},
		{mesos.URI{Value: url + "/no.tgz", Extract: true}, "unpacked"},
	} {
		sandbox, err := fetchInto(t, c.u)
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.u.Value) {
			t.Errorf("%+v: %v, want that it says %q", c.u, err, c.says)
		}
		for _, outside := range []string{filepath.Join(filepath.Dir(sandbox), "up"), "/tmp/abs"} {
			if _, err := os.Stat(outside); err == nil {
				t.Errorf("%+v has made %s", c.u, outside)
			}
		}
	}
	if _, err := fetchInto(t, mesos.URI{Value: url + "/exact"}); err != nil {
		t.Errorf("a file of exactly as many bytes as may be: %v", err)
	}
	if _, err := fetchInto(t, make([]mesos.URI, fetchMost+1)...); err == nil {
		t.Error("too many files are fetched")
	}
}

// A link in the sandbox, also one that an archive has made before, leads no file out of it.
func TestAFileIsNotFetchedThroughALink(t *testing.T) {
	h, _, p := quiet(t)
	h.cfg.MaxFetchBytes = 1 << 20
	if err := os.Symlink("..", filepath.Join(p.sandbox(), "out")); err != nil {
		t.Fatal(err)
	}
	url := files(t, map[string][]byte{"/f": []byte("f")})
	if err := h.fetchAll(t.Context(), p.sandbox(), []mesos.URI{{Value: url + "/f", Output: "out/f"}}); err == nil {
		t.Error("it was fetched")
	}
	if _, err := os.Stat(filepath.Join(p.dir, "f")); err == nil {
		t.Error("there is a file outside of the sandbox")
	}
}

func TestATaskThatCannotFetchFailsAndOneThatCanRuns(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	start(t, m, config(t, m, work))
	m.registered(1)
	url := files(t, map[string][]byte{"/tool": []byte("#!/bin/sh\nexit 9\n")})
	good := task("good", "./tool")
	good.Command.URIs = []mesos.URI{{Value: url + "/tool", Executable: true}}
	bad := task("bad", "true")
	bad.Command.URIs = []mesos.URI{{Value: url + "/nosuch"}}
	m.launch(good)
	m.launch(bad)
	if s := m.told("good", mesos.Failed); s.ExitCode != 9 {
		t.Errorf("good: %+v", s)
	}
	if s := m.told("bad", mesos.Failed); s.Reason != mesos.ReasonContainerLaunchFailed || !strings.Contains(s.Message, "404") {
		t.Errorf("bad: %+v", s)
	}
}

// A server that falls silent within its answer does not keep the place of a fetch.
func TestAFetchEndsWhoseServerFallsSilent(t *testing.T) {
	begun := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	body, err := openHTTP(ctx, s.URL, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	<-begun
	text, err := io.ReadAll(body)
	if string(text) != "half" || !errors.Is(err, errStalled) || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("it got %q, %v", text, err)
	}
}

// A task that is killed while it fetches ends at once, and never runs.
func TestATaskIsKilledWhileItFetches(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	start(t, m, config(t, m, work))
	m.registered(1)
	asked := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer s.Close()
	slow, ledger, _ := untilEnd(work, "slow")
	slow.Command.URIs = []mesos.URI{{Value: s.URL + "/x"}}
	m.launch(slow)
	<-asked
	m.kill("slow")
	if s := m.told("slow", mesos.Killed); s.HasExit {
		t.Errorf("it ended as %+v", s)
	}
	if n := lines(t, ledger); n != 0 {
		t.Error(fmt.Sprint("it ran ", n, " times"))
	}
}
