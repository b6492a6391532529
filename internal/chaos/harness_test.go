package chaos

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// toyConfig is a cluster of one toy with a bug on a host of its own.
func toyConfig(t *testing.T, bug, disk string) ClusterConfig {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds of real time")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for namespaces of its own")
	}
	if err := lookup("ip", "mount", "mkfs.ext4", "mkfs.xfs"); err != nil {
		t.Skipf("needs programs that are not installed: %v", err)
	}
	host, err := NewHost(true)
	if err != nil {
		t.Skipf("needs mount and network namespaces: %v", err)
	}
	t.Cleanup(host.Close)
	return ClusterConfig{
		Program: []string{"env", toyEnvironment + "=" + bug, os.Args[0]},
		Nodes:   1,
		Dir:     t.TempDir(),
		Host:    host,
		Disk:    disk,
	}
}

func startToy(t *testing.T, bug, disk string) *Cluster {
	t.Helper()
	c, err := StartCluster(t.Context(), toyConfig(t, bug, disk))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// tryToy lets clients work on a toy, harms it times times, and returns what the
// witness and porcupine say.
func tryToy(t *testing.T, bug, disk string, times int, harm func(*Cluster, *Recorder) error) (violations []Violation, verdict Verdict) {
	t.Helper()
	c := startToy(t, bug, disk)
	recorder := NewRecorder()
	w := StartWorkload(t.Context(), WorkloadConfig{
		Seed: 1, Addresses: []string{c.Nodes[0].API}, Names: []string{"n1"}, Prefix: "toy", Dial: c.config.Host.Dial,
	}, recorder)
	for range times {
		if err := waitWrites(recorder, 100, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := harm(c, recorder); err != nil {
			t.Fatal(err)
		}
	}
	if err := waitWrites(recorder, 100, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	w.Stop()
	final, err := c.HTTP.List(t.Context(), c.Nodes[0].API, "toy", LevelLinearizable)
	if err != nil {
		t.Fatal(err)
	}
	history := recorder.History()
	verdict, err = Linearizable(t.Context(), history, Judge{Time: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	violations = Witness(history, final)
	counts, _ := recorder.Counts()
	t.Logf("%s: %+v, %d keys, porcupine %+v, %d violations", bug, counts, len(final.Entries), verdict, len(violations))
	return violations, verdict
}

func waitWrites(r *Recorder, more int, limit time.Duration) error {
	deadline := time.After(limit)
	start, _ := r.Counts()
	for {
		now, changed := r.Counts()
		if now.Writes-start.Writes >= more {
			return nil
		}
		select {
		case <-changed:
		case <-deadline:
			return errors.New("too few writes were acknowledged")
		}
	}
}

func kill(c *Cluster, _ *Recorder) error {
	c.Kill(0)
	return c.Start(0)
}

func cutPower(c *Cluster, r *Recorder) error {
	from := r.Now()
	err := c.CutPower(0)
	r.Doubt(from, r.Now())
	return errors.Join(err, c.Start(0))
}

func nothing(*Cluster, *Recorder) error { return nil }

func TestSoundToyPassesUnderKills(t *testing.T) {
	t.Parallel()
	violations, verdict := tryToy(t, toySound, "", 5, kill)
	if len(violations) > 0 || verdict.Result != "Ok" {
		t.Fatalf("a sound store fails: porcupine %+v, witness %v", verdict, violations)
	}
}

func TestSoundToyPassesUnderPowerCuts(t *testing.T) {
	t.Parallel()
	for _, disk := range []string{"ext4", "xfs"} {
		violations, verdict := tryToy(t, toySound, disk, 5, cutPower)
		if len(violations) > 0 || verdict.Result != "Ok" {
			t.Fatalf("%s: a sound store fails: porcupine %+v, witness %v", disk, verdict, violations)
		}
	}
}

func TestPlantedBugsAreCaught(t *testing.T) {
	for _, c := range []struct {
		bug, disk, class string
		times            int
		harm             func(*Cluster, *Recorder) error
	}{
		{toyAckFirst, "", LostWrite, 3, kill},
		{toyNoSync, "ext4", LostWrite, 3, cutPower},
		{toyNoSync, "xfs", LostWrite, 3, cutPower},
		{toyStale, "", StaleRead, 2, nothing},
		{toyForget, "", Duplicate, 4, nothing},
		{toyTellsNothing, "", Phantom, 4, nothing},
	} {
		t.Run(strings.ReplaceAll(c.bug, " ", "-")+c.disk, func(t *testing.T) {
			t.Parallel()
			violations, verdict := tryToy(t, c.bug, c.disk, c.times, c.harm)
			found := false
			for _, v := range violations {
				found = found || v.Class == c.class
			}
			if !found {
				t.Errorf("witness reports no %s: %v", c.class, violations)
			}
			if verdict.Result == "Ok" {
				t.Errorf("porcupine calls it linearizable")
			}
		})
	}
}

// A store that never flushes looks sound as long as only processes die: that is
// why there are power cuts.
func TestOnlyPowerCutsFindAMissingFlush(t *testing.T) {
	t.Parallel()
	violations, _ := tryToy(t, toyNoSync, "", 3, kill)
	if len(violations) > 0 {
		t.Fatalf("kill -9 lost data from the page cache: %v", violations)
	}
}

// A whole run on the toy: plan, faults, floors, last write, verdict.
func TestRunOnTheToy(t *testing.T) {
	for _, c := range []struct{ bug, disk, verdict string }{
		{toySound, "ext4", verdictPass},
		{toyNoSync, "ext4", verdictFail},
	} {
		t.Run(strings.ReplaceAll(c.bug, " ", "-"), func(t *testing.T) {
			t.Parallel()
			mix := []Choice{{KillLeader, 1, 0, 50 * time.Millisecond}, {PauseLeader, 1, 0, 50 * time.Millisecond}, {PowerAll, 1, 0, 0}}
			report, err := Execute(t.Context(), RunConfig{
				Name: "toy", Seed: 7, Mix: mix, Cycles: 6, Cluster: toyConfig(t, c.bug, c.disk),
			})
			if err != nil {
				t.Fatal(err)
			}
			if report.Verdict != c.verdict {
				t.Fatalf("verdict %s, want %s: %+v", report.Verdict, c.verdict, report)
			}
			if c.verdict == verdictPass && (report.Cycles != 6 || report.Writes < 250 || report.Porcupine != "Ok") {
				t.Fatalf("a run that passes did too little: %+v", report)
			}
		})
	}
}

// A run whose faults do not fire must not count.
func TestRunWithoutFaultsIsVoid(t *testing.T) {
	report, err := Execute(t.Context(), RunConfig{Name: "toy", Seed: 7, Mix: KillMix, Cycles: 0, Cluster: toyConfig(t, toySound, "")})
	if err != nil {
		t.Fatal(err)
	}
	if report.Verdict != verdictVoid {
		t.Fatalf("verdict %s, want void: %+v", report.Verdict, report)
	}
}
