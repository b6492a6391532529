//go:build linux

package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/synod-go/synod/mesos"
)

// BenchmarkLaunch launches 100 tasks an iteration, until all are told to be running, and has
// the agent restarted with them, until it has registered and all are taken up.
func BenchmarkLaunch(b *testing.B) {
	var launches, adoption float64
	for b.Loop() {
		m, work := newMaster(b), newWork(b)
		h := start(b, m, config(b, m, work))
		m.registered(1)
		began := time.Now()
		for i := range 100 {
			m.launch(task(mesos.TaskID(fmt.Sprint("t", i)), "exec sleep 1000"))
		}
		m.until("all run", func() bool { return len(m.updates) == 100 })
		launches += 100 / time.Since(began).Seconds()
		stopAgent(b, h)
		began = time.Now()
		h = start(b, m, config(b, m, work))
		m.registered(2)
		adoption += time.Since(began).Seconds()
		if n := len(h.Status(b.Context()).Tasks); n != 100 {
			b.Errorf("%d tasks were taken up", n)
		}
		stopAgent(b, h)
		endAll(b, work)
	}
	b.ReportMetric(launches/float64(b.N), "launches/s")
	b.ReportMetric(1000*adoption/float64(b.N), "ms/adoption")
}
