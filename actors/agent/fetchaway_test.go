package agent

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A server that a file is fetched from decides where it is sent on to, and not whoever has named it.
func TestAFileIsNotFetchedFromWhereItsServerShouldNotLead(t *testing.T) {
	metadata := httptest.NewServer(http.RedirectHandler("http://169.254.1.1/x", http.StatusFound))
	defer metadata.Close()
	if f, err := openHTTP(t.Context(), metadata.URL, time.Minute); err == nil {
		f.Close()
		t.Error("it is fetched from a link-local address")
	} else if !strings.Contains(err.Error(), "link-local") {
		t.Error(err)
	}
	for to, ok := range map[string]bool{"https://b/x": true, "http://b/x": false} {
		from, _ := http.NewRequest("GET", "https://a/x", nil)
		next, _ := http.NewRequest("GET", to, nil)
		if err := checkRedirect(next, []*http.Request{from}); (err == nil) != ok {
			t.Errorf("from https on to %s: %v", to, err)
		}
	}
}
