package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

func TestATimeInTheLogTellsItsUnit(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := newLogger(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		log.Info("recovered", "took", 63*time.Millisecond)
		if !bytes.Contains(out.Bytes(), []byte("63ms")) {
			t.Errorf("%s: %s, want 63ms in it", format, out.Bytes())
		}
		if format == "json" && !json.Valid(out.Bytes()) {
			t.Errorf("not JSON: %s", out.Bytes())
		}
	}
}
