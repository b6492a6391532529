package sim

import "testing"

// TestTreeCampaign runs many seeds of clients that hold sessions in a coordination.Tree; see
// TestCampaign.
func TestTreeCampaign(t *testing.T) { runCampaign(t, simulations["tree"], 30, 6) }

// TestPaxosTreeCampaign is TestTreeCampaign with the other engine.
func TestPaxosTreeCampaign(t *testing.T) { runCampaign(t, simulations["paxos tree"], 20, 4) }

// TestTreeRunsAreDeterministic shows that nothing of a keeper, and nothing that it does beside
// itself, escapes the world.
func TestTreeRunsAreDeterministic(t *testing.T) { compareRuns(t, runTree) }
