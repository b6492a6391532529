package api

import (
	"bufio"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

func TestAReaderOfEventsGoesOnWhereItWas(t *testing.T) {
	f := newFake(t, coordination.Config{})
	_, addr := serve(t, Config{Backend: f, Name: "n1"})
	client := newTestClient(t, addr)
	past := func(after uint64) (kinds string) {
		f.events = make(chan Event, 3)
		for i, kind := range []string{"asks to lead", "starts election", "became leader"} {
			f.events <- Event{Sequence: uint64(i + 1), Kind: kind, Node: "n1", Reason: "no heartbeat"}
		}
		close(f.events)
		err := client.Events(t.Context(), EventOptions{After: &after, Past: true}, func(e Event) error {
			kinds += e.Kind + " for " + e.Reason + "; "
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return kinds
	}
	if got, want := past(1), "starts election for no heartbeat; became leader for no heartbeat; "; got != want {
		t.Errorf("after the first: %q, want %q", got, want)
	}
	if got := past(0); strings.Count(got, ";") != 3 {
		t.Errorf("from the beginning: %q, want 3", got)
	}
	stop := errors.New("enough")
	f.events = make(chan Event, 1)
	f.events <- Event{Sequence: 9, Kind: "fault"}
	if err := client.Events(t.Context(), EventOptions{}, func(Event) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the reader's own error came back as %v", err)
	}
}

func TestEventsHaveIdsByWhichABrowserGoesOn(t *testing.T) {
	f := newFake(t, coordination.Config{})
	f.events = make(chan Event, 2)
	_, addr := serve(t, Config{Backend: f, Name: "n1"})
	f.events <- Event{Sequence: 4, Kind: "fault"}
	f.events <- Event{Sequence: 5, Kind: "refuses"}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/v1/events", nil)
	r.Header.Set("Last-Event-ID", "4")
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "id: 5":
			return
		case strings.HasPrefix(line, "id: "):
			t.Fatalf("%s comes first, want 5", line)
		}
	}
	t.Fatal("no id came")
}
