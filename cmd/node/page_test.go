package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// writeTokens writes a file of tokens with one that may look, and returns both.
func writeTokens(t *testing.T) (file, token string) {
	t.Helper()
	token, line, err := api.NewToken("eve", cluster.RoleView)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, token
}

// awaitPage waits until the page of a node shows that all three nodes answer it and that all is well.
func awaitPage(t *testing.T, url string, config *tls.Config, token string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	ctx, cancel := contextFor(30 * time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/page/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.SetBasicAuth("any", token) // as a browser does
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var last string
	lines := bufio.NewScanner(answer.Body)
	for lines.Buffer(nil, 1<<22); lines.Scan(); {
		data, is := strings.CutPrefix(lines.Text(), "data: ")
		var m struct {
			Parts map[string]json.RawMessage `json:"parts"`
		}
		var hero struct {
			Up      int      `json:"up"`
			Nodes   int      `json:"nodes"`
			Health  string   `json:"health"`
			Reasons []string `json:"reasons"`
		}
		if !is || json.Unmarshal([]byte(data), &m) != nil || json.Unmarshal(m.Parts["hero"], &hero) != nil {
			continue
		}
		if last = fmt.Sprintf("%+v", hero); hero.Up == 3 && hero.Nodes == 3 && hero.Health == "healthy" {
			return
		}
	}
	t.Fatalf("the page of %s (%s) shows %s, want three nodes that answer: %v", url, answer.Status, last, lines.Err())
}

func TestEachPageGathersFromAllNodesWithCertificatesAndWithATokenBesides(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster of three processes")
	}
	file, token := writeTokens(t)
	s := startSecured(t, "--tokens", file)
	files := cluster.TLSFiles{Authorities: s.of("alice", "ca.pem"), Certificate: s.of("alice", "cert.pem"), Key: s.of("alice", "key.pem")}
	material, err := cluster.LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := cluster.LoadAuthorities(files.Authorities)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.nodes {
		awaitPage(t, "https://"+c.api(), material.ClientConfig(cluster.RoleNode), "")
		awaitPage(t, "https://"+c.api(), bare, token)
	}
}

func TestEachPageGathersFromAllNodesWithTheTokenOfWhoLooks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster of three processes")
	}
	file, token := writeTokens(t)
	logs := &lockedBuffer{}
	f, err := newFleet(3, 0, filepath.Join(t.TempDir(), "data"), func(*child) io.Writer { return logs })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.end)
	f.command = func(c *child) []string { return append(f.args(c), "--tokens", file) }
	for _, c := range f.nodes {
		if err := f.start(c); err != nil {
			t.Fatal(err)
		}
	}
	client, err := api.NewClient(api.ClientConfig{Addrs: f.addrs(), Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := contextFor(30 * time.Second)
	defer cancel()
	if status, err := f.await(ctx, client, allVote(3)); err != nil {
		t.Fatalf("the cluster did not come up: %s\n%s", upReason(status, err), logs.tail())
	}
	for _, c := range f.nodes {
		awaitPage(t, "http://"+c.api(), nil, token)
	}
}
