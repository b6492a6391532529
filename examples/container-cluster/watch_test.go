package lab

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// container is one of a member.
type container struct{ id, hosts, pid string }

// containers are those of the cluster's tasks that run, by address.
func (l *lab) containers() map[string]container {
	l.t.Helper()
	found := map[string]container{}
	for _, id := range l.left("ps", "-q", "synod.cluster") {
		out, err := l.try("docker", "inspect", "-f", fmt.Sprintf(`{{.Id}} {{.HostsPath}} {{.State.Pid}} {{with index .NetworkSettings.Networks "%s_agents"}}{{.IPAddress}}{{end}}`, l.project), id)
		if f := strings.Fields(out); err == nil && len(f) == 4 {
			found[f[3]] = container{f[0], f[1], f[2]}
		}
	}
	return found
}

// names are the hosts files of members, by address; look finds those that are new.
type names struct {
	mu    sync.Mutex
	files map[string]container
	lost  map[string]bool // ids of those that something befell
}

func (n *names) lose(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost[id] = true
}

func (n *names) isLost(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost[id]
}

var hostsFiles = names{lost: map[string]bool{}}

// hosts is the hosts file of the member at an address.
func (l *lab) hosts(addr string) (string, error) {
	hostsFiles.mu.Lock()
	c, known := hostsFiles.files[addr]
	hostsFiles.mu.Unlock()
	if known {
		if text, err := os.ReadFile(c.hosts); err == nil || !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
			return string(text), err
		}
	}
	all := l.containers()
	hostsFiles.mu.Lock()
	hostsFiles.files = all
	hostsFiles.mu.Unlock()
	if c, known = all[addr]; !known {
		return "", fmt.Errorf("no container is at %s", addr)
	}
	text, err := os.ReadFile(c.hosts)
	if errors.Is(err, os.ErrPermission) { // who is not root asks the engine
		return l.try("docker", "exec", c.id, "cat", "/etc/hosts")
	}
	return string(text), err
}

// namesAre finds fault unless the hosts files of all of at begin with the names of order.
func (l *lab) namesAre(at, order []string) error {
	for _, addr := range at {
		text, err := l.hosts(addr)
		if err != nil {
			return err
		}
		got, err := parseHosts(text)
		if err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
		if len(got) < len(order) || !slices.Equal(got[:len(order)], order) {
			return fmt.Errorf("%s has the names of %v, not of %v", addr, got, order)
		}
	}
	return nil
}

// parseHosts returns the addresses of lab-0, lab-1 and so on, or what is not whole about the file.
func parseHosts(text string) (addrs []string, err error) {
	if !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("it ends within a line: %q", text)
	}
	local := false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case len(f) != 2 || net.ParseIP(f[0]) == nil:
			return nil, fmt.Errorf("%q is no line of it", line)
		case f[1] == "localhost":
			local = true
		case f[1] != fmt.Sprintf("lab-%d", len(addrs)):
			return nil, fmt.Errorf("%s follows %d others in %q", f[1], len(addrs), text)
		default:
			addrs = append(addrs, f[0])
		}
	}
	if !local || len(addrs) == 0 {
		return nil, fmt.Errorf("something is missing: %q", text)
	}
	return addrs, nil
}

// watchNames reads the hosts files of the members all the time, and returns how often and what was wrong.
func (l *lab) watchNames() (result func() (reads int, wrong []string)) {
	ctx, cancel := context.WithCancel(l.t.Context())
	var reads int
	var wrong []string
	ended := make(chan struct{})
	l.await(2*time.Minute, "names", func() error { return l.namesAre(l.group(), l.group()) })
	go func() {
		defer close(ended)
		first := map[string]bool{} // files that were the lab's once
		for ctx.Err() == nil {
			hostsFiles.mu.Lock()
			files := hostsFiles.files
			hostsFiles.mu.Unlock()
			for addr, c := range files {
				text, err := os.ReadFile(c.hosts)
				if err != nil {
					continue // its container is gone
				}
				_, err = parseHosts(string(text))
				first[c.id] = first[c.id] || err == nil
				if !first[c.id] {
					continue // Docker's own, or the proxy's
				}
				reads++
				// Of a container that is dead or cut off Docker takes out the line itself, by way of an empty file.
				if _, dead := os.Stat("/proc/" + c.pid); err != nil && dead == nil && !hostsFiles.isLost(c.id) {
					wrong = append(wrong, fmt.Sprintf("%s: %v", addr, err))
				}
			}
			<-time.After(time.Millisecond)
		}
	}()
	return func() (int, []string) { cancel(); <-ended; return reads, wrong }
}

// ends is when containers of tasks have ended, as the engine tells.
type ends struct {
	mu   sync.Mutex
	when map[string]time.Time
}

func (l *lab) watchEnds() *ends {
	l.t.Helper()
	e := &ends{when: map[string]time.Time{}}
	events := exec.CommandContext(l.t.Context(), "docker", "events", "--filter", "label=synod.cluster="+l.project, "--filter", "event=die", "--format", "{{.TimeNano}} {{.ID}}")
	out, err := events.StdoutPipe()
	if err == nil {
		err = events.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	go func() {
		var nano int64
		var id string
		for {
			if _, err := fmt.Fscanln(out, &nano, &id); err != nil {
				break
			}
			e.mu.Lock()
			e.when[id] = time.Unix(0, nano)
			e.mu.Unlock()
		}
		_ = events.Wait() // it was killed with the test
	}()
	return e
}

// of is when a container has ended.
func (e *ends) of(id string) (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, known := e.when[id]
	return t, known
}

// answer is what the notebook has told.
type answer struct {
	Member string
	Token  uint64
	Cells  []struct{ Text string }
	at     time.Time
}

// reader reads the notebook through the proxy, again and again.
type reader struct {
	l       *lab
	client  *http.Client
	url     string
	secret  string
	idle    net.Conn // of somebody who asks only now and then
	from    *bufio.Reader
	asked   time.Time // when that one asked
	mu      sync.Mutex
	newest  answer
	longest time.Duration
	since   time.Time // of the last answer
}

// readNotebook writes a cell, and reads from then on.
func (l *lab) readNotebook() *reader {
	l.t.Helper()
	secret, err := os.ReadFile(filepath.Join(l.dir, "lab", "token"))
	if err != nil {
		l.t.Fatal(err)
	}
	n := &reader{l: l, url: "http://127.0.0.1:" + l.port + "/api/cells", secret: string(secret), since: time.Now()}
	n.client = &http.Client{Timeout: time.Minute}
	took := l.await(2*time.Minute, "notebook", func() error { return n.ask("POST", "a cell") })
	l.note("notebook answers after that", "", fmt.Sprintf("%.2f s", took.Seconds()))
	if status := n.status(); status != http.StatusForbidden {
		l.t.Errorf("the notebook answers %d without its token", status)
	}
	go func() {
		for l.t.Context().Err() == nil {
			_ = n.ask("GET", "") // what it says shows in newest
			<-time.After(20 * time.Millisecond)
		}
	}()
	return n
}

// status is what the notebook says to who has no token.
func (n *reader) status() int {
	r, err := http.Get(n.url)
	if err != nil {
		return 0
	}
	r.Body.Close()
	return r.StatusCode
}

func (n *reader) ask(method, body string) error {
	r, err := http.NewRequestWithContext(n.l.t.Context(), method, n.url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "token "+n.secret)
	a, err := n.client.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.200s, %v", a.Status, data, err)
	}
	var got answer
	if err := json.Unmarshal(data, &got); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	got.at = time.Now()
	n.longest, n.since = max(n.longest, got.at.Sub(n.since)), got.at
	n.newest = got
	return nil
}

func (n *reader) last() answer {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.newest
}

// silence measures from now on how long the notebook does not answer.
func (n *reader) silence() (longest func() time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.longest, n.since = 0, time.Now()
	return func() time.Duration {
		n.mu.Lock()
		defer n.mu.Unlock()
		return max(n.longest, time.Since(n.since))
	}
}

// idleFor is how long the connection of a client may be idle: the proxy ends it after two minutes.
const idleFor = 100 * time.Second

// askIdle asks over a connection that is there since before, whoever has led meanwhile.
func (n *reader) askIdle() (err error) {
	if time.Since(n.asked) > idleFor {
		if n.idle, err = net.Dial("tcp", "127.0.0.1:"+n.l.port); err != nil {
			return err
		}
		n.l.t.Cleanup(func() { n.idle.Close() })
		n.from = bufio.NewReader(n.idle)
	}
	defer func() { n.asked = time.Now() }()
	r, err := http.NewRequest("GET", n.url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "token "+n.secret)
	_ = n.idle.SetDeadline(time.Now().Add(time.Minute))
	if err := r.Write(n.idle); err != nil {
		return fmt.Errorf("the proxy has cut a connection that was idle: %w", err)
	}
	a, err := http.ReadResponse(n.from, r)
	if err != nil {
		return fmt.Errorf("the proxy has cut a connection that was idle: %w", err)
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK {
		return fmt.Errorf("over an idle connection: %s: %.200s, %v", a.Status, data, err)
	}
	return nil
}

// judge finds fault with what is in the notebook after all that has befallen its leaders.
func (n *reader) judge() {
	n.l.t.Helper()
	if err := n.askIdle(); err != nil {
		n.l.t.Error(err)
	}
	n.l.note("a client's idle connection through each of that", "open", "open")
	if cells := n.last().Cells; len(cells) != 1 || cells[0].Text != "a cell" {
		n.l.t.Errorf("the notebook holds %v", cells)
	}
}

// run is from when to when a notebook ran, as it has written down itself.
type run struct {
	Token       uint64
	Member      string
	Began, Last int64
	Time        time.Time
}

// runs are all runs of the notebook, in the order of their tokens.
func (l *lab) runs() (all []run) {
	l.t.Helper()
	list, err := l.in(0, "", "ls", "/shared/notebook/runs")
	if err != nil {
		l.t.Fatal(err)
	}
	args := []string{"cat"}
	for _, name := range strings.Fields(list) {
		args = append(args, "/shared/notebook/runs/"+name)
	}
	text, err := l.in(0, "", args...)
	if err != nil {
		l.t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var r run
		if err := d.Decode(&r); err != nil {
			l.t.Fatalf("%v in %s", err, text)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b run) int { return cmp.Compare(a.Token, b.Token) })
	return all
}
