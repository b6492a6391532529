package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// transcript is a command from a document with the lines that it shows.
type transcript struct {
	machine string // on which it is typed, if the document has several
	command string
	output  []string
}

var prompt = regexp.MustCompile(`^(n[0-9])?\$ (.*)$`)

// transcripts reads the ```console blocks of a document, which may be indented. Lines before the first
// command of a block belong to the command before.
func transcripts(t *testing.T, file string) []transcript {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []transcript
	inside, indent := false, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if fence := strings.TrimLeft(line, " "); strings.HasPrefix(fence, "```") {
			inside, indent = fence == "```console", line[:len(line)-len(fence)]
			continue
		}
		line = strings.TrimPrefix(line, indent)
		typed := prompt.FindStringSubmatch(line)
		switch {
		case inside && typed != nil:
			list = append(list, transcript{machine: typed[1], command: typed[2]})
		case inside && strings.TrimSpace(line) != "" && len(list) > 0:
			list[len(list)-1].output = append(list[len(list)-1].output, line)
		}
	}
	return list
}

var (
	hexes    = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
	figures  = regexp.MustCompile(`[0-9][0-9.,]*`)
	tempDirs = regexp.MustCompile(`(/tmp/[^ ]*/|data/)[an]#`)
	blanks   = regexp.MustCompile(` +`)
	engines  = regexp.MustCompile(`docker=[^ ,]*,`) // an attribute of agents where an engine answers
	units    = regexp.MustCompile(`# (B|KiB|MiB)\b`)
	spans    = regexp.MustCompile(`#( ?)(m?s|µs|m#s|m|h#m|h)\b`)
)

// normal is a line with all figures, addresses and directories made equal.
func normal(line string) string {
	line = strings.ReplaceAll(line, "go run ./cmd/node", "node")
	line = hexes.ReplaceAllString(line, "#")
	line = engines.ReplaceAllString(line, "")
	line = figures.ReplaceAllString(line, "#")
	line = units.ReplaceAllString(line, "# B")
	line = spans.ReplaceAllString(line, "#${1}s")
	line = tempDirs.ReplaceAllString(line, "DIR")
	line, _, _ = strings.Cut(line, " ...")
	line, _, _ = strings.Cut(line, " --addr ")
	line = strings.ReplaceAll(line, "leader", "follower") // who leads is a matter of chance
	line = strings.ReplaceAll(line, "n# *", "n#")
	line = strings.ReplaceAll(line, "-", "#")
	return strings.TrimSpace(blanks.ReplaceAllString(line, " "))
}

// missing are the lines of the document that are not among the output's.
func (of transcript) missing(output string) []string {
	var all strings.Builder
	for line := range strings.Lines(output) {
		all.WriteString("\n" + normal(line))
	}
	return slices.DeleteFunc(slices.Clone(of.output), func(line string) bool { return strings.Contains(all.String(), "\n"+normal(line)) })
}

// mustShow fails unless each line of the document is among the output's.
func mustShow(t *testing.T, of transcript, output string) {
	t.Helper()
	if missing := of.missing(output); len(missing) > 0 {
		t.Errorf("$ %s\nshows no lines like\n  %s\nbut\n%s", of.command, strings.Join(missing, "\n  "), output)
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
	free    string // the address that the document calls 127.0.0.1:9000
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

// tickerFile is the example of a job.
func tickerFile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/jobs/ticker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func startDev(t *testing.T) *session {
	s := &session{dir: t.TempDir()}
	for name, text := range map[string]string{"huge.yaml": "name: huge\nshell: sleep 1000\nmemory: 500000MiB\n", "ticker.yaml": tickerFile(t)} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := newFleet(3, 0, "", func(*child) io.Writer { return io.Discard })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.end)
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

// looking are the commands that change nothing and are done until they show what the document shows.
var looking = regexp.MustCompile(`node (status|wait|ps|agents|logs|events|members|top|jobs)\b`)

// do carries out one command of a document, which must show what the document shows. What runs meanwhile shows is shown too.
func (s *session) do(t *testing.T, of transcript) {
	t.Helper()
	output := ""
	switch file, is := strings.CutPrefix(of.command, "cat "); {
	case is: // the document has a file of the reader's
		if err := os.WriteFile(filepath.Join(s.dir, file), []byte(strings.Join(of.output, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	case strings.HasSuffix(of.command, " &"):
		s.shell(t, strings.TrimSuffix(of.command, " &"), true)
	case strings.ContainsAny(of.command, ">") || strings.HasPrefix(of.command, "NODE_") || strings.HasPrefix(of.command, "curl"):
		output = s.shell(t, of.command, false)
	default:
		output = s.run(t, of.command)
	}
	looks := looking.MatchString(of.command)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if len(of.missing(output+s.out.String()+s.shown.String())) == 0 {
			return
		}
		if looks {
			output = s.run(t, of.command)
		}
	}
	mustShow(t, of, output+s.out.String()+s.shown.String())
}

// shell has a shell carry out a command, at the ports that are here in the places of the document's. One in the background runs
// until the test ends, and shows what it shows in shown.
func (s *session) shell(t *testing.T, command string, background bool) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err == nil {
		if err := os.Symlink(program, filepath.Join(bin, "node")); err != nil {
			t.Fatal(err)
		}
		f, err := newFleet(1, 0, "", func(*child) io.Writer { return io.Discard })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.end)
		s.free = f.nodes[0].api()
	}
	first, _, _ := strings.Cut(s.addr, ",")
	command = strings.NewReplacer("127.0.0.1:4700", first, "127.0.0.1:9000", s.free).Replace(command)
	addr := s.addr
	if strings.HasPrefix(command, "node decree") {
		addr = s.decrees
	}
	if background {
		command = "exec " + command // signals are for it
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "NODE_ADDR="+addr)
	if !background {
		defer cancel()
		out, _ := cmd.CombinedOutput() // what it shows is compared
		return string(out)
	}
	cmd.Stdout, cmd.Stderr = &s.shown, &s.shown
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() }) // it is told to end
	return ""
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
	t.Cleanup(f.end)
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
	for _, file := range []string{"README.md", "docs/cli.md", "docs/tour.md"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			list := transcripts(t, filepath.Join("../..", file))
			if len(list) < 5 {
				t.Fatalf("%d commands found in %s", len(list), file)
			}
			s := startDev(t)
			for _, of := range list {
				if strings.HasSuffix(of.command, "node demo docker") {
					continue // is linked statically, and has a test of its own
				}
				s.do(t, of)
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
