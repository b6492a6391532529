package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func runNode(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(append([]string{"node"}, args...), strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func walk(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, child := range c.Commands() {
		walk(child, f)
	}
}

func TestEveryVerbHasHelpWithAnExample(t *testing.T) {
	root := (&app{program: "node"}).root()
	verbs := 0
	walk(root, func(c *cobra.Command) {
		verbs++
		if c.Short == "" {
			t.Errorf("%s has no description", c.CommandPath())
		}
		if !strings.Contains(c.Example, c.Root().Name()) {
			t.Errorf("%s has no example", c.CommandPath())
		}
		code, out, _ := runNode(append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if code != 0 || !strings.Contains(out, "--output") {
			t.Errorf("%s --help: exit %d, and --output is missing in %q", c.CommandPath(), code, out)
		}
	})
	if verbs < 25 {
		t.Errorf("%d verbs found, want the whole tree", verbs)
	}
}

func TestExamplesNameVerbsAndFlagsThatExist(t *testing.T) {
	walk((&app{program: "node"}).root(), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " > ")
			args := strings.Fields(strings.TrimPrefix(line, "node "))
			root := (&app{program: "node"}).root()
			found, rest, err := root.Find(args)
			if err != nil || found == root && len(args) > 0 {
				t.Errorf("%s: example %q: no such verb", c.CommandPath(), line)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
			}
		}
	})
}

func TestHelpPrintsTheNameTheProgramWasCalledBy(t *testing.T) {
	var out bytes.Buffer
	run([]string{"/usr/local/bin/synod", "kv", "--help"}, nil, &out, &out)
	if !strings.Contains(out.String(), "synod kv put colour blue") || strings.Contains(out.String(), "node kv") {
		t.Errorf("got %s, want synod as the program's name", out.String())
	}
}

func TestHintsPrintTheNameTheProgramWasCalledBy(t *testing.T) {
	for arg0, want := range map[string]string{"./bin/node": "./bin/node dev", "/usr/bin/synod": "synod dev", "/tmp/go-build1/exe/node": "go run ./cmd/node dev"} {
		var out, err bytes.Buffer
		run([]string{arg0, "status", "--addr", "127.0.0.1:1"}, nil, &out, &err)
		if !strings.Contains(err.String(), "start a cluster here:  "+want) {
			t.Errorf("called as %s: %s, want the hint %q", arg0, err.String(), want)
		}
	}
}

func TestDocumentsListEveryCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range api.Codes() {
		if !strings.Contains(string(text), "| `"+string(info.Code)+"` |") {
			t.Errorf("docs/errors.md does not explain %s", info.Code)
		}
		if !strings.Contains(string(text), info.Meaning) {
			t.Errorf("docs/errors.md does not say of %s: %s", info.Code, info.Meaning)
		}
	}
}

func TestVersionIsThatOfTheFile(t *testing.T) {
	text, err := os.ReadFile("../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(text)); got != version {
		t.Errorf("VERSION says %q, the program %q", got, version)
	}
}

func TestExitCodesNeverChange(t *testing.T) {
	want := map[api.Code]int{
		api.CodeUsage: 2, api.CodeNotFound: 3, api.CodeReach: 4, api.CodeNoLeader: 5, api.CodeUnknown: 6,
		api.CodeConflict: 7, api.CodeUnhealthy: 8, api.CodeInterrupted: 130, api.CodeInternal: 1,
	}
	for code, exit := range want {
		if got := code.Info().Exit; got != exit {
			t.Errorf("%s exits with %d, want %d", code, got, exit)
		}
	}
	allowed := []int{1, 2, 3, 4, 5, 6, 7, 8, 130}
	for _, info := range api.Codes() {
		if !slices.Contains(allowed, info.Exit) {
			t.Errorf("%s exits with %d, which is not documented", info.Code, info.Exit)
		}
	}
}

func TestErrorsSpeakToPeople(t *testing.T) {
	cases := [][]string{
		{"status", "--addr", "127.0.0.1:1"},
		{"kv", "put", "a", "b", "--addr", "127.0.0.1:1"},
		{"kv", "gett", "a"},
		{"kv", "put"},
		{"--nosuch"},
		{"inspect", "wal", "/nosuch"},
		{"start", "--listen", "0.0.0.0"},
		{"status", "--addr", "nonsense"},
		{"status", "--tls-ca", "x"},
	}
	for _, args := range cases {
		code, out, text := runNode(args...)
		if code == 0 || out != "" || !strings.HasPrefix(text, "error E-") {
			t.Errorf("%v: exit %d, stdout %q, stderr %q: want an error with a code on stderr only", args, code, out, text)
		}
		for _, bad := range []string{"context deadline", "*", "syscall", "net.", "0x", "dial tcp"} {
			if strings.Contains(text, bad) {
				t.Errorf("%v: %q contains %q", args, text, bad)
			}
		}
	}
}
