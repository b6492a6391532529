// Package lab checks the container cluster of this directory, unattended.
package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
)

// TestLab brings the lab up from nothing, uses it from each member, and kills, cuts off and pauses what it is made of.
func TestLab(t *testing.T) {
	l := newLab(t)
	defer l.table()
	l.up("./lab.sh", "image")
	n := l.readNotebook()
	l.publishedHere()
	whole := l.watchNames()
	l.settle(n)
	l.listNames(n)
	l.share(n)
	l.logIn(n)
	l.readme()

	l.lose(n, loss{what: "docker kill of a follower", rank: 2, how: []string{"kill"}, names: 2 * time.Second, replaced: 10 * time.Second})
	l.lose(n, loss{what: "docker kill of the leader", rank: 0, how: []string{"kill"}, names: 2 * time.Second, notebook: 5 * time.Second, replaced: 10 * time.Second})
	l.killMaster(n)
	// What stands still or is cut off is a member until its session is over, after the 3 s of LAB_TIMEOUT.
	l.lose(n, loss{what: "leader cut off", rank: 0, how: []string{"network", "disconnect", "-f", l.project + "_agents"},
		names: 5 * time.Second, notebook: 8 * time.Second, replaced: 13 * time.Second})
	l.lose(n, loss{what: "docker pause of the leader", rank: 0, how: []string{"pause"}, names: 5 * time.Second, notebook: 8 * time.Second, replaced: 13 * time.Second})
	l.logIn(n)
	l.neverTwo(n)
	n.judge()
	if reads, wrong := whole(); reads == 0 || len(wrong) > 0 {
		t.Errorf("of %d readings of hosts files %d were not whole: %q", reads, len(wrong), wrong[:min(3, len(wrong))])
	} else {
		l.note("hosts files read meanwhile, all of them whole", "", fmt.Sprint(reads))
	}
}

// publishedHere finds fault if the notebook can be reached from other machines.
func (l *lab) publishedHere() {
	l.t.Helper()
	if at := l.must("docker", "ps", "--filter", "label=synod.cluster="+l.project, "--filter", "publish="+l.port, "--format", "{{.Ports}}"); at != "127.0.0.1:"+l.port+"->8888/tcp" {
		l.t.Errorf("the notebook is published at %q", at)
	}
}

// settle waits until all is as it should be: five members, whose names are right on each of
// them, whose keys are known, and of whom the first one serves the notebook.
func (l *lab) settle(n *reader) {
	l.t.Helper()
	began := time.Now()
	l.await(2*time.Minute, "the lab is not as it should be", func() error {
		group := l.group()
		if err := want(len(group), 5); err != nil {
			return err
		}
		if err := errors.Join(l.namesAre(group, group), l.keysAre(group)); err != nil {
			return err
		}
		if last := n.last(); last.Member != group[0] || last.at.Before(began) {
			return fmt.Errorf("the notebook is served by %q, not %s", last.Member, group[0])
		}
		return nil
	})
	if err := n.askIdle(); err != nil {
		l.t.Error(err)
	}
}

// keysAre finds fault if the keys that are announced are not those of the members.
func (l *lab) keysAre(group []string) error {
	page, err := l.client.List(l.t.Context(), "lab/keys", api.ListOptions{})
	if err != nil {
		return err
	}
	if len(page.Entries) != len(group) {
		return fmt.Errorf("%d members have announced keys", len(page.Entries))
	}
	return nil
}

// listNames lists the names of all members from each of them.
func (l *lab) listNames(n *reader) {
	l.t.Helper()
	l.steadily(n, func(members []member) error {
		for i := range members {
			text, err := l.in(i, "", "cat", "/etc/hosts")
			if err != nil {
				return err
			}
			if names, err := parseHosts(text + "\n"); err != nil || !slices.Equal(names, addrs(members)) {
				return fmt.Errorf("lab.%d has the names of %v, not of %v: %v", i, names, members, err)
			}
		}
		return nil
	})
	l.note("names lab-0 to lab-4, from each member", "", "right")
}

// share writes in one member and reads in all.
func (l *lab) share(n *reader) {
	l.t.Helper()
	l.steadily(n, func(members []member) error {
		if _, err := l.in(0, "written by one", "tee", "/shared/note"); err != nil {
			return err
		}
		for i := range members {
			if got, err := l.in(i, "", "cat", "/shared/note"); got != "written by one" {
				return fmt.Errorf("lab.%d reads %q, %v", i, got, err)
			}
		}
		return nil
	})
	l.note("written in one member, read in each", "", "equal")
}

// logIn runs a command by ssh from each member on each, by name.
func (l *lab) logIn(n *reader) {
	l.t.Helper()
	var longest time.Duration
	l.steadily(n, func(members []member) error {
		containers := l.containers()
		longest = 0
		for i := range members {
			if err := n.askIdle(); err != nil { // who says nothing for two minutes is cut off
				return err
			}
			for rank, m := range members {
				began := time.Now()
				got, err := l.in(i, "", "ssh", fmt.Sprintf("lab-%d", rank), "hostname")
				if want := containers[m.addr].id; err != nil || got == "" || !strings.HasPrefix(want, got) {
					return fmt.Errorf("lab.%d on lab-%d at %s: %q, wanted %.12s: %v", i, rank, m.addr, got, want, err)
				}
				longest = max(longest, time.Since(began))
			}
		}
		return nil
	})
	l.note("ssh from each member to each of the five, longest", "", fmt.Sprintf("%.2f s", longest.Seconds()))
}

// readme runs the commands of the README that are between bringing up and taking down.
func (l *lab) readme() {
	l.t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		l.t.Fatal(err)
	}
	ran, leader := 0, l.places()[0]
	for line := range strings.Lines(string(text)) {
		command, is := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		if command == "make lab-down" {
			break
		}
		if !is || strings.HasPrefix(command, "make ") || strings.HasPrefix(command, ". ") {
			continue // the test has its own ways for these
		}
		if _, err := l.insist("", "env", "PATH="+filepath.Dir(l.node)+":"+os.Getenv("PATH"), "sh", "-ec", command); err != nil {
			l.explain()
			l.t.Fatal(err)
		}
		ran++
	}
	if ran < 7 {
		l.t.Errorf("%d commands of the README were run, fewer than there are", ran)
	}
	l.await(time.Minute, "the leader that the README kills", func() error {
		if l.unchanged([]member{leader}) {
			return errors.New("it is there")
		}
		return nil
	})
}

// loss is something that befalls the member of a rank, and in what time all is well again.
type loss struct {
	what                      string
	rank                      int
	how                       []string // a command of docker, to which the container is added
	names, notebook, replaced time.Duration
}

// lose has something befall a member and measures what follows.
func (l *lab) lose(n *reader, s loss) {
	l.t.Helper()
	l.steadily(n, func(before []member) error { return l.loseOnce(n, s, before) })
}

func (l *lab) loseOnce(n *reader, s loss, before []member) error {
	l.t.Helper()
	lost, rest := before[s.rank], slices.Delete(slices.Clone(before), s.rank, s.rank+1)
	victim, survivors, token := l.containers()[lost.addr], addrs(rest), n.last().Token
	old, _, err := l.client.Get(l.t.Context(), "lab/keys/"+lost.addr, api.ReadOptions{})
	if err != nil {
		return err
	}
	hostsFiles.lose(victim.id)
	began := time.Now()
	l.must("docker", append(s.how, victim.id)...)
	goals := []*goal{
		{"names right on all survivors", s.names, func() error { return l.namesAre(survivors, survivors) }, 0},
		{"its keys are gone", s.names, func() error { return l.keyIsGone(lost.addr, old) }, 0},
		{"replaced, with the names right on all five", s.replaced, func() error {
			now := l.group()
			if len(now) != 5 || !slices.Equal(now[:4], survivors) {
				return fmt.Errorf("members are %v", now)
			}
			return l.namesAre(now, now)
		}, 0},
	}
	if s.notebook > 0 {
		goals = append(goals, &goal{"notebook back at the same address", s.notebook, func() error {
			if now := n.last(); now.Token <= token || now.Member != survivors[0] {
				return fmt.Errorf("the notebook is %s's, token %d", now.Member, now.Token)
			}
			return nil
		}, 0})
	}
	if !l.reach(began, s.what, goals, rest) {
		return errDisturbed
	}
	if s.rank == 0 {
		l.diedFirst(victim.id, n.last())
	}
	return nil
}

// keyIsGone finds fault as long as what a lost member has announced is there.
func (l *lab) keyIsGone(addr string, old api.Entry) error {
	now, _, err := l.client.Get(l.t.Context(), "lab/keys/"+addr, api.ReadOptions{})
	if api.CodeOf(err) == api.CodeNotFound || err == nil && now.Created != old.Created {
		return nil
	}
	return errors.Join(err, errors.New("it is there"))
}

// goal is what has to be so within a time.
type goal struct {
	what  string
	bound time.Duration
	check func() error
	took  time.Duration // 0: not yet
}

// reach waits until all goals are reached, and measures from when on each was for the first time. It reports
// false, and has judged nothing, if some that were to stay have lost their places meanwhile.
func (l *lab) reach(began time.Time, cause string, goals []*goal, stay []member) bool {
	l.t.Helper()
	l.await(2*time.Minute, cause, func() (missing error) {
		if !l.unchanged(stay) {
			return errDisturbed
		}
		for _, g := range goals {
			if g.took > 0 {
				continue
			}
			if err := g.check(); err != nil {
				missing = errors.Join(missing, fmt.Errorf("%s: %w", g.what, err))
			} else {
				g.took = time.Since(began)
			}
		}
		return missing
	})
	if !l.unchanged(stay) {
		return false
	}
	for _, g := range goals {
		l.judge(cause+": "+g.what, g.bound, g.took)
	}
	return true
}

// killMaster kills the control node that leads. The lab does not notice.
func (l *lab) killMaster(n *reader) {
	l.t.Helper()
	l.steadily(n, func(before []member) error {
		var status struct{ Leader string }
		if err := json.Unmarshal([]byte(l.status()), &status); err != nil || status.Leader == "" {
			return fmt.Errorf("no node leads: %w", err)
		}
		id := l.must("docker", "ps", "-q", "--filter", "label=com.docker.compose.project="+l.project, "--filter", "label=com.docker.compose.service="+status.Leader)
		silent := n.silence()
		began := time.Now()
		l.must("docker", "kill", id)
		defer l.must("docker", "start", id)
		steady := l.reach(began, "docker kill of the leading master", []*goal{{"a write is acknowledged", 5 * time.Second, func() error {
			_, err := l.client.Put(l.t.Context(), "lab-check", []byte("x"), api.WriteOptions{})
			return err
		}, 0}, {"the job is told of", 5 * time.Second, func() error {
			_, err := l.client.Job(l.t.Context(), "lab")
			return err
		}, 0}}, before)
		if !steady {
			return errDisturbed
		}
		l.judge("docker kill of the leading master: longest silence of the notebook", time.Second, silent())
		return nil
	})
}

// status is what the cluster says of itself.
func (l *lab) status() string {
	out, _ := l.insist("", l.node, "status", "--output", "json") // an error too when a node is down
	return out
}

// dieLate is how late the engine may tell that a container has died: it cleans up before, and the agent
// has seen by then that its process is gone. What the notebooks themselves write down is exact: see neverTwo.
const dieLate = time.Second

// diedFirst finds out whether a container had ended before the notebook began that follows its own.
func (l *lab) diedFirst(id string, next answer) {
	l.t.Helper()
	var begin run
	l.await(time.Minute, "the begin of the notebook and the end of the old one", func() error {
		for _, r := range l.runs() {
			if r.Token == next.Token {
				begin = r
			}
		}
		if _, known := l.ends.of(id); !known || begin.Token == 0 {
			return fmt.Errorf("the end is known: %v, the begin: %+v", known, begin)
		}
		return nil
	})
	died, _ := l.ends.of(id)
	gap := begin.Time.Sub(died)
	l.note("old leader's end, as the engine tells it, to the new one's begin", "> -1 s", fmt.Sprintf("%.2f s", gap.Seconds()))
	if gap < -dieLate {
		l.t.Errorf("the notebook with token %d began %v before the old leader had ended", begin.Token, -gap)
	}
}

// neverTwo finds out whether two notebooks ever ran at once.
func (l *lab) neverTwo(n *reader) {
	l.t.Helper()
	runs := l.runs()
	if len(runs) < 4 {
		l.t.Errorf("%d notebooks ran, which is fewer than leaders were lost", len(runs))
	}
	for i := 1; i < len(runs); i++ {
		if gap := runs[i].Began - runs[i-1].Last; gap <= 0 {
			l.t.Errorf("notebooks %+v and %+v ran at once", runs[i-1], runs[i])
		}
	}
	names, err := l.in(0, "", "ls", "/shared/notebook")
	if err != nil || strings.Contains(names, "overlaps") {
		l.t.Errorf("two notebooks were there at once: %s, %v", names, err)
	}
	l.note(fmt.Sprintf("%d notebooks one after the other, two at once", len(runs)), "0", "0")
}
