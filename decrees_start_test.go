package synod

import (
	"strings"
	"testing"
	"time"
)

// What a role finds in its log may be a reason not to run.
func TestAProcessThatMustNotRunIsNotOpened(t *testing.T) {
	for range 10 {
		c := newCouncil(t, "a", "b", "c").openAll()
		c.decide("a", "x", "1", "1")
		c.kill("a")
		other := c.all["a"]
		other.Acceptors = []string{"a", "d", "e"} // it has pinned a, b and c
		d, err := OpenDecrees(c.ctx, other)
		if err == nil {
			d.Close()
			t.Fatalf("opened with other acceptors than it has pinned; it ended with %v", d.Err())
		}
		if !strings.Contains(err.Error(), "for ever") {
			t.Fatalf("not opened over %v, want that the acceptors are for ever", err)
		}
		c.open("a") // nothing of the attempt is left
		c.decide("a", "x", "2", "1")
	}
}

func TestDurationsThatCannotBeAreRefused(t *testing.T) {
	for wrong, config := range map[string]DecreesConfig{
		"Retransmit": {Retransmit: -1},
		"Backoff":    {Backoff: -time.Second},
		"Timeout":    {LearnTimeout: -1},
		"twice":      {Roles: []Role{RoleProposer, RoleAcceptor, RoleProposer}},
	} {
		config.Name, config.Acceptors, config.Local = "a", []string{"a"}, NewLocalDecrees()
		d, err := OpenDecrees(t.Context(), config)
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: opened with %v", wrong, err)
		}
	}
}
