package sim

import "testing"

// TestActorCampaign runs many seeds of the real actors; see TestCampaign.
func TestActorCampaign(t *testing.T) { runCampaign(t, simulations["actors"], 16, 2) }

// TestActorPaxosCampaign is TestActorCampaign with the other engine.
func TestActorPaxosCampaign(t *testing.T) { runCampaign(t, simulations["paxos actors"], 16, 2) }

// TestActorRunsAreDeterministic shows that no goroutine of protoactor escapes
// the dispatcher.
func TestActorRunsAreDeterministic(t *testing.T) { compareRuns(t, RunActors) }

func TestActorPaxosRunsAreDeterministic(t *testing.T) { compareRuns(t, runPaxosActors) }

// TestActorReplay replays one run of actors with its transcript.
func TestActorReplay(t *testing.T) { replay(t, RunActors) }

// TestActorRegressions replays every run of actors that has once shown a bug.
func TestActorRegressions(t *testing.T) {
	replayScripts(t, "testdata/actors/*.txt", simulations["actors"])
}
