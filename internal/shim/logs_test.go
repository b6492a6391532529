//go:build linux

package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/synod-go/synod/internal/shim/process"
)

func TestRotationLosesNoLine(t *testing.T) {
	spec := inDir(t, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done; echo to stderr >&2")
	spec.LogBytes = 160 << 10
	if e := waitFor(t, start(t, spec)); e.Code != 0 || e.LogBytesLost != 0 {
		t.Fatalf("exit %+v", e)
	}
	var want strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&want, "line %d\n", i+1)
	}
	old, current := read(t, spec.Dir, process.StdoutFile+process.OldSuffix), read(t, spec.Dir, process.StdoutFile)
	if old == "" || old+current != want.String() {
		t.Errorf("%d and %d bytes, want %d together", len(old), len(current), want.Len())
	}
	if len(old) > 160<<10 || !strings.HasSuffix(old, "\n") {
		t.Errorf("the old log has %d bytes and ends with %q", len(old), old[len(old)-10:])
	}
	if got := read(t, spec.Dir, process.StderrFile); got != "to stderr\n" {
		t.Errorf("stderr %q", got)
	}
}

// What is bounded stays so, and is the end of what was written, without a hole.
func TestLogIsBounded(t *testing.T) {
	spec := inDir(t, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done; head -c 300000 /dev/zero")
	spec.LogBytes = 20 << 10
	waitFor(t, start(t, spec))
	old, current := read(t, spec.Dir, process.StdoutFile+process.OldSuffix), read(t, spec.Dir, process.StdoutFile)
	const most = 20<<10 + 64<<10
	if len(old) > most || len(current) > most {
		t.Errorf("%d and %d bytes, want at most %d each", len(old), len(current), most)
	}
	if len(old)+len(current) < 20<<10 {
		t.Errorf("%d and %d bytes: too little", len(old), len(current))
	}
}

// Where the log cannot be rotated it goes on in the file that it has.
func TestALogThatCannotBeRotatedGoesOn(t *testing.T) {
	spec := inDir(t, "mkdir -p stdout.1/x; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done")
	spec.LogBytes = 1 << 10
	if e := waitFor(t, start(t, spec)); e.LogBytesLost != 0 {
		t.Errorf("exit %+v", e)
	}
	if got := read(t, spec.Dir, process.StdoutFile); !strings.HasPrefix(got, "line 1\n") || !strings.HasSuffix(got, "line 2000\n") {
		t.Errorf("%d bytes", len(got))
	}
	if _, err := os.Stat(filepath.Join(spec.Dir, "stdout.1")); err != nil {
		t.Error(err)
	}
}

// A shim that was slow finds the pipe full and the task dead at the same time.
func TestLastWordsAreKept(t *testing.T) {
	spec := inDir(t, "while [ ! -e go ]; do sleep 0.01; done; exec head -c 60000 /dev/zero")
	spec.LogBytes = 1 << 20
	h := start(t, spec)
	s, err := h.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.SignalProcess(s.Shim, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(spec.Dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task is dead", func() bool { return !s.Task.Alive() })
	if err := process.SignalProcess(s.Shim, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waitFor(t, h)
	if got := len(read(t, spec.Dir, process.StdoutFile)); got != 60000 {
		t.Errorf("%d bytes", got)
	}
}
