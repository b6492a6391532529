package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newAuthority makes a directory with an authority, a gossip key and a certificate.
func newAuthority(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	mustNode(t, "tls", "init", "--dir", dir, "--cluster", "demo")
	mustNode(t, "tls", "issue", "n1", "--dir", dir)
	return dir
}

// copyFiles makes a directory with copies of the files of another, closed to others.
func copyFiles(t *testing.T, to, from string) {
	t.Helper()
	names, err := os.ReadDir(from)
	if err := errors.Join(err, os.Mkdir(to, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(to, name.Name()), []byte(fileText(t, filepath.Join(from, name.Name()))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func rotate(dir, step string) []string {
	return slices.Concat([]string{"tls", "rotate"}, strings.Fields(step), []string{"--dir", dir})
}

// rotationState is what a directory has: whom nodes trust, what they encrypt with, which certificate of ca.pem signs, and
// which files there are of a rotation that is not over. What add has made by chance is left out.
func rotationState(t *testing.T, dir, step string) string {
	t.Helper()
	f, err := readAuthority(dir, len(splitPEM([]byte(fileText(t, filepath.Join(dir, "ca.pem"))))))
	if err != nil {
		t.Fatal(err)
	}
	signs, err := signerIn(dir, f.parts, f.key)
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprintf("of %d the one signs with index %d", len(f.parts), signs)
	for _, what := range []string{"authority", "gossip"} {
		told, err := toldByNodes(what, dir)
		if err != nil {
			t.Fatal(err)
		}
		old, _, _ := strings.Cut(told, ", ")
		if said += "; " + old + strings.Repeat(" and others", strings.Count(told, ",")); step != what+" add" {
			said += ": " + told
		}
	}
	for _, name := range []string{nextKeyFile, formerKeyFile, gossipNextFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			said += "; " + name
		}
	}
	return said
}

// TestAStepThatIsBrokenOffAnywhereIsFinishedBySayingItAgain makes every part of the changes of each step, as a crash or a full
// disk leaves them. The authority signs all the time, and the step said again ends where one that was not broken off ends.
func TestAStepThatIsBrokenOffAnywhereIsFinishedBySayingItAgain(t *testing.T) {
	dir := newAuthority(t)
	for _, step := range []string{"authority add", "authority use", "authority remove", "gossip add", "gossip use", "gossip remove"} {
		if step == "authority remove" {
			mustNode(t, "tls", "renew", "n1", "--dir", dir)
		}
		var broken []string
		for done := 0; ; done++ {
			copied := filepath.Join(t.TempDir(), "tls")
			copyFiles(t, copied, dir)
			changes, err := rotationSteps()[step](copied)
			if err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			if done == len(changes) {
				break
			}
			if err := makeChanges(changes[:done]); err != nil {
				t.Fatal(err)
			}
			broken = append(broken, copied)
		}
		mustNode(t, rotate(dir, step)...)
		want := rotationState(t, dir, step)
		for done, copied := range broken {
			mustNode(t, "tls", "issue", "n2", "--dir", copied)
			mustNode(t, "tls", "renew", "n1", "n2", "--dir", copied)
			code, _, text := runNode(rotate(copied, step)...)
			if got := rotationState(t, copied, step); code != 0 || got != want {
				t.Errorf("%s after %d changes: exit %d, %s\n got %s\nwant %s", step, done, code, text, got, want)
			}
		}
		if code, _, text := runNode(rotate(dir, step)...); code != 7 || rotationState(t, dir, step) != want {
			t.Errorf("%s twice: exit %d, %s, %s", step, code, text, rotationState(t, dir, step))
		}
	}
}

func TestChangesAreMadeInOrderAndEndWithTheFirstThatFails(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(in("full/of"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, fails := range []change{{in("full"), []byte("x")}, {in("full"), nil}} {
		err := makeChanges([]change{{in("first"), []byte("x")}, fails, {in("last"), []byte("x")}})
		if err == nil || !strings.Contains(err.Error(), in("full")+" cannot be ") {
			t.Errorf("%v, want that full cannot be changed", err)
		}
		if _, err := os.Stat(in("last")); err == nil {
			t.Fatal("a change was made behind one that has failed")
		}
	}
	names, err := filepath.Glob(in(".*"))
	if fileText(t, in("first")) != "x" || len(names) > 0 || err != nil {
		t.Errorf("left are %v, %v", names, err)
	}
}

// TestRemoveTakesNothingAwayThatStillSigns has a ca.pem that was not written when the keys were moved, and one whose key is gone.
func TestRemoveTakesNothingAwayThatStillSigns(t *testing.T) {
	dir := newAuthority(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	mustNode(t, rotate(dir, "authority add")...)
	for _, move := range [][2]string{{"ca-key.pem", formerKeyFile}, {nextKeyFile, "ca-key.pem"}} {
		if err := os.Rename(in(move[0]), in(move[1])); err != nil {
			t.Fatal(err)
		}
	}
	before := rotationState(t, dir, "")
	code, _, text := runNode(rotate(dir, "authority remove")...)
	if code != 7 || !strings.Contains(text, "authority use  comes first") || rotationState(t, dir, "") != before {
		t.Fatalf("exit %d, %s: %s, want %s", code, text, rotationState(t, dir, ""), before)
	}
	mustNode(t, rotate(dir, "authority use")...)
	key := fileText(t, in("ca-key.pem"))
	if err := os.WriteFile(in("ca-key.pem"), []byte(fileText(t, in("n1-key.pem"))), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, text = runNode(rotate(dir, "authority remove")...); code != 1 || !strings.Contains(text, "E-TLS") {
		t.Errorf("with a key of nobody: exit %d, %s", code, text)
	}
	if _, err := os.Stat(in(formerKeyFile)); err != nil {
		t.Errorf("the only key that is left was removed: %v", err)
	}
	if err := os.WriteFile(in("ca-key.pem"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	mustNode(t, "tls", "renew", "n1", "--dir", dir)
	mustNode(t, rotate(dir, "authority remove")...)
	mustNode(t, "tls", "issue", "n2", "--dir", dir)
}

func TestAGossipKeyThatWasAddedIsNotRemovedBeforeItIsUsed(t *testing.T) {
	dir := newAuthority(t)
	mustNode(t, rotate(dir, "gossip add")...)
	before := fileText(t, filepath.Join(dir, "gossip.key"))
	code, _, text := runNode(rotate(dir, "gossip remove")...)
	if code != 7 || !strings.Contains(text, "do    node tls rotate gossip use  comes first") || fileText(t, filepath.Join(dir, "gossip.key")) != before {
		t.Fatalf("exit %d, %s: %q, want %q", code, text, fileText(t, filepath.Join(dir, "gossip.key")), before)
	}
	mustNode(t, rotate(dir, "gossip use")...)
	mustNode(t, rotate(dir, "gossip remove")...)
	if _, added, _ := strings.Cut(before, "\n"); fileText(t, filepath.Join(dir, "gossip.key")) != added {
		t.Errorf("left is %q, want %q", fileText(t, filepath.Join(dir, "gossip.key")), added)
	}
}
