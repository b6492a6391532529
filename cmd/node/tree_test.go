package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/docs"
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

// docs/errors.md is what "node explain" shows: it has the codes of package api and no others, in its order, with the same
// numbers and the same meaning.
func TestTheManualExplainsEveryCode(t *testing.T) {
	codes, exits := explanations(docs.Errors)
	all := api.Codes()
	for i, e := range codes {
		if i >= len(all) {
			t.Errorf("docs/errors.md explains %s, which package api does not have", e.Code)
			continue
		}
		if want := all[i]; e.Code != string(want.Code) || e.Exit != want.Exit || e.HTTP != want.Status || e.What != want.Meaning {
			t.Errorf("docs/errors.md has %s, exit %d, HTTP %d, %q in the place of %s, exit %d, HTTP %d, %q",
				e.Code, e.Exit, e.HTTP, e.What, want.Code, want.Exit, want.Status, want.Meaning)
		}
		if e.Why == "" || e.Do == "" {
			t.Errorf("docs/errors.md says of %s why %q, and to do %q", e.Code, e.Why, e.Do)
		}
		if !slices.ContainsFunc(exits, func(x explainedExit) bool { return x.Exit == e.Exit && x.Meaning != "" }) {
			t.Errorf("docs/errors.md does not explain exit code %d of %s", e.Exit, e.Code)
		}
	}
	if len(codes) < len(all) {
		t.Errorf("docs/errors.md explains %d codes of %d: the next is %s", len(codes), len(all), all[len(codes)].Code)
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
		api.CodeConflict: 7, api.CodeUnhealthy: 8, api.CodePlace: 9, api.CodeInterrupted: 130, api.CodeInternal: 1,
	}
	for code, exit := range want {
		if got := code.Info().Exit; got != exit {
			t.Errorf("%s exits with %d, want %d", code, got, exit)
		}
	}
	allowed := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 130}
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

// leaves calls f for all verbs that do something, but for those that are hidden.
func leaves(f func(path string, c *cobra.Command)) {
	root := (&app{program: "node"}).root()
	walk(root, func(c *cobra.Command) {
		for above := c; above != nil; above = above.Parent() {
			if above.Hidden {
				return
			}
		}
		if c != root && !c.HasSubCommands() {
			f(pathOf(c), c)
		}
	})
}

func manual(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// scripts are all transcripts of testdata/script, each line with the variables that stand for addresses taken away.
func scripts(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// Each verb has an answer in JSON whose fields docs/cli.md tells, and that a script looks at; or its help says why it has none.
func TestEveryVerbHasJSONOrSaysWhyNot(t *testing.T) {
	fields, all := documented(manual(t, "docs/cli.md")), scripts(t)
	tests, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, f := range tests {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	leaves(func(path string, c *cobra.Command) {
		if withoutJSON[path] != "" {
			if !strings.Contains(c.Long, "no answer in JSON: ") {
				t.Errorf("the help of %s does not say why it has no JSON", path)
			}
			return
		}
		if _, told := fields[path]; !told {
			t.Errorf("docs/cli.md, For programs, does not tell the fields of %s, and withoutJSON does not say why it has none", path)
			return
		}
		inScript := regexp.MustCompile(`(?m)node ` + path + ` .*(--output json|-o json)|node .*(--output json|-o json).* ` + path + `\b`).MatchString(all)
		demo, isDemo := strings.CutPrefix(path, "demo ") // demos have tests that run them all
		inTest := isDemo && strings.Contains(code.String(), `"`+demo+`"`) && strings.Contains(code.String(), `name, "--output", "json"`)
		if !inScript && !inTest {
			t.Errorf("no script and no test runs %s with --output json", path)
		}
	})
}

func TestEveryVerbStandsInTheManual(t *testing.T) {
	text := manual(t, "docs/cli.md")
	leaves(func(path string, c *cobra.Command) {
		words := strings.Fields(path)
		last := words[len(words)-1]
		above := strings.Join(words[:len(words)-1], " ")
		whole := regexp.MustCompile(`[^a-z]` + path + `[^a-z]`)
		// "member remove NAME" takes a node out, `add` lets it in again: short forms are told below the name of their group.
		short := regexp.MustCompile("[`|]" + last + "[`| ]")
		if !whole.MatchString(text) && !(above != "" && strings.Contains(text, above) && short.MatchString(text)) {
			t.Errorf("docs/cli.md has nothing about %s", path)
		}
	})
}

// A verb or a flag with a letter too many is answered with the one that was meant.
func TestMistypedVerbsAndFlagsAreSuggested(t *testing.T) {
	leaves(func(path string, c *cobra.Command) {
		words := strings.Fields(path)
		typed := append(slices.Clone(words[:len(words)-1]), words[len(words)-1]+"x")
		code, out, text := runNode(typed...)
		if path != "help" && (code != api.ExitUsage || out != "" || !strings.Contains(text, "did you mean  node "+path+"\n")) {
			t.Errorf("%v: exit %d, %s: want %s to be suggested", typed, code, text, path)
		}
		flag := "output"
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && len(f.Name) > 3 && f.Name != "help" {
				flag = f.Name
			}
		})
		if path == "help" {
			return // takes any words
		}
		code, out, text = runNode(append(words, "--"+flag+"x")...)
		if code != api.ExitUsage || out != "" || !strings.Contains(text, "did you mean  --"+flag+"\n") {
			t.Errorf("%s --%sx: exit %d, %s: want --%s to be suggested", path, flag, code, text, flag)
		}
	})
}

// What the manual has in console blocks is called as the verbs are: the verb is there, and so are its flags.
func TestCommandsInTheManualExist(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	readmes, err := filepath.Glob("../../examples/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(append(pages, readmes...), "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\s*(?:n[0-9])?\$ (?:go run \./cmd/|\./bin/)?node ([^\n&|>;]*)`).FindAllStringSubmatch(string(text), -1) {
			found++
			args, _, _ := strings.Cut(m[1], " -- ")
			root := (&app{program: "node"}).root()
			c, rest, err := root.Find(strings.Fields(args))
			if err == nil && c == root {
				err = errors.New("no such verb")
			}
			if err == nil {
				err = c.ParseFlags(rest)
			}
			if err != nil {
				t.Errorf("%s: node %s: %v", filepath.Base(page), m[1], err)
			}
		}
	}
	if found < 50 {
		t.Errorf("%d commands found in the manual", found)
	}
}
