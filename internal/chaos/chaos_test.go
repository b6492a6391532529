package chaos

import (
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	chaosFlag   = flag.Bool("chaos", false, "run the campaigns on real processes")
	cyclesFlag  = flag.Int("cycles", 30, "faults of a campaign")
	minutesFlag = flag.Float64("minutes", 0, "time after which no new fault begins; 0: none")
	seedFlag    = flag.Uint64("seed", 0, "seed of the plan; 0: from the clock")
	engineFlag  = flag.String("engine", "raft", "protocol of the log, raft or paxos")
	rolesFlag   = flag.Bool("roles", false, "five nodes with the roles of Paxos apart: needs -engine=paxos")
	nodesFlag   = flag.Int("nodes", 0, "nodes of a cluster, 3 or 5; 0: both in turn")
	lifeFlag    = flag.Int("life", 0, "faults in the life of one cluster; 0: a quarter of -cycles, 75 at most")
	diskFlag    = flag.String("disk", "", "file system for power cuts, ext4 or xfs; empty: both in turn")
	dirFlag     = flag.String("dir", "", "where data and images go; empty: the temporary directory")
	ledgerFlag  = flag.String("ledger", "", "file that gets a line for each run")
	binaryFlag  = flag.String("binary", "", "program to judge; empty: cmd/node, built for the run")
	keepFlag    = flag.Bool("keep", false, "keep the logs of a failed run")
)

// programDir is where program has put its binary; TestMain removes it.
var programDir string

// program builds the node once and returns its argv.
var program = sync.OnceValues(func() ([]string, error) {
	if *binaryFlag != "" {
		return []string{*binaryFlag}, nil
	}
	dir, err := os.MkdirTemp("", "synod-chaos")
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "node")
	programDir = dir
	build := exec.Command("go", "build", "-buildvcs=true", "-o", binary, "github.com/synod-go/synod/cmd/node")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return []string{binary}, nil
})

// commit is what the binary under test was built from, with "+" for a tree with
// changes of its own.
func commit(binary string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "unknown"
	}
	revision, changed := "unknown", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(10, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			changed = "+"
		}
	}
	return revision + changed
}

// needs skips the test when -chaos is not given or the machine lacks something.
func needs(t *testing.T, isolation bool, programs ...string) {
	t.Helper()
	if !*chaosFlag {
		t.Skip("a campaign on real processes: runs with -chaos")
	}
	if isolation && os.Geteuid() != 0 {
		t.Skip("needs root for mounts and namespaces")
	}
	if err := lookup(programs...); err != nil {
		t.Skipf("needs programs that are not installed: %v", err)
	}
}

func seed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return uint64(time.Now().UnixNano()) % 1_000_000_000
}

// campaign runs cycles of a mix over as many cluster lives as that takes, and
// fails the test unless every run passes.
func campaign(t *testing.T, name string, mix []Choice, isolation bool, prepare func(life int, c *ClusterConfig)) {
	argv, err := program()
	if err != nil {
		t.Fatalf("build the node: %v", err)
	}
	end := time.Time{}
	if *minutesFlag > 0 {
		end = time.Now().Add(time.Duration(*minutesFlag * float64(time.Minute)))
	}
	// Four lives meet 3 and 5 nodes on both file systems; in each all faults of the
	// mix occur.
	each := *lifeFlag
	if each == 0 {
		each = max(len(mix), min(75, (*cyclesFlag+3)/4))
	}
	first := seed()
	for done, life := 0, 0; done < *cyclesFlag && (end.IsZero() || time.Now().Before(end)); life++ {
		config := RunConfig{
			Name: name, Commit: commit(argv[0]), Seed: first + uint64(life), Mix: mix,
			Cycles: min(*cyclesFlag-done, each), Logf: t.Logf,
		}
		if !end.IsZero() {
			config.Limit = time.Until(end)
		}
		done += config.Cycles
		t.Run(fmt.Sprintf("seed%d", config.Seed), func(t *testing.T) {
			host, err := NewHost(isolation)
			if err != nil {
				t.Skipf("needs namespaces: %v", err)
			}
			defer host.Close()
			config.Cluster = ClusterConfig{Program: argv, Engine: *engineFlag, Nodes: 3 + 2*(life%2), Dir: runDir(t), Host: host}
			if *nodesFlag != 0 {
				config.Cluster.Nodes = *nodesFlag
			}
			if *rolesFlag {
				config.Name += ", roles apart"
				config.Cluster.Nodes, config.Cluster.Roles = len(rolesApart), rolesApart
			}
			if prepare != nil {
				prepare(life, &config.Cluster)
			}
			config.Logf = t.Logf
			report, err := Execute(t.Context(), config)
			judge(t, report, err)
		})
	}
}

// runDir is an empty directory for one run; that of a failed run may be kept.
func runDir(t *testing.T) string {
	dir, err := os.MkdirTemp(*dirFlag, "chaos")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && *keepFlag {
			t.Logf("logs and data are in %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return dir
}

func judge(t *testing.T, report Report, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("the harness failed: %v", err)
	}
	if *ledgerFlag != "" {
		if err := AppendLedger(*ledgerFlag, report); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%s: %+v", report.Verdict, report)
	if report.Verdict != verdictPass {
		t.Errorf("seed %d: %s:\n%s\nagain: go test ./internal/chaos -run '%s' -chaos -engine=%s -seed=%d -nodes=%d -cycles=%d",
			report.Seed, report.Verdict, strings.Join(report.Reasons, "\n"), t.Name(), report.Engine, report.Seed, report.Nodes, report.Cycles)
	}
}

func TestKill(t *testing.T) {
	needs(t, false)
	campaign(t, "kill", KillMix, os.Geteuid() == 0, nil)
}

func TestLongPause(t *testing.T) {
	needs(t, false)
	campaign(t, "long pause", LongPauseMix, os.Geteuid() == 0, nil)
}

func TestPower(t *testing.T) {
	needs(t, true, "mkfs.ext4", "mkfs.xfs", "mount")
	campaign(t, "power cut", PowerMix, true, func(life int, c *ClusterConfig) {
		c.Disk = [...]string{"ext4", "xfs"}[life/2%2]
		if *diskFlag != "" {
			c.Disk = *diskFlag
		}
	})
}

func TestNetwork(t *testing.T) {
	needs(t, true, "ip", "nft")
	campaign(t, "network", NetworkMix, true, func(_ int, c *ClusterConfig) { c.Separate = true })
}

func TestPartialPartition(t *testing.T) {
	needs(t, true, "ip", "nft")
	mix := PartialMix
	switch {
	case *engineFlag == engineRaft:
		mix = OneLinkMix
	case *rolesFlag:
		mix = ApartMix
	}
	campaign(t, "partial partition", mix, true, func(_ int, c *ClusterConfig) { c.Separate = true })
}

func TestIO(t *testing.T) {
	needs(t, true, "strace", "mkfs.ext4", "mount", "fsfreeze")
	campaign(t, "disk", DiskMix, true, func(_ int, c *ClusterConfig) { c.Disk = "ext4" })
}

// The times within which a client's writes must be acknowledged again, with
// default settings.
func TestFailover(t *testing.T) {
	needs(t, true, "ip", "nft")
	argv, err := program()
	if err != nil {
		t.Fatalf("build the node: %v", err)
	}
	for n, c := range []struct {
		fault       FaultKind
		median, p99 time.Duration
	}{
		{KillLeader, 300 * time.Millisecond, time.Second},
		{PauseLeader, 2 * time.Second, 2 * time.Second},
		{IsolateLeader, 2 * time.Second, 2 * time.Second},
	} {
		t.Run(strings.ReplaceAll(string(c.fault), " ", "-"), func(t *testing.T) {
			host, err := NewHost(true)
			if err != nil {
				t.Skipf("needs namespaces: %v", err)
			}
			defer host.Close()
			config := RunConfig{
				Name: "failover: " + string(c.fault), Commit: commit(argv[0]), Seed: seed() + uint64(n), Cycles: *cyclesFlag, Logf: t.Logf,
				// A calm workload: what is measured is the cluster, not two cores full of clients.
				Pause: 20 * time.Millisecond,
				Cluster: ClusterConfig{
					Program: argv, Engine: *engineFlag, Nodes: max(3, *nodesFlag), Dir: runDir(t), Host: host, Separate: c.fault == IsolateLeader,
				},
			}
			report, err := Measure(t.Context(), config, c.fault)
			judge(t, report, err)
			d := report.Failover
			t.Logf("%s: acknowledged again after %d ms median, %d ms p99, %d ms at most, over %d drills", c.fault, d.Median, d.P99, d.Max, d.Count)
			if d.Count < 10 { // the longest of a few, in a machine that others share, is no percentile
				c.p99 *= 2
			}
			if d.Median > c.median.Milliseconds() || d.P99 > c.p99.Milliseconds() {
				t.Errorf("want %v median and %v p99", c.median, c.p99)
			}
		})
	}
}
