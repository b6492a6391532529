package synod_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod"
)

// logged keeps what a JSON log gets.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// records are the lines about an event.
func (l *logged) records(t *testing.T, event string) (list []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range bytes.Split(bytes.TrimSpace(l.text.Bytes()), []byte("\n")) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if record["msg"] == event {
			list = append(list, record)
		}
	}
	return list
}

func TestTheLogSaysWhatHasChangedAndWhy(t *testing.T) {
	var log logged
	ctx := within(t, time.Minute)
	c, err := synod.NewLocalCluster(ctx, 3, slog.New(slog.NewJSONHandler(&log, nil)), (&journals{}).group(synod.Raft))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	leader, _, err := c.Leader(ctx, "journal")
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(chan string, 100)
	leader.Subscribe(func(e synod.Event) {
		if e.Kind == "stepped down" {
			reasons <- e.Reason
		}
	})
	if err := leader.Group("journal").TransferLeadership(ctx, ""); err != nil {
		t.Fatal(err)
	}
	reason := <-reasons
	if records := log.records(t, "stepped down"); reason != "handed over" || len(records) == 0 || records[len(records)-1]["reason"] != reason {
		t.Errorf("stepped down for %q, logged %v; want that it has handed over", reason, records)
	}
	changes := log.records(t, "configuration changed")
	if !slices.ContainsFunc(changes, func(r map[string]any) bool { return r["voters"] == "n1,n2,n3" && r["version"] != nil }) {
		t.Errorf("configurations %v, want one with all three voters", changes)
	}
	for _, record := range append(changes, log.records(t, "peer connected")...) {
		for key, value := range record {
			if value == "" || key == "term" && value == 0.0 {
				t.Errorf("%v: %s says nothing", record["msg"], key)
			}
		}
	}
}
