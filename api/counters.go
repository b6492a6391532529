package api

import "sync/atomic"

// counters count what the server itself does.
type counters struct {
	reads     atomic.Uint64
	writes    atomic.Uint64
	forwarded atomic.Uint64
	slow      atomic.Uint64 // watches

	slowAnswers atomic.Uint64
}

func (c *counters) request(method string) {
	if method == "GET" {
		c.reads.Add(1)
	} else {
		c.writes.Add(1)
	}
}

func (c *counters) metrics(watches, sessions int) []Metric {
	const requests = "synod_http_requests_total"
	method := func(name string) []Label { return []Label{{"kind", name}} }
	help := "HTTP requests by kind."
	return []Metric{
		{requests, help, "counter", method("read"), float64(c.reads.Load())},
		{requests, help, "counter", method("write"), float64(c.writes.Load())},
		{"synod_http_forwarded_total", "Requests sent on to the leader.", "counter", nil, float64(c.forwarded.Load())},
		{"synod_http_streams", "Open watches with event streams, and connections of sessions.", "gauge", method("watch"), float64(watches)},
		{"synod_http_streams", "Open watches with event streams, and connections of sessions.", "gauge", method("session"), float64(sessions)},
		{"synod_http_slow_total", "Streams and answers that were cut off because their client did not read.", "counter", method("stream"), float64(c.slow.Load())},
		{"synod_http_slow_total", "Streams and answers that were cut off because their client did not read.", "counter", method("answer"), float64(c.slowAnswers.Load())},
	}
}
