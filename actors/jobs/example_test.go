package jobs_test

import (
	"errors"
	"fmt"

	"github.com/synod-go/synod/actors/jobs"
)

// A node's Handle answers while the node's master leads; who asks it before looks for the
// node that leads.
func ExampleHandle() {
	h := jobs.New(jobs.Config{})
	_, err := h.List()
	fmt.Println(errors.Is(err, jobs.ErrUnavailable))
	// Output: true
}
