package sim

import (
	"strings"
	"testing"
)

// TestAFollowerCatchesUpWhileTheLeaderTakesSnapshots runs worlds in which a
// snapshot takes much longer to send than the leader takes to make the next one,
// and to drop the log before it. After the heal every follower has to catch up
// all the same (R14).
func TestAFollowerCatchesUpWhileTheLeaderTakesSnapshots(t *testing.T) {
	var snapshots, installs uint64
	for seed := uint64(1); seed <= 30; seed++ {
		w := newWorld(Plan{Seed: seed, Steps: 6000, Voters: 3, Clients: 6, Off: Membership | Wipe | BitFlip | DiskFull})
		w.weather.rush()
		w.tracer = &tracer{}
		r := w.run()
		if r.Failure != nil {
			lines := r.Failure.Transcript
			t.Fatalf("seed %d: %v\n%s", seed, r.Failure, strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
		snapshots += r.Stats.Snapshots
		installs += r.Stats.Installs
	}
	if snapshots < 1000 || installs < 10 {
		t.Errorf("%d snapshots taken, %d installed: too few to show anything", snapshots, installs)
	}
	t.Logf("%d snapshots taken, %d installed", snapshots, installs)
}
