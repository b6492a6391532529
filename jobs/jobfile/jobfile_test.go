package jobfile

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

const everything = `
name: web
count: 3
shell: python3 -m http.server $PORT
env: {GREETING: hello, EMPTY: ""}
user: nobody
fetch:
  - /opt/site.tar.gz
  - {url: "https://example.org/tool", sha256: "00ff", output: tool, executable: true, extract: false}
cpus: 0.25
memory: 1.5GiB
disk: 100
ports: [http, {name: admin, host: 8080}]
role: web
constraints: ["zone is a", "rack not r 1", "unique hostname", "spread zone"]
health: {http: /up, port: admin, every: 2s, timeout: 1s, grace: 5s, fail_after: 3}
restart: {on: failure, backoff: 1s..30s, give_up_after: 5}
kill_grace: 4s
on_unreachable: replace after 30s
update: {parallel: 2, healthy_after: 6s, deadline: 1m, rollback: false}
labels: {team: shop}
`

const contained = `
name: web
runtime: docker
image: registry.example:5000/web:1
load: web.tar
pull: always
network: mine
mounts: ["data:/data", "/srv/x:/x:ro", "tmpfs:/tmp", "more:/more:rw"]
read_only: true
exec: [--verbose]
user: "1000:1000"
fetch: ["https://example.org/web.tar"]
ports: [{name: http, container: 80}, {name: admin, host: 8080, container: 81}, plain]
health: {http: /, every: 2s}
`

func TestEveryKeyOfAContainerIsRead(t *testing.T) {
	got, err := Parse([]byte(contained))
	if err != nil {
		t.Fatal(err)
	}
	want := &mesos.Docker{Image: "registry.example:5000/web:1", Load: "web.tar", ForcePull: true, Network: "mine", ReadOnly: true,
		Mounts: []mesos.Mount{{Target: "/data", Volume: "data"}, {Target: "/x", Path: "/srv/x", ReadOnly: true}, {Target: "/tmp", Temporary: true}, {Target: "/more", Volume: "more"}}}
	ports := []jobs.Port{{Name: "http", Container: 80}, {Name: "admin", Host: 8080, Container: 81}, {Name: "plain"}}
	if s := got[0]; !reflect.DeepEqual(s.Docker, want) || !reflect.DeepEqual(s.Ports, ports) || s.Command.Value != "--verbose" || s.Command.User != "1000:1000" || s.HealthPort != "http" {
		t.Errorf("read %+v\n%+v\n%+v", s.Docker, s.Ports, s)
	}
	for file, network := range map[string]string{"name: a\nruntime: docker\nimage: a\n": "bridge", "name: a\nruntime: docker\nimage: a\nnetwork: host\n": "host"} {
		if got, err := Parse([]byte(file)); err != nil || got[0].Docker.Network != network || got[0].Command.Value != "" {
			t.Errorf("%q: %+v, %v", file, got, err)
		}
	}
	if got, err := Parse([]byte("name: a\nruntime: process\nshell: x\n")); err != nil || got[0].Docker != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	got, err := Parse([]byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	want := jobs.Spec{Name: "web", Kind: jobs.Service, Count: 3, CPUs: 250, Memory: 1536 * mesos.One, Disk: 100 * mesos.One, Role: "web",
		Command: mesos.Command{Value: "python3 -m http.server $PORT", Shell: true, Environment: map[string]string{"GREETING": "hello", "EMPTY": ""},
			User: "nobody", URIs: []mesos.URI{{Value: "/opt/site.tar.gz"},
				{Value: "https://example.org/tool", SHA256: "00ff", Output: "tool", Executable: true}}},
		Ports:       []jobs.Port{{Name: "http"}, {Name: "admin", Host: 8080}},
		Constraints: []jobs.Constraint{{Attribute: "zone", Operator: "is", Value: "a"}, {Attribute: "rack", Operator: "not", Value: "r 1"}, {Attribute: "hostname", Operator: "unique"}, {Attribute: "zone", Operator: "spread"}},
		Health: &mesos.HealthCheck{Kind: mesos.HealthHTTP, Path: "/up", Delay: time.Second, Interval: 2 * time.Second, Timeout: time.Second,
			Grace: 5 * time.Second, Failures: 3}, HealthPort: "admin",
		Restart:   jobs.Restart{On: "failure", BackoffMin: time.Second, BackoffMax: 30 * time.Second, GiveUpAfter: 5},
		KillGrace: 4 * time.Second, ReplaceAfter: 30 * time.Second,
		Update: jobs.Update{Parallel: 2, HealthyAfter: 6 * time.Second, Deadline: time.Minute, NoRollback: true},
		Labels: map[string]string{"team": "shop"}}
	if !reflect.DeepEqual(got, []jobs.Spec{want}) {
		t.Fatalf("read\n%+v\nwant\n%+v", got, want)
	}
}

func TestTheKindsOfJobs(t *testing.T) {
	got, err := Parse([]byte("# three\nname: a\nexec: [./a, -v, \"1\"]\n---\nname: b\nshell: b\nonce: true\n---\n---\nname: c\nshell: c\nschedule: \"*/5 * * * *\"\noverlap: true\n"))
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if a := got[0]; a.Kind != jobs.Service || a.Restart.On != "always" || a.Command.Shell || a.Command.Value != "./a" || !reflect.DeepEqual(a.Command.Arguments, []string{"-v", "1"}) {
		t.Errorf("%+v", a)
	}
	if b := got[1]; b.Kind != jobs.Once || b.Restart.On != "failure" || b.Count != 1 {
		t.Errorf("%+v", b)
	}
	if c := got[2]; c.Kind != jobs.Timed || c.Schedule != "*/5 * * * *" || !c.Overlap {
		t.Errorf("%+v", c)
	}
}

// All problems are told at once, each where it is.
func TestWhatIsWrongIsToldWithItsPlace(t *testing.T) {
	for file, want := range map[string][]string{
		"name: web\nshell: x\nmemroy: 64MiB\ncpu: 1\n": {`line 3, column 1: the job has the unknown key "memroy" (did you mean memory?)`,
			`line 4, column 1: the job has the unknown key "cpu" (did you mean cpus?)`},
		"name: web\nshell: x\nhealth: {htp: /, prot: http}\n": {"line 3, column 9: health needs one way", `line 3, column 10: health has the unknown key "htp" (did you mean http?)`,
			`line 3, column 18: health has the unknown key "prot" (did you mean port?)`},
		"":                                                        {"line 1, column 1: there is no job"},
		"- a\n":                                                   {"line 1, column 1: the job is a list", "line 1, column 1: the job has no command", "line 1, column 1: the job has no name"},
		"name: web\n":                                             {"line 1, column 1: the job has no command"},
		"shell: x\n":                                              {"line 1, column 1: the job has no name"},
		"name: Web!\nshell: x\n":                                  {`line 1, column 7: name: is "Web!"`},
		"name: web\nshell: x\nexec: [y]\n":                        {"line 3, column 7: shell and exec do not go together"},
		"name: web\nshell: x\ncount: many\n":                      {`line 3, column 8: count is "many", must be a whole number`},
		"name: web\nshell: x\ncount: 10001\n":                     {"line 3, column 8: count is"},
		"name: web\nshell: x\ncount: -1\n":                        {"line 3, column 8: count is"},
		"name: web\nshell: x\nmemory: lots\n":                     {`line 3, column 9: memory is "lots", must be a size (write 64MiB or 2GiB)`},
		"name: web\nshell: x\nmemory: -1\n":                       {"line 3, column 9: memory is"},
		"name: web\nshell: x\ncpus: .nan\n":                       {"line 3, column 7: cpus is"},
		"name: web\nshell: x\ncpus: 1e300\n":                      {"line 3, column 7: cpus is"},
		"name: web\nshell: x\nname: y\n":                          {`line 3, column 1: the job has the key "name" twice`},
		"name: web\nshell: x\nonce: maybe\n":                      {"line 3, column 7: once is"},
		"name: web\nshell: [x]\n":                                 {"line 2, column 8: shell is a list"},
		"name: web\nshell:\n":                                     {"line 2, column 7: shell is empty"},
		"name: &a web\nshell: *a\n":                               {"line 2, column 8: anchors and aliases"},
		"name: web\nshell: x\n\tfoo: bar\n":                       {"line 2, column 1: this is no YAML"},
		"name: web\nshell: x\nports: [http, http]\n":              {"line 3, column 8: ports: have \"http\" twice"},
		"name: web\nshell: x\nports: [{name: a, host: 70000}]\n":  {"line 3, column 25: host is"},
		"name: web\nshell: x\nconstraints: [hostname unique]\n":   {"line 3, column 15: the constraint \"hostname unique\" is not understood"},
		"name: web\nshell: x\non_unreachable: replace\n":          {"line 3, column 17: on_unreachable is"},
		"name: web\nshell: x\non_unreachable: replace after 5s\n": {"line 3, column 17: on_unreachable: is 5s, must be at least"},
		"name: web\nshell: x\nkill_grace: 1h\non_unreachable: replace after 30s\n":   {"line 4, column 17: on_unreachable: is 30s, must be at least 1h20m"},
		"name: web\nshell: x\nrestart: {backoff: 9s..1s}\n":                          {"line 3, column 20: restart.backoff is"},
		"name: web\nshell: x\nrestart: {on: sometimes}\n":                            {"line 3, column 10: restart: is \"sometimes\""},
		"name: web\nshell: x\nonce: true\nschedule: \"@daily\"\n":                    {"line 3, column 7: once and schedule do not go together"},
		"name: web\nshell: x\nhealth: {http: /, port: other}\nports: [a]\n":          {"line 3, column 9: health: asks the port \"other\""},
		"name: web\nshell: x\n---\nname: web\nshell: y\n":                            {"line 4, column 1: there are two jobs with the name web"},
		"name: web\nruntime: dokcer\n":                                               {"line 1, column 1: the job has no command", `line 2, column 10: runtime is "dokcer" (write docker, or process, the default)`},
		"name: web\nruntime: docker\n":                                               {"line 1, column 1: the job has no image (write  image: NAME)"},
		"name: web\nimage: x\n":                                                      {"line 2, column 8: image is for jobs that run as containers (write  runtime: docker)"},
		"name: web\nshell: x\nports: [{name: a, container: 80}]\n":                   {"line 3, column 8: ports: have the number in a container"},
		"name: web\nruntime: docker\nimage: a b\nnetwork: a/b\nload: ../x\n":         {`line 3, column 8: image is "a b", which is no name`, "line 4, column 10: network is", "line 5, column 7: load is"},
		"name: web\nruntime: docker\nimage: x\nmount: [a:/b]\npull: never\n":         {`line 4, column 1: the job has the unknown key "mount" (did you mean mounts?)`, "line 5, column 7: pull is \"never\" (write always, or missing"},
		"name: web\nruntime: docker\nimage: x\nmounts: [a, b:c, a:/b:zz, ../x:/y]\n": {`line 4, column 10: the mount "a" is not understood (write "volume:/data"`, `line 4, column 13: the mount "b:c" makes no sense: a mount is at "c"`, "line 4, column 18: the mount", "line 4, column 27: the mount"},
		"name: web\nruntime: docker\nimage: x\nmounts: [a:/b, c:/b]\n":               {`line 4, column 9: mounts: is wrong: two mounts are at "/b"`},
		"name: web\nruntime: docker\nimage: x\nload: x.tar\n":                        {`line 4, column 7: load: is to be loaded from "x.tar"`},
		"name: web\nruntime: docker\nimage: x\nnetwork: none\nports: [a]\n":          {"line 5, column 8: ports: is wrong: ports are not passed on"},
		"name: web\nruntime: docker\nimage: x\nshell: ''\n":                          {"line 4, column 8: shell: is empty: leave it out"},
		strings.Repeat("#", MaxBytes+1):                                              {"line 1, column 1: the file has 1048577 bytes"},
	} {
		_, err := Parse([]byte(file))
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.80q: %v", file, err)
			continue
		}
		var got []string
		for _, p := range e.Problems {
			got = append(got, p.String())
		}
		ok := len(got) == len(want)
		for i := range want {
			ok = ok && strings.HasPrefix(got[i], want[i])
		}
		if !ok {
			t.Errorf("%.80q\nis told  %q\nwant     %q", file, got, want)
		}
	}
}

func TestWhatIsWrittenReadsTheSame(t *testing.T) {
	for _, file := range []string{everything, contained, "name: g\nruntime: docker\nimage: g\n", "name: h\nruntime: docker\nimage: h\nnetwork: host\nshell: h\n",
		"name: a\nexec: [./a]\n", "name: b\nshell: 'true'\nonce: true\nrestart: {on: never}\n",
		"name: c\nshell: c\nschedule: '@daily'\noverlap: true\n", "name: d\nshell: d\nports: [x]\nhealth: {tcp: x}\n",
		"name: e\nshell: e\nhealth: {command: 'true', every: 1s}\n", "name: f\nshell: f\nhealth: {command: 'true', delay: 0s, grace: 0}\n"} {
		first, err := Parse([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		text := Format(first[0])
		if again, err := Parse([]byte(text)); err != nil || !reflect.DeepEqual(again, first) {
			t.Errorf("%s\nis written\n%s\nand read as %+v, %v", file, text, again, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(contained))
	f.Add([]byte("name: web\nshell: x\nmemroy: 1\n---\n- a\n---\n"))
	f.Add([]byte("name: &a web\n<<: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		specs, err := Parse(data)
		var e *Error
		if err != nil && (!errors.As(err, &e) || len(e.Problems) == 0 || len(e.Problems) > maxProblems || e.Problems[0].Line < 1) {
			t.Fatalf("%v", err)
		}
		for _, s := range specs {
			if err := s.Check(); err != nil {
				t.Fatalf("%q was read, and %v", data, err)
			}
			if again, err := Parse([]byte(Format(s))); err != nil || len(again) != 1 || Format(again[0]) != Format(s) {
				t.Fatalf("%q is written\n%s\nwhich is read as %+v, %v", data, Format(s), again, err)
			}
		}
	})
}
