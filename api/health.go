package api

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/synod-go/synod/cluster"
)

// getLive answers as long as the process can answer at all, and tells the node's clock.
func (s *Server) getLive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set(headerTime, strconv.FormatInt(time.Now().UnixMicro(), 10))
	writeText(w, http.StatusOK, "ok\n")
}

// getReady answers 200 when every check is well. With "verbose" it names each,
// with its reason and how long it has been so.
func (s *Server) getReady(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "verbose")
	verbose := q.flag("verbose")
	if q.err != nil {
		writeError(w, q.err)
		return
	}
	checks, status, shown := s.checks(), http.StatusOK, s.gate.allows(r, cluster.RoleView)
	var text bytes.Buffer
	for _, check := range checks {
		mark := "+"
		if !check.OK {
			mark, status = "-", http.StatusServiceUnavailable
		} else if check.Warn {
			mark = "!"
		}
		if shown && (verbose || !check.OK) {
			fmt.Fprintf(&text, "[%s] %s%s\n", mark, check.Name, checkDetail(check))
		}
	}
	if !shown { // a stranger learns whether, and not why
		checks = []Check{}
	}
	switch {
	case acceptsJSON(r):
		writeJSON(w, status, map[string]any{"ready": status == http.StatusOK, "checks": checks})
		return
	case status == http.StatusOK:
		text.WriteString("ready\n")
	default:
		text.WriteString("not ready\n")
	}
	writeText(w, status, text.String())
}

func (s *Server) checks() []Check {
	if backend := s.node.Load(); backend != nil {
		return (*backend).Checks()
	}
	return s.config.Starting()
}

func checkDetail(c Check) string {
	detail := ""
	if c.Reason != "" {
		detail = ": " + c.Reason
	}
	if !c.Since.IsZero() {
		detail += fmt.Sprintf(" (since %s)", time.Since(c.Since).Round(100*time.Millisecond))
	}
	return detail
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(text)) // a client that has gone is found by net/http
}

// getMetrics writes the Prometheus text format.
func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) {
	var text bytes.Buffer
	last := ""
	metrics := append(s.backend().Metrics(), masterMetrics(s.master.Load())...)
	for _, m := range append(metrics, s.counters.metrics(len(s.watches), s.sessions.connected())...) {
		family := m.Name
		if m.Kind == "histogram" {
			family = family[:strings.LastIndexByte(family, '_')]
		}
		if family != last {
			fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", family, m.Help, family, m.Kind)
			last = family
		}
		fmt.Fprintf(&text, "%s%s %v\n", m.Name, labels(m.Labels), m.Value)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(text.Bytes()) // a client that has gone is found by net/http
}

// labelEscape writes a label's value as the text format wants it.
var labelEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func labels(list []Label) string {
	if len(list) == 0 {
		return ""
	}
	parts := make([]string, len(list))
	for i, l := range list {
		parts[i] = l.Name + `="` + labelEscape.Replace(l.Value) + `"`
	}
	return "{" + strings.Join(parts, ",") + "}"
}
