package docker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/docker/dockertest"
)

// files are a tar of some.
func files(t testing.TB, pairs ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: pairs[i], Mode: 0o644, Size: int64(len(pairs[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unique are the configuration and the layer of an image that no engine has.
func unique(t testing.TB) (config, layer string) {
	layer = string(files(t, "file", newID()))
	return configOf(`{"Cmd":["/x"]}`, layer), layer
}

// configOf is the configuration of an image that runs in some way.
func configOf(runs, layer string) string {
	return fmt.Sprintf(`{"architecture":"amd64","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, runs, sha256.Sum256([]byte(layer)))
}

// saved is a tar as docker save makes them, of an image that no engine has.
func saved(t testing.TB, names ...string) []byte {
	t.Helper()
	config, layer := unique(t)
	return savedOf(t, config, layer, names...)
}

func savedOf(t testing.TB, config, layer string, names ...string) []byte {
	t.Helper()
	tags, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return files(t, "config.json", config, "layer.tar", layer, "manifest.json", fmt.Sprintf(`[{"Config":"config.json","RepoTags":%s,"Layers":["layer.tar"]}]`, tags))
}

// dropImage removes an image at the test's end, if it is there.
func dropImage(t testing.TB, name string) {
	api := dockertest.Client(t)
	t.Cleanup(func() {
		_, _ = api.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true})
	})
}

func TestAnImageIsLoadedIfItIsMissing(t *testing.T) {
	e := dockertest.Engine(t)
	name := "dockertest-load:" + newID()
	dropImage(t, name)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(saved(t, name)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	content, opened := packed.Bytes(), 0
	load := func() (io.ReadCloser, error) {
		opened++
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	if err := e.Image(t.Context(), name, false, load); err != nil {
		t.Fatal(err)
	}
	was := opened
	if err := e.Image(t.Context(), name, false, load); err != nil || opened != was || was == 0 {
		t.Errorf("the second time: %v, opened %d and %d times", err, was, opened)
	}
}

func TestWhatCannotBeLoadedSaysWhy(t *testing.T) {
	e := dockertest.Engine(t)
	name, broken := "dockertest-load:"+newID(), errors.New("broken")
	other := "dockertest-other:" + newID()
	dropImage(t, name)
	dropImage(t, other)
	for _, c := range []struct {
		what  string
		load  func() (io.ReadCloser, error)
		want  error
		words string
	}{
		{"another image", reads(saved(t, other)), docker.ErrNoImage, other},
		{"another image too", reads(saved(t, name, other)), docker.ErrNoImage, other},
		{"no image", reads(files(t, "manifest.json", "[]")), docker.ErrNoImage, name},
		{"another one's of old", reads(files(t, "repositories", `{"dockertest-other":{"1":"x"}}`)), docker.ErrNoImage, "dockertest-other:1"},
		{"another one's of today", reads(files(t, "index.json", `{"manifests":[{"annotations":{"io.containerd.image.name":"docker.io/library/debian:latest"}}]}`)), docker.ErrNoImage, "debian:latest"},
		{"names that are no JSON", reads(files(t, "./manifest.json", "xyz")), nil, "manifest.json"},
		{"names elsewhere", reads(tarOf(t, tar.Header{Name: "manifest.json", Typeflag: tar.TypeSymlink, Linkname: "other.json"})), nil, "manifest.json is no file"},
		{"names behind a link", reads(tarOf(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "."}, tar.Header{Name: "a/manifest.json"})), nil, "behind a link"},
		{"names behind a link of a link", reads(tarOf(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "."},
			tar.Header{Name: "b/c", Typeflag: tar.TypeLink, Linkname: "a"}, tar.Header{Name: "b/c/./manifest.json"})), nil, "behind a link"},
		{"a name without end", reads(tarOf(t, tar.Header{Name: strings.Repeat("a/", 5000)})), nil, "a name of"},
		{"links without end", reads(tarOf(t, manyLinks()...)), nil, "more than 10000 links"},
		{"another compression in the name", reads(tarOf(t, tar.Header{Name: "P*M\x18"})), nil, "compressed"},
		{"bzip2 in the name", reads(tarOf(t, tar.Header{Name: "BZh91AY"})), nil, "compressed"},
		{"no tar", reads([]byte("this is no tar")), nil, ""},
		{"half a tar", reads(saved(t, name)[:3000]), nil, ""},
		{"no file", func() (io.ReadCloser, error) { return nil, os.ErrNotExist }, os.ErrNotExist, ""},
		{"a broken file", func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(saved(t, name)[:1024]), failed{broken})), nil
		}, broken, ""},
	} {
		err := e.Image(t.Context(), name, false, c.load)
		_, refused := errors.AsType[*docker.RefusedError](err)
		if err == nil || errors.Is(err, docker.ErrNoEngine) || !strings.Contains(err.Error(), c.words) ||
			c.want != nil && !errors.Is(err, c.want) || c.want == nil && !refused {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// tarOf is a tar of files without content.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func manyLinks() (links []tar.Header) {
	for n := range 10_001 {
		links = append(links, tar.Header{Name: fmt.Sprint(n), Typeflag: tar.TypeSymlink, Linkname: "x"})
	}
	return links
}

func reads(content []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}

type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

// registry is one with a single image, app:1, for who knows the password.
type registry struct {
	blobs    map[string]string // by digest
	manifest string
	pulled   int
	// broken layers are those of another digest.
	broken bool
}

func newRegistry(t testing.TB) (r *registry, host string) {
	t.Helper()
	config, layer := unique(t)
	digest := func(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }
	const kind = "application/vnd.docker.distribution.manifest.v2+json"
	r = &registry{
		blobs: map[string]string{digest(config): config, digest(layer): layer},
		manifest: fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,`+
			`"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":%q},`+
			`"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":%d,"digest":%q}]}`,
			kind, len(config), digest(config), len(layer), digest(layer)),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if user, password, _ := request.BasicAuth(); user != "alice" || password != "secret:word" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		dir, last := filepath.Split(request.URL.Path)
		blob, known := r.blobs[last]
		switch {
		case request.URL.Path == "/v2/":
		case dir == "/v2/app/manifests/" && (last == "1" || last == digest(r.manifest)):
			r.pulled++
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Docker-Content-Digest", digest(r.manifest))
			_, _ = io.WriteString(w, r.manifest)
		case dir == "/v2/app/blobs/" && known:
			if r.broken && blob == layer {
				blob = strings.ToUpper(blob)
			}
			_, _ = io.WriteString(w, blob)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
		}
	}))
	t.Cleanup(server.Close)
	return r, strings.TrimPrefix(server.URL, "http://")
}

// login is a config.json.
func login(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func alice(host, password string) string {
	return fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("alice:"+password)))
}

func TestAnImageIsPulledWithCredentials(t *testing.T) {
	registry, host := newRegistry(t)
	name := host + "/app:1"
	dropImage(t, name)
	for _, key := range []string{host, "http://" + host + "/v2/"} {
		e, _ := dockertest.EngineOf(t, docker.Config{Credentials: login(t, alice(key, "secret:word"))})
		before := registry.pulled
		if err := e.Image(t.Context(), name, true, nil); err != nil || registry.pulled == before {
			t.Fatalf("pull with %s: %v, asked %d times", key, err, registry.pulled-before)
		}
		before = registry.pulled
		if err := e.Image(t.Context(), name, false, nil); err != nil || registry.pulled != before {
			t.Errorf("it is there: %v, asked %d times", err, registry.pulled-before)
		}
	}
}

func TestWhatCannotBePulledSaysWhy(t *testing.T) {
	registry, host := newRegistry(t)
	registry.broken = true
	_, closed := newRegistry(t)
	closed = strings.Split(closed, ":")[0] + ":1" // Nobody listens there.
	right := login(t, alice(host, "secret:word"))
	for _, c := range []struct {
		name, credentials string
		missing           bool
		words             string
	}{
		{host + "/app:1", "", false, "no basic auth credentials"},
		{host + "/app:1", login(t, alice(host, "wrong")), false, "unauthorized"},
		{host + "/app:1", login(t, `{"auths":{}}`), false, "no basic auth credentials"},
		{host + "/app:1", login(t, `[]`), false, "are not JSON"},
		{host + "/app:1", login(t, `{"auths":{"`+host+`":{"auth":"xyz"}}}`), false, "are not base64"},
		{host + "/app:1", login(t, `{"auths":{"`+host+`":{}},"credsStore":"pass"}`), false, "docker-credential-pass"},
		{host + "/app:1", "/nowhere/config.json", false, "no such file"},
		{host + "/app:1", right, false, "verif"},
		{host + "/app:2", right, true, "manifest unknown"},
		{host + "/none:1", right, true, "manifest unknown"},
		{closed + "/app:1", "", false, "connection refused"},
		{"../../x", "", true, "invalid reference"},
		{"UPPER", "", true, "must be lowercase"},
	} {
		e, _ := dockertest.EngineOf(t, docker.Config{Credentials: c.credentials})
		err := e.Image(t.Context(), c.name, false, nil)
		refused, ok := errors.AsType[*docker.RefusedError](err)
		if !ok || errors.Is(err, docker.ErrNoImage) != c.missing || !strings.Contains(refused.Words, c.words) || strings.Contains(refused.Words, "secret") {
			t.Errorf("%s: %v, want %q (missing: %v)", c.name, err, c.words, c.missing)
		}
	}
}

func TestAPullEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	defer server.CloseClientConnections() // The engine stays connected for a while.
	e := dockertest.Engine(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	err := e.Image(ctx, strings.TrimPrefix(server.URL, "http://")+"/app:1", false, nil)
	if !errors.Is(err, context.Canceled) || errors.Is(err, docker.ErrNoEngine) {
		t.Errorf("pull: %v", err)
	}
}
