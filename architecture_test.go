package synod_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/synod-go/synod"

// mayImport holds, for each package, the packages of ours that it may import.
// It is the table of docs/architecture.md; a package that is not here fails.
var mayImport = map[string][]string{
	"": {"backup", "actors", "actors/group", "actors/sessions", "actors/raftnode", "cluster", "messages", "raft", "replica", "storage",
		"actors/paxosnode", "consensus", "multipaxos", "actors/acceptor", "actors/decree", "actors/learner", "actors/proposer", "paxos", "jobs", "mesos", "actors/master", "actors/jobs"},
	"consensus":        {},
	"paxos":            {},
	"paxos/founding":   {"paxos"},
	"multipaxos":       {"consensus"},
	"raft":             {"consensus"},
	"replica":          {},
	"coordination":     {},
	"backup":           {},
	"mesos":            {},
	"jobs":             {"mesos"},
	"jobs/jobfile":     {"jobs", "mesos"},
	"storage":          {},
	"messages":         {},
	"actors":           {},
	"actors/group":     {"actors", "consensus", "messages", "replica", "storage"},
	"actors/raftnode":  {"actors/group", "consensus", "messages", "raft", "storage"},
	"actors/paxosnode": {"actors/group", "consensus", "messages", "multipaxos", "storage"},
	// The roles know nothing of each other: what they share is actors/decree.
	"actors/decree":   {"actors", "messages", "paxos", "paxos/founding", "storage"},
	"actors/acceptor": {"actors", "actors/decree", "messages", "paxos", "paxos/founding", "storage"},
	"actors/proposer": {"actors", "actors/decree", "messages", "paxos", "paxos/founding", "storage"},
	"actors/learner":  {"actors", "actors/decree", "messages", "paxos", "paxos/founding", "storage"},
	// The keeper knows a group by an interface of its own.
	"actors/sessions": {"actors", "coordination", "messages"},
	// The master and the jobs know a group and a master by interfaces of their own.
	"actors/master":       {"actors", "mesos"},
	"actors/agent":        {"actors", "internal/docker", "internal/mesoswire", "internal/shim", "mesos"},
	"actors/jobs":         {"actors", "jobs", "mesos"},
	"internal/mesoswire":  {"mesos", "messages"},
	"cluster":             {"messages"},
	"api":                 {"", "actors/agent", "actors/jobs", "actors/master", "actors/sessions", "cluster", "coordination", "internal/mesoswire", "jobs", "jobs/jobfile", "mesos"},
	"framework":           {"api", "mesos", "recipes"},
	"ui":                  {"", "api"},
	"recipes":             {"api"},
	"internal/sim":        {"consensus", "multipaxos", "raft", "replica", "storage", "coordination", "messages", "actors", "actors/group", "actors/sessions", "actors/raftnode", "actors/paxosnode"},
	"internal/sim/flight": {"actors/decree", "paxos"},
	"internal/chaos":      {"api", "recipes", "actors/agent", "internal/mesoswire", "internal/stranger", "mesos"},
	// A task that writes down what becomes of it.
	"internal/chaos/chore": {},
	// What no node of ours would send, for the tests of the root and of internal/chaos.
	"internal/stranger": {},
	"internal/explore":  {},
	"internal/docker":   {"mesos"},
	"internal/doctor":   {"storage"},
	// An image and an engine for tests.
	"internal/docker/dockertest":      {"internal/docker"},
	"internal/docker/dockertest/task": {},
	"internal/shim":                   {"internal/shim/process"},
	// See early.
	"internal/shim/process": {},
	// Models of the log's rules, which are tests: see its doc.go.
	"multipaxos/models": {},
	// The pages that the program shows.
	"docs":     {},
	"cmd/node": {"", "backup", "replica", "api", "docs", "ui", "recipes", "coordination", "cluster", "framework", "mesos", "jobs", "jobs/jobfile", "actors/agent", "internal/docker", "internal/doctor", "storage", "raft", "multipaxos", "consensus", "actors/raftnode", "actors/acceptor", "actors/decree", "actors/learner", "internal/sim/flight", "paxos", "paxos/founding"},
}

// pure packages import nothing but the standard library, and of that nothing
// that could bring in a clock, a disk, a network or a goroutine's disorder.
var (
	pure      = []string{"consensus", "paxos", "paxos/founding", "multipaxos", "raft", "replica", "coordination", "mesos", "jobs"}
	forbidden = []string{"os", "net", "net/http", "log", "log/slog", "os/exec", "syscall", "context"}
)

// early is all that the shim's process may import: Go initialises its package before the
// program around it only as long as what it imports comes before that too.
var early = []string{"runtime", "strconv", "syscall", "unsafe"}

func TestTheShimIsInitialisedBeforeTheRest(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.ImportPath != module+"/internal/shim/process" {
			continue
		}
		for _, i := range p.Imports {
			if !slices.Contains(early, i) {
				t.Errorf("%s imports %s, which makes each shim larger: only %v", p.ImportPath, i, early)
			}
		}
		return
	}
	t.Error("there is no internal/shim/process")
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p goPackage
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	return packages
}

func TestPackagesImportOnlyWhatTheArchitectureAllows(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if strings.HasPrefix(name, "examples") {
			continue // examples show the facade; they are programs of users
		}
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %q is not in the table: a new package needs a reason", name)
			continue
		}
		for _, i := range p.Imports {
			ours, isOurs := strings.CutPrefix(i, module)
			ours = strings.TrimPrefix(ours, "/")
			if isOurs && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which it may not", name, ours)
			}
			if !isOurs && slices.Contains(pure, name) && (strings.Contains(i, ".") || slices.Contains(forbidden, i)) {
				t.Errorf("%s is pure and imports %s", name, i)
			}
		}
	}
}
