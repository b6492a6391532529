package chaos

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// contest runs cycles of faults on nodes and on those who compete, over as many
// lives of clusters of 3 and 5 nodes as that takes.
func contest(t *testing.T, name string, election bool) {
	needs(t, false)
	argv, err := program()
	if err != nil {
		t.Fatalf("build the node: %v", err)
	}
	cuts := os.Geteuid() == 0 && lookup("ip", "nft") == nil
	mix := contestMix(cuts)
	end := time.Time{}
	if *minutesFlag > 0 {
		end = time.Now().Add(time.Duration(*minutesFlag * float64(time.Minute)))
	}
	each := *lifeFlag
	if each == 0 {
		each = max(len(mix), min(75, (*cyclesFlag+3)/4))
	}
	first := seed()
	for done, life := 0, 0; done < *cyclesFlag && (end.IsZero() || life == 0 || time.Until(end) > worthALife); life++ {
		config := ContestConfig{Election: election, RunConfig: RunConfig{
			Name: name, Commit: commit(argv[0]), Seed: first + uint64(life), Mix: mix, Cycles: min(*cyclesFlag-done, each),
			Pause:   30 * time.Millisecond, // the contenders are what is judged here
			Cluster: ClusterConfig{Program: argv, Engine: *engineFlag, Nodes: 3 + 2*(life%2), Separate: cuts},
		}}
		if *nodesFlag != 0 {
			config.Cluster.Nodes = *nodesFlag
		}
		if !end.IsZero() {
			config.Limit = time.Until(end)
		}
		done += config.Cycles
		t.Run(fmt.Sprintf("seed%d", config.Seed), func(t *testing.T) {
			host, err := NewHost(os.Geteuid() == 0)
			if err != nil {
				t.Skipf("needs namespaces: %v", err)
			}
			defer host.Close()
			config.Cluster.Host, config.Cluster.Dir, config.Logf = host, runDir(t), t.Logf
			report, err := ExecuteContest(t.Context(), config)
			judge(t, report, err)
			if report.Contest != nil {
				t.Logf("%+v", *report.Contest)
				for _, d := range report.Contest.Next {
					t.Logf("%s: the next one after %d ms median, %d ms at most, %d times", d.Fault, d.Median, d.Max, d.Count)
				}
			}
		})
	}
}

// worthALife is the least time that another cluster is started for.
const worthALife = 30 * time.Second

// longContest is how many cycles make a campaign, in which a leader may stand still for
// half a minute.
const longContest = 50

// contestMix are the faults of a contest, with cuts where there can be any.
func contestMix(cuts bool) []Choice {
	mix := slices.Clone(ContenderMix)
	if cuts {
		mix = slices.Clone(ContenderCutMix)
	}
	for n := range mix {
		if mix[n].Kind == PauseLeader && *cyclesFlag >= longContest {
			mix[n].Max = 30 * time.Second
		}
	}
	return mix
}

func TestLocks(t *testing.T) { contest(t, "locks", false) }

func TestElections(t *testing.T) { contest(t, "elections", true) }
