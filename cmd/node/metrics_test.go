package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

// maxMetrics is how many names there may be: each must earn its place.
const maxMetrics = 40

var documentedMetric = regexp.MustCompile("(?m)^\\| `(synod_[a-z_]+)` \\|")

// liveMetrics are the names that a node or an agent tells, and its text.
func liveMetrics(t *testing.T, addr string) (names []string, all string) {
	t.Helper()
	answer, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, is := strings.CutPrefix(line, "# TYPE "); is {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	return names, string(text)
}

func TestEveryMetricIsDocumented(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster of three processes")
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, match := range documentedMetric.FindAllStringSubmatch(string(page), -1) {
		told = append(told, match[1])
	}
	if len(told) > maxMetrics || len(told) < 20 {
		t.Errorf("docs/metrics.md has %d names, want at most %d", len(told), maxMetrics)
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
	job := filepath.Join(dir, "ticker.yaml")
	if err := os.WriteFile(job, []byte(tickerFile(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	mustNode(t, "run", job, "--addr", strings.Join(f.addrs(), ","), "--timeout", "30s")
	var live []string
	text := ""
	for !strings.Contains(text, `synod_group_peer_behind{group="coordination"`) || !strings.Contains(text, `synod_group_peer_behind{group="registry"`) {
		live, text = nil, ""
		for _, c := range append(f.nodes, f.agents...) {
			names, of := liveMetrics(t, c.api())
			live, text = append(live, names...), text+of
		}
		if ctx.Err() != nil {
			t.Fatalf("a group has no leader with peers:\n%s", text)
		}
	}
	slices.Sort(live)
	live = slices.Compact(live)
	for _, name := range live {
		if !slices.Contains(told, name) {
			t.Errorf("docs/metrics.md does not tell of %s", name)
		}
	}
	for _, name := range told {
		if !slices.Contains(live, name) && name != "synod_certificate_seconds" { // with TLS alone
			t.Errorf("docs/metrics.md tells of %s, which nobody shows", name)
		}
	}
	for _, group := range []string{coordinationGroup, registryGroup} {
		for _, name := range told {
			if strings.HasPrefix(name, "synod_group_") && !strings.Contains(text, name+`{group="`+group+`"`) {
				t.Errorf("nobody shows %s of the group %s", name, group)
			}
		}
	}
	for _, file := range []string{"prometheus-alerts.yml", "grafana-dashboard.json"} {
		asked, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`synod_[a-z_]+`).FindAllString(string(asked), -1) {
			if !slices.Contains(told, strings.TrimSuffix(name, "_bucket")) {
				t.Errorf("%s asks for %s, which is no metric", file, name)
			}
		}
		for _, match := range regexp.MustCompile(`(synod_[a-z_]+)\{(state)=~?\\?"([A-Za-z|]+)`).FindAllStringSubmatch(string(asked), -1) {
			for state := range strings.SplitSeq(match[3], "|") {
				if sample := match[1] + `{state="` + state + `"}`; !strings.Contains(text, sample) {
					t.Errorf("%s asks for %s, which nobody shows", file, sample)
				}
			}
		}
	}
}
