package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

// samples reads the text format; it fails on a family that is described twice.
func samples(t *testing.T, text string) map[string]float64 {
	t.Helper()
	values, described := map[string]float64{}, map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, is := strings.CutPrefix(line, "# TYPE "); is {
			family, _, _ := strings.Cut(rest, " ")
			if described[family] {
				t.Errorf("%s is described twice", family)
			}
			described[family] = true
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		values[line[:at]] = value
	}
	return values
}

func TestMetricsTellOfTheLog(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := newProcess(t, t.TempDir(), "n1")
	p.config.Bootstrap = true
	p.start(t, ctx)
	defer p.stop(t)
	p.status(t, ctx, func(s Status) bool { return s.Role == "leader" })
	const writes = 5
	for i := range writes {
		if _, err := p.client(t).Put(ctx, fmt.Sprint("k", i), make([]byte, 1000), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := http.Get("http://" + p.config.Listen.API + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := samples(t, string(text))
	for name, least := range map[string]float64{"synod_log_appended_bytes_total": writes * 1000,
		"synod_log_flush_seconds_count":             writes,
		`synod_log_flush_seconds_bucket{le="+Inf"}`: writes} {
		if got[name] < least {
			t.Errorf("%s is %v, want at least %v", name, got[name], least)
		}
	}
	if got["synod_log_full"] != 0 || got["synod_log_flush_seconds_sum"] <= 0 {
		t.Errorf("full %v, flushes took %v s", got["synod_log_full"], got["synod_log_flush_seconds_sum"])
	}
	if all, first := got["synod_log_flush_seconds_count"], got[`synod_log_flush_seconds_bucket{le="6.4e-05"}`]; got[`synod_log_flush_seconds_bucket{le="+Inf"}`] != all || first > all {
		t.Errorf("buckets do not add up to %v", all)
	}
	if !strings.Contains(string(text), "# TYPE synod_log_flush_seconds histogram\n") {
		t.Error("the flushes are no histogram")
	}
}

// wrong is a state machine that answers another sum than the others.
type wrong struct{ by byte }

func (m *wrong) Apply(_ uint64, _ int64, command []byte) []byte { return append(command[:0:0], m.by) }
func (m *wrong) Snapshot() (io.WriterTo, error)                 { return strings.NewReader(""), nil }
func (m *wrong) Restore(io.Reader) error                        { return nil }

func TestAQuarantinedReplicaSaysSo(t *testing.T) {
	var made atomic.Int32
	group := synod.GroupConfig{Name: "g", New: func() synod.StateMachine {
		m := &wrong{}
		if made.Add(1) == 3 {
			m.by = 1
		}
		return m
	}}
	group.Limits.DigestEvery = 16
	c := synod.Local(t, 3, group)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var sick *synod.Node
	for sick == nil {
		if leader, _, err := c.Leader(ctx, "g"); err != nil {
			t.Fatal(err)
		} else if _, err := leader.Group("g").Propose(ctx, []byte("x")); err != nil && ctx.Err() != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			select {
			case <-c.Node(i).Done():
				sick = c.Node(i)
			default:
			}
		}
	}
	b, err := NewBackend(sick, "g", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Status(ctx); CodeOf(err) != CodeQuarantined {
		t.Errorf("status: %v, want %s", err, CodeQuarantined)
	}
	for _, check := range b.Checks() {
		if check.Name == "state" && (check.OK || !strings.Contains(check.Reason, "differs from the majority's")) {
			t.Errorf("check %+v, want it to fail with the reason", check)
		}
	}
	for _, m := range b.Metrics() {
		if m.Name == "synod_group_quarantined" && m.Value != 1 {
			t.Errorf("%s is %v, want 1", m.Name, m.Value)
		}
	}
}
