package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestControllersOfBothVersions(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"memory/own", "cpu/own", "unified"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "unified/cgroup.controllers"), []byte("cpuset cpu io memory pids\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := "9:memory:/own\n3:cpu,cpuacct:/own\n2:pids:/own\n0::/\n"
	v1 := "cgroup " + root + "/memory cgroup rw,memory 0 0\ncgroup " + root + "/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup " + root + "/pids cgroup rw,pids 0 0\n"
	v2 := "cgroup2 " + root + "/unified cgroup2 rw 0 0\n"
	for name, test := range map[string]struct {
		mounts  string
		version int
		usable  []string
	}{
		"none":    {"proc /proc proc rw 0 0\nshort\n", 0, nil},
		"one":     {v1, 1, []string{"cpu", "memory"}},
		"two":     {v2, 2, []string{"cpu", "memory", "pids"}},
		"no more": {"cgroup2 " + root + "/elsewhere cgroup2 rw 0 0\n", 2, nil},
	} {
		if version, usable := controllers(test.mounts, own); version != test.version || !slices.Equal(usable, test.usable) {
			t.Errorf("%s: version %d with %v, want %d with %v", name, version, usable, test.version, test.usable)
		}
	}
}
