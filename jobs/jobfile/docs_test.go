package jobfile

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/synod-go/synod/jobs"
)

// docs/jobs.md has a table of the keys of each mapping: what is there is read, and what is read
// is there.
func TestTheReferenceHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../docs/jobs.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string][]string{}
	table := ""
	for _, line := range regexp.MustCompile(`(?m)^.*$`).FindAllString(string(text), -1) {
		if m := regexp.MustCompile("^\\| key(?: of `(\\w+)`)? \\|").FindStringSubmatch(line); m != nil {
			table = "the job"
			if m[1] != "" {
				table = m[1]
			}
		} else if m := regexp.MustCompile("^\\| `(\\w+)` \\|").FindStringSubmatch(line); m != nil && table != "" {
			told[table] = append(told[table], m[1])
		} else if line == "" {
			table = ""
		}
	}
	for table, read := range map[string]func(p *parser, n *yaml.Node){
		"the job": func(p *parser, n *yaml.Node) { p.job(n) },
		"fetch":   func(p *parser, n *yaml.Node) { p.fetch(n, &jobs.Spec{}) },
		"ports":   func(p *parser, n *yaml.Node) { p.port(n, &jobs.Spec{}) },
		"health":  func(p *parser, n *yaml.Node) { p.health(n, &jobs.Spec{}) },
		"restart": func(p *parser, n *yaml.Node) { p.restart(n, &jobs.Spec{}) },
		"update":  func(p *parser, n *yaml.Node) { p.update(n, &jobs.Spec{}) },
	} {
		var document yaml.Node
		if err := yaml.Unmarshal([]byte("zzzzzzzz: 1\n"), &document); err != nil {
			t.Fatal(err)
		}
		p := &parser{}
		read(p, document.Content[0])
		known := regexp.MustCompile(`^known are (.*)$`)
		var keys []string
		for _, problem := range p.problems {
			if m := known.FindStringSubmatch(problem.Hint); m != nil {
				keys = regexp.MustCompile(`\w+`).FindAllString(m[1], -1)
			}
		}
		got := slices.Sorted(slices.Values(told[table]))
		slices.Sort(keys)
		if len(keys) == 0 || !slices.Equal(got, keys) {
			t.Errorf("%s: docs/jobs.md tells of %q, the keys are %q", table, got, keys)
		}
	}
}

// Every file among the examples, and every one in docs/jobs.md, is read.
func TestTheExamplesAreJobs(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("examples: %q, %v", files, err)
	}
	texts := map[string]string{}
	for _, f := range append(files, "../../docs/jobs.md") {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(f, "/ensemble/") { // there they describe nodes
			texts[f] = string(text)
		}
	}
	for i, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(texts["../../docs/jobs.md"], -1) {
		texts[fmt.Sprint("docs/jobs.md, ", i)] = m[1]
	}
	delete(texts, "../../docs/jobs.md")
	containers := 0
	for f, text := range texts {
		specs, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
		for _, s := range specs {
			if s.Docker != nil {
				containers++
			}
		}
	}
	if len(texts) < 5 || containers < 2 {
		t.Errorf("%d files with %d containers: the test looks at too few", len(texts), containers)
	}
}
