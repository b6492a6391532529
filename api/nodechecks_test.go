package api

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/cluster"
)

func TestACertificateIsWarnedOfThirtyDaysBeforeItExpires(t *testing.T) {
	until := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		left     time.Duration
		ok, warn bool
		reason   string
	}{
		{31 * 24 * time.Hour, true, false, "valid until 2027-03-01, for 31 days"},
		{29 * 24 * time.Hour, true, true, "valid until 2027-03-01, for 29 days"},
		{time.Second, true, true, "for 0 days"},
		{-time.Second, false, false, "it has expired on 2027-03-01"},
	} {
		c := secretChecks(synod.Secrets{TLS: &cluster.TLSState{Until: until}}, until.Add(-test.left))[0]
		if c.Name != "certificate" || c.OK != test.ok || c.Warn != test.warn || !strings.Contains(c.Reason, test.reason) {
			t.Errorf("%v before the end: %+v, want ok %t, warn %t, %q", test.left, c, test.ok, test.warn, test.reason)
		}
	}
}

func TestAnAgentsMetricsTellHowLongItsCertificateHolds(t *testing.T) {
	s, err := NewAgentServer(AgentServerConfig{Agent: &fakeAgent{}, Name: "a1", Logger: slog.New(slog.DiscardHandler),
		TLSState: func() cluster.TLSState { return cluster.TLSState{Until: time.Now().Add(time.Hour)} }})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/metrics", nil))
	_, after, _ := strings.Cut(w.Body.String(), "\nsynod_certificate_seconds ")
	if line, _, _ := strings.Cut(after, "\n"); !strings.HasPrefix(line, "3600") && !strings.HasPrefix(line, "359") {
		t.Errorf("%d: %q, want an hour in seconds in %s", w.Code, line, w.Body.String())
	}
}
