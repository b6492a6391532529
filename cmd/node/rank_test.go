package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/recipes"
)

func TestWhoLosesThePlaceTakesAnotherAndWhoFailsDoesNot(t *testing.T) {
	over := &api.Error{Code: api.CodeSession, Message: "the session may be over"}
	broken := errors.New("broken")
	for why, want := range map[error]bool{over: true, fmt.Errorf("watch: %w", recipes.ErrDeleted): true, broken: false} {
		r := &rank{app: &app{err: &bytes.Buffer{}}}
		if lost, err := r.placeless(t.Context(), "workers", why); lost != want || (err == nil) != want {
			t.Errorf("%v: lost %v, %v, want lost %v", why, lost, err, want)
		}
	}
}

func TestALaterRoundWaitsForTheClusterAndTheFirstDoesNot(t *testing.T) {
	var said bytes.Buffer
	a := &app{err: &said}
	away := &api.Error{Code: api.CodeReach, Message: "no node answers"}
	if err := a.repeat(t.Context(), func() (bool, error) { return false, away }); err != away {
		t.Fatalf("the first round: %v, want its error", err)
	}
	rounds := []error{nil, away, away, nil}
	err := a.repeat(t.Context(), func() (bool, error) {
		err := rounds[0]
		rounds = rounds[1:]
		return err == nil && len(rounds) > 0, err
	})
	if err != nil || len(rounds) != 0 || said.String() != "not yet: E-REACH: no node answers\n" {
		t.Fatalf("%v, %d rounds left, said %q: want all rounds, and the reason once", err, len(rounds), said.String())
	}
}
