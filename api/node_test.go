package api

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

// errorsOfANode are all that package synod exports, by name, and those of contexts.
var errorsOfANode = map[string]error{
	"ErrNoLeader": synod.ErrNoLeader, "ErrOverloaded": synod.ErrOverloaded, "ErrDiskFull": synod.ErrDiskFull,
	"ErrTooLarge": synod.ErrTooLarge, "ErrStopped": synod.ErrStopped, "ErrQuarantined": synod.ErrQuarantined, "ErrLost": synod.ErrLost,
	"ErrNotCommitted": synod.ErrNotCommitted, "ErrNotFound": synod.ErrNotFound, "ErrUnavailable": synod.ErrUnavailable,
	"ErrInvalidMembership": synod.ErrInvalidMembership, "ErrConflict": synod.ErrConflict,
	"ErrUnknownOutcome": synod.ErrUnknownOutcome, "ErrRequestExpired": synod.ErrRequestExpired,
	"ErrRequestFuture": synod.ErrRequestFuture, "ErrAmbiguous": synod.ErrAmbiguous,
	"ErrNoStateMachine": synod.ErrNoStateMachine,
	"NotLeaderError":    &synod.NotLeaderError{Leader: "n2"}, "context.DeadlineExceeded": context.DeadlineExceeded, "context.Canceled": context.Canceled,
}

// neverAnswered are those with which no request over HTTP can end: what a node ends
// with or does not start with, for which a request gets ErrStopped, and the errors of
// sessions, of which the interface opens none, and of decrees, workers and restores, which it does not know.
var neverAnswered = []string{"SecondClusterError", "EngineError", "RolesError", "ErrNotChosen", "ErrRole", "ErrNotLearned",
	"ErrSessionExpired", "ErrAcknowledged", "ErrSessionWindow", "ErrRepliesFull", "ErrTooManySessions",
	"ErrCommandID", "ReplayError", "PanicError", "EscalationError", "ErrNotEmpty"}

// exportedErrors are the names of a package's error values and types, from its source.
func exportedErrors(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range source.Decls {
			names = append(names, declaredErrors(d)...)
		}
	}
	return names
}

func declaredErrors(d ast.Decl) (names []string) {
	group, is := d.(*ast.GenDecl)
	if !is {
		return nil
	}
	for _, spec := range group.Specs {
		switch s := spec.(type) {
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if group.Tok == token.VAR && strings.HasPrefix(name.Name, "Err") {
					names = append(names, name.Name)
				}
			}
		case *ast.TypeSpec:
			if s.Name.IsExported() && strings.HasSuffix(s.Name.Name, "Error") {
				names = append(names, s.Name.Name)
			}
		}
	}
	return names
}

func TestEveryErrorOfANodeHasACode(t *testing.T) {
	names := exportedErrors(t, "..")
	if len(names) < 14 {
		t.Fatalf("void: package synod exports only %v", names)
	}
	for _, name := range names {
		if errorsOfANode[name] == nil && !slices.Contains(neverAnswered, name) {
			t.Errorf("synod.%s is not in this test: give it a code in nodeErrors, and name it here", name)
		}
	}
	for _, err := range errorsOfANode {
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

func TestAStateThatHasNotChangedCountsFromTheStart(t *testing.T) {
	n := &node{began: time.Now().Add(-time.Hour), checks: map[string]Check{}}
	for _, step := range []struct {
		ok    bool
		start bool
	}{{true, true}, {true, true}, {false, false}, {false, false}} {
		if got := n.since(Check{Name: "disk", OK: step.ok})[0].Since; got.Equal(n.began) != step.start {
			t.Errorf("ok %v: since %v, the start was %v", step.ok, got, n.began)
		}
	}
}

func TestAFullDiskIsNoGoodHealth(t *testing.T) {
	for _, full := range []bool{false, true} {
		s := Status{Node: "n1", Role: "leader", Leader: "n1", Members: []MemberStatus{{Name: "n1", ID: "a", Voter: true, State: "up"}}}
		judge(&s, synod.GroupStatus{}, "a", diskFull(synod.StorageStats{Full: full, FreeBytes: 12<<20 + 5, Segments: 3}))
		if (len(s.Reasons) > 0) != full || full && !strings.Contains(strings.Join(s.Reasons, " "), "n1's disk is nearly full, or holds too much log: it takes no writes (12 MiB are free, log files: 3)") {
			t.Errorf("full %v: reasons %q", full, s.Reasons)
		}
	}
}
