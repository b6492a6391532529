package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What dev tells to type is typed into a shell, and an agent's resources have semicolons.
func TestAShellTakesWordsAsTheyWere(t *testing.T) {
	t.Parallel()
	words := []string{"agent", "--resources", "cpus:2;mem:1024;ports:[31000-31098]", "--work", "/tmp/it's here", "", "$HOME", "a=b,c@d"}
	line := shellWords(words)
	if !strings.HasPrefix(line, "agent --resources '") {
		t.Errorf("more is quoted than needs to be: %s", line)
	}
	out, err := exec.Command("/bin/sh", "-c", `printf '%s\n' `+line).CombinedOutput()
	if got, want := string(out), strings.Join(words, "\n")+"\n"; err != nil || got != want {
		t.Fatalf("of %s a shell makes %q (%v), want %q", line, got, err, want)
	}
}
