package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/synod-go/synod"
)

func TestEveryErrorOfANodeHasACode(t *testing.T) {
	for _, err := range []error{
		synod.ErrNoLeader, synod.ErrOverloaded, synod.ErrDiskFull, synod.ErrTooLarge, synod.ErrStopped, synod.ErrQuarantined,
		synod.ErrNotCommitted, synod.ErrNotFound, synod.ErrUnavailable, synod.ErrInvalidMembership, synod.ErrConflict, synod.ErrUnknownOutcome, synod.ErrRequestExpired,
		&synod.NotLeaderError{Leader: "n2"}, context.DeadlineExceeded, context.Canceled,
	} {
		got := asError(nodeError(fmt.Errorf("wrapped: %w", err), "the write"))
		if got.Code == CodeInternal || got.Code.Info().Status == 500 {
			t.Errorf("%v: %s, want a code of its own", err, got.Code)
		}
		if strings.Contains(got.Error(), "synod:") || strings.Contains(got.Error(), "context") {
			t.Errorf("%v: %q speaks Go", err, got)
		}
	}
}

func TestAnUnknownOutcomeIsNeverReportedAsATimeout(t *testing.T) {
	err := fmt.Errorf("%w: %w", synod.ErrUnknownOutcome, context.DeadlineExceeded)
	if code := CodeOf(nodeError(err, "the write")); code != CodeUnknown {
		t.Errorf("%s, want %s: the write may have happened", code, CodeUnknown)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the test's error does not wrap the reason")
	}
}

func TestANewLeaderDoesNotCallAPeerUpThatHasNotAnswered(t *testing.T) {
	g := synod.GroupStatus{Role: "leader", Leader: "n1", Last: 9, Members: []synod.GroupMember{
		{Name: "n1", Self: true, Voter: true, Active: true, Match: 9},
		{Name: "n2", Voter: true, Active: true},
		{Name: "n3", Voter: true, Active: true, Match: 7},
		{Name: "n4", Voter: true, Match: 7},
	}}
	want := []string{"up", "?", "up", "down"}
	for i, m := range g.Members {
		if got := memberStatus(m, g).State; got != want[i] {
			t.Errorf("%s is %q, want %q", m.Name, got, want[i])
		}
	}
}

func TestAFullDiskIsNoGoodHealth(t *testing.T) {
	for _, full := range []bool{false, true} {
		s := Status{Node: "n1", Role: "leader", Leader: "n1", Members: []MemberStatus{{Name: "n1", ID: "a", Voter: true, State: "up"}}}
		judge(&s, synod.GroupStatus{}, "a", full)
		if s.Healthy == full || full && !strings.Contains(strings.Join(s.Reasons, " "), "n1's disk is nearly full") {
			t.Errorf("full %v: healthy %v, reasons %q", full, s.Healthy, s.Reasons)
		}
	}
}
