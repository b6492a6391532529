package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/synod-go/synod/api"
)

func modeOf(t *testing.T, dir string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// wideDirectory is one that others may write to.
func wideDirectory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return dir
}

func TestADirectoryIsClosedToOthersOnceAndTold(t *testing.T) {
	for _, most := range []fs.FileMode{dataMode, workMode} {
		var log bytes.Buffer
		dir, logger := wideDirectory(t), slog.New(slog.NewTextHandler(&log, nil))
		for range 2 {
			if err := closeDirectory(dir, most, logger); err != nil {
				t.Fatal(err)
			}
		}
		if got := modeOf(t, dir); got != most || strings.Count(log.String(), "directory closed to others") != 1 {
			t.Errorf("the mode is %v, want %v; the log: %s", got, most, &log)
		}
	}
	if err := closeDirectory(filepath.Join(t.TempDir(), "none"), dataMode, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("a directory that is to be made: %v", err)
	}
}

func TestADirectoryThatCannotBeClosedIsRefused(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a directory of /proc, whose mode nobody can change")
	}
	err := closeDirectory("/proc/self", dataMode, slog.New(slog.DiscardHandler))
	if api.CodeOf(err) != api.CodeData || !strings.Contains(fmt.Sprint(err.(*api.Error).Do), "chmod 700 /proc/self") {
		t.Errorf("%v, want E-DATA and what to type", err)
	}
}

// portsBeside has a node use a port for its API, and others that are free.
func portsBeside(t *testing.T, api string) []string {
	t.Helper()
	link, err1 := freePort(0, nil)
	gossip, err2 := freePort(0, map[int]bool{link: true})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return []string{"--api-port", api, "--link-port", strconv.Itoa(link), "--gossip-port", strconv.Itoa(gossip)}
}

// The port is taken, so that nothing starts.
func TestNodesAndAgentsCloseTheirDirectories(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	ports := portsBeside(t, port)
	for verb, args := range map[string][]string{
		"start":        {"start", "--name", "closed", "--bootstrap", "--data"},
		"agent":        {"agent", "--name", "closed", "--port", port, "--cgroup", "-", "--work"},
		"decree serve": {"decree", "serve", "--name", "closed", "--acceptors", "closed", "--data"},
	} {
		dir, want := wideDirectory(t), dataMode
		if verb == "agent" {
			want = workMode
		}
		args = append(args, dir)
		if verb != "agent" {
			args = append(args, ports...)
		}
		code, _, text := runNode(args...)
		if got := modeOf(t, dir); code == 0 || !strings.Contains(text, "E-PORT") || got != want {
			t.Errorf("%s: exit %d, the mode is %v, want %v\n%s", verb, code, got, want, text)
		}
	}
}

func TestSecretsThatOthersMayReadAreRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0") // so that nothing starts in any case
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	dir := t.TempDir()
	mustNode(t, "tls", "init", "--dir", dir)
	mustNode(t, "tls", "issue", "n1", "--dir", dir)
	in := func(name string) string { return filepath.Join(dir, name) }
	tokens := in("tokens")
	if err := os.WriteFile(tokens, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tls := []string{"--tls-ca", in("ca.pem"), "--tls-cert", in("n1.pem"), "--tls-key", in("n1-key.pem")}
	start := append([]string{"start", "--name", "n1", "--bootstrap", "--data", in("data"), "--gossip-key", in("gossip.key"), "--tokens", tokens}, append(tls, portsBeside(t, port)...)...)
	for _, c := range []struct {
		file string
		code api.Code
		args []string
	}{
		{"n1-key.pem", api.CodeTLS, start},
		{"gossip.key", api.CodeTLS, start},
		{"tokens", api.CodeTokens, start},
		{"tokens", api.CodeTokens, []string{"status", "--token-file", tokens}},
		{"ca-key.pem", api.CodeTLS, []string{"tls", "issue", "n2", "--dir", dir}},
	} {
		for _, mode := range []fs.FileMode{0o640, 0o604} {
			if err := os.Chmod(in(c.file), mode); err != nil {
				t.Fatal(err)
			}
			code, _, text := runNode(c.args...)
			for _, want := range []string{string(c.code), mode.String(), "chmod 600 " + in(c.file)} {
				if code != 1 || !strings.Contains(text, want) {
					t.Errorf("%s of mode %v: exit %d without %q\n%s", c.file, mode, code, want, text)
				}
			}
		}
		if err := os.Chmod(in(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(in("data")); err == nil {
		t.Error("a start that is refused has made a directory")
	}
}
