package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestGluster types what the README has for several hosts on three of them, each a network, a process table and a
// view of the files of its own, and lets hosts die.
func TestGluster(t *testing.T) {
	s := newHosts(t, 3)
	s.readme()
	one, two, three := s.hosts[0], s.hosts[1], s.hosts[2]
	one.must("echo written by one > /mnt/lab/note")
	for _, h := range []*host{two, three} {
		if got := h.must("cat /mnt/lab/note"); got != "written by one" {
			t.Fatalf("%s reads %q", h.name, got)
		}
	}

	held := one.hold()
	if out, err := two.try("flock -n /mnt/lab/lock true"); err == nil {
		t.Fatalf("two hosts have one lock: %s", out)
	}
	writer := two.write()
	writer.await(20)
	three.die()
	writer.await(20) // which includes the pause
	t.Logf("a host died: writes stood still for %.1f s at most", writer.longest().Seconds())
	if writer.longest() > busy*10*time.Second {
		t.Errorf("a host is given up after twice network.ping-timeout at most, which is 5 s")
	}

	// A majority of the bricks takes writes: the third one must be back before another goes. The notebook of the
	// next leader waits for the lock of the one before.
	three.start()
	three.mount()
	s.await("all bricks are connected and equal", func() error {
		out, err := two.try("gluster volume heal lab info")
		if strings.Count(out, "Status: Connected") != 3 || strings.Count(out, "Number of entries: 0") != 3 {
			err = errors.Join(err, errors.New(out))
		}
		return err
	})
	began := time.Now()
	one.die()
	held()
	s.await("the lock of the host that died", func() error { _, err := two.try("flock -w 1 /mnt/lab/lock true"); return err })
	t.Logf("the host with the lock died: the lock was free after %.1f s", time.Since(began).Seconds())
	if time.Since(began) > 25*time.Second {
		t.Errorf("without server.tcp-user-timeout it takes 31 s and more")
	}
	writer.await(20)
	count := writer.stop()
	one.start()
	one.mount()
	for _, h := range s.hosts {
		s.await("what was written, on "+h.name, func() error {
			got, err := h.try("cat /mnt/lab/written")
			return errors.Join(err, lines(got, count))
		})
		s.await("what was written, on the brick of "+h.name, func() error {
			brick, err := os.ReadFile(filepath.Join(h.dir, "srv", "lab", "written"))
			return errors.Join(err, lines(string(brick), count))
		})
	}
	t.Logf("%d acknowledged writes are on all three bricks", count)
}

// lines finds fault unless text is so many numbered lines.
func lines(text string, count int) error {
	got := strings.Split(strings.TrimSpace(text), "\n")
	if len(got) != count {
		return fmt.Errorf("%d lines of %d", len(got), count)
	}
	for i, line := range got {
		if line != fmt.Sprintf("line %d", i) {
			return fmt.Errorf("%q in the place of line %d", line, i)
		}
	}
	return nil
}

// hosts are machines at one switch.
type hosts struct {
	t     *testing.T
	net   string // names their network namespaces
	dir   string
	hosts []*host
}

type host struct {
	*hosts
	name, dir string
	number    int
	process   *exec.Cmd
	pid       string // of its first process
}

func newHosts(t *testing.T, n int) *hosts {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: starts three hosts")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	for _, program := range []string{"glusterd", "mount.glusterfs", "ip", "unshare", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s on this machine:  apt-get install glusterfs-server glusterfs-client iproute2", program)
		}
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse on this machine")
	}
	s := &hosts{t: t, net: fmt.Sprintf("lab%d-", os.Getpid()), dir: t.TempDir()}
	t.Cleanup(s.remove) // before the directory goes, which was made before
	s.ip("netns add " + s.net + "switch")
	s.ip("-n " + s.net + "switch link add switch type bridge")
	s.ip("-n " + s.net + "switch link set switch up")
	for i := 1; i <= n; i++ {
		h := &host{hosts: s, number: i, name: fmt.Sprintf("h%d", i)}
		h.dir = filepath.Join(s.dir, h.name)
		if err := os.Mkdir(h.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s.hosts = append(s.hosts, h)
		for _, line := range []string{
			"netns add " + s.net + h.name,
			"-n " + s.net + "switch link add " + h.name + " type veth peer name eth0 netns " + s.net + h.name,
			"-n " + s.net + "switch link set " + h.name + " master switch up",
			"-n " + s.net + h.name + fmt.Sprintf(" address add 10.99.0.%d/24 dev eth0", i),
			"-n " + s.net + h.name + " link set eth0 up",
			"-n " + s.net + h.name + " link set lo up",
		} {
			s.ip(line)
		}
		h.start()
	}
	return s
}

func (s *hosts) ip(line string) {
	s.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		s.t.Fatalf("ip %s: %v: %s", line, err, out)
	}
}

func (s *hosts) remove() {
	for _, h := range s.hosts {
		if h.process != nil {
			h.die()
		}
		_ = exec.Command("ip", "netns", "del", s.net+h.name).Run() // it may never have been made
	}
	_ = exec.Command("ip", "netns", "del", s.net+"switch").Run()
}

func (s *hosts) await(what string, check func() error) {
	s.t.Helper()
	for began := time.Now(); ; <-time.After(50 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Since(began) > 2*time.Minute {
			s.t.Fatalf("%s: still after two minutes: %v", what, err)
		}
	}
}

// boot gives a host directories of its own, and starts GlusterFS and what keeps the host alive.
const boot = `
mount --make-rprivate /
rm -rf "$0/run"
for at in var/lib/glusterd var/log/glusterfs run srv mnt; do
	mkdir -p "$0/$at" "/$at"
	mount --bind "$0/$at" "/$at"
done
mkdir -p /run/gluster
printf '127.0.0.1 localhost\n10.99.0.1 h1\n10.99.0.2 h2\n10.99.0.3 h3\n' >"$0/hosts"
mount --bind "$0/hosts" /etc/hosts
glusterd && echo up
exec sleep 600`

// start starts the host, or starts it again after it has died.
func (h *host) start() {
	h.t.Helper()
	h.ip("-n " + h.net + "switch link set " + h.name + " up")
	h.process = exec.Command("ip", "netns", "exec", h.net+h.name, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
		"sh", "-ec", boot, h.dir)
	out, err := h.process.StdoutPipe()
	if err == nil {
		err = h.process.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		h.t.Fatalf("%s does not start: %v", h.name, err)
	}
	pid := h.process.Process.Pid // of unshare, whose child is the first process of the host
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if h.pid = strings.TrimSpace(string(children)); err != nil || h.pid == "" {
		h.t.Fatalf("%s has no process: %q, %v", h.name, children, err)
	}
}

// die ends the host as a power cut does: nobody is told that its connections are gone.
func (h *host) die() {
	_ = exec.Command("ip", "-n", h.net+"switch", "link", "set", h.name, "down").Run()
	_ = h.process.Process.Kill()
	_ = h.process.Wait()
	h.process = nil
	h.await("the first process of "+h.name+", which ends when all others have", func() error {
		if _, err := os.Stat("/proc/" + h.pid); err == nil {
			return errors.New("it is there")
		}
		return nil
	})
}

func (h *host) command(line string) *exec.Cmd {
	return exec.Command("nsenter", "-t", h.pid, "-m", "-n", "-p", "sh", "-ec", line)
}

func (h *host) try(line string) (string, error) {
	out, err := h.command(line).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (h *host) must(line string) string {
	h.t.Helper()
	out, err := h.try(line)
	if err != nil {
		h.t.Fatalf("%s$ %s: %v\n%s", h.name, line, err, out)
	}
	return out
}

// readme types the commands of the README: the first block on h1, the second on each host. They are repeated
// as a person would who is told that another host is not there yet.
func (s *hosts) readme() {
	s.t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		s.t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(text), "## Several hosts")
	part, _, _ = strings.Cut(part, "\n## ")
	typed := 0
	for line := range strings.Lines(part) {
		line, is := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		if !is || strings.HasPrefix(line, "apt-get ") || strings.HasPrefix(line, "node ") {
			continue // installed and started before; the agents are another test's
		}
		typed++
		on := s.hosts[:1]
		if strings.Contains(line, "mount ") {
			on = s.hosts
		}
		for _, h := range on {
			s.await(h.name+"$ "+line, func() error {
				out, err := h.try(line)
				if err != nil {
					err = fmt.Errorf("%w: %s", err, out)
				}
				return err
			})
		}
	}
	if typed < 5 {
		s.t.Fatalf("the README has %d commands", typed)
	}
}

func (h *host) mount() {
	h.t.Helper()
	h.await(h.name+" mounts the volume", func() error { _, err := h.try("mount -t glusterfs localhost:/lab /mnt/lab"); return err })
}

// hold takes the lock on the volume and keeps it until the host dies.
func (h *host) hold() (ended func()) {
	h.t.Helper()
	c := h.command("exec flock /mnt/lab/lock sh -c 'echo held; exec sleep 600'")
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err == nil {
		_, err = fmt.Fscanln(out, new(string))
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return func() { _ = c.Wait() }
}

// writer appends a line to a file on the volume, again and again.
type writer struct {
	h     *host
	lines chan time.Time
	end   chan struct{}
	ended chan struct{}
	count int // when it has ended
	once  sync.Once

	most   time.Duration
	before time.Time
}

func (h *host) write() *writer {
	h.t.Helper()
	w := &writer{h: h, lines: make(chan time.Time, 1<<16), end: make(chan struct{}), ended: make(chan struct{})}
	h.t.Cleanup(func() { w.stop() })
	go func() {
		defer close(w.ended)
		for {
			select {
			case <-w.end:
				return
			default:
			}
			if out, err := h.try(fmt.Sprintf("echo line %d >> /mnt/lab/written && sync /mnt/lab/written", w.count)); err != nil {
				h.t.Errorf("line %d: %v: %s", w.count, err, out)
				return
			}
			w.count++
			w.lines <- time.Now()
		}
	}()
	return w
}

// await waits for some more lines.
func (w *writer) await(n int) {
	w.h.t.Helper()
	limit := time.After(2 * time.Minute)
	for range n {
		select {
		case at := <-w.lines:
			if !w.before.IsZero() {
				w.most = max(w.most, at.Sub(w.before))
			}
			w.before = at
		case <-limit:
			w.h.t.Fatal("nothing is written for two minutes")
		}
	}
}

func (w *writer) longest() time.Duration { return w.most }

// stop ends the writer and returns how many lines were acknowledged.
func (w *writer) stop() int {
	w.once.Do(func() { close(w.end) })
	<-w.ended
	return w.count
}
