package main

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

func TestDemoSupervision(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := self(t, ctx, "demo", "supervision", "--output", "json").Output()
	var result demoResult
	if err != nil || json.Unmarshal(out, &result) != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !result.Pass || len(result.Steps) != 6 {
		t.Errorf("it says %+v", result)
	}
}
