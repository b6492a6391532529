package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machines are those of docs/operate.md, all on this one: 10.0.0.N is an address of loopback of their own, /etc/synod and
// /var/lib of each is a directory, and a unit is what its ExecStart says, told to be started when it says so itself.
type machines struct {
	dir      string // of all; the fourth machine, from which the others are looked after, has its files in admin
	network  string // in the place of "10.0.0."
	env      []string
	services map[string]*exec.Cmd // by machine and unit
	logs     map[string]*lockedFile
	said     string // what the last rotate wants all nodes to say
}

// copying is scp: a name before a colon is a machine. Settings get the paths of that machine.
const copying = `#!/bin/sh
for last; do :; done
host=${last%%:*}; to=$MACHINES/$host${last#*:}
for file; do
	[ "$file" = "$last" ] && continue
	cp "$file" "$to" || exit 1
	case $to in *.yaml) sed -i "s#/etc/synod#$MACHINES/$host/etc/synod#; s#/var/lib#$MACHINES/$host/var/lib#" "$to";; esac
done
`

func newMachines(t *testing.T) *machines {
	t.Helper()
	m := &machines{dir: t.TempDir(), network: fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), 1+rand.IntN(250)),
		services: map[string]*exec.Cmd{}, logs: map[string]*lockedFile{}}
	for _, dir := range []string{"bin", "admin/examples/jobs", "admin/backup", "n1/etc/synod", "n1/var/lib", "n2/etc/synod", "n2/var/lib", "n3/etc/synod", "n3/var/lib"} {
		if err := os.MkdirAll(filepath.Join(m.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.Executable()
	if err == nil {
		err = errors.Join(os.Symlink(program, filepath.Join(m.dir, "bin/node")), os.WriteFile(filepath.Join(m.dir, "bin/scp"), []byte(copying), 0o700),
			os.WriteFile(filepath.Join(m.dir, "admin/examples/jobs/ticker.yaml"), []byte(tickerFile(t)), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	m.env = append(os.Environ(), "MACHINES="+m.dir, "PATH="+filepath.Join(m.dir, "bin")+":"+os.Getenv("PATH"))
	t.Cleanup(func() { m.end(t) })
	return m
}

// here is a text of the document with the addresses and paths that a machine has here.
func (m *machines) here(machine, text string) string {
	text = strings.ReplaceAll(text, "10.0.0.", m.network)
	if machine != "" {
		text = strings.NewReplacer("/etc/synod", m.dir+"/"+machine+"/etc/synod", "/var/lib", m.dir+"/"+machine+"/var/lib").Replace(text)
	}
	return text
}

// do does what a transcript says, and fails unless it shows what the document shows. What only looks is done until it does.
func (m *machines) do(t *testing.T, of transcript) {
	t.Helper()
	command := m.here(of.machine, of.command)
	words := strings.Fields(command)
	switch {
	case words[0] == "export":
		m.env = append(m.env, words[1:]...)
	case words[0] == "cat":
		text := m.here(of.machine, strings.Join(of.output, "\n")) + "\n"
		if err := os.WriteFile(filepath.Join(m.dir, "admin", words[1]), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	case words[0] == "systemctl":
		for _, unit := range words[1:] {
			if strings.HasPrefix(unit, "synod") {
				m.systemctl(t, words[1:], of.machine, unit)
			}
		}
	case slices.Contains([]string{"node ps", "node doctor", "node logs", "node members", "node status", "node top"}, strings.Join(words[:2], " ")):
		m.look(t, of, command)
	default:
		output, code := m.run(t, of.machine, command)
		refused := len(of.output) > 0 && strings.HasPrefix(of.output[0], "error ")
		if (code != 0) != refused {
			m.fatal(t, of, "exit code %d\n%s", code, output)
		}
		if _, said, is := strings.Cut(output, "has of all:  "); is {
			m.said, _, _ = strings.Cut(said, "\n")
		}
		mustShow(t, of, output)
	}
}

func (m *machines) fatal(t *testing.T, of transcript, format string, args ...any) {
	t.Helper()
	var logs strings.Builder
	for _, name := range sortedKeys(m.logs) {
		text := m.logs[name].String()
		fmt.Fprintf(&logs, "%s:\n%s\n", name, text[max(0, len(text)-2000):])
	}
	t.Fatalf("%s$ %s: %s\n%s", of.machine, of.command, fmt.Sprintf(format, args...), logs.String())
}

// look does what changes nothing until it shows all that the document shows, and of doctor what the last rotate has said.
func (m *machines) look(t *testing.T, of transcript, command string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(50 * time.Millisecond) {
		output, code := m.run(t, of.machine, command)
		missing := of.missing(output)
		if command == "node doctor" && !strings.Contains(output, m.said) {
			missing = append(missing, m.said)
		}
		if len(missing) == 0 && (code == 0 || strings.Contains(command, "doctor")) { // another cluster's ports are none of ours
			return
		}
		if time.Now().After(deadline) {
			m.fatal(t, of, "exit code %d, and no %q in\n%s", code, missing, output)
		}
	}
}

func (m *machines) run(t *testing.T, machine, command string) (output string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", command)
	c.Dir, c.Env = filepath.Join(m.dir, "admin"), m.env
	if machine != "" {
		c.Dir = filepath.Join(m.dir, machine)
	}
	out, _ := c.CombinedOutput() // the exit code tells
	return string(out), c.ProcessState.ExitCode()
}

var execStart = regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/synod (.*)$`)

func (m *machines) systemctl(t *testing.T, words []string, machine, unit string) {
	t.Helper()
	name := machine + " " + unit
	if c := m.services[name]; c != nil {
		signal := syscall.SIGTERM
		if words[0] == "kill" {
			signal = syscall.SIGKILL
		}
		_ = c.Process.Signal(signal) // Wait tells how it ended
		if err := c.Wait(); err != nil && signal == syscall.SIGTERM {
			t.Fatalf("%s ended with %v\n%s", name, err, m.logs[name].String())
		}
		delete(m.services, name)
	}
	if words[0] == "stop" || words[0] == "kill" {
		return
	}
	text, err := os.ReadFile("../../deploy/systemd/" + unit + ".service")
	if err != nil {
		t.Fatal(err)
	}
	m.start(t, name, strings.Fields(m.here(machine, execStart.FindStringSubmatch(string(text))[1])))
}

// start starts a service and waits until it says that it is ready.
func (m *machines) start(t *testing.T, name string, args []string) {
	t.Helper()
	socket := filepath.Join(m.dir, strings.ReplaceAll(name, " ", "-")+".notify")
	_ = os.Remove(socket) // of the start before
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	if m.logs[name] == nil {
		m.logs[name] = &lockedFile{}
	}
	c := self(t, context.Background(), args...)
	c.Env, c.Stderr = append(os.Environ(), "NOTIFY_SOCKET="+socket), m.logs[name]
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	m.services[name] = c
	text := make([]byte, 100)
	if err := manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := manager.Read(text); err != nil || string(text[:n]) != "READY=1" {
		t.Fatalf("%s says %q, %v\n%s", name, text[:n], err, m.logs[name].String())
	}
}

// end stops all services and what agents have left running: nothing else has its working directory in ours.
func (m *machines) end(t *testing.T) {
	for name, c := range m.services {
		_ = c.Process.Signal(syscall.SIGTERM) // Wait tells how it ended
		if err := c.Wait(); err != nil {
			t.Errorf("%s ended with %v", name, err)
		}
	}
	for left := true; left; {
		left = false
		dirs, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is good
		for _, link := range dirs {
			if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, m.dir+"/n") {
				pid, _ := strconv.Atoi(strings.Split(link, "/")[2]) // it is a number
				left = syscall.Kill(pid, syscall.SIGKILL) == nil || left
			}
		}
	}
}

// TestOperating does what docs/operate.md says, from nothing to a cluster that was restored, recovered and restarted.
func TestOperating(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster of six processes, again and again")
	}
	t.Parallel()
	m := newMachines(t)
	list := transcripts(t, "../../docs/operate.md")
	if len(list) < 60 {
		t.Fatalf("%d commands found", len(list))
	}
	for _, of := range list {
		began := time.Now()
		m.do(t, of)
		t.Logf("%5.1f s  %s$ %s", time.Since(began).Seconds(), of.machine, of.command)
	}
}
