package recipes

import (
	"sync"
	"testing"
)

func TestAFenceAdmitsNoneLowerThanTheHighestItHasSeen(t *testing.T) {
	var f Fence
	for _, step := range []struct {
		token uint64
		want  bool
	}{{0, false}, {5, true}, {5, true}, {4, false}, {9, true}, {5, false}, {0, false}, {9, true}} {
		if got := f.Admit(step.token); got != step.want {
			t.Errorf("token %d admitted: %v", step.token, got)
		}
	}
}

func TestOfManyCallersAFenceAdmitsInTheEndTheHighestAlone(t *testing.T) {
	var f Fence
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for token := uint64(i + 1); token <= 8000; token += 8 {
				f.Admit(token)
			}
		})
	}
	all.Wait()
	if f.Admit(7999) || !f.Admit(8000) {
		t.Error("the highest token seen is forgotten")
	}
}
