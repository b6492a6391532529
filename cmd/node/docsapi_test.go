package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// curlLines reads the blocks of a document that begin with "curl": the commands, with
// the lines that go on with them, and what each shows.
func curlLines(t *testing.T, file string) []transcript {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []transcript
	for i, block := range strings.Split(string(text), "\n```") {
		if i%2 == 0 || !strings.HasPrefix(block, "\ncurl ") {
			continue
		}
		until := "" // the line that ends a command of several
		for line := range strings.SplitSeq(strings.TrimSpace(block), "\n") {
			last := len(list) - 1
			switch {
			case until != "" || last >= 0 && strings.HasSuffix(list[last].command, "\\"):
				list[last].command += "\n" + line
				if line == until {
					until = ""
				}
			case strings.HasPrefix(line, "curl "):
				list = append(list, transcript{command: line})
				if strings.HasSuffix(line, "<<EOF") {
					until = "EOF"
				}
			default:
				list[last].output = append(list[last].output, line)
			}
		}
	}
	return list
}

var (
	jsonKeys = regexp.MustCompile(`"[a-z_]+":`)
	// given are what one answer tells and a later command of the document repeats.
	given = regexp.MustCompile(`"created":[0-9]+|[0-9a-f]+-[0-9a-f]{32}`)
)

// typeCurl carries out one command and fails unless its answer has every key that the
// document shows. What the answer gives in place of the document's value is returned.
func typeCurl(t *testing.T, c transcript, command string) (renamed []string) {
	t.Helper()
	stream := strings.Contains(command, "curl -N ")
	flags := "curl -fsS --max-time 30 --retry 5 " // after a fault there may be no leader for a moment
	switch {
	case stream && len(c.output) > 0:
		flags = "curl -fsS --max-time 8 "
	case stream:
		flags = "curl -fsS --max-time 1 "
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", strings.Replace(command, "curl ", flags, 1))
	out, err := cmd.CombinedOutput()
	if ended := cmd.ProcessState; err != nil && !(stream && ended != nil && ended.ExitCode() == 28) {
		t.Errorf("%s\nends with %v\n%s", command, err, out)
	}
	shown := strings.Join(c.output, "\n")
	for _, key := range jsonKeys.FindAllString(shown, -1) {
		if !strings.Contains(string(out), key) {
			t.Errorf("%s\nshows no %s in\n%s", command, key, out)
		}
	}
	was, is := given.FindAllString(shown, -1), given.FindAllString(string(out), -1)
	for i := range min(len(was), len(is)) {
		renamed = append(renamed, was[i], is[i])
	}
	return renamed
}

// Whoever tries the HTTP interface types the lines of its document, from top to bottom.
func TestTheRequestsOfTheHTTPInterfaceAreTrue(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	s := startDev(t)
	s.run(t, "node wait --agents 2 --job hello --timeout 60s")
	var renamed []string // what the document has, and what is in its place here
	for i, address := range strings.Split(s.addr, ",") {
		renamed = append(renamed, fmt.Sprintf("127.0.0.1:47%d0", i), address)
	}
	lines := curlLines(t, "../../docs/api.md")
	if len(lines) < 15 {
		t.Fatalf("%d commands found", len(lines))
	}
	for _, c := range lines {
		command := strings.NewReplacer(renamed...).Replace(c.command)
		renamed = append(typeCurl(t, c, command), renamed...) // the first that fits counts: the newest
	}
}
