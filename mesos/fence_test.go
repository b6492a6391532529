package mesos

import (
	"testing"
	"time"
)

// F-2, F-6, and beyond: a scheduler that was deposed cannot take over from the one that was
// elected after it.
func TestADeposedSchedulerDoesNotTakeOver(t *testing.T) {
	subscribe := func(r *Registry, token string) RegistryCode {
		info := FrameworkInfo{ID: "f", Name: "f"}
		if token != "" {
			info.Labels = map[string]string{FenceLabel: token}
		}
		return PutFramework{Info: info, Connected: true, Time: time.Second}.carryOut(r).Code
	}
	r, err := NewRegistry(RegistryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token string
		want  RegistryCode
	}{{"", CodeOK}, {"9", CodeOK}, {"9", CodeOK}, {"8", CodeFenced}, {"", CodeFenced}, {"x", CodeFenced}, {"10", CodeOK}, {"9", CodeFenced}} {
		if got := subscribe(r, c.token); got != c.want {
			t.Errorf("token %q: %v, want %v", c.token, got, c.want)
		}
	}
	if f, _ := r.frameworks.get("f"); f.Info.Labels[FenceLabel] != "10" {
		t.Errorf("the registry has token %q, want 10", f.Info.Labels[FenceLabel])
	}
}
