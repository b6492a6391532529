//go:build linux

package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// eventually looks at what other processes do, which tell nobody.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	limit := time.After(patience)
	for !is() {
		select {
		case <-limit:
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func touch(t testing.TB, parts ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(parts...), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}
