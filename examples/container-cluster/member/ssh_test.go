package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// twoMembers are the directories of two members; the server of the first one listens at addr.
// Each trusts what the other one has announced.
func twoMembers(t *testing.T) (addr string, dirs [2]string, all [2]keys) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = listener.Addr().String()
	var trusted string
	for i := range dirs {
		dirs[i] = t.TempDir()
		if all[i], err = makeKeys(dirs[i]); err != nil {
			t.Fatal(err)
		}
		var told struct{ User string }
		if err := json.Unmarshal([]byte(all[i].announcement("x")), &told); err != nil {
			t.Fatal(err)
		}
		trusted += told.User + " a member\n"
	}
	for _, dir := range dirs {
		write(t, dir, "authorized_keys", trusted)
		write(t, dir, "known_hosts", knownhosts.Line([]string{addr}, all[0].host.PublicKey())+"\n")
	}
	go serveSSH(t.Context(), listener, all[0], dirs[0])
	return addr, dirs, all
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// remote runs a command line by ssh.
func remote(addr, dir, line, in string) (out string, err error) {
	client, err := dialSSH(addr, dir)
	if err != nil {
		return "", err
	}
	defer client.Close()
	s, err := client.NewSession()
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer // not one: each is written by a goroutine of its own
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader(in), &stdout, &stderr
	err = s.Run(line)
	return stdout.String() + stderr.String(), err
}

func TestAMemberRunsCommandsOfOthers(t *testing.T) {
	addr, dirs, _ := twoMembers(t)
	if out, err := remote(addr, dirs[1], "cat", "hello"); out != "hello" || err != nil {
		t.Errorf("cat wrote %q, %v", out, err)
	}
	_, err := remote(addr, dirs[1], "sh -c 'exit 7'", "")
	if exit, is := errors.AsType[*xssh.ExitError](err); !is || exit.ExitStatus() != 7 {
		t.Errorf("a command that ends with 7 ended with %v", err)
	}
	if out, err := remote(addr, dirs[1], "nosuch-command", ""); err == nil || !strings.Contains(out, "nosuch-command") {
		t.Errorf("a command that is not there: %q, %v", out, err)
	}
	if out, err := remote(addr, dirs[1], "echo $HOME;id", ""); err != nil || out != "$HOME;id\n" {
		t.Errorf("a shell has seen the command: %q, %v", out, err)
	}
}

func TestAMemberThatHasGoneIsNotLetIn(t *testing.T) {
	addr, dirs, all := twoMembers(t)
	own := string(xssh.MarshalAuthorizedKey(all[0].user.PublicKey()))
	write(t, dirs[0], "authorized_keys", "# nobody else\n\nno key at all\n"+own)
	if _, err := remote(addr, dirs[1], "hostname", ""); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("one whose key is gone: %v", err)
	}
	if _, err := remote(addr, dirs[0], "hostname", ""); err != nil {
		t.Errorf("one whose key is there: %v", err)
	}
}

func TestAServerWithAnotherKeyIsNotTrusted(t *testing.T) {
	addr, dirs, all := twoMembers(t)
	write(t, dirs[1], "known_hosts", knownhosts.Line([]string{addr}, all[1].host.PublicKey())+"\n")
	_, err := remote(addr, dirs[1], "hostname", "")
	if _, is := errors.AsType[*knownhosts.KeyError](err); !is {
		t.Errorf("a server with another key: %v", err)
	}
}

func TestKeysAreForTheirOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	if _, err := makeKeys(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"host_ed25519", "id_ed25519"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || fmt.Sprint(info.Mode()) != "-rw-------" {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
