package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/synod-go/synod/api"
)

func testKeys() *keys {
	created := map[string]uint64{"app/servers/b": 7, "app/servers/a": 9, "app/servers/c": 9}
	entry := func(path, value string) api.Entry {
		return api.Entry{Path: path, Value: []byte(value), Version: 3, Created: created[path]}
	}
	return newKeys("app", []api.Entry{entry("app", "top"), entry("app/port", "80"), entry("app/servers", ""), entry("app/servers/b", "10.0.0.2"),
		entry("app/servers/a", "10.0.0.1"), entry("app/servers/a/zone", "x"), entry("app/conf", `{"n": 12345678901234567890, "list": ["p", "q"]}`)})
}

func TestATemplateSeesTheKeys(t *testing.T) {
	t.Setenv("RENDER_TEST", "in the environment")
	for text, want := range map[string]string{
		`{{get "port"}} {{get "/port/"}} {{get ""}}`:                             "80 80 top",
		`{{range list "servers"}}{{.Name}}={{.Value}} {{end}}`:                   "a=10.0.0.1 b=10.0.0.2 ",
		`{{range tree "servers"}}{{.Path}} {{end}}`:                              "servers/a servers/a/zone servers/b ",
		`{{range list ""}}{{.Name}}:{{.Version}} {{end}}`:                        "conf:3 port:3 servers:3 ",
		`{{range list "none"}}x{{else}}empty{{end}}`:                             "empty",
		`{{getOr "none" "other"}} {{exists "none"}} {{exists "servers/a"}}`:      "other false true",
		`{{with json (get "conf")}}{{.n}} {{join (split "a b" " ") "+"}}{{end}}`: "12345678901234567890 a+b",
		`{{toJSON (json (get "conf"))}}`:                                         `{"list":["p","q"],"n":12345678901234567890}`,
		`{{range .}}{{.Path}},{{end}}`:                                           ",conf,port,servers,servers/a,servers/a/zone,servers/b,",
		`{{range ranked "servers"}}{{.Rank}}={{.Name}} {{end}}`:                  "0=b 1=a ",
		`{{range ranked "none"}}x{{end}}{{env "RENDER_TEST"}}`:                   "in the environment",
		`{{upper "a"}}{{replace "x.y" "." "-"}}{{trim " z "}}`:                   "Ax-yz",
	} {
		got, err := render("file", text, testKeys())
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestATemplateThatFailsSaysWhy(t *testing.T) {
	for text, want := range map[string]string{
		`{{get "none"}}`:                       `there is no key "none"`,
		`{{json (get "port" | printf "%s}")}}`: "no JSON",
		`{{nosuch}}`:                           `function "nosuch" not defined`,
		`{{if}}`:                               "missing value for if",
		`{{define "t"}}{{template "t"}}{{end}}{{template "t"}}`: "exceeded maximum template depth",
		`{{range tree ""}}{{range tree ""}}{{range tree ""}}{{range tree ""}}{{range tree ""}}{{range tree ""}}{{range tree ""}}{{range tree ""}}{{printf "%10000d" 1}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}`: errTooLong.Error(),
	} {
		if got, err := render("file", text, testKeys()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %.40q, %v, want an error with %q", text, got, err, want)
		}
	}
}

func TestAFileIsWrittenWholeOrNotAtAll(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	contents := [][]byte{bytes.Repeat([]byte("a"), 1<<20), bytes.Repeat([]byte("b"), 1<<19)}
	if _, err := replaceFile(name, contents[0]); err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	reads := make(chan int)
	go func() {
		n := 0
		for ; !over.Load(); n++ {
			got, err := os.ReadFile(name)
			if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
				t.Errorf("a reader sees %d bytes, %v: neither the old content nor the new one", len(got), err)
				break
			}
		}
		reads <- n
	}()
	for i := range 60 {
		if changed, err := replaceFile(name, contents[(i+1)%2]); err != nil || !changed {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	over.Store(true)
	if <-reads == 0 {
		t.Fatal("nobody has read meanwhile")
	}
	mustBeAlone(t, name)
}

// mustBeAlone fails if anything is left beside the file.
func mustBeAlone(t *testing.T, name string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(list) != 1 {
		t.Errorf("%v, %v are in the directory, want the file alone", list, err)
	}
}

func TestAFileKeepsItsModeAndALinkItsTarget(t *testing.T) {
	dir := t.TempDir()
	name, link := filepath.Join(dir, "sub", "file"), filepath.Join(dir, "link")
	if err := os.Mkdir(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("sub", "file"), link); err != nil {
		t.Fatal(err)
	}
	if changed, err := replaceFile(link, []byte("new")); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	got, err := os.ReadFile(name)
	info, statErr := os.Stat(name)
	if err != nil || statErr != nil || string(got) != "new" || info.Mode().Perm() != 0o640 {
		t.Errorf("%q, %v, mode %v, want the new content and the old mode", got, err, info.Mode())
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("%v, %v, want the link to stay one", info, err)
	}
	mustBeAlone(t, name)
}

func TestAFileThatIsEqualIsLeftAlone(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if changed, err := replaceFile(name, []byte("x")); err != nil || !changed {
		t.Fatalf("changed %v, %v, want a new file", changed, err)
	}
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := replaceFile(name, []byte("x")); err != nil || changed {
		t.Fatalf("changed %v, %v, want it left alone", changed, err)
	}
	if after, err := os.Stat(name); err != nil || !os.SameFile(before, after) {
		t.Errorf("%v: it is another file", err)
	}
}

func TestWhatIsNoFileIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "no", "dir", "file"), "/dev/null"} {
		if changed, err := replaceFile(name, []byte("x")); err == nil || changed {
			t.Errorf("%s: changed %v, %v, want an error", name, changed, err)
		}
	}
}
