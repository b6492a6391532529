package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

const leakyJob = `name: leaky
shell: 'echo command-5ecret-a; sleep 1000'
memory: 16MiB
env: {PASSWORD: environment-5ecret-b}
`

// unpacked reads the files of a bundle.
func unpacked(t *testing.T, name string) map[string]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(header.Name, "synod/")] = string(text)
	}
}

func TestABundleHasWhatIsNeededAndNothingSecret(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster of three processes")
	}
	dir := t.TempDir()
	f, client := startFleet(t, 3, dir, synod.Raft)
	defer f.end()
	defer client.Close()
	if err := f.addAgents(1); err != nil {
		t.Fatal(err)
	}
	if err := f.start(f.agents[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextFor(time.Minute)
	defer cancel()
	if err := f.awaitAgents(ctx, client); err != nil {
		t.Fatal(err)
	}
	job := filepath.Join(dir, "leaky.yaml")
	if err := os.WriteFile(job, []byte(leakyJob), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := strings.Join(f.addrs(), ",")
	mustNode(t, "run", job, "--addr", addr, "--timeout", "30s")
	if _, err := client.Put(ctx, "some/key", []byte("value-5ecret-c"), api.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "report.tar.gz")
	mustNode(t, "bundle", name, "--addr", addr)
	files := unpacked(t, name)
	for _, want := range []string{"manifest.json", "doctor.json", "settings.json", "n1/status.json", "n2/ready.json", "n3/metrics.txt",
		"n1/flight-coordination.json", "n1/flight-registry.json", "cluster/members.json", "cluster/jobs.json", "cluster/tasks.json"} {
		if len(files[want]) == 0 {
			t.Errorf("%s is missing: %.2000s", want, files["manifest.json"])
		}
	}
	led := ""
	for _, n := range f.nodes {
		led += files[n.name+"/events.ndjson"]
	}
	if !strings.Contains(led, `"became leader"`) || !strings.Contains(led, `"term":`) {
		t.Errorf("nobody tells that it became leader, and in which term: %.500q", led)
	}
	if !strings.Contains(files["cluster/jobs.json"], "leaky") {
		t.Errorf("the jobs are not told: %q", files["cluster/jobs.json"])
	}
	if text := files["n1/metrics.txt"]; strings.Contains(text, blotted) {
		t.Errorf("the name of a metric is taken for a secret: %.500q", text)
	}
	for file, text := range files {
		if at := strings.Index(text, "5ecret"); at >= 0 {
			t.Errorf("%s tells %q", file, text[max(0, at-100):min(len(text), at+40)])
		}
	}
	if code, _, text := runNode("bundle", name, "--addr", addr); code != 7 {
		t.Errorf("the same file again: exit %d, %s", code, text)
	}
	f.find("n3").kill()
	name = filepath.Join(dir, "without.tar.gz")
	out := mustNode(t, "bundle", name, "--addr", addr)
	if !strings.Contains(out, "missing  n3/status.json: ") || len(unpacked(t, name)["n1/status.json"]) == 0 {
		t.Errorf("with n3 down: %s", out)
	}
}

func TestWhatIsSecretIsBlottedOut(t *testing.T) {
	for _, text := range []string{
		`{"tasks":[{"name":"a","environment":{"A":"5ecret"},"command":["5ecret"],"nested":{"token":"5ecret"}}]}`,
		`{"spec":"shell: 5ecret"}`, `{"message":"Authorization: Bearer 5ecret5ecret"}`, `["password=5ecret"]`,
		`{"why":"session 1f-6b0f43a8c1d2e3f40516273849506172"}`, `{"ok":1}` + "\n" + `{"token":"5ecret","cut":"5ec`,
		`{"key":"-----BEGIN PRIVATE KEY-----\nMIG5ecret\n"}`, `{"event":"put","data":{"value":"5ecret"}}`, `{"event":"put","data":"5ecret"}`,
		`{"why":"synod_5ecretAbCdEf-hIjKlMnOpQrStUvWxYz0123456789_-AbC is known"}`,
	} {
		got := string(redactJSON([]byte(text)))
		if strings.Contains(got, "5ec") || strings.Contains(got, "6b0f43a8") || !strings.Contains(got, "{") && !strings.Contains(got, "[") {
			t.Errorf("%s becomes %s", text, got)
		}
	}
	happened := `{"data":{"term":3},"event":"became-leader"}` + "\n"
	if got := string(redactJSON([]byte(happened))); got != happened {
		t.Errorf("%s becomes %s", happened, got)
	}
	if got := string(redactText([]byte("a token=5ecret b"))); got != "a *** b" {
		t.Errorf("a text becomes %q", got)
	}
	if got := string(redactJSON([]byte(`{"name":"ports","state":"ok","value":"free","why":"x"}`))); !strings.Contains(got, "free") {
		t.Errorf("what doctor has seen is gone: %s", got)
	}
}
