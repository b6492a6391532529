package main

import (
	"context"
	"sync/atomic"
	"time"
)

// A probeOrder asks a survivor to write until one write is acknowledged. Probers
// begin their tries staggered, so that an engine that lets a try hang until its
// deadline delays the finding by Try/Probers at most.
type probeOrder struct {
	Probers int           `json:"probers"`
	Try     time.Duration `json:"try"` // deadline of one write
}

// runProbe calls found once, with the time at which the first write ended well.
func runProbe(e engine, o probeOrder, found func(time.Time)) {
	var done atomic.Bool
	value := make([]byte, 128)
	for i := range o.Probers {
		go func() {
			time.Sleep(o.Try / time.Duration(o.Probers) * time.Duration(i))
			for !done.Load() {
				ctx, cancel := context.WithTimeout(context.Background(), o.Try)
				err := e.write(ctx, uint64(i), value)
				cancel()
				if err == nil {
					if now := time.Now(); !done.Swap(true) {
						found(now)
					}
					return
				}
				time.Sleep(errorPause)
			}
		}()
	}
}
