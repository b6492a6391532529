// Package examples tests that the programs below it run, print what the docs
// say, and stay as short as promised.
package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var programs = map[string]struct {
	lines  int // code lines at most, without package clause, imports and blanks
	output string
}{
	"map":     {20, "colour is blue\n"},
	"counter": {25, "total is 2\ntotal is 42\n"},
}

func TestExamplesPrintWhatTheyPromise(t *testing.T) {
	for name, p := range programs {
		t.Run(name, func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), name)
			if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./"+name).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			out, err := exec.CommandContext(t.Context(), bin).Output()
			if err != nil || string(out) != p.output {
				t.Fatalf("printed %q, error %v, want %q", out, err, p.output)
			}
		})
	}
}

func TestExamplesAreShort(t *testing.T) {
	for name, p := range programs {
		source, err := os.ReadFile(filepath.Join(name, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		if n := codeLines(string(source)); n > p.lines {
			t.Errorf("%s has %d code lines, promised are %d", name, n, p.lines)
		}
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
