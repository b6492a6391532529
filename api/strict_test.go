package api

import (
	"strings"
	"testing"
)

// The error for a stream that ends is also what a connection that breaks off gives, and is told as that.
func TestADocumentThatIsCutOffIsNoConnectionThatBroke(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"kind":"ki`} {
		err := unmarshalStrictly([]byte(text), &FaultRequest{})
		if got := Reason(err); !strings.Contains(got, "ends too early") {
			t.Errorf("of %q is told %q", text, got)
		}
	}
}
