package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// transcript is a command from a document with the lines that it shows.
type transcript struct {
	command string
	output  []string
}

// transcripts reads the ```console blocks of a document. Lines before the first
// command of a block belong to the command before.
func transcripts(t *testing.T, file string) []transcript {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []transcript
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && isCommand:
			list = append(list, transcript{command: command})
		case inside && strings.TrimSpace(line) != "" && len(list) > 0:
			list[len(list)-1].output = append(list[len(list)-1].output, line)
		}
	}
	return list
}

var (
	hexes    = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
	figures  = regexp.MustCompile(`[0-9][0-9.,]*`)
	tempDirs = regexp.MustCompile(`(/tmp/[^ ]*/|data/)n#`)
	blanks   = regexp.MustCompile(` +`)
	units    = regexp.MustCompile(`# (B|KiB|MiB)\b`)
)

// normal is a line with all figures, addresses and directories made equal.
func normal(line string) string {
	line = strings.ReplaceAll(line, "go run ./cmd/node", "node")
	line = hexes.ReplaceAllString(line, "#")
	line = figures.ReplaceAllString(line, "#")
	line = units.ReplaceAllString(line, "# B")
	line = tempDirs.ReplaceAllString(line, "DIR")
	line, _, _ = strings.Cut(line, " ...")
	line, _, _ = strings.Cut(line, " --addr ")
	line = strings.ReplaceAll(line, "leader", "follower") // who leads is a matter of chance
	line = strings.ReplaceAll(line, "n# *", "n#")
	line = strings.ReplaceAll(line, "-", "#")
	return strings.TrimSpace(blanks.ReplaceAllString(line, " "))
}

// mustShow fails unless each line of the document is among the output's.
func mustShow(t *testing.T, of transcript, output string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(output) {
		got = append(got, normal(line))
	}
	all := strings.Join(got, "\n")
	for _, line := range of.output {
		if want := normal(line); !strings.Contains(all, want) {
			t.Errorf("$ %s\nshows no line like\n  %s\nbut\n%s\n(looked for %q in\n%s)", of.command, line, output, want, all)
		}
	}
}

// lockedFile collects output that is read while it grows.
type lockedFile struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (f *lockedFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.buf.Write(p)
}

func (f *lockedFile) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.buf.String()
}

func (f *lockedFile) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(f.String(), text); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q after 30 s in\n%s", text, f.String())
		}
	}
}

// session is a running "dev" on which a document's commands are tried.
type session struct {
	dir  string
	addr string
	cmd  *exec.Cmd
	out  lockedFile
	// decrees is the API of a "decree serve" that the document starts, shown what it shows.
	decrees string
	shown   lockedFile
}

func self(t *testing.T, ctx context.Context, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Args[0] = "node"
	return cmd
}

func startDev(t *testing.T) *session {
	s := &session{dir: t.TempDir()}
	f, err := newFleet(3, 0, "", func(*child) io.Writer { return io.Discard })
	if err != nil {
		t.Fatal(err)
	}
	close(f.quit)
	s.addr = strings.Join(f.addrs(), ",")
	s.cmd = self(t, context.Background(), "dev", "--port", f.nodes[0].api()[len("127.0.0.1:"):])
	s.cmd.Dir, s.cmd.Stdout = s.dir, &s.out
	s.cmd.Env = append(os.Environ(), "TMPDIR="+s.dir)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(os.Interrupt) // Wait tells how it ended
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("dev ended with %v", err)
		}
	})
	s.out.waitFor(t, "Ctrl-C ends it")
	return s
}

// run carries out one command of a document and returns what it shows.
func (s *session) run(t *testing.T, command string) string {
	t.Helper()
	args := strings.Fields(strings.TrimPrefix(strings.TrimPrefix(command, "go run ./cmd/"), "node "))
	switch {
	case strings.HasSuffix(command, "node dev"):
		return s.out.String()
	case strings.Contains(command, "decree serve"):
		s.serveDecrees(t, args)
		return s.shown.String()
	case strings.HasPrefix(command, "kill -9"):
		s.killLeader(t)
		return s.out.String()
	case strings.HasSuffix(command, "node demo"):
		args = append(args, "--keys", "50")
	case strings.HasSuffix(command, "data/n1"):
		dirs, err := filepath.Glob(filepath.Join(s.dir, "synod-*", "n1"))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("data directories %v, %v", dirs, err)
		}
		args[len(args)-1] = dirs[0]
	}
	if args[0] == "node" {
		args = args[1:]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := self(t, ctx, args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "NODE_ADDR="+s.addr)
	if args[0] == "decree" {
		cmd.Env = append(cmd.Env, "NODE_ADDR="+s.decrees)
	}
	out, err := cmd.CombinedOutput()
	if _, ended := err.(*exec.ExitError); err != nil && !ended {
		t.Fatal(err)
	}
	return string(out)
}

// serveDecrees starts a process of decrees, at ports that are free.
func (s *session) serveDecrees(t *testing.T, args []string) {
	t.Helper()
	f, err := newFleet(1, 0, "", func(*child) io.Writer { return io.Discard })
	if err != nil {
		t.Fatal(err)
	}
	close(f.quit)
	s.decrees = f.nodes[0].api()
	for i, flag := range []string{"--api-port", "--link-port", "--gossip-port"} {
		args = append(args, flag, strconv.Itoa(f.nodes[0].ports[i]))
	}
	cmd := self(t, context.Background(), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &s.shown, &s.shown
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // Wait tells how it ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("decree serve ended with %v", err)
		}
	})
	s.shown.waitFor(t, "as acceptor")
}

// killLeader kills the node that leads and waits until dev has told about it.
func (s *session) killLeader(t *testing.T) {
	t.Helper()
	leader := ""
	for line := range strings.Lines(s.run(t, "node status")) {
		if name, _, is := strings.Cut(line, " *"); is {
			leader = name
		}
	}
	for line := range strings.Lines(s.out.String()) {
		fields := strings.Fields(line)
		if len(fields) == 4 && fields[0] == leader {
			pid := 0
			for _, digit := range fields[1] {
				pid = pid*10 + int(digit-'0')
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			s.out.waitFor(t, "start it again:")
			return
		}
	}
	t.Fatalf("no process of the leader %q in\n%s", leader, s.out.String())
}

func TestTranscriptsInTheDocumentsAreTrue(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters of three processes")
	}
	for _, file := range []string{"README.md", "docs/cli.md"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			list := transcripts(t, filepath.Join("../..", file))
			if len(list) < 5 {
				t.Fatalf("%d commands found in %s", len(list), file)
			}
			s := startDev(t)
			for _, of := range list {
				output := s.run(t, of.command)
				mustShow(t, of, output+s.out.String()+s.shown.String()) // what runs meanwhile shows is shown too
			}
		})
	}
}

func TestMakeInstallMakesTheDirectory(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("no make")
	}
	dest := t.TempDir()
	// What builds is replaced: the installation alone is at stake.
	install := exec.Command("make", "install", "DESTDIR="+dest, "PREFIX=/opt/x", "GO=install -D /bin/true bin/node #")
	install.Dir = t.TempDir()
	for _, name := range []string{"Makefile", "VERSION"} {
		data, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(install.Dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	if info, err := os.Stat(filepath.Join(dest, "opt/x/bin/synod")); err != nil || info.Mode().Perm() != 0o755 {
		t.Fatalf("bin/synod: %v, %v: want a file of mode 0755", info, err)
	}
}
