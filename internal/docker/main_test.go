package docker_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain finds what Close has left running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
