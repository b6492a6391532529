//go:build linux

package shim

import (
	"os"
	"testing"
)

func TestATaskAndItsShimEndSoonAfterTheirLifeline(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	specs := map[string]Spec{
		"it ends":         inDir(t, "sleep 1000 & wait"),
		"it does not":     inDir(t, "trap '' TERM; sleep 1000 & wait; sleep 1000"),
		"it had ended":    inDir(t, "exit 3"),
		"it has no such":  inDir(t, "sleep 1000 & wait"),
		"it cannot start": inDir(t, ""),
	}
	for name, spec := range specs {
		if name != "it has no such" {
			spec.Lifeline = read
		}
		if name == "it cannot start" {
			spec.Shell, spec.Argv = "", []string{"/no/such/program"}
		}
		if err := Start(t.Context(), spec); (err != nil) != (name == "it cannot start") {
			t.Fatalf("%s: %v", name, err)
		}
	}
	read.Close() // the shims have their own
	eventually(t, "one has ended", func() bool { return observe(t, specs["it had ended"].Dir).HasExit })
	for name, spec := range specs {
		if f := observe(t, spec.Dir); name != "it cannot start" && !f.ShimAlive {
			t.Errorf("%s: its shim is gone before its lifeline: %+v", name, f)
		}
	}
	write.Close()
	for name, spec := range specs {
		if name == "it has no such" {
			continue
		}
		eventually(t, name+": all has ended", func() bool {
			f := observe(t, spec.Dir)
			return !f.LockHeld && !f.ShimAlive && !f.TaskAlive && f.HasExit
		})
		f := observe(t, spec.Dir)
		if (name == "it ends" || name == "it does not") && !f.Exit.Killed || name == "it had ended" && f.Exit.Code != 3 {
			t.Errorf("%s: it ended as %+v", name, f.Exit)
		}
	}
	if f := observe(t, specs["it has no such"].Dir); !f.ShimAlive || !f.TaskAlive || f.HasExit {
		t.Errorf("a task without a lifeline: %+v", f)
	}
}
