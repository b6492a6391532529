package main

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// keyed is a node whose gossip keys may be replaced.
type keyed struct{ keys gossipKeys }

func (k *keyed) SetGossipKeys(keys [][]byte) error { k.keys = keys; return nil }
func (k *keyed) Done() <-chan struct{}             { return nil }

func TestAGossipKeyThatIsReplacedWhileTheNodeStartsIsTakenUp(t *testing.T) {
	dir := newAuthority(t)
	f := &startFlags{name: "n1", listen: "127.0.0.1", ports: [3]int{1, 2, 3}, snapshotMiB: 64, engine: "raft", gossipKey: filepath.Join(dir, "gossip.key")}
	config, wrong := (&app{}).describeNode(f)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	takenUp := func() gossipKeys {
		node := &keyed{}
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*takeUpEvery+time.Millisecond)
			defer cancel()
			f.takeUpKeys(ctx, node, keysOf(config), slog.New(slog.DiscardHandler))
		})
		return node.keys
	}
	if got := takenUp(); got != nil {
		t.Errorf("the keys of the start were taken up again, %d", len(got))
	}
	mustNode(t, rotate(dir, "gossip add")...) // as the node starts
	want, err := loadGossipKeys(f.gossipKey)
	if got := takenUp(); err != nil || len(want) != 2 || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d keys were taken up, want %d, %v", len(got), len(want), err)
	}
}
