//go:build linux

package process

import (
	"os"
	"reflect"
	"testing"
)

func TestNamesOfProcessesMayHoldAnything(t *testing.T) {
	const rest = " S 7 8 9 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 12345 1 1\n"
	for _, name := range []string{"sh", "a b", "x) S 1 1 1", "(", ")", "\n"} {
		s, ok := parseStat(5, "5 ("+name+")"+rest)
		if want := (Stat{Process: Process{5, 12345}, Parent: 7, Session: 9}); !ok || s != want {
			t.Errorf("%q: %+v", name, s)
		}
	}
	if s, ok := ReadStat(os.Getpid()); !ok || s.Parent != os.Getppid() || s.Dead {
		t.Errorf("of myself: %+v", s)
	}
}

func TestHierarchies(t *testing.T) {
	const hybrid = `tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
`
	const own = "4:memory:/a\n3:cpu,cpuacct:/\n1:name=systemd:/b\n0::/c\n"
	want := []hierarchy{
		{mount: "/sys/fs/cgroup/cpu,cpuacct", controllers: ",rw,relatime,cpu,cpuacct,"},
		{mount: "/sys/fs/cgroup/memory", own: "/a", controllers: ",rw,memory,"},
		{mount: "/sys/fs/cgroup/unified", own: "/c", unified: true},
	}
	if got := hierarchies(hybrid, own); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "0::/\n"); len(got) != 1 || !got[0].unified || got[0].own != "" {
		t.Errorf("got %+v", got)
	}
}

func FuzzTexts(f *testing.F) {
	f.Add("5 (sh) S 7 8 9 0", "cgroup /m cgroup rw,memory 0 0\n", "4:memory:/a\n")
	f.Fuzz(func(t *testing.T, stat, mounts, own string) {
		_, _ = parseStat(1, stat) // must not panic
		_ = hierarchies(mounts, own)
	})
}
