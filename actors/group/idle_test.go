package group_test

import (
	"testing"
	"time"

	"github.com/synod-go/synod/actors/group"
	"github.com/synod-go/synod/consensus"
	"github.com/synod-go/synod/storage"
)

// What other groups write goes behind the few records of one in which nothing happens. It must not
// keep all that for ever.
func TestAGroupInWhichNothingHappensLetsGoOfTheLog(t *testing.T) {
	onBoth(t, func(t *testing.T, engine group.Protocol) {
		begin := time.Now()
		s := startSingle(t, engine, storage.NewMemory(1), func(c *group.Config) {
			c.Clock = func() consensus.Time { return consensus.Time(100 * time.Since(begin)) }
		})
		s.add(t)
		other := storage.Record{Group: 2, Data: make([]byte, 256<<10)}
		limit := time.Now().Add(20 * time.Second)
		for other.Index = 1; ; other.Index++ {
			done := make(chan error, 1)
			s.store.Append([]storage.Record{other}, func(err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			s.store.Release(2, other.Index)
			switch stats := s.store.Stats(); {
			case stats.Oldest > 40 && stats.Segments <= 8:
				return // it has let go of it again and again
			case time.Now().After(limit):
				t.Fatalf("%d segments are kept, the oldest is %d, for group %d", stats.Segments, stats.Oldest, stats.PinnedBy)
			}
		}
	})
}
