package lab

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var fullFlag = flag.Bool("full", false, "also the lab with Debian, OpenSSH and Jupyter, whose image takes minutes to make")

// TestFullLab brings the lab up with the full image, and kills and cuts off the leader under Jupyter. How soon a
// Jupyter answers depends on the machine more than on the cluster: the time is told, and its bound is wide.
func TestFullLab(t *testing.T) {
	if !*fullFlag {
		t.Skip("needs -full")
	}
	l := newLab(t)
	l.image = l.project + "-lab:full"
	l.env = slices.Insert(l.env, 0, "CPUS=2", "MEMORY=384MiB")
	defer l.table()
	l.up("./full/build.sh")
	j := l.jupyter()
	whole := l.watchNames()
	j.settle()
	l.checkOpenSSH()
	j.keep()
	j.lose("docker kill of the leader", "kill")
	j.lose("leader cut off", "network", "disconnect", "-f", l.project+"_agents")
	l.checkOpenSSH()
	if reads, wrong := whole(); reads == 0 || len(wrong) > 0 {
		t.Errorf("of %d readings of hosts files %d were not whole: %q", reads, len(wrong), wrong[:min(3, len(wrong))])
	}
}

// checkOpenSSH runs a command on each member from the last one.
func (l *lab) checkOpenSSH() {
	l.t.Helper()
	containers := l.containers()
	for rank, m := range l.places() {
		got, err := l.in(4, "", "ssh", fmt.Sprintf("lab-%d", rank), "hostname")
		if want := containers[m.addr].id; err != nil || got == "" || !strings.HasPrefix(want, got) {
			l.t.Fatalf("on lab-%d at %s: %q, wanted %.12s: %v", rank, m.addr, got, want, err)
		}
	}
	l.note("OpenSSH from one member to each of the five", "", "right")
}

// jupyter is the notebook of the full image, through the proxy.
type jupyter struct {
	*lab
	secret  string
	client  http.Client
	started time.Time // of the one that has answered last, by itself
}

func (l *lab) jupyter() *jupyter {
	l.t.Helper()
	secret, err := os.ReadFile(filepath.Join(l.dir, "lab", "token"))
	if err != nil {
		l.t.Fatal(err)
	}
	j := &jupyter{lab: l, secret: string(secret), client: http.Client{Timeout: time.Minute}}
	took := l.await(2*time.Minute, "Jupyter", j.answers)
	l.note("Jupyter answers after five members are there", "", fmt.Sprintf("%.2f s", took.Seconds()))
	a, err := j.client.Get("http://127.0.0.1:" + l.port + "/api/contents")
	if err != nil {
		l.t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != http.StatusForbidden {
		l.t.Errorf("Jupyter answers %d without its token", a.StatusCode)
	}
	return j
}

// ask sends one request to Jupyter's own interface.
func (j *jupyter) ask(method, path, body string, answer any) error {
	r, err := http.NewRequestWithContext(j.t.Context(), method, "http://127.0.0.1:"+j.port+"/api/"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "token "+j.secret)
	a, err := j.client.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %.200s, %v", a.Status, data, err)
	}
	return json.Unmarshal(data, answer)
}

func (j *jupyter) answers() error {
	var status struct{ Started time.Time }
	err := j.ask("GET", "status", "", &status)
	if err == nil {
		j.started = status.Started
	}
	return err
}

func (j *jupyter) settle() {
	j.t.Helper()
	j.await(2*time.Minute, "the lab is not as it should be", func() error {
		group := j.group()
		return errors.Join(want(len(group), 5), j.namesAre(group, group), j.keysAre(group), j.answers())
	})
}

const kept = `{"type":"notebook","format":"json","content":{"nbformat":4,"nbformat_minor":4,"metadata":{},"cells":[
{"cell_type":"markdown","metadata":{},"source":"written before the leader was lost"}]}}`

// keep writes a notebook, and starts a kernel, which dies with the leader.
func (j *jupyter) keep() {
	j.t.Helper()
	var made struct{ Path, ID string }
	if err := errors.Join(j.ask("PUT", "contents/kept.ipynb", kept, &made), j.ask("POST", "kernels", "{}", &made)); err != nil || made.Path != "kept.ipynb" || made.ID == "" {
		j.explain()
		j.t.Fatalf("%+v, %v", made, err)
	}
}

// lose has something befall the leader, and waits until Jupyter is back with what was written, on the next member.
func (j *jupyter) lose(what string, how ...string) {
	j.t.Helper()
	j.settle()
	before, old := j.places(), j.started
	victim := j.containers()[before[0].addr]
	hostsFiles.lose(victim.id)
	began := time.Now()
	j.must("docker", append(how, victim.id)...)
	took := j.await(2*time.Minute, "Jupyter after "+what, func() error {
		if err := j.answers(); err != nil {
			return err
		}
		if !j.started.After(old) {
			return errors.New("it is the old one")
		}
		return nil
	})
	j.note(what+": Jupyter back at the same address", "5 s", fmt.Sprintf("%.2f s", took.Seconds()))
	var file struct{ Path string }
	if err := j.ask("GET", "contents/kept.ipynb?content=0", "", &file); err != nil || file.Path != "kept.ipynb" {
		j.t.Errorf("the notebook is not there: %+v, %v", file, err)
	}
	j.settle()
	j.note(what+": five members again", "13 s", since(began))
	died, known := j.ends.of(victim.id)
	if gap := j.started.Sub(died); !known || gap < -dieLate {
		j.t.Errorf("a Jupyter began %v before the old leader had ended (%v)", -gap, known)
	}
}
