package examples

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// build builds a program of this module.
func build(t *testing.T, path string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), filepath.Base(path))
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// startNode starts a cluster of one real node, and returns where its API is.
func startNode(t *testing.T) (addr string) {
	t.Helper()
	bin, ports := build(t, "../cmd/node"), freePorts(t)
	addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	node := exec.Command(bin, "start", "--name", "n1", "--cluster", "examples", "--bootstrap", "--voters", "1", "--data", t.TempDir(), "--log-level", "error",
		"--api-port", fmt.Sprint(ports[0]), "--link-port", fmt.Sprint(ports[1]), "--gossip-port", fmt.Sprint(ports[2]))
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Process.Kill(); node.Wait() })
	if out, err := exec.CommandContext(t.Context(), bin, "wait", "--leader", "--timeout", "60s", "--addr", addr).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return addr
}

// freePorts are three that nobody listens on, below those that the kernel hands out.
func freePorts(t *testing.T) (ports [3]int) {
	for i := 0; i < len(ports); {
		port := 20_000 + rand.IntN(12_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer l.Close()
		ports[i] = port
		i++
	}
	return ports
}

// firstLine starts a program and returns the first line it prints.
func firstLine(t *testing.T, name string, args ...string) (line string, cmd *exec.Cmd) {
	t.Helper()
	cmd = exec.Command(name, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return line, cmd
}

func TestExamplesOfLocksAndElections(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts a real node")
	}
	addr := startNode(t)

	lock := build(t, "./lock")
	for _, want := range []string{"total is 20\n", "total is 40\n"} {
		if line, _ := firstLine(t, lock, addr); line != want {
			t.Errorf("lock printed %q, want %q", line, want)
		}
	}

	election := build(t, "./election")
	line, alice := firstLine(t, election, "alice", addr)
	var first, second int
	if _, err := fmt.Sscanf(line, "alice leads, token %d", &first); err != nil {
		t.Fatalf("alice printed %q: %v", line, err)
	}
	time.AfterFunc(100*time.Millisecond, func() { alice.Process.Kill() }) // bob stands by then, or will soon
	line, _ = firstLine(t, election, "bob", addr)
	if _, err := fmt.Sscanf(line, "bob leads, token %d", &second); err != nil || second <= first {
		t.Errorf("bob printed %q after alice led with token %d: %v", line, first, err)
	}
}
