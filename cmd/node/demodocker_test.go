package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// dockerDemoProgram is this program as it runs in a container, or a skip.
func dockerDemoProgram(t *testing.T) (program string, engine *client.Client) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: makes an image and runs containers, a minute")
	}
	k, err := openDock(t.Context(), "")
	if err != nil {
		t.Skipf("needs a Docker engine: %v", err)
	}
	t.Cleanup(func() { k.engine.Close() })
	program = filepath.Join(t.TempDir(), "node")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program, k.engine
}

// ofDemo finds the name of a demo in what it says.
var ofDemo = regexp.MustCompile("synod-demo-[0-9a-f]{6}")

// demoHas are the containers, networks and volumes of a demo.
func demoHas(t *testing.T, engine *client.Client, id string) (list []string) {
	t.Helper()
	k := &dock{engine: engine, id: id}
	boxes, err1 := k.left(t.Context(), "")
	label := client.Filters{}.Add("label", demoLabel+"="+id)
	networks, err2 := engine.NetworkList(t.Context(), client.NetworkListOptions{Filters: label})
	volumes, err3 := engine.VolumeList(t.Context(), client.VolumeListOptions{Filters: label})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	list = sortedKeys(boxes)
	for _, n := range networks.Items {
		list = append(list, n.Name)
	}
	for _, v := range volumes.Items {
		list = append(list, v.Name)
	}
	return list
}

// exceptStuck is a list of what a demo has left without the networks that nobody could have removed.
func exceptStuck(t *testing.T, engine *client.Client, left []string) (rest []string) {
	t.Helper()
	for _, name := range left {
		if stuck, err := (&dock{engine: engine}).removeNetwork(t.Context(), name); stuck {
			t.Logf("the engine does not let go of the network %s, which is empty", name)
		} else if rest = append(rest, name); err != nil {
			t.Log(err)
		}
	}
	return rest
}

func TestTheDemoWithContainersPassesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	program, engine := dockerDemoProgram(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var stderr strings.Builder
	demo := exec.CommandContext(ctx, program, "demo", "docker", "--output", "json")
	demo.Stderr = &stderr
	out, err := demo.Output()
	var result demoResult
	if err != nil || json.Unmarshal(out, &result) != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	for _, s := range result.Steps {
		t.Logf("%-50s %6.1f s  %s", s.Name, s.Millis/1000, s.Note)
	}
	if !result.Pass || len(result.Steps) != 13 {
		t.Errorf("it says %+v", result)
	}
	if left := exceptStuck(t, engine, demoHas(t, engine, ofDemo.FindString(string(out)))); len(left) > 0 {
		t.Errorf("what is left of it: %v", left)
	}
}

func TestTheDemoWithContainersIsRemovedHoweverItEnds(t *testing.T) {
	t.Parallel()
	program, engine := dockerDemoProgram(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			demo := exec.CommandContext(ctx, program, "demo", "docker")
			out, err := demo.StdoutPipe()
			if err == nil {
				err = demo.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			id := ""
			for lines.Scan() && !strings.Contains(lines.Text(), " 4/13 ") {
				id = cmp.Or(id, ofDemo.FindString(lines.Text()))
			}
			if len(demoHas(t, engine, id)) == 0 {
				t.Error("it has nothing that could be left")
			}
			if err := demo.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			for lines.Scan() { // to its end
			}
			_ = demo.Wait() // how it ended is seen below
			if code := demo.ProcessState.ExitCode(); signal == syscall.SIGINT && code != 130 {
				t.Errorf("exit code %d after Ctrl-C, want 130", code)
			}
			for deadline := time.Now().Add(2 * sweepTime); len(demoHas(t, engine, id)) > 0; <-time.After(100 * time.Millisecond) {
				if time.Now().After(deadline) {
					if left := exceptStuck(t, engine, demoHas(t, engine, id)); len(left) > 0 {
						t.Fatalf("what is left of it: %v", left)
					}
					break
				}
			}
			if err := (&dock{engine: engine, id: id}).removeImage(t.Context()); err != nil { // of the one that was killed
				t.Error(err)
			}
		})
	}
}

func TestTheDemoWithContainersSaysThatThereIsNoEngine(t *testing.T) {
	demo := self(t, t.Context(), "demo", "docker")
	demo.Env = append(os.Environ(), "DOCKER_HOST=unix://"+filepath.Join(t.TempDir(), "nothing.sock"))
	out, err := demo.CombinedOutput()
	ended, is := errors.AsType[*exec.ExitError](err)
	if !is || ended.ExitCode() != 2 || !strings.Contains(string(out), "needs a Docker engine") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTwoMembersThatLeadAtOnceAreSeen(t *testing.T) {
	write := func(lines ...int64) (l ledger) {
		for i, at := range lines {
			l = append(l, ledgerLine{at: time.Unix(at, 0), word: map[bool]string{true: "start", false: "line"}[i == 0]})
		}
		return l
	}
	good := ledgers{"member.0": append(write(1, 2, 3), write(10, 11)...), "member.1": write(4, 9), "chore.0": write(1, 20)}
	if list, err := good.leaders(); err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
	bad := ledgers{"member.0": write(1, 2, 5), "member.1": write(4, 9)}
	if _, err := bad.leaders(); err == nil || !strings.Contains(err.Error(), "member.0 led when member.1 began") {
		t.Error(err)
	}
}
