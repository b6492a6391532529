package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/api"
)

// A directory beside the survivor's is all that is left of the cluster: what to do must name the right one.
func TestWhatCannotBeFoundedSaysWhichDirectoryIsLeft(t *testing.T) {
	for _, c := range []struct {
		restored synod.Restored
		err      error
		says     string
		never    string
	}{
		{synod.Restored{}, fmt.Errorf("synod: %w: made", synod.ErrNotEmpty), "node recover --data data/n2 --into DIRECTORY", "another --data"},
		{synod.Restored{Cluster: "c"}, errors.New("synod: closed"), "start the node with --data made", "remove the directory"},
		{synod.Restored{}, errors.New("synod: closed"), "remove the directory before you try again", "start the node"},
	} {
		wrong, is := errors.AsType[*api.Error](foundError("data/n2", "made", c.restored, c.err))
		if !is {
			t.Fatalf("%+v, %v: no error of the API", c.restored, c.err)
		}
		if text := strings.Join(append(wrong.Do, wrong.Message), "; "); !strings.Contains(text, c.says) || strings.Contains(text, c.never) {
			t.Errorf("%+v, %v: %s, want %q and not %q", c.restored, c.err, text, c.says, c.never)
		}
	}
}
