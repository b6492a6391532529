package synod_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// withoutExample are the packages that nobody uses by themselves, and why an example would show nothing.
var withoutExample = map[string]string{
	"messages":          "generated from the .proto files",
	"docs":              "texts",
	"multipaxos/models": "models that only tests run",
}

var runnable = regexp.MustCompile(`(?ms)^func Example\w*\(\) \{.*?^\t// (Unordered output|Output):`)

// Every package that a program may import has an example that go test runs, or says here why it has none.
func TestEveryPackageHasAnExample(t *testing.T) {
	examples := 0
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if strings.HasPrefix(name, "examples") || strings.HasPrefix(name, "cmd/") || strings.Contains("/"+name+"/", "/internal/") {
			continue
		}
		tests, err := filepath.Glob(filepath.Join("./"+name, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		has := false
		for _, f := range tests {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			has = has || runnable.Match(text)
		}
		switch why := withoutExample[name]; {
		case has && why != "":
			t.Errorf("%s has an example: withoutExample says otherwise", p.ImportPath)
		case has:
			examples++
		case why == "":
			t.Errorf("%s has no example that is run", p.ImportPath)
		}
	}
	if examples < 15 {
		t.Errorf("%d packages with examples found", examples)
	}
}
