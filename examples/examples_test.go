// Package examples tests that the programs below it run, print what the docs
// say, and stay as short as promised.
package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var programs = map[string]struct {
	lines  int // code lines at most, without package clause, imports and blanks
	output string
}{
	"map":     {20, "colour is blue\n"},
	"counter": {25, "total is 2\ntotal is 42\n"},

	"recovering-worker": {25, "imported 15 after 1 restart\n"},
}

func TestExamplesPrintWhatTheyPromise(t *testing.T) {
	for name, p := range programs {
		t.Run(name, func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), name)
			if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./"+name).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			run := exec.CommandContext(t.Context(), bin)
			run.Dir = t.TempDir()
			var complaint strings.Builder
			run.Stderr = &complaint
			out, err := run.Output()
			if err != nil && strings.Contains(complaint.String(), "address already in use") {
				t.Skipf("another node has the default ports: %s", complaint.String())
			}
			if err != nil || string(out) != p.output {
				t.Fatalf("printed %q, error %v, want %q\n%s", out, err, p.output, complaint.String())
			}
		})
	}
}

func TestExamplesAreShort(t *testing.T) {
	// A scheduler needs more than this test starts: what it does, package framework tries.
	promised := map[string]int{"framework": 60, "lock": 60, "election": 40}
	for name, p := range programs {
		promised[name] = p.lines
	}
	for name, lines := range promised {
		source, err := os.ReadFile(filepath.Join(name, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		if n := codeLines(string(source)); n > lines {
			t.Errorf("%s has %d code lines, promised are %d", name, n, lines)
		}
	}
}

// Every piece of code in docs/embed.md stands in the program that is named before it.
func TestTheManualShowsWhatTheProgramsDo(t *testing.T) {
	page, err := os.ReadFile("../docs/embed.md")
	if err != nil {
		t.Fatal(err)
	}
	named, pieces := "", 0
	for i, part := range strings.Split(string(page), "```") {
		if i%2 == 0 {
			if links := regexp.MustCompile(`\(\.\./examples/([^)]*\.go)\)`).FindAllStringSubmatch(part, -1); len(links) > 0 {
				named = links[len(links)-1][1]
			}
			continue
		}
		source, err := os.ReadFile(named)
		if err != nil {
			t.Fatal(err)
		}
		code, isGo := strings.CutPrefix(part, "go\n")
		if !isGo || !strings.Contains(string(source), code) {
			t.Errorf("%s does not hold\n%s", named, code)
		}
		pieces++
	}
	if pieces < 6 {
		t.Errorf("%d pieces of code in docs/embed.md", pieces)
	}
}

// codeLines counts the lines from func main on that hold code.
func codeLines(source string) (n int) {
	_, body, _ := strings.Cut(source, ")\n") // behind the imports
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			n++
		}
	}
	return n
}
